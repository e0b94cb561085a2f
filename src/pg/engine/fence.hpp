// Keeps the promises to the standbys (core/standby/promise.hpp) and says of each final dot whether it may leave.
//
// The sender's one place for everything outside the database that may forbid a mail: the standbys that could be
// promoted, synchronous_standby_names, and mailer.sender_lease. Every commit of the engine is local; it is here that a
// mail waits for the standbys, with the connections going on. A server without standbys pays one look at the walsenders
// a turn.
#pragma once

#include "pg/bridge/settings.hpp"
#include "pg/engine/lease.hpp"
#include "pg/engine/transaction.hpp"
#include "pg/server/standbys.hpp"
#include "smtp/transport.hpp"

namespace mailer::pg {

class Fence {
public:
    explicit Fence(Transactions& transactions) : transactions_(transactions) {}

    void configure(const Settings& settings);
    void load();  // the rows as they are, before the first turn. No transaction may be open; throws PgError.

    // Once a turn, before mail is claimed: looks, and writes what is to be promised. `is_busy`: see PromiseBook.
    // `slept`: how long the sender meant to sleep since the last turn. No transaction may be open; throws PgError.
    void turn(core::Time now, bool is_busy, core::Duration slept);

    const core::SenderFence& standbys() const { return standbys_fence_; }
    const core::SenderFence& lease() const { return lease_fence_; }
    bool is_shut() const { return !standbys_fence_.is_open || !lease_fence_.is_open; }

    smtp::Observer::Dot may_dot(core::Lsn lsn, core::Time waiting_since, core::Time now) noexcept;

    // When turn() is due by itself; `next_work`: when something may be sent.
    std::optional<core::Time> wake_at(core::Time now, std::optional<core::Time> next_work) const;
    // How long before a mail is due the sender must be there: where there are standbys, for their promises.
    core::Duration lead(core::Time) const { return is_alone_ ? core::Duration::zero() : book_.rules().length; }
    core::Duration promise_time() const { return book_.rules().length; }

private:
    void write(const core::PromiseBook::Change& change, core::Time now);
    core::StandbyWait ask(core::Lsn lsn, core::Time now);

    Transactions& transactions_;
    core::PromiseBook book_;
    Standbys view_;
    Lease lease_;
    SyncStandbys sync_;
    bool is_alone_ = true;  // no standby, no promise, no synchronous_standby_names: nothing to look at
    core::SenderFence standbys_fence_, lease_fence_;
    core::Time turned_at_ = core::Time::min();
    core::Time wrote_at_ = core::Time::min();
    core::Time names_read_at_ = core::Time::min();
};

// The gate `standbys` as a session sees it. Requires an Spi.
core::SenderFence read_standby_fence(const Settings& settings, core::Time now);

// Of connected standbys that get no promise: "n1: its clock differs …". Requires an Spi.
std::vector<std::string> read_unpromised(const Settings& settings, core::Time now);

}  // namespace mailer::pg
