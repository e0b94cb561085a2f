// See harmless_trigger.hpp. The right to do the work came with the right to create the trigger (EXECUTE on its
// function); the user who fires it needs none, so the failure is written down as the owner.
#include "pg/enqueue/harmless_trigger.hpp"

#include "pg/bridge/identity.hpp"
#include "pg/enqueue/request.hpp"

extern "C" {
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace mailer::pg {
namespace {

std::string name_of(const TriggerData& trigger) {
    return call([&] {
        return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(trigger.tg_relation)),
                                          RelationGetRelationName(trigger.tg_relation));
    });
}

void log_failure(FunctionCallInfo fcinfo, const TriggerData& trigger, const Caught& caught) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.event (at, kind, by_role, detail)
            SELECT $1, 'notification_failed', $2,
                pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('trigger', $3, 'table', $4,
                'sqlstate', $5, 'message', $6, 'detail', NULLIF($7, ''), 'hint', NULLIF($8, ''))))sql",
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

bool is_collision(const Caught& caught) {
    // deadlock_detected, serialization_failure, lock_not_available
    return caught.sqlstate == "40P01" || caught.sqlstate == "40001" || caught.sqlstate == "55P03";
}

}  // namespace

Datum run_harmless(FunctionCallInfo fcinfo, const char* name, const char* usage, const TriggerWork& work,
                   const TriggerWork& after_collision) {
    if (!CALLED_AS_TRIGGER(fcinfo)) refuse(std::string(name) + " must be called as a trigger", {}, usage, "39P01");
    const auto& trigger = *reinterpret_cast<TriggerData*>(fcinfo->context);
    std::optional<Caught> caught = attempt([&] { work(trigger); });
    if (caught && after_collision && is_collision(*caught)) caught = attempt([&] { after_collision(trigger); });
    if (caught) {
        attempt([&] { log_failure(fcinfo, trigger, *caught); });
        warn(trigger, *caught);
    }
    // What a BEFORE trigger passes on; ignored after the fact.
    HeapTuple result = TRIGGER_FIRED_FOR_STATEMENT(trigger.tg_event) ? nullptr
                       : TRIGGER_FIRED_BY_UPDATE(trigger.tg_event)   ? trigger.tg_newtuple
                                                                     : trigger.tg_trigtuple;
    return PointerGetDatum(result);
}

}  // namespace mailer::pg
