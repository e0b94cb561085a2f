// Asks mailer.sender_lease whether this server is the one that sends, without ever waiting for the answer.
//
// A 200 is good for five seconds from when it was asked for; anything else, and silence, is no lease. A file is good by
// its age. Requires that curl_global_init was called. It narrows a split brain and doesn't close it:
// doc/high-availability.md.
#pragma once

#include "core/pace/facts.hpp"
#include "core/standby/lease.hpp"
#include "pg/bridge/pg.hpp"

namespace mailer::pg {

class HttpQuestion;

class Lease {
public:
    Lease();
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    void configure(const std::string& setting);
    void turn(core::Time now);  // asks when it is time, takes answers
    bool is_good(core::Time now) const;
    core::SenderFence fence(core::Time now) const;
    std::optional<core::Time> wake_at(core::Time now) const;

private:
    core::LeaseSource source_;
    std::unique_ptr<HttpQuestion> question_;  // on its way
    core::Time asked_at_ = core::Time::min();
    core::Time good_until_ = core::Time::min();
    std::string trouble_ = "it has yet to be asked";
};

// The same as a session sees it, beside a sender that asks.
core::SenderFence lease_of_sender(const std::string& setting, core::Time now);

}  // namespace mailer::pg
