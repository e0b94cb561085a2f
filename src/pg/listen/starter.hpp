// Starts the listener of this database from its sender's loop, and takes it along when the sender leaves.
//
// The sender asks the tables only when settings changed; it waits for nothing of the listener. One that ends is started
// again after 1 s, doubling to 60 s while it keeps ending at once. A change of settings is passed on by SIGHUP. Where
// more databases have something to listen to than mailer.max_listeners, listeners take turns: between two of its own
// the sender may leave.
#pragma once

#include <optional>

#include "core/pace/time.hpp"
#include "pg/engine/transaction.hpp"

extern "C" {
#include "postmaster/bgworker.h"
}

namespace mailer::pg {

class ListenerStarter {
public:
    explicit ListenerStarter(Transactions& transactions) : transactions_(transactions) {}
    ~ListenerStarter() { ask_to_stop(); }
    ListenerStarter(const ListenerStarter&) = delete;
    ListenerStarter& operator=(const ListenerStarter&) = delete;

    void look(core::Time now);  // throws PgError
    core::Time next_look() const { return next_look_; }
    bool keeps_sender(core::Time now) const;      // the sender must stay: a listener runs, or is to stay
    std::optional<core::Time> next_turn() const;  // when the sender must be here again; none: nothing is to be heard
    void ask_to_stop() noexcept;                  // returns at once
    void wait_until_stopped();                    // for a few seconds at most; requires no transaction

private:
    bool is_running(pid_t* pid) const;

    Transactions& transactions_;
    BackgroundWorkerHandle* handle_ = nullptr;
    std::uint64_t generation_ = 0;
    bool has_looked_ = false;
    bool is_wanted_ = false;
    bool takes_turns_ = false;
    int failures_ = 0;
    core::Time started_at_ = core::Time::min();
    core::Time next_start_ = core::Time::min();
    core::Time next_look_ = core::Time::min();
};

}  // namespace mailer::pg
