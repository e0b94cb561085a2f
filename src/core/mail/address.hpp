// Mail addresses as values: what may stand in an envelope and in From, To, Cc, Reply-To.
//
// Everything that names a recipient passes through here, at enqueue and again when a header is written, so
// this is where header and command injection ends: an Address that check_address() accepts holds no CR, LF, NUL
// or other control character, fits RFC 5321's limits, and has a domain that DNS can be asked for.
// All text is UTF-8. Nothing here depends on a locale or a collation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace mailer::core {

struct Address {
    std::string name;    // display name, unquoted UTF-8; may be empty
    std::string local;   // local part, unquoted UTF-8: `two words`, not `"two words"`
    std::string domain;  // lower case, A-labels (`xn--bcher-kva.example`), or a literal (`[192.0.2.1]`)

    // The addr-spec as it goes into MAIL FROM and RCPT TO, without angle brackets, its local part quoted when needed.
    std::string mailbox() const;

    // True when the local part isn't ASCII: the server must offer SMTPUTF8 (RFC 6531), there is no other spelling.
    bool needs_smtputf8() const noexcept;

    friend bool operator==(const Address&, const Address&) = default;
};

// Reads an RFC 5322 address-list: `Ada <ada@example.com>, "Bob, B." <bob@example.com>, Team: carol@bücher.example;`.
// Comments are dropped, groups become their members. An empty list, an empty element and everything malformed are
// errors that say what is wrong and at which character.
enum class EmptyGroups { refused, allowed };  // `undisclosed-recipients:;` names nobody
Result<std::vector<Address>> parse_address_list(std::string_view text, EmptyGroups groups = EmptyGroups::refused);

// As above, for exactly one address.
Result<Address> parse_address(std::string_view text);

// Whether this Address, however it was made, may go into an envelope and a header.
Status check_address(const Address& address);

// The same of one whose domain is from normalise_domain(), which isn't looked at again.
Status check_beside_domain(const Address& address);

// The domain as the wire wants it: A-labels, lower case (IDNA2008 with UTS 46 mapping); a literal is checked and kept.
Result<std::string> normalise_domain(std::string_view domain);

// The name or address of a server as it is typed: lower case, A-labels, an IP address without brackets. Unlike a mail
// domain it may be a single label (`localhost`) and hold underscores. Errors go on from the name of a setting:
// `"mail.x:587" holds a port`.
Result<std::string> normalise_host(std::string_view host);

// The identity of a lead: case-folded NFC local part, `@`, normalised domain. Two spellings of one mailbox give the
// same key, on every server and under every collation. Requires an Address that check_address() accepts.
std::string address_key(const Address& address);

// `name` as somebody typed it, in front of an address: quoted where it must be, so that nothing in it can add an
// address or a header. Control characters become blanks, the outer blanks are cut.
std::string address_with_name(std::string_view name, Address address);

// Whether a mailbox with this from_address may send as `wanted`: it is that address, or one of `allowed`, or of a
// domain that stands there as `@example.com`.
bool may_send_as(const Address& wanted, std::string_view from_address, const std::vector<std::string>& allowed);

// For people and logs: UTF-8, the name quoted when it must be, `"Bob, B." <bob@example.com>`. Parses back to itself.
// Headers are written by core/mail/header.hpp, which also encodes what isn't ASCII.
std::string format_address(const Address& address);

}  // namespace mailer::core
