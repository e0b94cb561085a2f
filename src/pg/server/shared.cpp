// The slots, hints and requests of shared.hpp. Nothing here allocates or fails, except where the header says so.
//
// LWLocks are right here, not spinlocks: a hint list is scanned (256 lanes, some 50 ns), and a process that dies in
// between makes the postmaster reset shared memory anyway.
#include "pg/bridge/limits.hpp"
#include "pg/server/shared_area.hpp"

#include <cstring>

#include <unistd.h>

extern "C" {
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
}

namespace mailer::pg {

namespace {

constexpr const char* tranche = "mailer";

Area* the_area = nullptr;
shmem_startup_hook_type next_shmem_startup = nullptr;
#if PG_VERSION_NUM >= 150000
shmem_request_hook_type next_shmem_request = nullptr;
#endif

int wanted_slots() noexcept { return max_databases(); }

Size area_size() noexcept { return offsetof(Area, slots) + static_cast<Size>(wanted_slots()) * sizeof(Slot); }

void request() {
    RequestAddinShmemSpace(area_size());
    RequestNamedLWLockTranche(tranche, wanted_slots() + 1);
}

#if PG_VERSION_NUM >= 150000
void at_shmem_request() {
    if (next_shmem_request != nullptr) next_shmem_request();
    request();
}
#endif

void initialise(Area* fresh) {
    memset(fresh, 0, area_size());
    LWLockPadded* const locks = GetNamedLWLockTranche(tranche);
    fresh->directory = &locks[0].lock;
    fresh->slot_count = wanted_slots();
    // Only promotion renames the file; so a server that has it now and runs workers later was promoted in between.
    // After a crash of a backend the same postmaster creates this memory again, and remembers.
    static bool was_started_as_standby = false;
    was_started_as_standby = was_started_as_standby || access("standby.signal", F_OK) == 0;
    fresh->was_standby = was_started_as_standby;
    for (int i = 0; i < fresh->slot_count; ++i) {
        Slot& slot = fresh->slots[i];
        slot.lock = &locks[i + 1].lock;
        ConditionVariableInit(&slot.left);
        pg_atomic_init_u64(&slot.generation, 0);
    }
}

void at_shmem_startup() {
    if (next_shmem_startup != nullptr) next_shmem_startup();
    bool is_found = false;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    the_area = static_cast<Area*>(ShmemInitStruct("mailer", area_size(), &is_found));
    if (!is_found) initialise(the_area);
    LWLockRelease(AddinShmemInitLock);
}

// A slot that is handed to a database starts empty; its sender sweeps when it attaches.
void assign(Slot& slot, Oid database) noexcept {
    slot.database = database;
    slot.sender_pid = 0;
    slot.sender_kind = SenderKind::none;
    slot.sender_latch = nullptr;
    slot.left_how = Leave::unexpected;
    slot.is_created = slot.is_restart_asked = slot.sweep_all = false;
    slot.stay_away_count = slot.hint_count = 0;
    slot.next_due = DT_NOBEGIN;  // nobody has looked yet
    slot.is_to_listen = slot.is_listener_here = false;
    slot.listen_at = DT_NOBEGIN;
    slot.lease_good_until = 0;
    slot.started_at = slot.beat_at = slot.next_start_at = slot.error_at = 0;
    slot.tick_count = slot.start_count = 0;
    slot.state[0] = slot.error[0] = '\0';
}

// The index of the last slot found; checked under its lock, because a dropped database's slot goes to another one.
int cached_slot = -1;

Slot* find_slot(Oid database) noexcept {
    for (int i = 0; i < the_area->slot_count; ++i)
        if (the_area->slots[i].database == database) return &the_area->slots[cached_slot = i];
    return nullptr;
}

void add_hint(Slot* slot, const Hint& hint) noexcept {
    Assert(LWLockHeldByMeInMode(slot->lock, LW_EXCLUSIVE));
    for (int i = 0; i < slot->hint_count; ++i) {
        if (slot->lanes[i] != hint.lane_id) continue;
        slot->dues[i] = std::min(slot->dues[i], hint.due_at);
        return;
    }
    if (slot->hint_count == hint_capacity) {
        slot->sweep_all = true;
        return;
    }
    slot->lanes[slot->hint_count] = hint.lane_id;
    slot->dues[slot->hint_count] = hint.due_at;
    ++slot->hint_count;
}

// Unlocks. Where nobody sends, the launcher learns that there is something to do.
void wake_or_ask_for_one(Slot* slot) noexcept {
    bool const is_there = slot->sender_pid != 0;
    wake_sender(slot);
    unlock(slot);
    if (!is_there) wake_launcher();
}

}  // namespace

Area* area() noexcept { return the_area; }

Slot* lock_slot(Oid database, bool is_to_make) noexcept {
    if (the_area == nullptr || !OidIsValid(database)) return nullptr;
    if (cached_slot >= 0) {
        Slot* const slot = &the_area->slots[cached_slot];
        LWLockAcquire(slot->lock, LW_EXCLUSIVE);
        if (slot->database == database) return slot;
        LWLockRelease(slot->lock);
    }
    LWLockAcquire(the_area->directory, is_to_make ? LW_EXCLUSIVE : LW_SHARED);
    Slot* slot = find_slot(database);
    bool const is_fresh = slot == nullptr && is_to_make;
    if (is_fresh) slot = find_slot(InvalidOid);
    if (slot != nullptr) {
        LWLockAcquire(slot->lock, LW_EXCLUSIVE);
        if (is_fresh) assign(*slot, database);
    }
    LWLockRelease(the_area->directory);
    return slot;
}

void wake_launcher() noexcept {
    if (the_area == nullptr) return;
    LWLockAcquire(the_area->directory, LW_SHARED);
    if (the_area->launcher_pid != 0) SetLatch(the_area->launcher_latch);
    LWLockRelease(the_area->directory);
}

void request_shared_memory() {
#if PG_VERSION_NUM >= 150000
    next_shmem_request = shmem_request_hook;
    shmem_request_hook = at_shmem_request;
#else
    request();
#endif
    next_shmem_startup = shmem_startup_hook;
    shmem_startup_hook = at_shmem_startup;
}

bool is_preloaded() noexcept { return the_area != nullptr; }

bool was_standby() noexcept { return the_area != nullptr && the_area->was_standby; }

// ── What commits say ───────────────────────────────────────────────────────────────────────────────────────────

void post_hints(const Hint* hints, int count, bool sweep_all) noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;  // nobody sends here yet, and who starts sweeps
    for (int i = 0; i < count; ++i) {
        add_hint(slot, hints[i]);
        slot->next_due = std::min(slot->next_due, hints[i].due_at);
    }
    slot->sweep_all |= sweep_all;
    if (sweep_all) slot->next_due = DT_NOBEGIN;
    wake_or_ask_for_one(slot);
}

