// What no text that becomes part of a header may contain, whatever its origin, and how errors show such text.
//
// Control characters (C0, DEL, C1) and the line and paragraph separators U+2028/2029 are refused everywhere: they end
// lines somewhere, and a line that an attacker ends is a header that he writes. Text must be UTF-8.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/octets.hpp"

namespace mailer::core {

struct Offence {
    std::size_t offset;  // octets from the start
    std::string what;    // `control character U+000A`, `invalid UTF-8`
};

enum class Tabs { kRefused, kAllowed };

std::optional<Offence> find_offence(std::string_view text, Tabs tabs = Tabs::kRefused);

// The text with a blank for every control character, and one for a CRLF. Doesn't look at the rest of UTF-8.
std::string without_controls(std::string_view text);

// The offset of the first octet that isn't UTF-8 (overlong forms and surrogates aren't).
std::optional<std::size_t> first_invalid_utf8(std::string_view text) noexcept;

// The 1-based number of the character that holds this octet, as people count.
std::size_t character_number(std::string_view text, std::size_t offset) noexcept;

// In double quotes, control characters escaped, cut after about 100 octets at a character's border.
std::string quoted_for_error(std::string_view text);

}  // namespace mailer::core
