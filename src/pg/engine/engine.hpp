// Where the engine meets its host: a background worker, or a session in CALL mailer.run.
//
// The host owns signals, latch, reload and leaving; the engine owns transactions, the pump and the mail. The engine's
// whole duty to the host: wait nowhere but in wait(), call should_stop() every turn, open no transaction across wait(),
// and return soon after should_stop(): no new dot, dots in flight get grace(), then settle and return. Waiting anywhere
// else holds up DROP DATABASE of unrelated databases and fast shutdown.
#pragma once

#include "core/pace/time.hpp"
#include "pg/bridge/guard.hpp"

namespace mailer::pg {

class EngineContext {
public:
    enum class Host { worker, session };

    explicit EngineContext(Host host) noexcept : host_(host) {}

    Host host() const noexcept { return host_; }

    // Asked to leave: SIGTERM, DDL that needs the database, a cancelled CALL. Stays true.
    bool should_stop() noexcept;

    // How long, from the first should_stop() on, replies to dots in flight may still be waited for.
    core::Duration grace() const noexcept;

    // Sleeps until the latch is set (new work, a signal), `epoll_fd` is readable (-1: none) or the time is over; deals
    // with interrupts, reload and statistics. Returns true when epoll_fd is readable. Requires that no transaction is
    // open. Throws PgError. In a session a cancel doesn't throw here: it makes should_stop() true, and the caller of
    // run_engine raises it when the engine has settled (raise_interrupts).
    bool wait(int epoll_fd, core::Duration timeout);

    // True once after each change of the settings (SIGHUP); call settings() again.
    bool take_reload() noexcept { return std::exchange(reloaded_, false); }

    // The engine left because it has nothing to send, and others have.
    void note_idle() noexcept { is_idle_ = true; }
    bool is_idle() const noexcept { return is_idle_; }

    void raise_interrupts();  // what was held back: throws PgError, or ends the process

    // While one of these lives, being asked to leave also cancels the running statement (late-bound functions, which
    // may run for seconds). The statement fails with query_canceled; check should_stop() then and hand the claim back.
    class Interruptible {
    public:
        Interruptible() noexcept;
        ~Interruptible();
        Interruptible(const Interruptible&) = delete;
        Interruptible& operator=(const Interruptible&) = delete;
    };

private:
    Host host_;
    bool reloaded_ = false;
    bool cancelled_ = false;
    bool is_idle_ = false;
};

// Logs what escaped a tick (an ERROR in the server's log, a WARNING for a session's client; nothing is raised) and
// notes it for worker_status. Aborting the transaction is Transactions::abort()'s. The engine goes on with its
// connections and dots in flight and waits before the next transaction: 1 s, doubling to 60 s. In a session a cancelled
// statement counts as being asked to stop.
void absorb_error(const PgError& error) noexcept;
void absorb_error(const std::exception& error) noexcept;

// The engine (architect's room: engine.cpp). Returns when should_stop(), or when the limits of a run are reached.
// What it throws ends its connections: the host logs it, waits and calls again.
struct RunLimits {
    std::optional<std::int64_t> max_messages;
    std::optional<core::Duration> max_time;  // nothing in a session: until nothing is due
};
std::int64_t run_engine(EngineContext& context, const RunLimits& limits = {});  // messages settled

}  // namespace mailer::pg
