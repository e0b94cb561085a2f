// mailer.notify_trigger: mails the people whom a changed row concerns, and never fails the statement that changed it.
//
// The walk: read the row and call the recipients function as the user who changed it; as the owner, queue one batch.
// The right to do this came with the right to create the trigger (EXECUTE on this function); the user who fires it
// needs none. What becomes of a failure is run_harmless's.
#include "core/octets.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/enqueue/harmless_trigger.hpp"
#include "pg/enqueue/trigger_event.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace mailer::pg {
namespace {

constexpr const char* usage =
    "CREATE TRIGGER … AFTER INSERT … FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('template', "
    "'recipients_function')";

RawValue parse_gap(const std::string& text) {
    if (text.empty()) return {};
    RawValue gap;
    gap.is_null = false;
    gap.datum = call([&] {
        return DirectFunctionCall3(interval_in, CStringGetDatum(text.c_str()), ObjectIdGetDatum(InvalidOid),
                                   Int32GetDatum(-1));
    });
    return checked_gap(gap);
}

void notify(FunctionCallInfo fcinfo, const TriggerData& trigger) {
    const TriggerArguments arguments = read_trigger_arguments(*trigger.tg_trigger);
    Spi spi;
    const ChangedRow row = read_changed_row(trigger);
    Batch batch;
    batch.items = call_recipients_function(trigger, arguments.recipients_function, row);
    if (batch.items.empty()) return;
    check_items(batch.items);
    batch.gap = parse_gap(arguments.gap);
    if (!arguments.label.empty()) {
        const std::string label = render_label(arguments.label, row);
        batch.label = text_value(core::whole_characters(label, longest_label));
    }
    Request& request = batch.request;
    request.template_name = text_value(arguments.template_name);
    if (!arguments.mailbox.empty()) request.mailboxes.push_back(arguments.mailbox);
    request.now = request.due_at = transaction_now();

    AsOwner owner(fcinfo);
    request.by = sender_of_trigger(trigger);
    request.variables = row_variables(row);
    store_batch(batch);
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_notify_trigger) {
    using namespace mailer::pg;
    return entry([&] {
        return run_harmless(fcinfo, "mailer.notify_trigger", usage, [&](const TriggerData& t) { notify(fcinfo, t); });
    });
}
