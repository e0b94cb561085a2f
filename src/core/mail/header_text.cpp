// See header_text.hpp. The walk over bytes is by hand because almost every text is ASCII and passes in one loop; only
// what isn't goes to libunistring for the UTF-8 rules (overlong forms, surrogates).
#include "core/mail/header_text.hpp"

#include <unistr.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "core/octets.hpp"

namespace mailer::core {
namespace {

const std::uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const std::uint8_t*>(text.data()); }

Offence control_character(std::size_t offset, unsigned code) {
    char number[32];
    std::snprintf(number, sizeof number, "control character U+%04X", code);
    return {offset, number};
}

struct Control {
    unsigned code;
    std::size_t size;  // octets
};

// The control character that begins at this octet. C1 is C2 80 … C2 9F, the separators are E2 80 A8 and E2 80 A9.
std::optional<Control> control_at(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
    };
    if (byte(0) < 0x20 || byte(0) == 0x7F) return Control{byte(0), 1};
    if (byte(0) == 0xC2 && byte(1) >= 0x80 && byte(1) < 0xA0) return Control{byte(1), 2};
    if (byte(0) == 0xE2 && byte(1) == 0x80 && (byte(2) == 0xA8 || byte(2) == 0xA9))
        return Control{0x2000u + (byte(2) & 0x3Fu), 3};
    return std::nullopt;
}

}  // namespace

std::optional<Offence> find_offence(std::string_view text, Tabs tabs) {
    if (!is_ascii(text)) {
        if (const auto bad = first_invalid_utf8(text)) return Offence{*bad, "invalid UTF-8"};
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if ((c >= 0x20 && c < 0x7F) || (c == '\t' && tabs == Tabs::kAllowed)) continue;
        if (const auto control = control_at(text, i)) return control_character(i, control->code);
    }
    return std::nullopt;
}

std::string without_controls(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const auto control = control_at(text, i);
        const bool is_pair = text.substr(i, 2) == "\r\n";
        out += control ? ' ' : text[i];
        i += is_pair ? 2 : control ? control->size : 1;
    }
    return out;
}

std::optional<std::size_t> first_invalid_utf8(std::string_view text) noexcept {
    if (const std::uint8_t* bad = u8_check(bytes_of(text), text.size()))
        return static_cast<std::size_t>(bad - bytes_of(text));
    return std::nullopt;
}

std::size_t character_number(std::string_view text, std::size_t offset) noexcept {
    const std::string_view before = text.substr(0, std::min(offset, text.size()));
    const auto is_lead = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
    const auto count = static_cast<std::size_t>(std::count_if(before.begin(), before.end(), is_lead));
    return count + 1;
}

std::string quoted_for_error(std::string_view text) {
    constexpr std::size_t kMost = 100;
    const std::size_t end = whole_characters(text, kMost).size();
    // An Error's text reaches PostgreSQL, which takes only valid UTF-8.
    const bool is_valid = !first_invalid_utf8(text.substr(0, end));
    std::string out = "\"";
    for (const char c : text.substr(0, end)) {
        const auto octet = static_cast<unsigned char>(c);
        if (octet < 0x20 || octet == 0x7F || (octet >= 0x80 && !is_valid)) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\x%02x", octet);
            out += escape;
        } else {
            out += c;
        }
    }
    if (end < text.size()) out += "…";
    out += '"';
    return out;
}

}  // namespace mailer::core
