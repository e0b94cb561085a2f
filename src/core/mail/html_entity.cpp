// See html_entity.hpp.
#include "core/mail/html_entity.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "core/octets.hpp"

namespace mailer::core {
namespace {

void append_utf8(std::string& out, std::uint32_t c) {
    const auto put = [&](std::uint32_t octet) { out += static_cast<char>(octet); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xC0 | c >> 6);
        put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        put(0xE0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3F));
        put(0x80 | (c & 0x3F));
    } else {
        put(0xF0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3F));
        put(0x80 | (c >> 6 & 0x3F));
        put(0x80 | (c & 0x3F));
    }
}

// U+00C0 and what follows, in order.
constexpr auto latin_letters = std::to_array<std::string_view>(
    {"Agrave", "Aacute", "Acirc",  "Atilde", "Auml",   "Aring",  "AElig",  "Ccedil", "Egrave", "Eacute", "Ecirc",
     "Euml",   "Igrave", "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde", "Ograve", "Oacute", "Ocirc",  "Otilde",
     "Ouml",   "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",  "Uuml",   "Yacute", "THORN",  "szlig",  "agrave",
     "aacute", "acirc",  "atilde", "auml",   "aring",  "aelig",  "ccedil", "egrave", "eacute", "ecirc",  "euml",
     "igrave", "iacute", "icirc",  "iuml",   "eth",    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",
     "divide", "oslash", "ugrave", "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml"});

using Entity = std::pair<std::string_view, std::string_view>;
constexpr auto entities = std::to_array<Entity>({
    {"amp", "&"},   {"lt", "<"},     {"gt", ">"},      {"quot", "\""},  {"apos", "'"},  {"nbsp", " "},
    {"ndash", "–"}, {"mdash", "—"},  {"hellip", "…"},  {"lsquo", "‘"},  {"rsquo", "’"}, {"ldquo", "“"},
    {"rdquo", "”"}, {"bdquo", "„"},  {"laquo", "«"},   {"raquo", "»"},  {"bull", "•"},  {"middot", "·"},
    {"euro", "€"},  {"pound", "£"},  {"copy", "©"},    {"reg", "®"},    {"trade", "™"}, {"rarr", "→"},
    {"larr", "←"},  {"shy", "\x7F"}, {"zwnj", "\x7F"}, {"zwj", "\x7F"},
});

}  // namespace

std::string html_character(std::string_view name) {
    std::string out;
    if (name.size() > 1 && name.front() == '#') {
        const bool is_hex = name.size() > 2 && lowered(name[1]) == 'x';
        const std::string_view digits = name.substr(is_hex ? 2 : 1);
        std::uint32_t c = 0;
        const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), c, is_hex ? 16 : 10);
        const bool is_character = c >= 0x20 && c < 0x110000 && (c < 0x7F || c >= 0xA0) && (c < 0xD800 || c > 0xDFFF);
        if (problem != std::errc{} || end != digits.data() + digits.size() || !is_character) return " ";
        append_utf8(out, c == 0xA0 ? ' ' : c);
        return out;
    }
    const auto* letter = std::find(latin_letters.begin(), latin_letters.end(), name);
    if (letter != latin_letters.end()) {
        append_utf8(out, 0xC0 + static_cast<std::uint32_t>(letter - latin_letters.begin()));
        return out;
    }
    for (const auto& [known, text] : entities)
        if (known == name) return std::string(text);
    return out;
}

}  // namespace mailer::core
