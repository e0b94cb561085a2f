// The processes that run users' functions (preparer_main.cpp) and the sender that asks them, in shared memory.
//
// One slot a process, each with a buffer for what is asked and answered; one question at a time, so that a death names
// the message that it is about. No dynamic shared memory: a slot is there from the server's start. Fairness between
// roles is kept here, because slots are the cluster's: a party is one role in one database.
//
// Invariants: (1) everything but the exchange is read and written under the lock. (2) `pid` is set iff that process
// lives and has this slot: it signs in before it connects and out after it has left the database. (3) A slot is free
// when both sides have let go of it, so neither ever finds somebody else's exchange in it: the sender holds it from
// take_slot() to let_go(), the process while `pid` is set. (4) A slot's generation changes
// when it becomes free: a process that starts late finds by it that nobody waits for it any more. (5) The exchange
// belongs to one side at a time: `part` says whose it is, and the side that changes it wakes the other.
#pragma once

#include "pg/bridge/pg.hpp"

extern "C" {
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
}

namespace mailer::pg {

constexpr int most_preparers = 32;                // the largest value of mailer.max_preparers
constexpr std::size_t part_size = 32 * 1024;      // larger questions and answers go in parts
constexpr std::size_t longest_value = 16u << 20;  // of variables, of a loader's result
constexpr int generation_bits = 24;

// Whose the exchange is.
enum class Part : std::uint32_t {
    idle,     // the sender may ask; the preparer may leave
    writing,  // the sender is about to ask
    asked,    // a part of the question is there: the preparer's
    more,     // the part was taken: the side that wrote it writes the next one
    running,  // the whole question was taken: the preparer's
    answer,   // a part of the answer is there: the sender's
    leaving,  // the preparer asks for no more questions
};

struct PreparerSlot {
    // Under the lock.
    bool is_taken;
    std::uint32_t generation;
    Oid database, role;
    Oid user;           // whom the process connects as: the role, where that can
    TimestampTz since;  // when it was taken
    pid_t pid;          // 0: not up yet, or gone
    Latch* latch;
    bool is_ready;     // connected: it may be asked
    bool is_gone;      // it was up and has left
    pid_t sender_pid;  // 0: its sender is gone, or has nothing more to do with it
    Latch* sender_latch;
    bool has_served;          // it was asked something
    bool is_yield_asked;      // another party waits
    TimestampTz ended_at;     // when it was told to end; 0: it wasn't
    std::int64_t message_id;  // whose functions it runs; 0: none

    // The exchange.
    pg_atomic_uint32 part;
    std::uint32_t total;   // of the question or answer
    std::uint32_t length;  // of the part at hand
    char data[part_size];
};

// Which process: a slot and its generation.
struct PreparerKey {
    int slot = -1;
    std::uint32_t generation = 0;
};

struct PreparerInfo {
    pid_t pid;
    Oid database, role;
    TimestampTz since, ended_at;
    std::int64_t message_id;
};

void request_preparer_memory();  // from _PG_init while preloading

// ── For the sender ─────────────────────────────────────────────────────────────────────────────────────────────
// A slot for a process of this database's `role`, of at most `limit` in the cluster. Its first one is waited for in
// turn: the sender's latch is set when it may be had, and others are asked to make room. No role gets the last one
// beside others that it has, nor one whose functions took too long lately (`is_troubled`).
bool take_slot(Oid role, Oid user, int limit, bool is_troubled, PreparerKey* key) noexcept;
void withdraw_wish(Oid role) noexcept;  // no slot is waited for any more
void note_refusal() noexcept;           // the postmaster had no process
// For the launcher, when a worker lacks a process: one preparer leaves, now or after its question, and for a second none
// starts. False: there is none that could.
bool give_way() noexcept;
void take_way_back() noexcept;  // the worker has its process, or none will come free: preparers start again
void note_question(PreparerKey key, std::int64_t message_id) noexcept;
void end_process(PreparerKey key) noexcept;     // by SIGTERM, whatever it does
void cancel_process(PreparerKey key) noexcept;  // by SIGINT: the function that it runs
// The sender has nothing more to do with it: it is gone, never came up, or won't end.
void let_go(PreparerKey key) noexcept;
bool is_asked_to_yield(PreparerKey key) noexcept;
bool is_gone(PreparerKey key) noexcept;
bool is_ready(PreparerKey key) noexcept;
void abandon_all_slots() noexcept;  // of this sender, which leaves

// ── For the preparer ───────────────────────────────────────────────────────────────────────────────────────────
// Signs in; null: nobody wants it any more.
PreparerSlot* sign_in(PreparerKey key, Oid* database, Oid* user) noexcept;
void declare_ready() noexcept;  // connected; tells the sender
void sign_out() noexcept;       // idempotent
bool is_orphan(const PreparerSlot* slot) noexcept;

// ── For both ───────────────────────────────────────────────────────────────────────────────────────────────────
PreparerSlot* slot_of(PreparerKey key) noexcept;  // its exchange
inline Part part_of(PreparerSlot* slot) noexcept {
    auto const part = static_cast<Part>(pg_atomic_read_u32(&slot->part));
    pg_read_barrier();
    return part;
}
bool pass_on(PreparerSlot* slot, Part from, Part to) noexcept;  // a full barrier
void wake_preparer(PreparerSlot* slot) noexcept;
void wake_asker(PreparerSlot* slot) noexcept;

// ── For DDL and people ─────────────────────────────────────────────────────────────────────────────────────────
ConditionVariable* preparers_there(Oid database) noexcept;  // null: none; else what tells that one has left
void end_preparers(Oid database) noexcept;
// At most most_preparers. `refused_at`: when there was no process last; `waiting_since`: since when somebody waits for
// one.
int list_preparers(PreparerInfo* found, TimestampTz* refused_at, TimestampTz* waiting_since) noexcept;

}  // namespace mailer::pg
