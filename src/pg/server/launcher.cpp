// Starts workers in the databases that have the extension, and starts them again when they are gone.
//
// A static background worker, up once recovery is over (on a standby: at promotion), connected to no database: it reads
// the shared catalog pg_database only, and sends a worker into each database once, one at a time, to see whether the
// extension is there. From then on it starts workers in the order in which mail is due, at most mailer.max_workers; one
// with nothing to send leaves where there are more databases than that (shared.hpp: look_at_crowd). It sleeps and is
// woken: by commits in databases without a worker, by CREATE EXTENSION and changes of the list of databases, by a
// worker's end, by DDL that lets the worker come back. Nothing here polls. Its own end loses nothing: the next launcher
// (the postmaster restarts it after 5 s) finds running workers in shared memory.
//
// C style on purpose: all state is plain memory in the launcher's own context, so that an ereport leaves nothing
// behind.
#include "pg/server/launcher.hpp"

#include <cstring>

#include "pg/bridge/bgworker.hpp"
#include "pg/bridge/extension.hpp"
#include "pg/bridge/limits.hpp"
#include "pg/server/preparer_slots.hpp"
#include "pg/server/promotion.hpp"
#include "pg/server/shared_area.hpp"
#include "pg/server/standbys.hpp"

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
constexpr std::int64_t until_way_is_given = second / 4;
constexpr TimestampTz never = PG_INT64_MAX;

struct Database {
    Oid oid;
    Fit fit;
    bool is_listed;       // in the scan at hand
    bool is_running;      // a worker was started or seen, and its end not yet dealt with
    int failures;         // in a row
    TimestampTz next_at;  // not before this
    TimestampTz due_at;   // when a worker must be there for its mail; DT_NOBEGIN: at once, or unknown
    TimestampTz began_at;
    BackgroundWorkerHandle* worker;  // null: started by an earlier launcher, or none
};

Database* databases = nullptr;
int database_count = 0;
int database_capacity = 0;

TimestampTz no_process_until = 0;
bool is_exhaustion_logged = false;
bool is_way_asked = false;
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
    fresh->due_at = DT_NOBEGIN;
    return fresh;
}

std::int64_t backoff(int failures) { return std::min(second << std::min(failures - 1, 6), longest_backoff); }

// ── The list of databases ──────────────────────────────────────────────────────────────────────────────────────

