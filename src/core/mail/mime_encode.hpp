// Content transfer encodings (RFC 2045 6): how bodies and attachments become lines that any server passes on.
//
// All of these append to `out` and take any octets. Text functions read CRLF, LF and CR as line ends and write CRLF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mailer::core {

enum class Base64Lines { kNone, k76 };

// k76: CRLF between lines of 76 columns, none after the last.
void append_base64(std::string_view content, std::string& out, Base64Lines lines);
constexpr std::size_t base64_size(std::size_t octets) noexcept {
    const std::size_t characters = (octets + 2) / 3 * 4;
    return characters + (characters == 0 ? 0 : (characters - 1) / 76 * 2);
}

// Text whose every line ends in CRLF, the last one too; nothing for an empty text.
void append_canonical_lines(std::string_view text, std::string& out);
void append_quoted_printable(std::string_view text, std::string& out);
// For attached text: every octet comes back, a lone LF as LF, and no line end is added.
void append_quoted_printable_exact(std::string_view content, std::string& out);

enum class TextEncoding { k7bit, kQuotedPrintable, kBase64 };

struct TextPlan {
    TextEncoding encoding;
    bool is_ascii;
    std::size_t size;  // at most this many octets will be written, give or take line ends
};

// The lightest encoding under which the text arrives as it is and no line of it can be taken for a boundary.
TextPlan plan_text(std::string_view text);
void append_text(std::string_view text, TextEncoding encoding, std::string& out);
std::string_view name_of(TextEncoding encoding) noexcept;

// Whether these octets may travel without any encoding (RFC 2045 2.7): ASCII without NUL, lines of at most 998.
bool is_7bit(std::string_view content) noexcept;

// ASCII without control characters but line ends and tabs.
bool is_7bit_text(std::string_view content) noexcept;

// Every boundary holds these two characters. Base64 has no "_", and after "=" quoted-printable has only hexadecimal
// digits or a line end, so encoded content can't hold a boundary; text that holds them isn't sent as 7bit.
constexpr std::string_view kBoundaryMark = "=_";

}  // namespace mailer::core
