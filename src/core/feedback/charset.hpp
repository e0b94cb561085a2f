// Text of other character sets made UTF-8 (RFC 2045, 2047), by the C library's iconv.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mailer::core::feedback {

// The text in UTF-8, at most `limit` octets of it with its last character whole; U+FFFD stands for what the character
// set doesn't have. `charset` is a name as mail uses it: RFC 2978, and what mail programs write besides, in any case.
// Nothing where the name isn't one that mail is written in, the C library doesn't have it, or the text is clearly of another.
std::optional<std::string> to_utf8(std::string_view text, std::string_view charset, std::size_t limit);

}  // namespace mailer::core::feedback
