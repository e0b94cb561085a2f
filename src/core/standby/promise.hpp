// Which standbys must have a claim on disk before its final dot is written, and which of them may go on by itself.
//
// Replication tells a standby what its primary did, not what the primary did afterwards. So the primary promises, in a
// replicated row for each standby: "until then, no dot leaves of a claim that you don't have on disk". A standby that
// is promoted while its promise runs therefore knows every mail that may have left, and goes on; any other one holds
// what was due. Values in, values out; `now` is an argument, an LSN is a number.
//   R1  a name is bound, and waited for, from the moment its row may have reached anybody until `until` has passed
//   R2  `until` of a name never moves back
//   R3  a name counts (it may go on after a promotion) only when every name that counts has its joining row on disk:
//       so a promoted standby knows all the others, and inherits them
//   R4  a promoted standby binds every name that it knows for a whole promise more
//   R5  nothing is promised to a standby whose clock is known to differ by more than the margin
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/pace/time.hpp"

namespace mailer::core {

using Lsn = std::uint64_t;

// A server that receives our log at this moment and isn't a backup program.
struct Standby {
    std::string name;
    Lsn flushed = 0;
    bool is_streaming = false;  // it has caught up once
    bool is_unique = true;      // no other one has its name now
    Time replied_at{};          // by its own clock, in its last reply
};

struct Promise {
    std::string name;
    Time until{};
    bool is_joining = true;  // bound, and doesn't count yet
    Lsn joined_at = 0;       // its joining row is on disk where this much is; not stored
};

struct PromiseRules {
    Duration length = std::chrono::seconds{75};       // mailer.promise_time
    Duration margin = std::chrono::seconds{5};        // clocks may differ by this much
    std::optional<std::vector<std::string>> to = {};  // mailer.promise_to; none: all
    bool may_be_promoted(std::string_view name) const;
};

// What the sender waits for, if it does.
struct StandbyWait {
    bool may_send = true;
    bool is_missing = false;         // a name isn't connected: nothing will change soon
    std::string for_whom = {};       // "n1", "n1, n2"
    std::optional<Time> until = {};  // when the promises of those that are missing have all run out
};

class PromiseBook {
public:
    void configure(const PromiseRules& rules) { rules_ = rules; }
    const PromiseRules& rules() const { return rules_; }

    // What the table says, when a sender starts: joining rows are on disk where `written` is.
    void load(std::vector<Promise> rows, Lsn written);

    // The rows to write now, and those that have run out; empty: nothing to write. `is_busy`: something is due, claimed
    // or will be within a promise's length. The book is bound by them at once (R1), whatever becomes of the write.
    struct Change {
        std::vector<Promise> rows;
        std::vector<std::string> gone;
        bool empty() const { return rows.empty() && gone.empty(); }
    };
    Change change(const std::vector<Standby>& standbys, Time now, bool is_busy);
    void written(const Change& change, Lsn lsn, Time at);  // it was committed, and is on disk where `lsn` is

    // The sender stood still for longer than it meant to: others may have been promoted meanwhile, and what ran out
    // after `since` is bound again for a whole promise.
    void hold_after_standstill(Time since, Time now);

    // Whether the dot of a claim that ends at `lsn` may leave; with 0, whether it's worth claiming.
    StandbyWait ask(Lsn lsn, const std::vector<Standby>& standbys, Time now) const;

    const std::vector<Promise>& promises() const { return promises_; }
    bool is_any_bound(Time now) const;
    // Names that are connected and get no promise, with the reason: "n1: its clock differs …".
    std::vector<std::string> unpromised(const std::vector<Standby>& standbys, Time now) const;

private:
    Promise* find(std::string_view name);
    bool is_clock_good(const Standby& standby, Time now) const;
    bool is_candidate(const Standby& standby) const { return rules_.may_be_promoted(standby.name); }
    bool has_everybody(Lsn lsn, const std::vector<Standby>& standbys, Time now) const;

    PromiseRules rules_;
    std::vector<Promise> promises_;
    Lsn written_ = 0;    // of the last change …
    Time written_at_{};  // … and the instant before it was written: a standby acknowledges it later
};

// Whether the server `name`, promoted at `now`, may go on by itself, by the rows that it holds.
bool may_go_on(const std::vector<Promise>& rows, std::string_view name, Duration margin, Time now);

// What it inherits: every other name, bound for a whole promise and yet to count.
std::vector<Promise> inherited(const std::vector<Promise>& rows, std::string_view name, Duration length, Time now);

// Programs that receive the log to keep it: they are no standbys. By their application_name.
bool is_backup_program(std::string_view application_name);

// The name by which a standby is known to its primary: its slot, else the application_name in its primary_conninfo,
// else the cluster_name, else what a receiver calls itself.
std::string own_name(std::string_view slot_name, std::string_view conninfo, std::string_view cluster_name);

// mailer.promise_to as names; nothing: all. Names are separated by commas; blanks around them don't count.
std::optional<std::vector<std::string>> parse_promise_to(std::string_view text);

}  // namespace mailer::core
