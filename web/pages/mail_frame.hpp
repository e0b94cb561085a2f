// What mail says, shown where it can do nothing: as text, or in a frame without scripts, forms, links to the outside or
// resources of other servers.
//
// Mail is foreign even when we send it: its variables come from leads and from other people's databases.
#pragma once

#include <string>
#include <string_view>

#include "site/page.hpp"

namespace mailer::web {

// A frame's content. The browser gives it an origin of its own, runs nothing in it and loads nothing for it.
Response mail_frame(const std::string& html);

// Octets that the database gave as hex (encode(…, 'hex')); stops at what is no hex.
std::string octets_of_hex(std::string_view hex);

// The identity of a mail address as the database compares it; nothing when the text is no address.
Parameter address_key_of(const Parameter& address);

// For a row of choices: {value, is_chosen} each.
core::Value choices(std::initializer_list<const char*> values, const Parameter& chosen);

}  // namespace mailer::web