void post_changed() noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;
    pg_atomic_fetch_add_u64(&slot->generation, 1);
    slot->next_due = DT_NOBEGIN;
    wake_or_ask_for_one(slot);
}

void post_sweep() noexcept { post_hints(nullptr, 0, true); }

void post_created(Oid database) noexcept {
    if (the_area == nullptr) return;
    Slot* const slot = lock_slot(database, true);
    if (slot != nullptr) {
        slot->is_created = true;
        unlock(slot);
    } else {
        LWLockAcquire(the_area->directory, LW_EXCLUSIVE);
        the_area->is_place_lacking = true;
        LWLockRelease(the_area->directory);
    }
    wake_launcher();
}

// ── What the engine asks ───────────────────────────────────────────────────────────────────────────────────────

Hints take_hints() {
    std::int64_t lanes[hint_capacity];
    TimestampTz dues[hint_capacity];
    int count = 0;
    bool sweep_all = true;
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot != nullptr) {
        count = slot->hint_count;
        memcpy(lanes, slot->lanes, static_cast<std::size_t>(count) * sizeof *lanes);
        memcpy(dues, slot->dues, static_cast<std::size_t>(count) * sizeof *dues);
        sweep_all = slot->sweep_all;
        slot->hint_count = 0;
        slot->sweep_all = false;
        unlock(slot);
    }
    Hints taken;
    taken.is_known = slot != nullptr;
    taken.sweep_all = sweep_all;
    taken.hints.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i)
        taken.hints.push_back({lanes[i], dues[i]});
    return taken;
}

