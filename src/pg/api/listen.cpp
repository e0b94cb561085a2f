// CALL mailer.listen(max_time): the listener from the calling session, when none is at it. As CALL mailer.run
// (run.cpp): it commits, and a cancel ends it.
#include "pg/bridge/procedure.hpp"
#include "pg/listen/listener.hpp"
#include "pg/listen/listener_lock.hpp"
#include "pg/server/worker_signals.hpp"

namespace mailer::pg {

namespace {

ListenLimits limits_of(FunctionCallInfo fcinfo) {
    ListenLimits limits;
    limits.is_one_look = PG_ARGISNULL(0);
    if (limits.is_one_look) return limits;
    const Interval* interval = PG_GETARG_INTERVAL_P(0);
    const std::int64_t days = static_cast<std::int64_t>(interval->month) * 30 + interval->day;
    if (days > 36500 || interval->time < 0 || days < 0) {
        throw Refusal({"22023", "max_time must be between 0 and 100 years"});
    }
    limits.max_time = core::Duration(interval->time) + std::chrono::days(days);
    return limits;
}

void listen(FunctionCallInfo fcinfo) {
    require_no_transaction_block(fcinfo, "mailer.listen");
    const ListenLimits limits = limits_of(fcinfo);
    SessionSignals signals;
    auto lock = ListenerLock::try_take();
    if (!lock) {
        call([] {
            ereport(
                NOTICE,
                (errmsg(
                    "mailer.listen reads nothing: the listener, or another session, is listening in this database")));
        });
        return;
    }
    EngineContext context(EngineContext::Host::session);
    run_listener(context, limits);
    lock.reset();
    context.raise_interrupts();
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_listen) {
    mailer::pg::entry([&] { mailer::pg::listen(fcinfo); });
    PG_RETURN_VOID();
}
