// What backends, the launcher and the senders tell each other, in shared memory.
//
// One slot a database: who sends there, which lanes got new work, how often settings changed, and who wants the
// worker to stay away. Exists only when the library is preloaded; otherwise every function here does nothing and
// take_hints() says that it can't know.
//
// Invariants: (1) a slot's fields are read and written under its lock, held for less than a microsecond or two and
// never across anything that can fail; the generation alone is atomic. (2) A hint is a hint: losing all of them costs
// one sweep, so a sender sweeps when it starts and whenever sweep_all is set. (3) is `sender_pid` set iff that process
// holds or is about to take the sender's lock (pg/server/election.hpp): it is cleared only when the process has left
// the database, so a process that waits for 0 may then do what a connection would forbid.
#pragma once

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

constexpr int hint_capacity = 256;

struct Hint {
    std::int64_t lane_id;  // 0: an expiry
    TimestampTz due_at;    // earliest that was newly committed (or given back by a rollback)
};

struct Hints {
    bool is_known = false;   // false: not preloaded; look yourself
    bool sweep_all = false;  // more lanes than fit, or a transaction that nobody could look into
    std::vector<Hint> hints;
};

enum class SenderKind : int { none, worker, session };

// How the last worker of a database left; tells the launcher when to start the next.
enum class Leave : int {
    unexpected,   // died, or never came up: back off
    asked,        // for DDL, or to read its settings again: back as soon as nobody says stay away
    terminated,   // SIGTERM by hand
    gone,         // the extension isn't there any more
    misfit,       // library and extension versions don't fit
    not_elected,  // somebody else is sending
    idle,         // nothing is due: back when something is, and a process is free
};

enum class Attach : int { attached, stay_away, occupied, full, not_preloaded };

struct SenderStatus {
    bool is_preloaded;
    pid_t launcher_pid;
    SenderKind kind;
    pid_t pid;  // 0: nobody sends
    TimestampTz started_at;
    TimestampTz beat_at;
    std::int64_t tick_count;
    std::int64_t start_count;
    std::int64_t generation;
    int stay_away_count;
    TimestampTz next_start_at;  // when the launcher tries again; 0: no plan
    TimestampTz error_at;       // 0: none
    char state[64];
    char error[256];
};

bool is_preloaded() noexcept;
bool was_standby() noexcept;  // this server came up as a standby: what runs now runs after a promotion

// ── For the engine ─────────────────────────────────────────────────────────────────────────────────────────────
Hints take_hints();  // what has come in since the last call, for this database; empties it
// More databases have the extension than workers may run: idle workers make room. `is_awaited`: a database
// whose mail is due waits for that.
struct Crowd {
    bool is_crowded = false;
    bool is_awaited = false;
};
Crowd look_at_crowd() noexcept;
void report_next_due(TimestampTz due) noexcept;  // before the sender leaves: when the launcher must send the next one
std::uint64_t generation() noexcept;             // grows whenever a settings change commits in this database
void report_state(const char* state) noexcept;   // one line for people: worker_status.state
void report_tick(TimestampTz now) noexcept;      // the heartbeat: once a tick
void report_error(TimestampTz now, const char* message) noexcept;
void report_lease(TimestampTz good_until) noexcept;  // mailer.sender_lease, where the sender asks over http
TimestampTz lease_good_until() noexcept;             // 0: nobody has asked
SenderStatus sender_status() noexcept;               // of this database

// ── For wake (at commit) ───────────────────────────────────────────────────────────────────────────────────────
void post_hints(const Hint* hints, int count, bool sweep_all) noexcept;  // and wakes the sender
void post_changed() noexcept;
void post_sweep() noexcept;                // COMMIT PREPARED: nobody knows what it brought
void post_created(Oid database) noexcept;  // the extension is there now: the launcher starts a worker

// ── Senders ────────────────────────────────────────────────────────────────────────────────────────────────────
Attach attach_sender(Oid database, SenderKind kind) noexcept;  // this process, its latch
void detach_sender(Leave how) noexcept;                        // idempotent
bool must_stay_away() noexcept;                                // somebody asked this sender to leave

// ── Listeners ──────────────────────────────────────────────────────────────────────────────────────────────────
// Where more databases have mailboxes to listen to than mailer.max_listeners they take turns (shared_listeners.cpp).
void report_listening(bool is_to_listen) noexcept;     // of this database
bool do_listeners_take_turns() noexcept;               // a listener reads what there is, and leaves
bool take_listener_place() noexcept;                   // false: it isn't this database's turn
void leave_listener_place(TimestampTz next) noexcept;  // the listener has ended; its next turn is then
TimestampTz next_listener_turn() noexcept;             // of this database; DT_NOBEGIN: it had none

// ── DDL ────────────────────────────────────────────────────────────────────────────────────────────────────────
void ask_to_stay_away(Oid database) noexcept;  // once for each end_stay_away(); tells the worker to leave
void end_stay_away(Oid database) noexcept;
bool wait_until_away(Oid database, int timeout_ms);  // true: no worker is there any more. May ereport.
void ask_to_restart(Oid database) noexcept;          // leave and come back: its settings changed
void ask_to_rescan() noexcept;                       // the list of databases changed

// ── Set-up ─────────────────────────────────────────────────────────────────────────────────────────────────────
void request_shared_memory();  // from _PG_init while preloading

}  // namespace mailer::pg