std::uint64_t generation() noexcept {
    // Without a lock: a slot changes its database only when no sender is there.
    if (the_area == nullptr) return 0;
    if (cached_slot >= 0 && the_area->slots[cached_slot].database == MyDatabaseId)
        return pg_atomic_read_u64(&the_area->slots[cached_slot].generation);
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return 0;
    std::uint64_t const n = pg_atomic_read_u64(&slot->generation);
    unlock(slot);
    return n;
}

Crowd look_at_crowd() noexcept {
    Crowd crowd;
    if (the_area == nullptr) return crowd;
    crowd.is_crowded = *static_cast<bool const volatile*>(&the_area->is_crowded);
    crowd.is_awaited = *static_cast<bool const volatile*>(&the_area->is_awaited);
    return crowd;
}

void report_next_due(TimestampTz due) noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;
    slot->next_due = due;
    for (int i = 0; i < slot->hint_count; ++i)  // what came in since the last turn
        slot->next_due = std::min(slot->next_due, slot->dues[i]);
    if (slot->sweep_all) slot->next_due = DT_NOBEGIN;
    unlock(slot);
}

void report_state(const char* state) noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;
    strlcpy(slot->state, state, sizeof slot->state);
    unlock(slot);
}

void report_tick(TimestampTz now) noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;
    slot->beat_at = now;
    ++slot->tick_count;
    unlock(slot);
}

void report_error(TimestampTz now, const char* message) noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;
    slot->error_at = now;
    strlcpy(slot->error, message, sizeof slot->error);
    unlock(slot);
}

void report_lease(TimestampTz good_until) noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;
    slot->lease_good_until = good_until;
    unlock(slot);
}

TimestampTz lease_good_until() noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return 0;
    TimestampTz const until = slot->lease_good_until;
    unlock(slot);
    return until;
}

namespace {

// Why nobody sends here, where the launcher would start a worker and can't.
void note_exhaustion(SenderStatus& status, TimestampTz since) noexcept {
    if (since == 0) return;
    status.error_at = since;
    strlcpy(status.error, "all background worker processes are in use (max_worker_processes)", sizeof status.error);
}

bool are_all_taken() noexcept {
    LWLockAcquire(the_area->directory, LW_SHARED);
    Slot const* const free_one = find_slot(InvalidOid);
    LWLockRelease(the_area->directory);
    return free_one == nullptr;
}

// No worker ever comes here: to this database the launcher has no place to give.
void note_lack_of_place(SenderStatus& status) noexcept {
    status.error_at = GetCurrentTimestamp();
    strlcpy(status.error, "the server has as many databases with mailer as mailer.max_databases allows",
            sizeof status.error);
}

}  // namespace

SenderStatus sender_status() noexcept {
    SenderStatus status{};
    if (the_area == nullptr) return status;
    status.is_preloaded = true;
    LWLockAcquire(the_area->directory, LW_SHARED);
    status.launcher_pid = the_area->launcher_pid;
    TimestampTz const exhausted_since = the_area->exhausted_since;
    LWLockRelease(the_area->directory);
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) {
        note_exhaustion(status, exhausted_since);
        if (are_all_taken()) note_lack_of_place(status);
        return status;
    }
    status.kind = slot->sender_kind;
    status.pid = slot->sender_pid;
    status.started_at = slot->started_at;
    status.beat_at = slot->beat_at;
    status.tick_count = slot->tick_count;
    status.start_count = slot->start_count;
    status.generation = static_cast<std::int64_t>(pg_atomic_read_u64(&slot->generation));
    status.stay_away_count = slot->stay_away_count;
    status.next_start_at = slot->next_start_at;
    status.error_at = slot->error_at;
    strlcpy(status.state, slot->state, sizeof status.state);
    strlcpy(status.error, slot->error, sizeof status.error);
    bool const is_idle = slot->sender_pid == 0 && slot->next_due != DT_NOBEGIN && status.launcher_pid != 0;
    if (is_idle) {
        strlcpy(status.state, "nothing is due", sizeof status.state);
        status.next_start_at = slot->next_due == DT_NOEND ? 0 : slot->next_due;
    }
    unlock(slot);
    if (status.pid == 0) note_exhaustion(status, exhausted_since);
    return status;
}

}  // namespace mailer::pg
