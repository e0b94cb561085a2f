// The slots, the turns of those who wait for one, and the signals; see preparer_slots.hpp. Nothing here allocates or
// fails.
#include "pg/server/preparer_slots.hpp"

#include <cstring>

#include <signal.h>

extern "C" {
#include "storage/ipc.h"
#include "storage/shmem.h"
}

namespace mailer::pg {

namespace {

constexpr int most_wishes = 128;
constexpr std::int64_t wish_lasts_us = 5'000'000;
constexpr std::int64_t way_is_given_us = 1'000'000;
constexpr const char* tranche = "mailer_preparers";

// Somebody's first process, waited for.
struct Wish {
    pid_t pid;  // of the sender; 0: none
    Oid database, role;
    Latch* latch;
    std::uint64_t number;         // in the order of asking
    TimestampTz since, asked_at;  // first and last
};

struct Preparers {
    LWLock* lock;
    ConditionVariable left;
    TimestampTz refused_at;
    TimestampTz way_given_until;  // a worker lacks a process: until then no preparer starts
    std::uint64_t last_number;
    Wish wishes[most_wishes];
    PreparerSlot slots[most_preparers];
};

Preparers* all = nullptr;
shmem_startup_hook_type next_shmem_startup = nullptr;
#if PG_VERSION_NUM >= 150000
shmem_request_hook_type next_shmem_request = nullptr;
#endif

void request() {
    RequestAddinShmemSpace(sizeof(Preparers));
    RequestNamedLWLockTranche(tranche, 1);
}

#if PG_VERSION_NUM >= 150000
void at_shmem_request() {
    if (next_shmem_request != nullptr) next_shmem_request();
    request();
}
#endif

void at_shmem_startup() {
    if (next_shmem_startup != nullptr) next_shmem_startup();
    bool is_found = false;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    all = static_cast<Preparers*>(ShmemInitStruct("mailer preparers", sizeof(Preparers), &is_found));
    if (!is_found) {
        memset(static_cast<void*>(all), 0, sizeof *all);
        all->lock = &GetNamedLWLockTranche(tranche)->lock;
        ConditionVariableInit(&all->left);
        for (PreparerSlot& slot : all->slots)
            pg_atomic_init_u32(&slot.part, static_cast<std::uint32_t>(Part::idle));
    }
    LWLockRelease(AddinShmemInitLock);
}

class Locked {
public:
    Locked() noexcept { LWLockAcquire(all->lock, LW_EXCLUSIVE); }
    ~Locked() { LWLockRelease(all->lock); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
};

// All of these require the lock.

PreparerSlot* find(PreparerKey key) noexcept {
    if (key.slot < 0 || key.slot >= most_preparers) return nullptr;
    PreparerSlot& slot = all->slots[key.slot];
    return slot.is_taken && slot.generation == key.generation ? &slot : nullptr;
}

Wish* find_wish(Oid role) noexcept {
    for (Wish& wish : all->wishes)
        if (wish.pid == MyProcPid && wish.role == role && wish.database == MyDatabaseId) return &wish;
    return nullptr;
}

Wish* make_wish(Oid role) noexcept {
    for (Wish& wish : all->wishes) {
        if (wish.pid != 0) continue;
        TimestampTz const now = GetCurrentTimestamp();
        wish = {MyProcPid, MyDatabaseId, role, MyLatch, ++all->last_number, now, now};
        return &wish;
    }
    return nullptr;  // so many wait that it may ask again later
}

// Of mail that was cancelled meanwhile, say.
void forget_old_wishes() noexcept {
    TimestampTz const now = GetCurrentTimestamp();
    for (Wish& wish : all->wishes)
        if (wish.pid != 0 && wish.asked_at + wish_lasts_us < now) wish.pid = 0;
}

void wake_wishers() noexcept {
    for (const Wish& wish : all->wishes)
        if (wish.pid != 0) SetLatch(wish.latch);
}

void free_slot(PreparerSlot& slot) noexcept {
    slot.is_taken = false;
    slot.generation = (slot.generation + 1) & ((1u << generation_bits) - 1);
    slot.pid = slot.sender_pid = 0;
    slot.latch = slot.sender_latch = nullptr;
    slot.is_ready = slot.is_gone = false;
    slot.ended_at = 0;
    slot.message_id = 0;
    pg_atomic_write_u32(&slot.part, static_cast<std::uint32_t>(Part::idle));
    wake_wishers();
}

bool is_idle_asked_to_leave(PreparerSlot& slot) noexcept {
    if (slot.pid == 0 || !pass_on(&slot, Part::idle, Part::leaving)) return false;
    SetLatch(slot.latch);
    return true;
}

void tell_to_end(PreparerSlot& slot) noexcept {
    if (slot.pid == 0) return;
    if (slot.ended_at == 0) slot.ended_at = GetCurrentTimestamp();
    kill(slot.pid, SIGTERM);
}

int count_of(const PreparerSlot& like) noexcept {
    int count = 0;
    for (const PreparerSlot& slot : all->slots)
        if (slot.is_taken && slot.role == like.role && slot.database == like.database) ++count;
    return count;
}

// One process less for each party that waits: one that has nothing more to do now, or one that its sender gives up when
// it has had its turn: first of a party that has several, then the one that has served for the longest. One that came
// up just now is idle until it is asked: could it be asked to leave, many parties would start processes for each other
// and none be served.
void make_room(int wish_count) noexcept {
    int leaving = 0;
    for (PreparerSlot& slot : all->slots) {
        bool const is_asked_to_leave = slot.is_yield_asked || part_of(&slot) == Part::leaving;
        if (slot.is_taken && (slot.is_gone || (slot.ended_at == 0 && is_asked_to_leave))) ++leaving;
    }
    if (leaving >= wish_count) return;
    for (PreparerSlot& slot : all->slots)
        if (slot.is_taken && slot.has_served && is_idle_asked_to_leave(slot)) return;
    PreparerSlot* chosen = nullptr;
    int chosen_count = 0;
    for (PreparerSlot& slot : all->slots) {
        if (!slot.is_taken || slot.is_gone || slot.is_yield_asked || slot.ended_at != 0) continue;
        int const count = count_of(slot);
        bool const is_better = chosen == nullptr || (count > 1) > (chosen_count > 1) ||
                               ((count > 1) == (chosen_count > 1) && slot.since < chosen->since);
        if (!is_better) continue;
        chosen = &slot;
        chosen_count = count;
    }
    if (chosen == nullptr) return;
    chosen->is_yield_asked = true;
    if (chosen->sender_latch != nullptr) SetLatch(chosen->sender_latch);
}

PreparerKey assign(Oid role, Oid user) noexcept {
    for (int i = 0; i < most_preparers; ++i) {
        PreparerSlot& slot = all->slots[i];
        if (slot.is_taken) continue;
        slot.is_taken = true;
        slot.database = MyDatabaseId;
        slot.role = role;
        slot.user = user;
        slot.since = GetCurrentTimestamp();
        slot.pid = 0;
        slot.latch = nullptr;
        slot.is_ready = slot.is_gone = false;
        slot.sender_pid = MyProcPid;
        slot.sender_latch = MyLatch;
        slot.has_served = slot.is_yield_asked = false;
        slot.ended_at = 0;
        slot.message_id = 0;
        slot.total = slot.length = 0;
        pg_atomic_write_u32(&slot.part, static_cast<std::uint32_t>(Part::idle));
        return {i, slot.generation};
    }
    return {};
}

PreparerSlot* my_slot = nullptr;  // of a preparer
PreparerKey my_key;

// The sender's side of it is over. A preparer that starts late finds another generation.
void release(PreparerSlot& slot) noexcept {
    slot.sender_pid = 0;
    slot.sender_latch = nullptr;
    if (slot.pid == 0) free_slot(slot);
}

void abandon(PreparerSlot& slot) noexcept {
    const bool is_up = slot.pid != 0;
    release(slot);
    if (is_up && !is_idle_asked_to_leave(slot)) tell_to_end(slot);
}

}  // namespace

void request_preparer_memory() {
#if PG_VERSION_NUM >= 150000
    next_shmem_request = shmem_request_hook;
    shmem_request_hook = at_shmem_request;
#else
    request();
#endif
    next_shmem_startup = shmem_startup_hook;
    shmem_startup_hook = at_shmem_startup;
}

// ── For the sender ─────────────────────────────────────────────────────────────────────────────────────────────

bool take_slot(Oid role, Oid user, int limit, bool is_troubled, PreparerKey* key) noexcept {
    if (all == nullptr) return false;
    Locked const locked;
    int used = 0, stuck = 0, own = 0, others_waiting = 0, older = 0, waiting = 0;
    for (const PreparerSlot& slot : all->slots) {
        if (!slot.is_taken) continue;
        ++used;
        if (slot.sender_pid == 0) ++stuck;
        if (slot.role == role && slot.database == MyDatabaseId) ++own;
    }
    Wish* const wish = find_wish(role);
    if (wish != nullptr) wish->asked_at = GetCurrentTimestamp();
    forget_old_wishes();
    for (const Wish& other : all->wishes) {
        if (other.pid == 0) continue;
        ++waiting;
        if (&other == wish) continue;
        ++others_waiting;
        if (wish == nullptr || other.number < wish->number) ++older;
    }
    int const free_count = limit - used;
    bool const is_first = own == 0;
    bool const is_way_given = all->way_given_until > GetCurrentTimestamp();
    bool const may = is_way_given ? false
                     : is_first   ? free_count - older > (is_troubled && limit - stuck > 1 ? 1 : 0)
                                  : free_count - others_waiting > 1;
    if (may) *key = assign(role, user);
    if (may && key->slot >= 0) {
        if (wish != nullptr) wish->pid = 0;
        return true;
    }
    if (is_first) {
        if (wish == nullptr && make_wish(role) != nullptr) ++waiting;
        make_room(waiting);
    }
    return false;
}

void withdraw_wish(Oid role) noexcept {
    if (all == nullptr) return;
    Locked const locked;
    if (Wish* const wish = find_wish(role)) {
        wish->pid = 0;
        wake_wishers();
    }
}

bool give_way() noexcept {
    if (all == nullptr) return false;
    Locked const locked;
    bool is_any = false;
    for (const PreparerSlot& slot : all->slots)
        is_any = is_any || (slot.is_taken && slot.sender_pid != 0);
    if (!is_any) return false;
    all->way_given_until = GetCurrentTimestamp() + way_is_given_us;
    make_room(1);
    return true;
}

void take_way_back() noexcept {
    if (all == nullptr) return;
    Locked const locked;
    all->way_given_until = 0;
    wake_wishers();
}

void note_refusal() noexcept {
    Locked const locked;
    all->refused_at = GetCurrentTimestamp();
}

void note_question(PreparerKey key, std::int64_t message_id) noexcept {
    // Words that others only look at, of a slot that is the caller's.
    PreparerSlot& slot = all->slots[key.slot];
    slot.message_id = message_id;
    slot.has_served = true;
}

void end_process(PreparerKey key) noexcept {
    Locked const locked;
    PreparerSlot* const slot = find(key);
    if (slot != nullptr) tell_to_end(*slot);
}

void cancel_process(PreparerKey key) noexcept {
    Locked const locked;
    PreparerSlot* const slot = find(key);
    if (slot != nullptr && slot->pid != 0) kill(slot->pid, SIGINT);
}

void let_go(PreparerKey key) noexcept {
    Locked const locked;
    PreparerSlot* const slot = find(key);
    if (slot != nullptr) release(*slot);
}

bool is_asked_to_yield(PreparerKey key) noexcept {
    // One word that others write under the lock; a moment late is as good.
    return *static_cast<const volatile bool*>(&all->slots[key.slot].is_yield_asked);
}

bool is_gone(PreparerKey key) noexcept {
    // One word, as above: it changes once while the caller holds the slot. What the process did before is seen then.
    const bool is = *static_cast<const volatile bool*>(&all->slots[key.slot].is_gone);
    pg_read_barrier();
    return is;
}

bool is_ready(PreparerKey key) noexcept {
    const PreparerSlot& slot = all->slots[key.slot];
    return *static_cast<const volatile bool*>(&slot.is_ready);
}

void abandon_all_slots() noexcept {
    if (all == nullptr) return;
    Locked const locked;
    for (Wish& wish : all->wishes)
        if (wish.pid == MyProcPid) wish.pid = 0;
    for (PreparerSlot& slot : all->slots)
        if (slot.is_taken && slot.sender_pid == MyProcPid) abandon(slot);
}

// ── For the preparer ───────────────────────────────────────────────────────────────────────────────────────────

PreparerSlot* sign_in(PreparerKey key, Oid* database, Oid* user) noexcept {
    if (all == nullptr) return nullptr;
    Locked const locked;
    PreparerSlot* const slot = find(key);
    if (slot == nullptr || slot->pid != 0 || slot->sender_pid == 0) return nullptr;
    slot->pid = MyProcPid;
    slot->latch = MyLatch;
    my_slot = slot;
    my_key = key;
    *database = slot->database;
    *user = slot->user;
    return slot;
}

void declare_ready() noexcept {
    {
        Locked const locked;
        my_slot->is_ready = true;
    }
    wake_asker(my_slot);
}

void sign_out() noexcept {
    if (my_slot == nullptr) return;
    {
        Locked const locked;
        PreparerSlot* const slot = find(my_key);
        my_slot = nullptr;
        if (slot == nullptr || slot->pid != MyProcPid) return;
        slot->pid = 0;
        slot->latch = nullptr;
        slot->is_gone = true;
        if (slot->sender_pid == 0)
            free_slot(*slot);
        else
            SetLatch(slot->sender_latch);
    }
    ConditionVariableBroadcast(&all->left);
}

bool is_orphan(const PreparerSlot* slot) noexcept {
    return *static_cast<const volatile pid_t*>(&slot->sender_pid) == 0;
}

// ── For both ───────────────────────────────────────────────────────────────────────────────────────────────────

PreparerSlot* slot_of(PreparerKey key) noexcept { return &all->slots[key.slot]; }

bool pass_on(PreparerSlot* slot, Part from, Part to) noexcept {
    auto expected = static_cast<std::uint32_t>(from);
    return pg_atomic_compare_exchange_u32(&slot->part, &expected, static_cast<std::uint32_t>(to));
}

void wake_preparer(PreparerSlot* slot) noexcept {
    if (Latch* const latch = *const_cast<Latch* volatile*>(&slot->latch)) SetLatch(latch);
}

void wake_asker(PreparerSlot* slot) noexcept {
    if (Latch* const latch = *const_cast<Latch* volatile*>(&slot->sender_latch)) SetLatch(latch);
}

// ── For DDL and people ─────────────────────────────────────────────────────────────────────────────────────────

ConditionVariable* preparers_there(Oid database) noexcept {
    if (all == nullptr) return nullptr;
    Locked const locked;
    for (const PreparerSlot& slot : all->slots)
        if (slot.is_taken && slot.database == database && slot.pid != 0) return &all->left;
    return nullptr;
}

void end_preparers(Oid database) noexcept {
    if (all == nullptr) return;
    Locked const locked;
    for (PreparerSlot& slot : all->slots) {
        if (!slot.is_taken || slot.database != database) continue;
        if (!is_idle_asked_to_leave(slot)) tell_to_end(slot);
    }
}

int list_preparers(PreparerInfo* found, TimestampTz* refused_at, TimestampTz* waiting_since) noexcept {
    *refused_at = *waiting_since = 0;
    if (all == nullptr) return 0;
    Locked const locked;
    int count = 0;
    for (const PreparerSlot& slot : all->slots) {
        if (!slot.is_taken || slot.pid == 0) continue;
        found[count++] = {slot.pid, slot.database, slot.role, slot.since, slot.ended_at, slot.message_id};
    }
    *refused_at = all->refused_at;
    forget_old_wishes();
    for (const Wish& wish : all->wishes) {
        if (wish.pid != 0 && wish.database == MyDatabaseId && (*waiting_since == 0 || wish.since < *waiting_since))
            *waiting_since = wish.since;
    }
    return count;
}

}  // namespace mailer::pg
