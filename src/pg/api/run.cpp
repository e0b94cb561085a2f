// CALL mailer.run(max_messages, max_time): the same engine from the calling session, when no worker is at it.
//
// For servers where the library isn't preloaded, for pg_cron and for tests. It commits, so it can't run inside a
// transaction block or a function; a cancel stops claiming, waits for dots in flight, settles, and is then raised.
#include "pg/bridge/procedure.hpp"
#include "pg/engine/engine.hpp"
#include "pg/server/election.hpp"
#include "pg/server/shared.hpp"
#include "pg/server/worker_signals.hpp"

extern "C" {
#include "storage/ipc.h"
}

namespace mailer::pg {

namespace {

RunLimits limits_of(FunctionCallInfo fcinfo) {
    RunLimits limits;
    if (!PG_ARGISNULL(0)) {
        limits.max_messages = PG_GETARG_INT32(0);
        if (*limits.max_messages < 0) throw Refusal({"22023", "max_messages must not be negative"});
    }
    if (!PG_ARGISNULL(1)) {
        const Interval* interval = PG_GETARG_INTERVAL_P(1);
        const std::int64_t days = static_cast<std::int64_t>(interval->month) * 30 + interval->day;
        if (days > 36500 || interval->time < 0 || days < 0) {
            throw Refusal({"22023", "max_time must be between 0 and 100 years"});
        }
        limits.max_time = core::Duration(interval->time) + std::chrono::days(days);
    }
    return limits;
}

void notice(const char* why) {
    call([&] { ereport(NOTICE, (errmsg("mailer.run sends nothing: %s", why))); });
}

void at_exit(int, Datum) { detach_sender(Leave::terminated); }

// Leaves the sender's place on every way out: also when the backend ends in here, which unwinds nothing.
struct Attached {
    Attached() {
        static bool is_registered = false;
        if (!is_registered) call([] { on_shmem_exit(at_exit, 0); });
        is_registered = true;
    }
    ~Attached() { detach_sender(Leave::asked); }
    Attached(const Attached&) = delete;
    Attached& operator=(const Attached&) = delete;
};

void run(FunctionCallInfo fcinfo) {
    require_no_transaction_block(fcinfo, "mailer.run");
    RunLimits limits = limits_of(fcinfo);
    switch (attach_sender(MyDatabaseId, SenderKind::session)) {
        case Attach::occupied:
            return notice("the background worker, or another session, is sending in this database");
        case Attach::stay_away:
            return notice("a command that needs the database for itself is running");
        case Attach::attached:
        case Attach::full:
        case Attach::not_preloaded:
            break;
    }
    Attached attached;
    SessionSignals signals;
    auto lock = SenderLock::try_take();
    if (!lock) return notice("the background worker, or another session, is sending in this database");
    EngineContext context(EngineContext::Host::session);
    run_engine(context, limits);
    lock.reset();
    context.raise_interrupts();
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_run) {
    mailer::pg::entry([&] { mailer::pg::run(fcinfo); });
    PG_RETURN_VOID();
}
