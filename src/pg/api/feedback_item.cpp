// mailer._feedback_of: a received mail with everything that can tie it to a message, for SQL to match.
#include "core/feedback/feedback.hpp"
#include "core/octets.hpp"
#include "pg/bridge/arguments.hpp"
#include "pg/bridge/result_set.hpp"

namespace mailer::pg {
namespace {

using core::feedback::Feedback;
using core::feedback::Item;

std::optional<std::string> not_empty(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::int32_t> not_zero(int number) { return number == 0 ? std::nullopt : std::optional(number); }

void add_row(ResultSet& rows, const Feedback& feedback, const Item* item) {
    static const Item nothing;
    const Item& i = item ? *item : nothing;
    const bool names_an_id = !feedback.envelope_id.empty() || !feedback.returned_id.empty() ||
                             !feedback.thread_ids.empty() || feedback.named_text_ids > 0;
    rows.text(item ? std::optional(std::string{to_text(i.kind)}) : std::nullopt)
        .text(not_empty(i.address))
        .text(not_empty(i.original_address))
        .boolean(i.is_hard)
        .integer(not_zero(i.code))
        .text(not_empty(i.enhanced))
        .text(not_empty(item ? i.words : feedback.subject))
        .boolean(i.is_guess)
        .boolean(i.has_left)
        .boolean(true)
        .text(not_empty(feedback.from))
        .text(not_empty(feedback.report_id))
        .text(not_empty(feedback.envelope_id))
        .texts(feedback.addressed_to)
        .text(not_empty(feedback.returned_id))
        .texts(feedback.thread_ids)
        .texts(feedback.text_ids)
        .boolean(names_an_id)
        .text(not_empty(feedback.own_text));
    rows.end_row();
}

// A receiver's report that a check failed says nothing of a person, and does nothing.
Datum feedback_of(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    const Feedback feedback = core::feedback::read_feedback(Arguments(fcinfo).text().view);
    for (const Item& item : feedback.items) {
        if (!item.is_about_authentication) add_row(rows, feedback, &item);
    }
    if (feedback.items.empty() && !feedback.is_automatic && !feedback.from.empty()) add_row(rows, feedback, nullptr);
    return Datum{0};
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_feedback_of) {
    return mailer::pg::entry([&] { return mailer::pg::feedback_of(fcinfo); });
}
