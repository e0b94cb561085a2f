// See mime_encode.hpp. Base64 takes 12 bits at a time from a table of pairs and works in blocks that stay in the cache:
// attachments are where the time of composing goes.
#include "core/mail/mime_encode.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "core/mail/mime.hpp"

namespace mailer::core {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr std::size_t kLine = 76;
constexpr std::size_t kOctetsPerLine = 57;
constexpr std::size_t kLongestPlainLine = 78;  // RFC 5322 2.1.1: SHOULD
constexpr std::size_t kLongestLine = 998;      // RFC 5322 2.1.1: MUST

constexpr auto kPairs = [] {
    std::array<char, 2 * 4096> pairs{};
    for (std::size_t i = 0; i < 4096; ++i) {
        pairs[2 * i] = kAlphabet[i >> 6];
        pairs[2 * i + 1] = kAlphabet[i & 63];
    }
    return pairs;
}();

// Whole groups of three octets; returns behind what it wrote.
char* encode_groups(const unsigned char* in, std::size_t groups, char* out) {
    for (; groups > 0; --groups, in += 3, out += 4) {
        const auto bits = static_cast<std::uint32_t>(in[0] << 16 | in[1] << 8 | in[2]);
        std::memcpy(out, &kPairs[2 * (bits >> 12)], 2);
        std::memcpy(out + 2, &kPairs[2 * (bits & 0xFFF)], 2);
    }
    return out;
}

char* encode_tail(const unsigned char* in, std::size_t octets, char* out) {
    if (octets == 0) return out;
    const auto second = octets > 1 ? in[1] : 0u;
    *out++ = kAlphabet[in[0] >> 2];
    *out++ = kAlphabet[(in[0] & 3u) << 4 | second >> 4];
    *out++ = octets > 1 ? kAlphabet[(second & 15u) << 2] : '=';
    *out++ = '=';
    return out;
}

// Calls `line(text)` for each line without its end; CRLF, LF and CR end one. Linear also when only one kind occurs.
template <class Line>
void for_each_line(std::string_view text, Line line) {
    if (text.empty()) return;
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto find = [](const char* from, const char* to, char c) {
        const void* found = std::memchr(from, c, static_cast<std::size_t>(to - from));
        return found ? static_cast<const char*>(found) : to;
    };
    const bool may_have_cr = find(at, end, '\r') != end;
    for (const char* line_feed = find(at, end, '\n'); at < end;) {
        if (line_feed < at) line_feed = find(at, end, '\n');
        const char* stop = may_have_cr ? find(at, line_feed, '\r') : line_feed;
        line(std::string_view(at, static_cast<std::size_t>(stop - at)));
        const bool is_pair = stop + 1 < end && stop[0] == '\r' && stop[1] == '\n';
        at = stop + (is_pair ? 2 : 1);
    }
}

constexpr auto kIsLiteral = [] {  // RFC 2045 6.7 (2), (3): tab and blank are literal but at the end of a line
    std::array<bool, 256> literal{};
    for (std::size_t c = ' '; c < 0x7F; ++c)
        literal[c] = c != '=';
    literal['\t'] = true;
    return literal;
}();

// Writes encoded octets in lines of at most 76 columns with soft breaks between them (RFC 2045 6.7 (5)).
class QuotedPrintable {
public:
    explicit QuotedPrintable(std::string& out) : out_(out) {}

    void put(char c, bool is_literal) {
        make_room(is_literal ? 1 : 3);
        if (is_literal) {
            buffer_[column_++] = c;
            return;
        }
        const auto octet = static_cast<unsigned char>(c);
        buffer_[column_++] = '=';
        buffer_[column_++] = kHex[octet >> 4];
        buffer_[column_++] = kHex[octet & 15];
    }
    void line(std::string_view text) {
        const bool is_from = text.starts_with("From ");  // a mailbox file would make it ">From "
        for (std::size_t i = 0; i < text.size(); ++i) {
            const auto octet = static_cast<unsigned char>(text[i]);
            const bool is_last_blank = i + 1 == text.size() && (octet == ' ' || octet == '\t');
            put(text[i], kIsLiteral[octet] && !is_last_blank && !(is_from && i == 0));
        }
    }
    void end_line() { flush("\r\n"); }
    void soft_break() { flush("=\r\n"); }
    void flush(std::string_view end) {
        out_.append(buffer_, column_);
        out_ += end;
        column_ = 0;
    }

private:
    void make_room(std::size_t width) {
        if (column_ + width >= kLine) soft_break();  // the last column is the soft break's
    }

    std::string& out_;
    char buffer_[kLine];
    std::size_t column_ = 0;
};

}  // namespace