// Gives the slot back when nobody is in it. False: somebody is, or will be in a moment.
bool forget_slot(Oid oid) {
    Area* const a = area();
    bool is_free = true;
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    for (int i = 0; i < a->slot_count; ++i) {
        Slot& slot = a->slots[i];
        if (slot.database != oid) continue;
        LWLockAcquire(slot.lock, LW_EXCLUSIVE);
        is_free = slot.sender_pid == 0 && slot.stay_away_count == 0 && !slot.is_created;
        if (is_free) slot.database = InvalidOid;
        LWLockRelease(slot.lock);
    }
    LWLockRelease(a->directory);
    return is_free;
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

// Drops what is neither listed nor in use. The statement that dropped a database is in its slot until it has ended.
void forget_vanished() {
    int kept = 0;
    for (int i = 0; i < database_count; ++i) {
        if (databases[i].is_listed || databases[i].is_running || !forget_slot(databases[i].oid))
            databases[kept++] = databases[i];
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

// The extension was created where no slot was free: what DDL left in databases without it comes free, and they are
// visited again.
void visit_those_without() {
    for (int i = 0; i < database_count; ++i) {
        if (databases[i].fit != Fit::absent || databases[i].is_running) continue;
        (void)forget_slot(databases[i].oid);
        databases[i].fit = Fit::unknown;
        databases[i].next_at = 0;
    }
}

// CREATE EXTENSION committed, or a worker has found the extension.
void take_created() {
    Area* const a = area();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);
    bool const is_place_lacking = std::exchange(a->is_place_lacking, false);
    LWLockRelease(a->directory);
    if (is_place_lacking) visit_those_without();
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
            (void)forget_slot(database->oid);
            break;
        case Leave::misfit:
            database->fit = Fit::misfit;
            break;
        case Leave::not_elected:
            database->next_at = now + after_lost_election;
            break;
        case Leave::idle:
            database->failures = 0;
            database->next_at = 0;
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
    if (database->fit == Fit::unknown && how != Leave::unexpected) database->fit = Fit::fits;
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

// Preparers give way first: of a database without a process no mail goes, of one without a preparer only mail that has
// functions waits.
void note_exhaustion(TimestampTz now) {
    is_way_asked = give_way();
    if (is_way_asked) {
        no_process_until = now + until_way_is_given;
        return;
    }
    take_way_back();
    no_process_until = now + after_exhaustion;
    tell_exhausted_since(now);
    if (is_exhaustion_logged) return;
    is_exhaustion_logged = true;
    ereport(LOG, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                  errmsg("mailer can start no worker: all background worker processes are in use"),
                  errdetail("Mail waits in the queue; the next try is in 30 seconds."),
                  errhint("Raise max_worker_processes: mailer needs one for the launcher, and one for each of "
                          "mailer.max_workers.")));
}

// When a worker must be there for mail that is due then: where there are standbys, early enough to promise them something
// that runs at the due time.
TimestampTz start_for(TimestampTz due) {
    if (due == DT_NOBEGIN || due == DT_NOEND || !Standbys::is_any()) return due;
    return due - promise_time_us();
}

enum class Room { free, busy, full };

// Whether a worker may start in the database now; then the slot says how the last one left no longer.
Room look_for_room(Database* database, bool is_crowded_now) {
    Slot* const slot = lock_slot(database->oid, true);
    if (slot == nullptr) return Room::full;
    bool const is_free = slot->sender_pid == 0 && slot->stay_away_count == 0;
    if (slot->sender_pid != 0 && slot->sender_kind == SenderKind::worker) {
        database->is_running = true;
        if (database->fit == Fit::unknown) database->fit = Fit::fits;  // started by an earlier launcher
    }
    if (is_free) slot->left_how = Leave::unexpected;
    slot->next_start_at = database->next_at;
    database->due_at = is_crowded_now ? start_for(slot->next_due) : DT_NOBEGIN;
    unlock(slot);
    return is_free ? Room::free : Room::busy;
}

// Whether it could use a worker as soon as its mail is due, and there is room for one.
bool is_waiting(const Database& database) {
    return (database.fit == Fit::fits || database.fit == Fit::unknown) && database.is_listed && !database.is_running;
}

int count_running() {
    int n = 0;
    for (int i = 0; i < database_count; ++i)
        n += databases[i].is_running ? 1 : 0;
    return n;
}

bool is_visiting() {
    for (int i = 0; i < database_count; ++i)
        if (databases[i].fit == Fit::unknown && databases[i].is_running) return true;
    return false;
}

// What commits have said since, and whether somebody else is there.
Room look_at(Database* database) {
    Room const room = look_for_room(database, area()->is_crowded);
    if (room == Room::full && !is_fullness_logged) {
        is_fullness_logged = true;
        ereport(LOG, (errmsg("mailer can start no worker for database %u: %d databases are known", database->oid,
                             area()->slot_count),
                      errhint("Raise mailer.max_databases, and restart the server.")));
    }
    return room;
}

// An unvisited database first, one at a time (that takes milliseconds); then the one whose mail has been due for
// longest.
Database* next_to_start(TimestampTz now) {
    Database* best = nullptr;
    Database* unvisited = nullptr;
    for (int i = 0; i < database_count; ++i) {
        Database& database = databases[i];
        if (!is_waiting(database) || now < database.next_at) continue;
        if (database.fit == Fit::unknown) {
            if (unvisited == nullptr) unvisited = &database;
            continue;
        }
        if (look_at(&database) != Room::free || database.is_running || database.due_at > now) continue;
        if (best == nullptr || database.due_at < best->due_at) best = &database;
    }
    bool const may_visit = unvisited != nullptr && !is_visiting() && look_at(unvisited) == Room::free;
    return may_visit && !unvisited->is_running ? unvisited : best;
}

// Where there is room for every database each has its worker, whatever is due: latency.
bool is_crowded() {
    int n = 0;
    for (int i = 0; i < database_count; ++i)
        n += (databases[i].fit == Fit::fits || databases[i].fit == Fit::unknown) && databases[i].is_listed ? 1 : 0;
    return n > max_workers();
}

// Wakes the senders: a worker that has nothing to do makes room.
void tell_workers() {
    Area* const a = area();
    for (int i = 0; i < a->slot_count; ++i) {
        Slot& slot = a->slots[i];
        if (slot.sender_pid == 0) continue;
        LWLockAcquire(slot.lock, LW_EXCLUSIVE);
        wake_sender(&slot);
        LWLockRelease(slot.lock);
    }
}

bool start(Database* database, TimestampTz now) {
    database->worker = start_in_background("mailer worker", "mailer_worker_main", database->oid);
    if (database->worker == nullptr) {
        note_exhaustion(now);
        return false;
    }
    is_exhaustion_logged = false;
    tell_exhausted_since(0);
    if (std::exchange(is_way_asked, false)) take_way_back();
    database->is_running = true;
    database->began_at = now;
    return true;
}

void start_workers(TimestampTz now) {
    Area* const a = area();
    bool const was_crowded = std::exchange(a->is_crowded, is_crowded());
    int running = count_running();
    Database* next = nullptr;
    while (now >= no_process_until && (next = next_to_start(now)) != nullptr && running < max_workers()) {
        if (!start(next, now)) return;
        ++running;
    }
    a->is_awaited = next != nullptr && running >= max_workers();
    if (a->is_awaited || a->is_crowded != was_crowded) tell_workers();
}

// When something is to be done that nobody will wake us for.
TimestampTz next_plan(TimestampTz now) {
    TimestampTz next = never;
    for (int i = 0; i < database_count; ++i) {
        const Database& database = databases[i];
        if (!is_waiting(database)) continue;
        TimestampTz const at = std::max(database.next_at, database.due_at);
        if (at > now) next = std::min(next, at);  // what is due already waits for a worker's end: that wakes us
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

// Settings have changed: what nobody waited for may be due now.
void visit_all() {
    Area* const a = area();
    for (int i = 0; i < a->slot_count; ++i) {
        Slot& slot = a->slots[i];
        LWLockAcquire(slot.lock, LW_EXCLUSIVE);
        if (slot.sender_pid == 0) slot.next_due = DT_NOBEGIN;
        LWLockRelease(slot.lock);
    }
}

void turn() {
    TimestampTz const now = GetCurrentTimestamp();
    if (now >= no_process_until) no_process_until = 0;
    if (take_rescan_request()) list_databases();
    take_created();
    for (int i = 0; i < database_count; ++i)
        finish_worker(&databases[i], now);
    forget_vanished();
    start_workers(now);
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
            visit_all();
        }
        turn();
        sleep_until(next_plan(GetCurrentTimestamp()));
    }
}
