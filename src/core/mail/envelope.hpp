// Who gets one mail: the envelope's recipients with their roles, and what To
// and Cc say.
//
// An address counts once however often and wherever it is named; the first
// mention decides its role (to before cc before bcc). Addresses are compared by
// address_key(). Bcc recipients are in the envelope and in no header.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/mail/address.hpp"
#include "core/result.hpp"

namespace mailer::core {

inline constexpr std::size_t max_recipients = 100;  // RFC 5321 4.5.3.1.8: what every server must take

struct Envelope {
    std::vector<std::string> addresses = {};  // as they go into RCPT TO
    std::string roles = {};                   // one letter for each address: t, c or b
    std::string key = {};                     // address_key() of the first
    std::string header_to = {};               // address lists as format_address() writes them, or `undisclosed`
    std::string header_cc = {};               // empty: none
};

inline constexpr std::string_view undisclosed = "undisclosed-recipients:;";  // header_to of a mail without To

// One of the three must name somebody. Fails with 22023 when there are more than
// max_recipients.
Result<Envelope> make_envelope(const std::vector<Address>& to, const std::vector<Address>& cc = {},
                               const std::vector<Address>& bcc = {});

// `Ada <ada@example.com>, bob@example.com`: parse_address_list() reads it back.
std::string format_address_list(const std::vector<Address>& list);

}  // namespace mailer::core
