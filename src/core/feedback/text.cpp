// See text.hpp. RFC 2045 and 2047 are read as their writers meant them, not as they wrote them.
#include "core/feedback/text.hpp"

#include <array>
#include <cstdint>

#include "core/feedback/charset.hpp"
#include "core/mail/header_text.hpp"
#include "core/octets.hpp"

namespace mailer::core::feedback {

namespace {

int hex_value(char c) noexcept {
    if (is_digit(c)) return c - '0';
    const char l = lowered(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

constexpr std::array<std::int8_t, 256> base64_values = [] {
    std::array<std::int8_t, 256> values{};
    values.fill(-1);
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::size_t i = 0; i < alphabet.size(); ++i)
        values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
    return values;
}();

void append_latin1(std::string& out, char c) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x80) {
        out += c;
    } else {
        out += static_cast<char>(0xC0 | (u >> 6));
        out += static_cast<char>(0x80 | (u & 0x3F));
    }
}

// One encoded word at the start of `text`: what it says, and how long it is.
std::optional<std::string> decode_word(std::string_view text, std::size_t& length) {
    const auto charset_end = text.find('?', 2);
    if (charset_end == std::string_view::npos || charset_end + 2 >= text.size() || text[charset_end + 2] != '?')
        return std::nullopt;
    const auto end = text.find("?=", charset_end + 3);
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view charset = text.substr(2, charset_end - 2);
    charset = charset.substr(0, charset.find('*'));
    std::string content{text.substr(charset_end + 3, end - charset_end - 3)};
    if (lowered(text[charset_end + 1]) == 'b') {
        content = decoded_base64(content, content.size());
    } else {
        for (char& c : content) {
            if (c == '_') c = ' ';
        }
        content = decoded_quoted_printable(content, content.size());
    }
    length = end + 2;
    return to_utf8(content, charset, 3 * content.size());
}

}  // namespace

std::string_view take_line(std::string_view& rest) noexcept {
    const auto end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    while (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    return line;
}

std::string decoded_quoted_printable(std::string_view text, std::size_t limit) {
    std::string out;
    out.reserve(std::min(text.size(), limit));
    for (std::size_t i = 0; i < text.size() && out.size() < limit; ++i) {
        if (text[i] != '=') {
            out += text[i];
            continue;
        }
        std::size_t end = i + 1;  // a soft line break, with blanks that a relay added
        while (end < text.size() && (text[end] == ' ' || text[end] == '\t' || text[end] == '\r'))
            ++end;
        if (end >= text.size()) break;
        if (text[end] == '\n') {
            i = end;
        } else if (i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
            out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        } else {
            out += '=';
        }
    }
    return out;
}

std::string decoded_base64(std::string_view text, std::size_t limit) {
    std::string out;
    out.reserve(std::min(text.size() / 4 * 3 + 3, limit));
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        const int value = base64_values[static_cast<unsigned char>(c)];
        if (value < 0) continue;
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        if (out.size() >= limit) break;
        out += static_cast<char>(bits >> count & 0xFF);
    }
    return out;
}

std::string decoded_words(std::string_view header) {
    std::string out;
    bool was_word = false;
    for (std::size_t i = 0; i < header.size();) {
        std::size_t length = 0;
        if (header.substr(i).starts_with("=?")) {
            if (auto word = decode_word(header.substr(i), length)) {
                out += *word;
                i += length;
                was_word = true;
                continue;
            }
        }
        const auto next = header.find("=?", i + 1);
        const std::string_view plain = header.substr(i, next == std::string_view::npos ? next : next - i);
        if (!was_word || next == std::string_view::npos || !trimmed(plain).empty()) out += plain;
        was_word = false;
        i += plain.size();
    }
    return out;
}

std::string readable(std::string_view text, std::size_t limit) {
    std::string latin;
    if (first_invalid_utf8(text)) {
        for (const char c : text.substr(0, 2 * limit))
            append_latin1(latin, c);
        text = latin;
    }
    std::string out;
    for (std::size_t i = 0; i < text.size() && out.size() <= limit; ++i) {
        const auto u = static_cast<unsigned char>(text[i]);
        const bool is_c1 = u == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
        if (u <= 0x20 || u == 0x7F || is_c1) {
            if (!out.empty() && out.back() != ' ') out += ' ';
            i += is_c1 ? 1 : 0;
        } else {
            out += text[i];
        }
    }
    while (!out.empty() && out.back() == ' ')
        out.pop_back();
    return std::string{whole_characters(out, limit)};
}

std::string readable_lines(std::string_view text, std::size_t limit) {
    std::string out;
    std::size_t empty = 0;
    while (!text.empty()) {
        const std::string line = readable(take_line(text), limit);
        if (line.empty()) {
            ++empty;
            continue;
        }
        const std::string_view between = out.empty() ? "" : empty > 0 ? "\n\n" : "\n";
        if (out.size() + between.size() + line.size() > limit) break;
        out.append(between).append(line);
        empty = 0;
    }
    return out;
}

std::string comparable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (is_blank(c)) {
            if (!out.empty() && out.back() != ' ') out += ' ';
        } else if (text.substr(i).starts_with("\xE2\x80\x99")) {
            out += '\'';
            i += 2;
        } else if (c == '\x92' && i > 0 && static_cast<unsigned char>(text[i - 1]) < 0x80) {  // Windows-1252
            out += '\'';
        } else {
            out += lowered(c);
        }
    }
    return out;
}

}  // namespace mailer::core::feedback
