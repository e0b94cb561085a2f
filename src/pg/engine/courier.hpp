// The pump's courier: deliveries over SMTP for the transport, with the journal's marks before each step on the wire,
// and what a forwarder has for the other database. That needs no mark before its answer: it may be tried again.
#pragma once

#include "pg/engine/accounts.hpp"
#include "pg/engine/fence.hpp"
#include "pg/engine/forwarder.hpp"
#include "pg/engine/last_look.hpp"
#include "smtp/transport.hpp"
#include "worker/journal.hpp"

namespace mailer::pg {

class SmtpCourier final : public worker::Courier, private smtp::Observer {
public:
    SmtpCourier(worker::FileJournal& journal, Accounts& accounts, Fence& fence, Transactions& transactions,
                int max_connections)
        : journal_(journal),
          accounts_(accounts),
          fence_(fence),
          last_look_(transactions),
          transport_(*this, max_connections),
          forwarder_([this](std::uint64_t token, const core::Report& report) { journal_.record_reply(token, report); },
                     [this](std::int64_t message_id, core::Time waiting_since, core::Time now) {
                         return last_look_.may_dot(message_id, waiting_since, now);
                     }) {}

    bool submit(const worker::Ticket& ticket, worker::Prepared prepared) override;
    void turn(core::Time now, std::vector<core::Report>& finished) override;
    std::vector<std::uint64_t> take_back(const std::set<std::uint64_t>& tokens) override;
    std::vector<std::uint64_t> take_back_outdated() override;

    std::map<std::int64_t, core::LoweredConnections> take_lowered() override { return transport_.take_lowered(); }
    void limit_connections(const std::map<std::int64_t, core::LoweredConnections>& lowered) override {
        transport_.limit_connections(lowered);
    }

    int smtp_fd() const { return transport_.poll_fd(); }
    int forward_fd() const { return forwarder_.poll_fd(); }
    std::optional<core::Duration> next_timeout(core::Time now) const;
    // Nothing new goes out; what was said to the end may still be answered. Then: not even that.
    void stop(core::Time now);
    void abandon_all(core::Time now);

    // Mailboxes whose token the server didn't take, with when that try began; and whether a mail came for one without a
    // token.
    std::map<std::int64_t, core::Time> take_refused_logins() { return std::exchange(refused_logins_, {}); }
    bool take_lacks_token() { return std::exchange(lacks_token_, false); }

private:
    bool forward(const worker::Ticket& ticket, const Account& account, worker::Prepared prepared);
    std::vector<std::uint64_t> forget(std::vector<std::uint64_t> tokens);
    void on_body(std::uint64_t token) noexcept override { journal_.mark(token, worker::Phase::body); }
    Dot may_dot(std::uint64_t token, core::Time waiting_since, core::Time now) noexcept override;
    bool on_dot(std::uint64_t token, const core::Report& so_far, core::Time now) noexcept override {
        return journal_.record_dot(token, so_far, now);
    }
    void on_reply(std::uint64_t token, const core::Report& report) noexcept override {
        journal_.record_reply(token, report);
        carried_.erase(token);
    }

    // What is to be known of a message that the transport carries.
    struct Carried {
        core::Lsn committed_at = 0;  // its claim
        std::int64_t follow_up = 0;  // the message, if it is one: may_dot() looks again
    };

    worker::FileJournal& journal_;
    Accounts& accounts_;
    Fence& fence_;
    LastLook last_look_;
    std::unordered_map<std::uint64_t, Carried> carried_;  // by token
    smtp::Transport transport_;
    Forwarder forwarder_;
    std::map<std::int64_t, core::Time> refused_logins_;
    bool lacks_token_ = false;
};

}  // namespace mailer::pg
