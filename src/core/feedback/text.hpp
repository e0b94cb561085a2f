// Octets that strangers wrote, made readable: transfer encodings undone, UTF-8 made valid, blanks folded.
//
// Every function takes any octets and returns at most what its argument or its limit allows; none fails. Nothing here
// knows what a bounce is.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/octets.hpp"

namespace mailer::core::feedback {

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// The next line without its end (LF, CRLF or CR LF LF); removes it from `rest`. Require a non-empty rest.
std::string_view take_line(std::string_view& rest) noexcept;

// RFC 2045 6.7 and 6.8, forgiving: what is no encoding stays as it is. At most `limit` octets.
std::string decoded_quoted_printable(std::string_view text, std::size_t limit);
std::string decoded_base64(std::string_view text, std::size_t limit);

// RFC 2047: encoded words become UTF-8; those of a character set that isn't known stay as they are.
std::string decoded_words(std::string_view header);

// Valid UTF-8 in one line: what isn't UTF-8 is read as Latin-1, control characters and runs of blanks become one
// blank, and the rest of more than `limit` octets is dropped.
std::string readable(std::string_view text, std::size_t limit);

// The same of each line, without empty ones at both ends and more than one in a row.
std::string readable_lines(std::string_view text, std::size_t limit);

// As text is compared: ASCII in lower case, runs of blanks one blank, curly apostrophes straight.
std::string comparable(std::string_view text);

}  // namespace mailer::core::feedback
