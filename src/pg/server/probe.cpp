// The probe; see probe.hpp. C style: no C++ object that an ereport could jump past.
#include "pg/server/probe.hpp"

#include <cstring>

#include "pg/bridge/bgworker.hpp"
#include "pg/server/shared_area.hpp"

extern "C" {
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
}

MAILER_EXPORT void mailer_probe_main(Datum argument);

namespace mailer::pg {

namespace {

void at_exit(int, Datum) {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    if (a->probe_pid == MyProcPid) a->probe_pid = 0;
    LWLockRelease(a->directory);
    ConditionVariableBroadcast(&a->probe_left);
    wake_launcher();
}

// Whether somebody needs the database for itself right now.
bool is_unwelcome(Oid database) noexcept {
    Slot* const slot = lock_slot(database, false);
    if (slot == nullptr) return false;
    bool const is = slot->stay_away_count > 0;
    unlock(slot);
    return is;
}

// A launcher that was restarted may have asked for another one meanwhile.
bool enter(Oid database) noexcept {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    bool const is_wanted = a->probe_database == database && a->probe_pid == 0;
    if (is_wanted) a->probe_pid = MyProcPid;
    LWLockRelease(a->directory);
    return is_wanted && !is_unwelcome(database);
}

void answer(Fit fit, const char* version) noexcept {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    if (a->probe_pid == MyProcPid) {
        a->probe_fit = fit;
        strlcpy(a->probe_version, version, sizeof a->probe_version);
    }
    LWLockRelease(a->directory);
}

}  // namespace

BackgroundWorkerHandle* start_probe(Oid database) {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    a->probe_database = database;
    a->probe_pid = 0;
    a->probe_fit = Fit::unknown;
    LWLockRelease(a->directory);
    return start_in_background("mailer probe", "mailer_probe_main", database);
}

Fit take_probe_result() noexcept {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    Fit const fit = a->probe_fit;
    a->probe_database = InvalidOid;
    a->probe_fit = Fit::unknown;
    LWLockRelease(a->directory);
    return fit;
}

}  // namespace mailer::pg

void mailer_probe_main(Datum argument) {
    using namespace mailer::pg;
    Oid const database = DatumGetObjectId(argument);
    char version[64];
    on_shmem_exit(at_exit, 0);  // before the connection, so that it runs after the database is left
    if (!enter(database)) proc_exit(0);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    StartTransactionCommand();
    Fit const fit = look_for_extension(version);
    CommitTransactionCommand();
    answer(fit, version);
    proc_exit(0);
}
