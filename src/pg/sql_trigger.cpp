// mailer.notify_trigger: mails the people whom a changed row concerns, and never fails the statement that changed it.
//
// The walk: in a subtransaction, read the row and call the recipients function as the user who changed it; as the
// owner, queue one batch. Whatever goes wrong is rolled back and written to event_log (notification_failed). The right
// to do this came with the right to create the trigger (EXECUTE on this function); the user who fires it needs none.
//
// A cancelled query and a shutdown are not failures of the notification: they end the statement.
#include "pg/identity.hpp"
#include "pg/subtransaction.hpp"
#include "pg/trigger_event.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace mailer::pg {
namespace {

constexpr std::size_t longest_label = 500;  // octets; labels are indexed

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

void shorten(std::string& label) {
    if (label.size() <= longest_label) return;
    std::size_t end = longest_label;
    while (end > 0 && (static_cast<unsigned char>(label[end]) & 0xC0) == 0x80)
        --end;
    label.resize(end);
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
        std::string label = render_label(arguments.label, row);
        shorten(label);
        batch.label = text_value(label);
    }
    Request& request = batch.request;
    request.queued_by = current_role();
    request.template_name = text_value(arguments.template_name);
    if (!arguments.mailbox.empty()) request.mailboxes.push_back(arguments.mailbox);
    request.now = request.due_at = transaction_now();

    AsOwner owner(fcinfo);
    request.variables = row_variables(row);
    store_batch(batch);
}

std::string name_of(const TriggerData& trigger) {
    return call([&] {
        return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(trigger.tg_relation)),
                                          RelationGetRelationName(trigger.tg_relation));
    });
}

void log_failure(FunctionCallInfo fcinfo, const TriggerData& trigger, const Caught& caught) {
    static Statement insert(
        "INSERT INTO mailer.event (at, kind, by_role, detail) SELECT $1, 'notification_failed', $2,"
        " pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('trigger', $3, 'table', $4, 'sqlstate', $5,"
        " 'message', $6, 'detail', NULLIF($7, ''), 'hint', NULLIF($8, '')))",
        {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID});
    const std::string role = current_role();
    const std::string table = name_of(trigger);
    AsOwner owner(fcinfo);
    Spi spi;
    insert.run({p_time(transaction_now()), p_text(std::string_view(role)), p_text(trigger.tg_trigger->tgname),
                p_text(table), p_text(caught.sqlstate), p_text(caught.message), p_text(caught.detail),
                p_text(caught.hint)});
}

// To the client and the server's log; written there even if the event can't be.
void warn(const TriggerData& trigger, const Caught& caught) {
    const std::string cause = caught.sqlstate + ": " + caught.message;
    call([&] {
        ereport(WARNING,
                (errmsg("trigger \"%s\" could not queue its notification", trigger.tg_trigger->tgname),
                 errdetail("%s", cause.c_str()), caught.hint.empty() ? 0 : errhint("%s", caught.hint.c_str())));
    });
}

Datum notify_trigger(FunctionCallInfo fcinfo) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        refuse("mailer.notify_trigger must be called as a trigger", {},
               "CREATE TRIGGER … AFTER INSERT … FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('template', "
               "'recipients_function')",
               "39P01");
    const auto& trigger = *reinterpret_cast<TriggerData*>(fcinfo->context);
    if (const std::optional<Caught> caught = attempt([&] { notify(fcinfo, trigger); })) {
        attempt([&] { log_failure(fcinfo, trigger, *caught); });
        warn(trigger, *caught);
    }
    // What a BEFORE trigger passes on; ignored after the fact.
    HeapTuple result = TRIGGER_FIRED_FOR_STATEMENT(trigger.tg_event) ? nullptr
                       : TRIGGER_FIRED_BY_UPDATE(trigger.tg_event)   ? trigger.tg_newtuple
                                                                     : trigger.tg_trigtuple;
    return PointerGetDatum(result);
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_notify_trigger) {
    return mailer::pg::entry([&] { return mailer::pg::notify_trigger(fcinfo); });
}
