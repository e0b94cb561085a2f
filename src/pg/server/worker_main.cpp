// The background worker of one database: connects, makes sure that it may send, runs the engine, and leaves when asked.
//
// The launcher starts it, and starts one that failed again with backoff; the postmaster never does (BGW_NEVER_RESTART).
// An error never ends it: what escapes the engine is logged, the transaction aborted, and after a pause it
// goes on. It ends when it is asked to (SIGTERM, DDL), when the extension is gone or doesn't fit the library, when
// another sender is at work, and with the postmaster. How it left is noted in shared memory after it is out of the
// database (shared.hpp, invariant 3).
//
// C style on purpose: between the doors of guard.hpp no C++ object lives here that an ereport could jump past.
#include "pg/bridge/extension.hpp"
#include "pg/engine/engine.hpp"
#include "pg/engine/pins.hpp"
#include "pg/server/election.hpp"
#include "pg/server/shared.hpp"
#include "pg/server/worker_signals.hpp"

#include <cerrno>

extern "C" {
#include "commands/dbcommands.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
}

MAILER_EXPORT void mailer_worker_main(Datum argument);

namespace mailer::pg {

namespace {

constexpr int first_pause_ms = 1000;
constexpr int longest_pause_ms = 60000;
constexpr int calm_after_ms = 60000;  // a run that lasted this long wasn't the same trouble

Leave how_it_leaves = Leave::unexpected;
std::optional<SenderLock> sender_lock;  // for the life of the process

void at_exit(int, Datum) {
    sender_lock.reset();
    detach_sender(how_it_leaves);
}

[[noreturn]] void leave(Leave how) {
    how_it_leaves = how;
    proc_exit(0);
}

[[noreturn]] void leave_as_asked() { leave(must_stay_away() ? Leave::asked : Leave::terminated); }

// Whether the extension is here and fits; else leaves.
void check_extension() {
    char version[64];
    StartTransactionCommand();
    Fit const fit = look_for_extension(version);
    CommitTransactionCommand();
    if (fit == Fit::absent) leave(Leave::gone);
    if (fit == Fit::misfit) {
        ereport(LOG,
                (errmsg("mailer does not send in this database: version %s of the extension does not fit version %s of "
                        "the library",
                        version, MAILER_VERSION),
                 errhint("Restart the server if the library was updated, and run ALTER EXTENSION mailer UPDATE.")));
        leave(Leave::misfit);
    }
}

enum class Served { left, lost_election, idle };

Served serve() {
    if (!sender_lock) sender_lock = SenderLock::try_take();
    if (!sender_lock) return Served::lost_election;
    EngineContext context(EngineContext::Host::worker);
    (void)run_engine(context);
    return context.is_idle() ? Served::idle : Served::left;
}

// Whether the engine returned by itself. An error is logged and everything that it left open is cleaned up.
bool run_once(Served* served) {
    MemoryContext const context = CurrentMemoryContext;
    volatile bool is_good = false;
    PG_TRY();
    {
        *served = entry([] { return serve(); });
        is_good = true;
    }
    PG_CATCH();
    {
        HOLD_INTERRUPTS();
        MemoryContextSwitchTo(context);
        ErrorData* const data = CopyErrorData();
        report_error(GetCurrentTimestamp(), data->message ? data->message : "unknown error");
        FreeErrorData(data);
        EmitErrorReport();
        AbortOutOfAnyTransaction();
        FlushErrorState();
        MemoryContextSwitchTo(context);
        RESUME_INTERRUPTS();
    }
    PG_END_TRY();
    return is_good;
}

void pause_after_error(int pause_ms) {
    report_state("waiting after an error");
    TimestampTz const until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause_ms);
    pgstat_report_activity(STATE_IDLE, nullptr);
    (void)pgstat_report_stat(true);
    for (;;) {
        if (is_worker_leaving()) leave_as_asked();
        long const rest = static_cast<long>((until - GetCurrentTimestamp()) / 1000);
        if (rest <= 0) return;
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, rest, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        QueryCancelPending = false;
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
    }
}

[[noreturn]] void run_until_asked() {
    int pause_ms = first_pause_ms;
    for (;;) {
        TimestampTz const began = GetCurrentTimestamp();
        Served served = Served::left;
        if (is_worker_leaving()) leave_as_asked();
        if (run_once(&served)) {
            if (served == Served::lost_election) leave(Leave::not_elected);
            if (served == Served::idle) leave(Leave::idle);
            if (is_worker_leaving()) leave_as_asked();
            // Not asked and yet back: treat it as an error that had nothing to say.
        }
        if (TimestampDifferenceExceeds(began, GetCurrentTimestamp(), calm_after_ms)) pause_ms = first_pause_ms;
        pause_after_error(pause_ms);
        pause_ms = std::min(2 * pause_ms, longest_pause_ms);
        check_extension();
    }
}

}  // namespace

}  // namespace mailer::pg

void mailer_worker_main(Datum argument) {
    using namespace mailer::pg;
    Oid const database = DatumGetObjectId(argument);
    // Before the connection, so that it runs after the database is left.
    on_shmem_exit(at_exit, 0);
    if (attach_sender(database, SenderKind::worker) != Attach::attached) proc_exit(0);

    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    prepare_to_leave();
    heed_own_cancels_only();
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    pin_session();
    CHECK_FOR_INTERRUPTS();
    if (is_worker_leaving()) leave_as_asked();
    check_extension();
    post_created(database);  // the launcher may visit the next one
    ereport(DEBUG1, (errmsg_internal("mailer worker sends for database %u", database)));
    run_until_asked();
}
