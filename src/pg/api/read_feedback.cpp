// mailer.read_feedback: what a received mail means by itself. Nothing is looked up and nothing is stored; the rules are
// core/feedback's.
#include "core/feedback/feedback.hpp"
#include "pg/bridge/arguments.hpp"
#include "pg/bridge/result_set.hpp"

namespace mailer::pg {
namespace {

std::optional<std::string> not_empty(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::int32_t> not_zero(int number) { return number == 0 ? std::nullopt : std::optional(number); }

Datum read_feedback(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    const TextValue raw = Arguments(fcinfo).text();
    if (!raw) return Datum{0};
    const core::feedback::Feedback feedback = core::feedback::read_feedback(raw.view);
    const std::string original = core::feedback::original_message_id(feedback);
    for (const core::feedback::Item& item : feedback.items) {
        rows.text(std::string{to_text(item.kind)})
            .text(not_empty(item.address))
            .boolean(item.is_hard)
            .integer(not_zero(item.code))
            .text(not_empty(item.enhanced))
            .text(not_empty(item.words))
            .text(not_empty(original))
            .text(not_empty(feedback.envelope_id));
        rows.end_row();
    }
    return Datum{0};
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_read_feedback) {
    return mailer::pg::entry([&] { return mailer::pg::read_feedback(fcinfo); });
}
