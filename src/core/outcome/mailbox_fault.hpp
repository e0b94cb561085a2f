// Whether a refusal is about the account that sends (its rate, its rights, its address, its server's view of us) though
// it came at RCPT or at the final dot, where one about the message or its recipient is expected.
//
// Servers delay what they think of a client until RCPT, and relays say "too fast" wherever it occurs to them. Taken for
// the recipient's, such a reply fails every mail of a campaign. The rules are data (mailbox_fault.cpp), each with the
// reply that it is for; what no rule knows is the recipient's.
#pragma once

#include <optional>

#include "core/outcome/reply.hpp"

namespace mailer::core {

enum class MailboxFault {
    busy,    // a rate, a quota, too many connections: passes
    sender,  // may not send, or not as this sender: somebody must do something
    login,   // not logged in, or not well enough
};

// Nothing: it is about the message or the recipient, as far as anybody can tell.
std::optional<MailboxFault> mailbox_fault_of(const Reply& reply);

// Too many recipients in one transaction (RFC 5321 4.5.3.1.10, RFC 3463 x.5.3, and how SES says it): some go now, the
// rest in the next.
bool is_envelope_full(const Reply& reply);

// The server takes no more connections than it has, wherever it says so: 421 ends a session, 432 is what Exchange says.
bool is_about_connections(const Reply& reply);

// A temporary refusal that says nothing about others: the recipient's mailbox, or greylisting.
bool is_of_one_recipient(const Reply& reply);

}  // namespace mailer::core
