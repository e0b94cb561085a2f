// From tickets to deliveries; see courier.hpp.
#include "pg/engine/courier.hpp"

#include "oauth/hint.hpp"

namespace mailer::pg {

namespace {

ForwardTarget target_of(const Account& account) {
    const smtp::Endpoint& e = *account.endpoint;
    return {account.connection, e.password, account.forward_mailbox, e.max_connections, e.idle, e.timeouts.connect};
}

// The message, if it is a later step of a campaign.
std::int64_t follow_up_of(const worker::Ticket& ticket) {
    return ticket.row.campaign_id && ticket.row.facts.step > 1 ? ticket.row.facts.id : 0;
}

}  // namespace

bool SmtpCourier::forward(const worker::Ticket& ticket, const Account& account, worker::Prepared prepared) {
    ForwardedMail mail;
    mail.token = ticket.token;
    mail.mailbox_id = account.id;
    mail.target = target_of(account);
    mail.key = std::move(prepared.forward_key);
    mail.recipients = std::move(prepared.recipients);
    mail.body = std::move(prepared.body);
    mail.follow_up = follow_up_of(ticket);
    journal_.note_envelope(ticket.token, ticket.envelope);
    return forwarder_.submit(std::move(mail));
}

std::optional<core::Duration> SmtpCourier::next_timeout(core::Time now) const {
    const auto one = transport_.next_timeout(now), other = forwarder_.next_timeout(now);
    return one && other ? std::min(*one, *other) : one ? one : other;
}

void SmtpCourier::stop(core::Time now) {
    transport_.stop_new_dots(now);
    forwarder_.stop();
}

void SmtpCourier::abandon_all(core::Time now) {
    transport_.abandon_all(now);
    forwarder_.abandon_all();
}

bool SmtpCourier::submit(const worker::Ticket& ticket, worker::Prepared prepared) {
    const Account* account = accounts_.find(ticket.reservation.mailbox_id);
    // The mailbox went away since the claim, or its token ran out: the message goes back.
    if (account == nullptr) return false;
    // It became a forwarder since the claim, or is none any more: the claim says the other thing of what a crash means.
    if (account->is_forwarder() != ticket.is_repeatable) return false;
    if (account->is_forwarder()) return forward(ticket, *account, std::move(prepared));
    if (!account->has_token()) {
        lacks_token_ = true;
        return false;
    }
    smtp::Delivery delivery;
    delivery.token = ticket.token;
    delivery.mailbox_id = account->id;
    delivery.endpoint = account->endpoint;
    delivery.sender = std::move(prepared.sender);
    delivery.recipients = std::move(prepared.recipients);
    delivery.body = std::move(prepared.body);
    delivery.envelope_id = std::move(prepared.envelope_id);
    delivery.notify = std::move(prepared.notify);
    delivery.is_8bit = prepared.is_8bit;
    delivery.needs_smtputf8 = prepared.needs_smtputf8;
    journal_.note_envelope(ticket.token, ticket.envelope);
    Carried& carried = carried_[ticket.token] = {.committed_at = ticket.committed_at};
    carried.follow_up = follow_up_of(ticket);
    delivery.is_dot_apart = carried.follow_up != 0;
    if (transport_.submit(std::move(delivery))) return true;
    carried_.erase(ticket.token);
    return false;
}

void SmtpCourier::turn(core::Time now, std::vector<core::Report>& finished) {
    const std::size_t before = finished.size();
    transport_.turn(now, finished);
    forwarder_.turn(now, finished);
    last_look_.release();
    for (std::size_t i = before; i < finished.size(); ++i) {
        const core::Report& report = finished[i];
        if (!report.session_reply || report.session_reply->code != 535) continue;
        const Account* account = accounts_.find(report.mailbox_id);
        if (account != nullptr && account->uses_oauth && !oauth::names_another_cause(report.session_reply->text))
            refused_logins_.emplace(report.mailbox_id, report.started_at);
    }
}

smtp::Observer::Dot SmtpCourier::may_dot(std::uint64_t token, core::Time waiting_since, core::Time now) noexcept {
    const auto it = carried_.find(token);
    const Carried carried = it == carried_.end() ? Carried{} : it->second;
    const Dot fenced = fence_.may_dot(carried.committed_at, waiting_since, now);
    if (fenced != Dot::go || carried.follow_up == 0) return fenced;
    return last_look_.may_dot(carried.follow_up, waiting_since, now);
}

std::vector<std::uint64_t> SmtpCourier::take_back(const std::set<std::uint64_t>& tokens) {
    auto taken = forwarder_.take_back([&](const ForwardedMail& mail) { return tokens.contains(mail.token); });
    for (const std::uint64_t token :
         forget(transport_.cancel_not_on_wire([&](const smtp::Delivery& d) { return tokens.contains(d.token); })))
        taken.push_back(token);
    return taken;
}

std::vector<std::uint64_t> SmtpCourier::take_back_outdated() {
    auto taken = forwarder_.take_back([&](const ForwardedMail& mail) {
        const Account* account = accounts_.find(mail.mailbox_id);
        return account == nullptr || target_of(*account) != mail.target;
    });
    const auto is_current = [&](std::int64_t mailbox_id, const smtp::Endpoint& endpoint) {
        const Account* account = accounts_.find(mailbox_id);
        return account != nullptr && !account->is_forwarder() && *account->endpoint == endpoint;
    };
    for (const std::uint64_t token : forget(transport_.let_go_of_outdated(is_current)))
        taken.push_back(token);
    return taken;
}

std::vector<std::uint64_t> SmtpCourier::forget(std::vector<std::uint64_t> tokens) {
    for (std::uint64_t token : tokens)
        carried_.erase(token);
    return tokens;
}

}  // namespace mailer::pg
