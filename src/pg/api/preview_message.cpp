// mailer._preview_message: what a lead's mail says, rendered by the code that sends it; nothing is stored or sent.
//
// A step that isn't queued has no message: it is shown on a message that the lead has, with what the step puts in
// place.
#include <algorithm>

#include "pg/bridge/arguments.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/bridge/result_set.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/engine/content.hpp"

namespace mailer::pg {
namespace {

std::optional<std::string> not_empty(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

StoredMessage read_message(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const std::int64_t id = arguments.bigint().value_or(0);
    std::vector<StoredMessage> found = read_messages(std::span(&id, 1), Texts::all);
    if (found.empty()) refuse("message " + std::to_string(id) + " does not exist", {}, {}, "42704");
    StoredMessage message = std::move(found.front());
    message.template_name = std::string(arguments.text().view);
    message.subject = std::string(arguments.text().view);
    if (const RawValue variables = arguments.raw()) message.variables = read_jsonb(variables.datum);
    message.is_later_step = arguments.boolean().value_or(false);
    message.thread_subject = std::string(arguments.text().view);
    return message;
}

Datum preview_message(FunctionCallInfo fcinfo) {
    ResultSet row(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    const StoredMessage message = read_message(fcinfo);
    TemplateCache templates(message.tenant_id);
    load_templates(templates, message);
    std::vector<std::string> missing;
    ContentOptions options;
    options.max_message_size = static_cast<std::size_t>(settings().max_message_size);
    options.unsubscribe_url = settings().unsubscribe_url;
    options.interrupted = []() -> core::Status {
        call([] { CHECK_FOR_INTERRUPTS(); });
        return {};
    };
    options.missing = &missing;
    const core::Mail mail = expect(render_message(message, stored_sender(message.id), templates, nullptr, options));
    std::sort(missing.begin(), missing.end());
    missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
    row.text(mail.subject).text(mail.body_text).text(not_empty(mail.body_html)).texts(missing);
    row.end_row();
    return Datum{0};
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_preview_message) {
    return mailer::pg::entry([&] { return mailer::pg::preview_message(fcinfo); });
}