void append_base64(std::string_view content, std::string& out, Base64Lines lines) {
    constexpr std::size_t kLinesPerBlock = 32;
    char block[kLinesPerBlock * (kLine + 2)];
    const auto* in = reinterpret_cast<const unsigned char*>(content.data());
    std::size_t left = content.size();
    while (left > 0) {
        char* at = block;
        for (std::size_t n = 0; n < kLinesPerBlock && left > 0; ++n) {
            const std::size_t octets = std::min(left, kOctetsPerLine);
            at = encode_groups(in, octets / 3, at);
            at = encode_tail(in + octets / 3 * 3, octets % 3, at);
            in += octets;
            left -= octets;
            if (left > 0 && lines == Base64Lines::k76) {
                *at++ = '\r';
                *at++ = '\n';
            }
        }
        out.append(block, static_cast<std::size_t>(at - block));
    }
}

void append_canonical_lines(std::string_view text, std::string& out) {
    for_each_line(text, [&](std::string_view line) {
        out += line;
        out += "\r\n";
    });
}

void append_quoted_printable(std::string_view text, std::string& out) {
    QuotedPrintable lines(out);
    for_each_line(text, [&](std::string_view line) {
        lines.line(line);
        lines.end_line();
    });
}

void append_quoted_printable_exact(std::string_view content, std::string& out) {
    QuotedPrintable lines(out);
    std::string_view rest = content;
    while (!rest.empty()) {
        const auto end = std::min(rest.find_first_of("\r\n"), rest.size());
        lines.line(rest.substr(0, end));
        rest.remove_prefix(end);
        if (rest.starts_with("\r\n")) {
            lines.end_line();
            rest.remove_prefix(2);
        } else if (!rest.empty()) {
            lines.put(rest.front(), false);
            rest.remove_prefix(1);
            if (!rest.empty()) lines.soft_break();
        }
    }
    lines.flush("");
}

TextPlan plan_text(std::string_view text) {
    std::size_t wide = 0;     // octets over 0x7F
    std::size_t escaped = 0;  // other octets that quoted-printable escapes
    bool is_plain = text.find(kBoundaryMark) == std::string_view::npos;
    for_each_line(text, [&](std::string_view line) {
        if (line.size() > kLongestPlainLine || line.starts_with("From ")) is_plain = false;
        for (const char c : line) {
            const auto octet = static_cast<unsigned char>(c);
            wide += octet >= 0x80;
            escaped += !kIsLiteral[octet] && octet < 0x80 && octet != '=';
        }
    });
    const std::size_t quoted = text.size() + 2 * (wide + escaped) + text.size() / 32;
    const std::size_t encoded = base64_size(text.size());
    if (is_plain && wide + escaped == 0) return {TextEncoding::k7bit, true, text.size() + text.size() / 32};
    // Up to a third more is a fair price for a source that people and filters can read.
    if (wide == 0 || quoted / 4 <= encoded / 3) return {TextEncoding::kQuotedPrintable, wide == 0, quoted};
    return {TextEncoding::kBase64, false, encoded + encoded / 32};
}

void append_text(std::string_view text, TextEncoding encoding, std::string& out) {
    switch (encoding) {
        case TextEncoding::k7bit:
            return append_canonical_lines(text, out);
        case TextEncoding::kQuotedPrintable:
            return append_quoted_printable(text, out);
        case TextEncoding::kBase64:
            break;
    }
    std::string canonical;
    canonical.reserve(text.size() + text.size() / 32 + 2);
    append_canonical_lines(text, canonical);
    append_base64(canonical, out, Base64Lines::k76);
    if (!canonical.empty()) out += "\r\n";
}

std::string_view name_of(TextEncoding encoding) noexcept {
    switch (encoding) {
        case TextEncoding::k7bit:
            return "7bit";
        case TextEncoding::kQuotedPrintable:
            return "quoted-printable";
        case TextEncoding::kBase64:
            break;
    }
    return "base64";
}

bool is_7bit(std::string_view content) noexcept {
    for (const char c : content)
        if (c == '\0' || static_cast<unsigned char>(c) >= 0x80) return false;
    bool fits = true;
    for_each_line(content, [&](std::string_view line) { fits = fits && line.size() <= kLongestLine; });
    return fits;
}

bool is_7bit_text(std::string_view content) noexcept {
    return std::all_of(content.begin(), content.end(), [](char c) {
        const auto octet = static_cast<unsigned char>(c);
        return kIsLiteral[octet] || c == '=' || c == '\r' || c == '\n';
    });
}

void dot_stuff(std::string_view in, std::string& out) {
    out.reserve(out.size() + in.size() + in.size() / 64 + 5);
    const char* at = in.data();  // what hasn't been copied yet begins here
    const char* const begin = at;
    const char* const end = at + in.size();
    // A search for dots, not for lines: base64 has none, so an attachment is one copy.
    for (const char* dot = at; dot < end; ++dot) {
        dot = static_cast<const char*>(std::memchr(dot, '.', static_cast<std::size_t>(end - dot)));
        if (!dot) break;
        if (dot != begin && dot[-1] != '\n') continue;
        out.append(at, static_cast<std::size_t>(dot - at));
        out += '.';
        at = dot;
    }
    out.append(at, static_cast<std::size_t>(end - at));
    if (!in.empty() && !in.ends_with("\r\n")) out += "\r\n";
    out += ".\r\n";
}

}  // namespace mailer::core
