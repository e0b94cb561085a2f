// Which databases' listeners run at a time; see shared.hpp.
//
// Up to mailer.max_listeners databases each have a listener that stays, with IDLE. Where more of them have mailboxes to
// listen to none stays: as many as may run read what there is and leave, the one that has waited longest first. In a
// crowd (look_at_crowd) a listener that stays keeps its sender's process, so that at least one worker is left to the
// others.
#include "pg/bridge/limits.hpp"
#include "pg/server/shared_area.hpp"

namespace mailer::pg {

namespace {

int most_that_stay() noexcept {
    return look_at_crowd().is_crowded ? std::min(max_listeners(), max_workers() - 1) : max_listeners();
}

struct ListenerCount {
    int wanted = 0;
    int here = 0;
    TimestampTz longest_waiting = DT_NOEND;  // the turn of the first that is due, and whose sender can take it
};

// Requires the directory's lock, and that of no slot.
ListenerCount count_listeners() noexcept {
    ListenerCount count;
    Area* const a = area();
    for (int i = 0; i < a->slot_count; ++i) {
        Slot& slot = a->slots[i];
        LWLockAcquire(slot.lock, LW_SHARED);
        if (OidIsValid(slot.database) && slot.is_to_listen) {
            ++count.wanted;
            if (slot.is_listener_here)
                ++count.here;
            else if (slot.sender_pid != 0)
                count.longest_waiting = std::min(count.longest_waiting, slot.listen_at);
        }
        LWLockRelease(slot.lock);
    }
    return count;
}

}  // namespace

void report_listening(bool is_to_listen) noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;
    slot->is_to_listen = is_to_listen;
    unlock(slot);
}

bool do_listeners_take_turns() noexcept {
    Area* const a = area();
    if (a == nullptr) return false;
    LWLockAcquire(a->directory, LW_SHARED);
    ListenerCount const count = count_listeners();
    LWLockRelease(a->directory);
    return count.wanted > most_that_stay();
}

bool take_listener_place() noexcept {
    Area* const a = area();
    if (a == nullptr) return true;
    TimestampTz const now = GetCurrentTimestamp();
    LWLockAcquire(a->directory, LW_EXCLUSIVE);  // one at a time: two would count the same place as free
    ListenerCount const count = count_listeners();
    bool const in_turn = count.wanted > most_that_stay();
    Slot* slot = nullptr;
    for (int i = 0; slot == nullptr && i < a->slot_count; ++i)
        if (a->slots[i].database == MyDatabaseId) slot = &a->slots[i];
    bool is_taken = false;
    if (slot != nullptr) {
        LWLockAcquire(slot->lock, LW_EXCLUSIVE);
        is_taken = !in_turn || (count.here < std::max(1, most_that_stay()) && slot->listen_at <= now &&
                                slot->listen_at <= count.longest_waiting);
        if (is_taken) slot->is_listener_here = true;
        LWLockRelease(slot->lock);
    }
    LWLockRelease(a->directory);
    return is_taken;
}

void leave_listener_place(TimestampTz next) noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return;
    slot->is_listener_here = false;
    slot->listen_at = next;
    unlock(slot);
}

TimestampTz next_listener_turn() noexcept {
    Slot* const slot = lock_slot(MyDatabaseId, false);
    if (slot == nullptr) return DT_NOBEGIN;
    TimestampTz const at = slot->listen_at;
    unlock(slot);
    return at;
}

}  // namespace mailer::pg
