// A mail that was given ready-made: what its header says, and the octets that are sent.
//
// Nothing is changed but what must be: a missing Date and Message-ID are put in front, and line ends become CRLF, which
// is the form that signatures are made over (RFC 8551 3.1.1, RFC 3156 5). What no server could pass on is refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/address.hpp"
#include "core/pace/time.hpp"
#include "core/result.hpp"

namespace mailer::core {

struct RawFacts {
    std::vector<Address> from = {};
    std::vector<Address> sender = {};  // at most one
    std::string message_id = {};       // empty: there is none
    std::string subject = {};          // as it stands there, unfolded, for people
    bool has_date = false;
    bool is_8bit = false;
    bool needs_smtputf8 = false;  // the header isn't ASCII
};

// Fails with 22023 on a source without a header or From, with Bcc (everybody would see it), From, Sender, Date or
// Message-ID twice, NUL, a bare CR, or a line of more than 998 octets.
Result<RawFacts> inspect_raw(std::string_view source);

// The octets to send. Requires that inspect_raw() gave these facts of the source.
std::string finish_raw(std::string_view source, const RawFacts& facts, std::string_view message_id, Time date);

}  // namespace mailer::core
