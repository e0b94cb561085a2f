// The commands of a transaction as text, and whether a message may be put into them for this server at all.
//
// The last line of defence against command injection: whatever got past the address parser, no control character, space
// or angle bracket ever reaches MAIL or RCPT (RFC 5321 4.1.1.2).
#pragma once

#include <optional>
#include <string>

#include "core/outcome/reply.hpp"
#include "smtp/capabilities.hpp"
#include "smtp/delivery.hpp"

namespace mailer::smtp {

// Why this server can't be given this message, in words, with an enhanced code and without a code: no server said it.
// Empty when it can.
std::optional<core::Reply> find_misfit(const Delivery& delivery, const Capabilities& capabilities);

// The same of one recipient, who alone doesn't get the message then.
std::optional<core::Reply> find_recipient_misfit(const std::string& recipient, const Capabilities& capabilities);

// Requires that find_misfit found nothing. With CRLF.
std::string mail_command(const Delivery& delivery, const Capabilities& capabilities);
std::string rcpt_command(const Delivery& delivery, std::size_t recipient, const Capabilities& capabilities);

}  // namespace mailer::smtp
