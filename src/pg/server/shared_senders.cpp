// Who sends in a database, and who wants it to leave: the second half of shared.hpp.
//
// A sender signs in before it connects and out after it has left the database (invariant 3), both under the slot's
// lock; so a backend that asks it to stay away either finds it there, and waits, or is sure that it sees the request
// before it connects. A pid in a slot is that of a living process: it signs out before it ends, and when one dies
// without, the postmaster resets all of this.
#include "pg/server/preparer_slots.hpp"
#include "pg/server/shared_area.hpp"

#include <cstring>

#include <signal.h>

extern "C" {
#include "pgstat.h"
#include "utils/timestamp.h"
}

namespace mailer::pg {

namespace {

Oid attached_database = InvalidOid;
Slot const* attached_slot = nullptr;

// Requires the lock. A worker gets a signal, which also interrupts a function that it runs for a message.
void tell_to_leave(const Slot* slot) noexcept {
    Assert(LWLockHeldByMeInMode(slot->lock, LW_EXCLUSIVE));  // so the pid is that of a process which lives
    if (slot->sender_pid != 0 && slot->sender_kind == SenderKind::worker)
        kill(slot->sender_pid, SIGTERM);
    else
        wake_sender(slot);
}

}  // namespace

Attach attach_sender(Oid database, SenderKind kind) noexcept {
    Assert(!OidIsValid(attached_database));  // a process signs in once, and out before it signs in again
    if (area() == nullptr) return Attach::not_preloaded;
    Slot* const slot = lock_slot(database, true);
    if (slot == nullptr) return Attach::full;
    Attach result = Attach::attached;
    if (slot->stay_away_count > 0) {
        result = Attach::stay_away;
        if (kind == SenderKind::worker) slot->left_how = Leave::asked;
    } else if (slot->sender_pid != 0) {
        result = Attach::occupied;
    } else {
        slot->sender_pid = MyProcPid;
        slot->sender_kind = kind;
        slot->sender_latch = MyLatch;
        slot->is_restart_asked = false;
        slot->started_at = GetCurrentTimestamp();
        slot->beat_at = slot->next_start_at = 0;
        slot->tick_count = 0;
        ++slot->start_count;
        strlcpy(slot->state, "starting", sizeof slot->state);
        attached_database = database;
        attached_slot = slot;
    }
    unlock(slot);
    return result;
}

void detach_sender(Leave how) noexcept {
    if (!OidIsValid(attached_database)) return;
    Slot* const slot = lock_slot(attached_database, false);
    attached_database = InvalidOid;
    if (slot == nullptr) return;
    if (slot->sender_pid == MyProcPid) {
        if (how == Leave::unexpected && slot->stay_away_count > 0) how = Leave::asked;
        if (slot->sender_kind == SenderKind::worker) slot->left_how = how;
        if (how != Leave::idle) slot->next_due = DT_NOBEGIN;
        slot->sender_pid = 0;
        slot->sender_kind = SenderKind::none;
        slot->sender_latch = nullptr;
        slot->is_listener_here = false;
        slot->state[0] = '\0';
    }
    ConditionVariable* const left = &slot->left;
    unlock(slot);
    ConditionVariableBroadcast(left);
    wake_launcher();
}

bool must_stay_away() noexcept {
    // One word, read without the lock every turn of the engine: the process that sets it sets the latch afterwards.
    if (!OidIsValid(attached_database)) return false;
    return *static_cast<int const volatile*>(&attached_slot->stay_away_count) > 0 ||
           *static_cast<bool const volatile*>(&attached_slot->is_restart_asked);
}

// ── DDL ────────────────────────────────────────────────────────────────────────────────────────────────────────

void ask_to_stay_away(Oid database) noexcept {
    Slot* const slot = lock_slot(database, true);
    if (slot == nullptr) return;
    ++slot->stay_away_count;
    tell_to_leave(slot);
    unlock(slot);
    end_preparers(database);  // after that: the sender must know why they end
}

void end_stay_away(Oid database) noexcept {
    Slot* const slot = lock_slot(database, false);
    if (slot == nullptr) return;
    if (slot->stay_away_count > 0) --slot->stay_away_count;
    unlock(slot);
    wake_launcher();
}

void ask_to_restart(Oid database) noexcept {
    Slot* const slot = lock_slot(database, false);
    if (slot == nullptr) return;
    if (slot->sender_kind == SenderKind::worker) {
        slot->is_restart_asked = true;
        tell_to_leave(slot);
    }
    unlock(slot);
}

void ask_to_rescan() noexcept {
    if (area() == nullptr) return;
    LWLockAcquire(area()->directory, LW_EXCLUSIVE);
    area()->is_rescan_asked = true;
    if (area()->launcher_pid != 0) SetLatch(area()->launcher_latch);
    LWLockRelease(area()->directory);
}

namespace {

// What must be waited for: the condition variable that tells when it has left, or null.
ConditionVariable* who_is_there(Oid database) noexcept {
    ConditionVariable* left = nullptr;
    if (Slot* const slot = lock_slot(database, false)) {
        if (slot->sender_pid != 0 && slot->sender_kind == SenderKind::worker) left = &slot->left;
        unlock(slot);
    }
    if (left == nullptr) left = preparers_there(database);
    return left;
}

}  // namespace

bool wait_until_away(Oid database, int timeout_ms) {
    if (area() == nullptr) return true;
    TimestampTz const deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
    while (ConditionVariable* const left = who_is_there(database)) {
        ConditionVariablePrepareToSleep(left);
        bool is_over = false;
        // Look again: it may have left before we lined up.
        if (who_is_there(database) == left) {
            long const rest = static_cast<long>((deadline - GetCurrentTimestamp()) / 1000);
            is_over = rest <= 0 ||
                      (ConditionVariableTimedSleep(left, rest, PG_WAIT_EXTENSION) && who_is_there(database) != nullptr);
        }
        ConditionVariableCancelSleep();
        if (is_over) return false;
    }
    return true;
}

}  // namespace mailer::pg
