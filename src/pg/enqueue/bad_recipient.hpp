// What stands in the ledger for text that is no address: it is recorded as failed, and must differ for each such text.
#pragma once

#include <string>
#include <string_view>

#include "core/mail/envelope.hpp"

namespace mailer::pg {

// In one line, cut to 1,000 octets between characters; "(empty)" for nothing.
std::string printable(std::string_view text);

// The recipient of a mail that can't be sent. In place of an address key it has one for each text, short enough for the
// unique indexes.
core::Envelope bad_envelope(std::string_view text);

}  // namespace mailer::pg
