// From tickets to deliveries; see courier.hpp.
#include "pg/engine/courier.hpp"

#include "oauth/hint.hpp"

namespace mailer::pg {

bool SmtpCourier::submit(const worker::Ticket& ticket, worker::Prepared prepared) {
    const Account* account = accounts_.find(ticket.reservation.mailbox_id);
    // The mailbox went away since the claim, or its token ran out: the message goes back.
    if (account == nullptr) return false;
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
    committed_at_[ticket.token] = ticket.committed_at;
    if (transport_.submit(std::move(delivery))) return true;
    committed_at_.erase(ticket.token);
    return false;
}

void SmtpCourier::turn(core::Time now, std::vector<core::Report>& finished) {
    const std::size_t before = finished.size();
    transport_.turn(now, finished);
    for (std::size_t i = before; i < finished.size(); ++i) {
        const core::Report& report = finished[i];
        if (!report.session_reply || report.session_reply->code != 535) continue;
        const Account* account = accounts_.find(report.mailbox_id);
        if (account != nullptr && account->uses_oauth && !oauth::names_another_cause(report.session_reply->text))
            refused_logins_.emplace(report.mailbox_id, report.started_at);
    }
}

std::vector<std::uint64_t> SmtpCourier::take_back(const std::set<std::uint64_t>& tokens) {
    return forget(transport_.cancel_not_on_wire([&](const smtp::Delivery& d) { return tokens.contains(d.token); }));
}

std::vector<std::uint64_t> SmtpCourier::take_back_outdated() {
    return forget(transport_.let_go_of_outdated([&](std::int64_t mailbox_id, const smtp::Endpoint& endpoint) {
        const Account* account = accounts_.find(mailbox_id);
        return account != nullptr && *account->endpoint == endpoint;
    }));
}

std::vector<std::uint64_t> SmtpCourier::forget(std::vector<std::uint64_t> tokens) {
    for (std::uint64_t token : tokens)
        committed_at_.erase(token);
    return tokens;
}

}  // namespace mailer::pg
