// The few character classes of RFC 5322 3.2.3 that reading, checking and writing addresses must agree on. UTF-8 beyond
// ASCII counts as atext (RFC 6532 3.2); whether a given character is welcome is decided by check_address().
#pragma once

#include <array>
#include <string_view>

namespace mailer::core {

constexpr bool is_alphanumeric(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

constexpr std::array<bool, 256> atext_table = [] {
    std::array<bool, 256> table{};
    for (std::size_t c = 0; c < table.size(); ++c)
        table[c] = c >= 0x80 || is_alphanumeric(static_cast<char>(c));
    for (const char c : std::string_view("!#$%&'*+-/=?^_`{|}~"))
        table[static_cast<unsigned char>(c)] = true;
    return table;
}();

constexpr bool is_atext(char c) noexcept { return atext_table[static_cast<unsigned char>(c)]; }

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
