// Octets of a text: case and blanks of ASCII, hashes, shown as digits, and cut so that no character is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mailer::core {

constexpr std::string_view wsp = " \t";  // RFC 5234, B.1
constexpr std::string_view white_space = " \t\r\n\v\f";

// Without the blanks at both ends.
constexpr std::string_view trimmed(std::string_view text, std::string_view blanks = white_space) noexcept {
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return text.substr(0, 0);
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// Other octets than ASCII letters stay as they are.
constexpr char lowered(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
inline std::string lowered(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        c = lowered(c);
    return out;
}
constexpr char raised(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
inline std::string raised(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        c = raised(c);
    return out;
}

constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (lowered(a[i]) != lowered(b[i])) return false;
    return true;
}
constexpr bool starts_ignoring_case(std::string_view text, std::string_view prefix) noexcept {
    return text.size() >= prefix.size() && equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

constexpr bool is_ascii(std::string_view text) noexcept {
    unsigned char all = 0;
    for (const char c : text)
        all |= static_cast<unsigned char>(c);  // no early exit: the loop is vectorised
    return all < 0x80;
}

// Two digits an octet, lower case.
inline std::string hexadecimal(std::string_view octets) {
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(2 * octets.size());
    for (const char c : octets) {
        out += digits[static_cast<unsigned char>(c) >> 4];
        out += digits[static_cast<unsigned char>(c) & 15];
    }
    return out;
}

// FNV-1a of 64 bits: tells two texts apart that nobody made alike on purpose. For storing: the same on every machine.
// Of several texts one after the other: with the hash of those before.
constexpr std::uint64_t fingerprint_of(std::string_view octets, std::uint64_t hash = 0xCBF29CE484222325u) noexcept {
    for (const char c : octets)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    return hash;
}

// splitmix64: one number gives one well-mixed number, on every machine the same. Not for secrets.
constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// As much of UTF-8 text as fits into so many octets with its last character whole.
constexpr std::string_view whole_characters(std::string_view text, std::size_t most_octets) noexcept {
    if (text.size() <= most_octets) return text;
    std::size_t end = most_octets;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
        --end;
    return text.substr(0, end);
}

}  // namespace mailer::core
