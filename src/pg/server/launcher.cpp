// Starts one worker in every database that has the extension, and starts it again when it is gone.
//
// A static background worker, up once recovery is over (on a standby: at promotion), connected to no database: it reads
// the shared catalog pg_database only, and sends a probe into each database once. From then on it sleeps and is woken:
// by CREATE EXTENSION and by changes of the list of databases at their commit, by a worker's end, by DDL that lets the
// worker come back. Nothing here polls. It stays in no database's way, and its own end loses nothing: the next launcher
// (the postmaster restarts it after 5 s) finds running workers in shared memory.
//
// C style on purpose: all state is plain memory in the launcher's own context, so that an ereport leaves nothing
// behind.
#include "pg/server/launcher.hpp"

#include <cstring>

#include "pg/bridge/bgworker.hpp"
#include "pg/server/probe.hpp"
#include "pg/server/promotion.hpp"
#include "pg/server/shared_area.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

MAILER_EXPORT void mailer_launcher_main(Datum argument);

namespace mailer::pg {

namespace {

constexpr int restart_seconds = 5;
constexpr std::int64_t second = 1000000;
constexpr std::int64_t longest_backoff = 60 * second;
constexpr std::int64_t after_lost_election = 5 * second;
constexpr std::int64_t after_exhaustion = 30 * second;
constexpr TimestampTz never = PG_INT64_MAX;

struct Database {
    Oid oid;
    Fit fit;
    bool is_listed;   // in the scan at hand
    bool is_running;  // a worker was started or seen, and its end not yet dealt with
    int failures;     // in a row
    TimestampTz next_at;
    TimestampTz began_at;
    BackgroundWorkerHandle* worker;  // null: started by an earlier launcher, or none
};

Database* databases = nullptr;
int database_count = 0;
int database_capacity = 0;

Oid probed = InvalidOid;
BackgroundWorkerHandle* probe = nullptr;
TimestampTz no_process_until = 0;
bool is_exhaustion_logged = false;
bool is_fullness_logged = false;

Database* known(Oid oid) {
    for (int i = 0; i < database_count; ++i)
        if (databases[i].oid == oid) return &databases[i];
    if (database_count == database_capacity) {
        database_capacity = std::max(16, 2 * database_capacity);
        Size const size = static_cast<Size>(database_capacity) * sizeof(Database);
        databases = static_cast<Database*>(databases == nullptr ? MemoryContextAlloc(TopMemoryContext, size)
                                                                : repalloc(databases, size));
    }
    Database* const fresh = &databases[database_count++];
    memset(fresh, 0, sizeof *fresh);
    fresh->oid = oid;
    fresh->fit = Fit::unknown;
    return fresh;
}

std::int64_t backoff(int failures) { return std::min(second << std::min(failures - 1, 6), longest_backoff); }

// ── The list of databases ──────────────────────────────────────────────────────────────────────────────────────

// Gives the slot back when nobody is in it.
void forget_slot(Oid oid) {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    for (int i = 0; i < a->slot_count; ++i) {
        Slot& slot = a->slots[i];
        if (slot.database != oid) continue;
        LWLockAcquire(slot.lock, LW_EXCLUSIVE);
        if (slot.sender_pid == 0 && slot.stay_away_count == 0 && !slot.is_created) slot.database = InvalidOid;
        LWLockRelease(slot.lock);
    }
    LWLockRelease(a->directory);
}

void list_databases() {
    for (int i = 0; i < database_count; ++i)
        databases[i].is_listed = false;
    StartTransactionCommand();
    (void)GetTransactionSnapshot();
    Relation const catalog = table_open(DatabaseRelationId, AccessShareLock);
    TableScanDesc const scan = table_beginscan_catalog(catalog, 0, nullptr);
    while (HeapTuple const row = heap_getnext(scan, ForwardScanDirection)) {
        Form_pg_database const database = reinterpret_cast<Form_pg_database>(GETSTRUCT(row));
        // A connection limit of -2 marks a database whose DROP was interrupted.
        if (database->datallowconn && database->datconnlimit != -2) known(database->oid)->is_listed = true;
    }
    table_endscan(scan);
    table_close(catalog, AccessShareLock);
    CommitTransactionCommand();
}

// Drops what is neither listed nor in use.
void forget_vanished() {
    int kept = 0;
    for (int i = 0; i < database_count; ++i) {
        if (databases[i].is_listed || databases[i].is_running || databases[i].oid == probed)
            databases[kept++] = databases[i];
        else
            forget_slot(databases[i].oid);
    }
    database_count = kept;
}

bool take_rescan_request() {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    bool const is_asked = a->is_rescan_asked;
    a->is_rescan_asked = false;
    LWLockRelease(a->directory);
    return is_asked;
}

// CREATE EXTENSION committed: no need to probe.
void take_created() {
    Area* const a = area();
    for (int i = 0; i < a->slot_count; ++i) {
        Slot& slot = a->slots[i];
        LWLockAcquire(slot.lock, LW_EXCLUSIVE);
        Oid const oid = OidIsValid(slot.database) && slot.is_created ? slot.database : InvalidOid;
        slot.is_created = false;
        LWLockRelease(slot.lock);
        if (!OidIsValid(oid)) continue;
        Database* const database = known(oid);
        database->fit = Fit::fits;  // the worker itself looks closer
        database->is_listed = true;
        database->failures = 0;
        database->next_at = 0;
    }
}

// ── Ends ───────────────────────────────────────────────────────────────────────────────────────────────────────

bool has_stopped(BackgroundWorkerHandle* handle) {
    pid_t pid;
    return GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
}

void finish_probe(TimestampTz now) {
    if (probe == nullptr || !has_stopped(probe)) return;
    pfree(probe);
    probe = nullptr;
    no_process_until = 0;
    Database* const database = known(probed);
    probed = InvalidOid;
    Fit const fit = take_probe_result();
    if (fit != Fit::unknown) {
        database->fit = fit;
        database->failures = 0;
        database->next_at = 0;
    } else {
        // Couldn't connect: perhaps it is being dropped; then the list will tell.
        ++database->failures;
        database->next_at = now + backoff(database->failures);
    }
}

void plan_after(Database* database, Leave how, TimestampTz now) {
    switch (how) {
        case Leave::asked:
            database->failures = 0;
            database->next_at = 0;
            break;
        case Leave::terminated:
            database->failures = 0;
            database->next_at = now + second;
            break;
        case Leave::gone:
            database->fit = Fit::absent;
            forget_slot(database->oid);
            break;
        case Leave::misfit:
            database->fit = Fit::misfit;
            break;
        case Leave::not_elected:
            database->next_at = now + after_lost_election;
            break;
        case Leave::unexpected:
            if (now - database->began_at > longest_backoff) database->failures = 0;
            ++database->failures;
            database->next_at = now + backoff(database->failures);
            break;
    }
}

void finish_worker(Database* database, TimestampTz now) {
    if (!database->is_running) return;
    if (database->worker != nullptr) {
        if (!has_stopped(database->worker)) return;
        pfree(database->worker);
        database->worker = nullptr;
    }
    Leave how = Leave::unexpected;
    if (Slot* const slot = lock_slot(database->oid, false)) {
        bool const is_there = slot->sender_pid != 0 && slot->sender_kind == SenderKind::worker;
        how = slot->left_how;
        slot->left_how = Leave::unexpected;
        unlock(slot);
        if (is_there) return;
    }
    database->is_running = false;
    no_process_until = 0;  // one is free again
    plan_after(database, how, now);
}

// ── Starts ─────────────────────────────────────────────────────────────────────────────────────────────────────

// For worker_status, where nobody sends.
void tell_exhausted_since(TimestampTz since) {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    if (since == 0 || a->exhausted_since == 0) a->exhausted_since = since;
    LWLockRelease(a->directory);
}

void note_exhaustion(TimestampTz now) {
    no_process_until = now + after_exhaustion;
    tell_exhausted_since(now);
    if (is_exhaustion_logged) return;
    is_exhaustion_logged = true;
    ereport(
        LOG,
        (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
         errmsg("mailer can start no worker: all background worker processes are in use"),
         errdetail("Mail waits in the queue; the next try is in 30 seconds."),
         errhint(
             "Raise max_worker_processes: mailer needs one for each database that has the extension, and two more.")));
}

void start_next_probe(TimestampTz now) {
    if (probe != nullptr || now < no_process_until) return;
    for (int i = 0; i < database_count; ++i) {
        Database& database = databases[i];
        if (database.fit != Fit::unknown || !database.is_listed || now < database.next_at) continue;
        probe = start_probe(database.oid);
        if (probe == nullptr) return note_exhaustion(now);
        tell_exhausted_since(0);
        probed = database.oid;
        return;
    }
}

enum class Room { free, busy, full };

// Whether a worker may start in the database now; then the slot says how the last one left no longer.
Room look_for_room(Database* database) {
    Slot* const slot = lock_slot(database->oid, true);
    if (slot == nullptr) return Room::full;
    bool const is_free = slot->sender_pid == 0 && slot->stay_away_count == 0;
    if (slot->sender_pid != 0 && slot->sender_kind == SenderKind::worker) database->is_running = true;
    if (is_free) slot->left_how = Leave::unexpected;
    slot->next_start_at = database->next_at;
    unlock(slot);
    return is_free ? Room::free : Room::busy;
}

void start_worker(Database* database, TimestampTz now) {
    if (database->fit != Fit::fits || !database->is_listed || database->is_running) return;
    Room const room = look_for_room(database);
    if (room == Room::full && !is_fullness_logged) {
        is_fullness_logged = true;
        ereport(LOG, (errmsg("mailer can start no worker for database %u: %d databases have one", database->oid,
                             area()->slot_count),
                      errhint("Raise max_worker_processes.")));
    }
    if (room != Room::free || now < database->next_at || now < no_process_until) return;
    database->worker = start_in_background("mailer worker", "mailer_worker_main", database->oid);
    if (database->worker == nullptr) return note_exhaustion(now);
    is_exhaustion_logged = false;
    tell_exhausted_since(0);
    database->is_running = true;
    database->began_at = now;
}

// When something is to be done that nobody will wake us for.
TimestampTz next_plan(TimestampTz now) {
    TimestampTz next = never;
    for (int i = 0; i < database_count; ++i) {
        const Database& database = databases[i];
        bool const is_waiting = (database.fit == Fit::fits && database.is_listed && !database.is_running) ||
                                (database.fit == Fit::unknown && database.is_listed && database.oid != probed);
        // What is due already waits for something else: a wake-up comes with that.
        if (is_waiting && database.next_at > now) next = std::min(next, database.next_at);
    }
    if (no_process_until > 0) next = std::min(next, no_process_until);
    return next;
}

void at_exit(int, Datum) {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    if (a->launcher_pid == MyProcPid) {
        a->launcher_pid = 0;
        a->launcher_latch = nullptr;
    }
    LWLockRelease(a->directory);
}

void check_in() {
    Area* const a = area();
    on_shmem_exit(at_exit, 0);
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    a->launcher_pid = MyProcPid;
    a->launcher_latch = MyLatch;
    a->is_rescan_asked = true;
    LWLockRelease(a->directory);
}

void turn() {
    TimestampTz const now = GetCurrentTimestamp();
    if (now >= no_process_until) no_process_until = 0;
    if (take_rescan_request()) list_databases();
    take_created();
    finish_probe(now);
    for (int i = 0; i < database_count; ++i)
        finish_worker(&databases[i], now);
    forget_vanished();
    for (int i = 0; i < database_count; ++i)
        start_worker(&databases[i], now);
    start_next_probe(now);
}

void sleep_until(TimestampTz until) {
    long rest = -1;
    int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
    if (until != never) {
        events |= WL_TIMEOUT;
        rest = static_cast<long>(std::clamp<std::int64_t>((until - GetCurrentTimestamp()) / 1000 + 1, 1, 3600000));
    }
    (void)WaitLatch(MyLatch, events, rest, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
}

}  // namespace

BackgroundWorkerHandle* start_in_background(const char* name, const char* function, Oid database) {
    BackgroundWorker worker;
    BackgroundWorkerHandle* handle = nullptr;
    memset(&worker, 0, sizeof worker);
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    strlcpy(worker.bgw_library_name, "mailer", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, function, sizeof worker.bgw_function_name);
    strlcpy(worker.bgw_name, name, sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, name, sizeof worker.bgw_type);
    worker.bgw_main_arg = ObjectIdGetDatum(database);
    worker.bgw_notify_pid = MyProcPid;
    MemoryContext const previous = MemoryContextSwitchTo(TopMemoryContext);
    bool const is_started = RegisterDynamicBackgroundWorker(&worker, &handle);
    MemoryContextSwitchTo(previous);
    return is_started ? handle : nullptr;
}

void register_launcher() {
    BackgroundWorker worker;
    memset(&worker, 0, sizeof worker);
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = restart_seconds;
    strlcpy(worker.bgw_library_name, "mailer", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, "mailer_launcher_main", sizeof worker.bgw_function_name);
    strlcpy(worker.bgw_name, "mailer launcher", sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, "mailer launcher", sizeof worker.bgw_type);
    RegisterBackgroundWorker(&worker);
}

}  // namespace mailer::pg

void mailer_launcher_main(Datum) {
    using namespace mailer::pg;
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    check_in();
    record_promotion();
    for (;;) {
        if (ShutdownRequestPending) proc_exit(1);  // with 0 the postmaster would never start it again
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
        turn();
        sleep_until(next_plan(GetCurrentTimestamp()));
    }
}
