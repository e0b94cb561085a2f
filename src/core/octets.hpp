// Octets of a text: shown as digits, and cut so that no character is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mailer::core {

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
constexpr std::uint64_t fingerprint_of(std::string_view octets) noexcept {
    std::uint64_t hash = 0xCBF29CE484222325u;
    for (const char c : octets)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    return hash;
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
