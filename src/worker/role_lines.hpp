// Who is asked next: late-bound messages in line for their role's preparers, one line for each role.
//
// A line is short by design. What would wait for longer than `patience` goes back to the queue, so that one role's slow
// functions hold no claims (and with them no connections) that others' mail needs. What a role's functions cost is
// charged to the role, whichever of them it was: a role that exceeds the time limit, or whose process dies, is left
// alone for a while, longer each time. Knows no processes, no clocks and no SQL.
//
// Invariants: (L1) a token is in at most one line, once. (L2) Nothing is taken from the line of a role that is left
// alone. (L3) What one role does changes no answer about another.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/pace/time.hpp"

namespace mailer::worker {

class RoleLines {
public:
    using Role = std::uint32_t;
    using Token = std::uint64_t;
    using Time = core::Time;

    static constexpr core::Duration patience = std::chrono::milliseconds{100};
    static constexpr core::Duration longest_pause = std::chrono::minutes{10};

    enum class End {
        answered,
        overtime,  // it exceeded the limit, and was cancelled or ended for it
        died,      // its process ended by itself, or never came up
        called_off,
    };

    // Puts the message in its role's line. Or not, if it would wait for too long: then when to come again.
    std::optional<Time> join(Role role, Token token, Time now);
    void leave(Token token);
    // Of those in line, what has waited for too long: each with the time to come again. They are out of it. A line of
    // prompt functions that moves keeps them: then it is the sender that is busy.
    struct Postponed {
        Token token;
        Time until;
    };
    std::vector<Postponed> tired(Time now);
    // The next of the role's line, for a preparer that is free; nothing: none, or it is left alone.
    std::optional<Token> next(Role role, Time now);

    void began(Role role);
    void ended(Role role, End how, core::Duration took, Time now);
    void processes_of(Role role, int count);  // how many it has

    bool is_waiting(Role role) const;
    bool is_troubled(Role role) const;  // its last calls took too long, or ended their process
    bool has_no_process(Role role) const;
    bool could_use_another(Role role) const;  // one more process would shorten the line
    std::vector<Role> waiting_roles() const;  // in the order in which they came
    std::optional<Time> next_tired() const;
    void forget_idle(Time now);

private:
    struct Waiting {
        Token token;
        Time since;
    };
    struct Line {
        std::deque<Waiting> waiting;
        int processes = 0;
        int running = 0;
        core::Duration mean{0};  // of an answer, lately
        int troubles = 0;        // in a row
        Time answered_at = Time::min();
        Time alone_until = Time::min();
        Time promised_until = Time::min();  // to those who are to come again
        Time last_at = Time::min();
    };
    // Since when the first in the line has waited without anything happening.
    static Time standing_since(const Line& line);
    static core::Duration expected_wait(const Line& line, std::size_t ahead);
    static Time come_again(Line& line, Time now);

    std::map<Role, Line> lines_;
    std::unordered_map<Token, Role> roles_;  // of what is in line
};

}  // namespace mailer::worker
