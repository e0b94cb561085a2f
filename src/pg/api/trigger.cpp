// mailer.notify_trigger: mails the people whom a changed row concerns, and never fails the statement that changed it.
//
// The walk: read the row and call the recipients function as the user who changed it; as the owner, queue one batch.
// The right to do this came with the right to create the trigger (EXECUTE on this function); the user who fires it
// needs none. What becomes of a failure is run_harmless's.
#include <algorithm>

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
    try {
        gap.datum = call([&] {
            return DirectFunctionCall3(interval_in, CStringGetDatum(text.c_str()), ObjectIdGetDatum(InvalidOid),
                                       Int32GetDatum(-1));
        });
    } catch (const PgError& error) {
        refuse("the gap of notify_trigger is not an interval", error.what(),
               "Its third argument is the time between two mails, such as '5 s'.", "22007");
    }
    return checked_gap(gap);
}

// A recipient that is NULL became a failed mail; the event says so once for each firing.
void log_missing(const TriggerData& trigger, const Batch& batch, std::int64_t batch_id) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.event (at, kind, batch_id, by_role, detail)
            SELECT $1, 'recipient_missing', $2, $3, pg_catalog.jsonb_build_object('trigger', $4,
                'recipients', $5))sql",
        {TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, INT8OID});
    const auto missing = std::count_if(batch.items.begin(), batch.items.end(),
                                       [](const BatchItem& item) { return item.recipient.data() == nullptr; });
    if (missing == 0) return;
    insert.run({p_time(batch.request.now), p_bigint(batch_id), p_text(current_role()),
                p_text(trigger.tg_trigger->tgname), p_bigint(missing)});
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
    const std::int64_t batch_id = store_batch(batch);
    log_missing(trigger, batch, batch_id);
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_notify_trigger) {
    using namespace mailer::pg;
    return entry([&] {
        return run_harmless(fcinfo, "mailer.notify_trigger", usage, [&](const TriggerData& t) { notify(fcinfo, t); });
    });
}
