// By which grammar a header field's value is written. Fields that aren't known here are free text (RFC 5322 2.2.1).
//
// It matters for what isn't ASCII: free text takes encoded words anywhere, a structured field only in comments and
// phrases (RFC 2047 5), and a URL or an identifier in one must arrive as it is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mailer::core {

enum class FieldKind {
    text,
    structured,  // List-*, References, Auto-Submitted …
    list_id,     // structured, with a phrase before the angle brackets
    addresses,   // Disposition-Notification-To …
};

FieldKind kind_of_field(std::string_view name) noexcept;

// A piece of a structured value that is written as a whole.
struct FieldPiece {
    enum class Kind { word, comment, phrase };
    Kind kind = Kind::word;
    std::string blank;  // before it
    std::string text;   // of a comment with its parentheses, of a phrase without quotes
};

// Requires a trimmed value. With `has_phrase`, what stands before the first "<" is one phrase. A comment with a comment
// inside, and one that isn't closed, count as words.
std::vector<FieldPiece> split_field(std::string_view value, bool has_phrase);

// Whether a reader may take this for an encoded word: `=?charset?Q?text?=`.
bool looks_encoded(std::string_view text) noexcept;

}  // namespace mailer::core
