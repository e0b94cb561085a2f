// The layout of the shared memory behind shared.hpp. For shared.cpp, shared_senders.cpp, the launcher
// alone.
//
// Locks: area()->directory guards which slot belongs to which database and the launcher's fields; each slot has a lock
// of its own for the rest. A process that takes both takes the directory first.
#pragma once

#include "pg/bridge/extension.hpp"
#include "pg/server/shared.hpp"

extern "C" {
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
}

namespace mailer::pg {

struct Slot {
    LWLock* lock;
    Oid database;  // InvalidOid: free. Changed under both locks.

    pid_t sender_pid;
    SenderKind sender_kind;
    Latch* sender_latch;
    Leave left_how;   // of the last worker
    bool is_created;  // the extension was created: for the launcher to take
    bool is_restart_asked;
    int stay_away_count;
    ConditionVariable left;  // a sender left

    bool sweep_all;
    int hint_count;
    std::int64_t lanes[hint_capacity];
    TimestampTz dues[hint_capacity];
    TimestampTz next_due;  // when the next worker is needed: commits lower it, a worker that leaves sets it
    pg_atomic_uint64 generation;

    bool is_to_listen;      // it has mailboxes that are to be read; stays while its sender is away
    bool is_listener_here;  // its sender has started a listener
    TimestampTz listen_at;  // where listeners take turns: when its turn comes

    TimestampTz lease_good_until;
    TimestampTz started_at, beat_at, next_start_at, error_at;
    std::int64_t tick_count, start_count;
    char state[64];
    char error[256];
};

struct Area {
    LWLock* directory;
    int slot_count;
    bool was_standby;

    pid_t launcher_pid;
    Latch* launcher_latch;
    bool is_rescan_asked;
    bool is_place_lacking;        // the extension was created where no slot was free
    bool is_crowded;              // there are more databases with the extension than workers may run …
    bool is_awaited;              // … and one of them waits, with mail that is due, for a worker to leave
    TimestampTz exhausted_since;  // no background process could be had; 0: there was one at the last try

    Slot slots[1];  // slot_count of them
};

Area* area() noexcept;  // null: not preloaded

// The slot of the database, its lock taken exclusively; null: it has none (or, when asked to make one, all are taken).
Slot* lock_slot(Oid database, bool is_to_make) noexcept;
inline void unlock(Slot* slot) noexcept { LWLockRelease(slot->lock); }

// Requires the lock. Wakes the slot's sender.
inline void wake_sender(const Slot* slot) noexcept {
    Assert(LWLockHeldByMe(slot->lock));
    if (slot->sender_pid != 0 && slot->sender_latch != nullptr) SetLatch(slot->sender_latch);
}

void wake_launcher() noexcept;

}  // namespace mailer::pg
