// The last look before the final dot of a follow-up: whether its lead has replied, was stopped or is held since the
// claim.
//
// A statement that stops a lead and the worker that is about to write the dot take the same lock, by message: the
// statement holds it until its commit can be seen, the worker from before it looks until what it writes is with the
// kernel. So either the worker sees the stop, or the stop is committed behind the dot. The worker never waits for the
// lock, and holds it for the rest of a turn, in which nothing waits; no transaction is open while it writes.
//
// First mails and all others never come here. Assumes one engine in the process.
#pragma once

#include <span>
#include <vector>

#include "core/pace/time.hpp"
#include "pg/engine/transaction.hpp"
#include "smtp/transport.hpp"

namespace mailer::pg {

class LastLook {
public:
    explicit LastLook(Transactions& transactions) : transactions_(transactions) {}
    ~LastLook() { release(); }
    LastLook(const LastLook&) = delete;
    LastLook& operator=(const LastLook&) = delete;

    // go: the lock is held until release(). No transaction may be open.
    smtp::Observer::Dot may_dot(std::int64_t message_id, core::Time waiting_since, core::Time now) noexcept;
    void release() noexcept;

private:
    Transactions& transactions_;
    std::vector<std::int64_t> held_;
};

// For the statement that stops: waits until these messages' dots are written or can't be any more, and holds them until
// the transaction ends. Requires a transaction.
void stop_dots(std::span<const std::int64_t> message_ids);

}  // namespace mailer::pg
