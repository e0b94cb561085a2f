// The sender's side of the preparers: asks the processes that run users' functions, and hears them. Nothing here waits.
//
// Whose turn it is, is RoleLines' to say; how many processes there may be, the slots' (preparer_slots.hpp). What is
// added here is time: a function that outlives its limit is cancelled by its own process; one that won't be cancelled
// has its process ended by SIGTERM; a process that ignores that is left to itself and reported, never killed.
#pragma once

#include <functional>
#include <set>

#include "core/mail/value.hpp"
#include "pg/engine/content.hpp"
#include "pg/server/preparer_exchange.hpp"
#include "worker/ports.hpp"
#include "worker/role_lines.hpp"

extern "C" {
#include "postmaster/bgworker.h"
}

namespace mailer::pg {

class Preparers {
public:
    using Token = std::uint64_t;

    Preparers();
    ~Preparers();  // abandons all of them
    Preparers(const Preparers&) = delete;
    Preparers& operator=(const Preparers&) = delete;

    void configure(int limit, core::Duration loader_timeout);

    // Takes the message into its role's line, to be asked about soon; or not, and says when to come again.
    std::optional<core::Time> ask(Token token, std::int64_t message_id, const Caller& caller, core::Time now);
    // Makes the question when its turn has come: what is large is then read for one message at a time.
    using Writer = std::function<core::Result<Question>(std::int64_t message_id)>;

    struct Answer {
        enum class Kind { go, no, fault, died, postponed };
        Kind kind = Kind::fault;
        std::string text;                      // for people
        std::optional<core::Value> variables;  // of go, with a loader
        core::Time until{};                    // of postponed
    };
    using Heard = worker::MailRoom::Heard;
    // One round: takes answers, ends what is over its time, asks the next. See worker/ports.hpp.
    Heard turn(core::Time now, bool may_ask, const Writer& write, const std::function<void(Token)>& on_begin);
    std::optional<Answer> take_answer(Token token);

    // These are nobody's any more; what runs is cancelled.
    std::vector<Token> take_back(const std::set<Token>& tokens);
    // turn() must be called then, at the latest.
    std::optional<core::Time> wake_at() const;

private:
    struct Process {
        PreparerKey key;
        BackgroundWorkerHandle* handle = nullptr;
        Oid role = InvalidOid;
        bool is_up = false;
        core::Time up_at{};  // seen to be up
        std::optional<core::Time> first_asked_at{};
        // Of the question at hand.
        bool is_busy = false;
        std::optional<Token> token;  // none, and busy: it was called off
        std::string functions;       // for people
        core::Time asked_at{}, deadline{};
        bool is_told_slow = false;
        bool is_ended = false;              // told to end
        std::optional<core::Time> gone_at;  // from then on the slot is another's
        bool is_untouched = false;          // it went before it took up the question
        std::optional<Outgoing> outgoing;
        Incoming incoming;
    };
    void look_at(Process& process, core::Time now);
    void hear(Process& process, core::Time now);
    void watch_time(Process& process, core::Time now);
    void bury(Process& process, core::Time now);
    void finish(Process& process, worker::RoleLines::End how, core::Duration took, core::Time now);
    void answer(Token token, Answer answer);
    bool has_had_its_turn(const Process& process, core::Time now) const;
    void ask_next(Process& process, core::Time now, const Writer& write, const std::function<void(Token)>& on_begin);
    template <class Serve>
    void serve_in_turn(core::Time now, Serve serve);
    void start_processes(core::Time now);
    void withdraw_wishes(core::Time now);
    bool start_process(Oid role, core::Time now);
    void count_processes(Oid role);

    int limit_ = 1;
    core::Duration timeout_{};
    Heard heard_;  // since turn() returned last
    worker::RoleLines lines_;
    std::unordered_map<Token, std::int64_t> asked_;  // in line: the messages
    std::unordered_map<Token, Answer> answers_;
    std::vector<std::unique_ptr<Process>> processes_;  // the first is served first
    std::optional<core::Time> again_at_;               // a turn ended before all were served
    std::map<Oid, core::Time> wishes_;  // roles for which a slot is waited for, and when it was wanted last
    core::Time refused_until_{};        // no process could be had
    std::map<Oid, Caller> callers_;     // of roles that were in line, as last seen
};

}  // namespace mailer::pg
