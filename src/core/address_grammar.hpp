// The few character classes of RFC 5322 3.2.3 that reading, checking and writing addresses must agree on. UTF-8 beyond
// ASCII counts as atext (RFC 6532 3.2); whether a given character is welcome is decided by check_address().
#pragma once

#include <string_view>

namespace mailer::core {

constexpr bool is_alphanumeric(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

constexpr bool is_atext(char c) noexcept {
    if (is_alphanumeric(c) || static_cast<unsigned char>(c) >= 0x80) return true;
    return c != '\0' && std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

// atext with single dots inside: what a local part may look like without quotes.
constexpr bool is_dot_atom(std::string_view text) noexcept {
    bool after_dot = true;
    for (const char c : text) {
        if (c == '.' ? after_dot : !is_atext(c)) return false;
        after_dot = c == '.';
    }
    return !after_dot;
}

// atoms with single blanks between them: what a display name may look like without quotes.
constexpr bool is_phrase(std::string_view text) noexcept {
    bool after_blank = true;
    for (const char c : text) {
        if (c == ' ' ? after_blank : !is_atext(c)) return false;
        after_blank = c == ' ';
    }
    return !after_blank;
}

}  // namespace mailer::core
