// Writes header lines. See header.hpp for what it promises; RFC 5322 2.2.3 for folding.
//
// Blanks of a value are kept as they are: a fold only puts CRLF before one, so that unfolding gives the value back.
#include "core/mail/header.hpp"

#include <algorithm>

#include "core/mail/address_grammar.hpp"
#include "core/mail/header_kind.hpp"
#include "core/mail/header_text.hpp"
#include "core/mail/header_words.hpp"

#include "core/octets.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t kLongestRawWord = 997;  // alone on a folded line, behind its blank (RFC 5322 2.1.1)
constexpr std::size_t kLongestLine = 998;
constexpr std::size_t kLongestBlank = 60;
constexpr std::size_t kLongestPlainName = 60;

struct Word {
    std::string_view blank;  // the blanks before it
    std::string_view text;
};

// Requires a trimmed text: no blanks are left over.
std::vector<Word> split(std::string_view text) {
    std::vector<Word> words;
    while (!text.empty()) {
        const auto start = std::min(text.find_first_not_of(' '), text.size());
        const auto end = std::min(text.find(' ', start), text.size());
        words.push_back({text.substr(0, start), text.substr(start, end - start)});
        text.remove_prefix(end);
    }
    return words;
}

// The words [first, last) that are written as encoded words; first == last when none need be.
struct Span {
    std::size_t first;
    std::size_t last;
};

Span span_to_encode(const std::vector<Word>& words, std::size_t longest_raw_word) {
    Span span{words.size(), 0};
    for (std::size_t i = 0; i < words.size(); ++i) {
        const Word& word = words[i];
        if (word.blank.size() > kLongestBlank) return {0, words.size()};
        const bool must = !is_ascii(word.text) || word.text.size() > longest_raw_word || looks_encoded(word.text);
        if (!must) continue;
        span.first = std::min(span.first, i);
        span.last = i + 1;
    }
    if (span.first >= span.last) return {0, 0};
    // GMime takes a raw "=?" for the beginning of the encoded word that follows it.
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i].text.find("=?") == std::string_view::npos) continue;
        span.first = std::min(span.first, i);
        span.last = std::max(span.last, i + 1);
    }
    // Readers differ on several blanks next to an encoded word: such blanks go inside.
    while (span.first > 0 && words[span.first].blank.size() != 1)
        --span.first;
    while (span.last < words.size() && words[span.last].blank.size() != 1)
        ++span.last;
    return span;
}

}  // namespace

void HeaderWriter::put(std::string_view text) { out_ += text; }

void HeaderWriter::fold_before(std::size_t width) {
    const std::size_t column = out_.size() - line_start_;
    // A line with nothing but the name is what some readers take for an empty field; only a line too long is worse.
    if (column + width <= (is_first_ ? kLongestLine : kHeaderLine)) return;
    out_ += "\r\n";
    line_start_ = out_.size();
}

bool HeaderWriter::begin(std::string_view name, std::string_view value) {
    if (error_) return false;
    if (!is_field_name(name)) {
        error_ = Error{"22023",
                       "invalid header field name " + quoted_for_error(name),
                       "A field name has 1 to 76 printable ASCII characters, without blanks and colons.",
                       {}};
        return false;
    }
    if (const auto offence = find_offence(value)) {
        error_ = Error{
            "22023",
            "header \"" + std::string(name) + "\" holds an illegal character",
            "Character " + std::to_string(character_number(value, offence->offset)) + " is " + offence->what + ".",
            {}};
        return false;
    }
    line_start_ = out_.size();
    put(name);
    put(":");
    is_first_ = true;
    return true;
}

void HeaderWriter::finish() { put("\r\n"); }

void HeaderWriter::end() {
    if (!error_) put("\r\n");
}

void HeaderWriter::put_word(std::string_view blank, std::string_view word) {
    fold_before(blank.size() + word.size());
    put(blank);
    put(word);
    is_first_ = false;
}

void HeaderWriter::put_encoded(std::string_view text, bool is_phrase) {
    EncodedWords words(text, is_phrase ? WordPlace::kPhrase : WordPlace::kText);
    // A text that fits into one word isn't cut only because the line is half full: some readers (Python's email before
    // 3.13) show the blank between two words of a name.
    if (words.whole_size() <= kLongestWord) fold_before(words.whole_size() + 1);
    while (!words.is_done()) {
        const std::size_t column = out_.size() - line_start_ + 1;
        std::size_t room = column < kHeaderLine ? kHeaderLine - column : 0;
        if (room < kShortestRoom) {
            put("\r\n");
            line_start_ = out_.size();
            room = kLongestWord;
        }
        put(" ");
        words.append_next(room, out_);
        is_first_ = false;
    }
}

void HeaderWriter::structured(std::string_view name, std::string_view value) {
    if (!begin(name, value)) return;
    for (const Word& word : split(trimmed(value, " "))) {
        if (!may_stand_raw(name, word.text)) return;
        put_word(is_first_ ? " " : word.blank, word.text);
    }
    finish();
}

bool HeaderWriter::may_stand_raw(std::string_view name, std::string_view word) {
    if (!is_ascii(word)) {
        error_ =
            Error{"22023", "header \"" + std::string(name) + "\" must be ASCII",
                  quoted_for_error(word) + " is neither in a comment nor in a name, and only those can be encoded.",
                  "Percent-encode the characters of a URL."};
    } else if (word.size() > kLongestRawWord) {
        error_ = Error{"22023", "a word of header \"" + std::string(name) + "\" is too long",
                       quoted_for_error(word) + " has " + std::to_string(word.size()) +
                           " octets, and a line of a mail has at most 998 (RFC 5322 2.1.1).",
                       "A header is folded at blanks: put some where the field allows them."};
    }
    return !error_;
}

void HeaderWriter::application(std::string_view name, std::string_view value) {
    switch (kind_of_field(name)) {
        case FieldKind::text:
            return unstructured(name, value);
        case FieldKind::structured:
            return put_pieces(name, value, false);
        case FieldKind::list_id:
            return put_pieces(name, value, true);
        case FieldKind::addresses:
            break;
    }
    if (!begin(name, value)) return;
    const auto list = parse_address_list(value);
    if (list) {
        out_.resize(line_start_);
        return addresses(name, *list);
    }
    error_ = list.error();
    error_->message = "header \"" + std::string(name) + "\": " + error_->message;
}

// RFC 2047 5: encoded words may stand in comments and phrases, and nowhere else in a structured field.
void HeaderWriter::put_pieces(std::string_view name, std::string_view value, bool has_phrase) {
    if (!begin(name, value)) return;
    const std::string_view all = trimmed(value);
    for (const FieldPiece& piece : split_field(all, has_phrase)) {
        if (piece.kind == FieldPiece::Kind::phrase) {
            put_name(piece.text);
        } else if (piece.kind == FieldPiece::Kind::comment && !is_ascii(piece.text)) {
            put_word(" ", "(");
            put_encoded(piece.text.substr(1, piece.text.size() - 2), true);
            put_word(" ", ")");
        } else {
            if (!may_stand_raw(name, piece.text)) return;
            put_word(is_first_ ? " " : std::string_view(piece.blank), piece.text);
        }
    }
    finish();
}

void HeaderWriter::unstructured(std::string_view name, std::string_view value, std::size_t longest_raw_word) {
    if (!begin(name, value)) return;
    const auto words = split(trimmed(value, " "));
    const Span span = span_to_encode(words, longest_raw_word);
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i < span.first || i >= span.last) {
            if (!may_stand_raw(name, words[i].text)) return;
            put_word(i == 0 ? " " : words[i].blank, words[i].text);
            continue;
        }
        const char* start = words[span.first].text.data();
        const Word& last = words[span.last - 1];
        put_encoded({start, static_cast<std::size_t>(last.text.data() + last.text.size() - start)}, false);
        i = span.last - 1;
    }
    finish();
}

// A plain name isn't folded inside: GMime would show the line end. One too long for that is encoded.
void HeaderWriter::put_name(std::string_view name) {
    const bool is_plain =
        is_ascii(name) && name.size() <= kLongestPlainName && name.find("=?") == std::string_view::npos;
    if (!is_plain) return put_encoded(name, true);
    if (is_phrase(name)) return put_word(" ", name);
    std::string quoted = "\"";
    for (const char c : name) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += c;
    }
    quoted += '"';
    put_word(" ", quoted);
}

void HeaderWriter::addresses(std::string_view name, std::span<const Address> list) {
    if (!begin(name, {})) return;
    for (std::size_t i = 0; i < list.size(); ++i) {
        if ((error_ = check_address(list[i]))) return;
        const std::string comma = i + 1 < list.size() ? "," : "";
        if (list[i].name.empty()) {
            put_word(" ", list[i].mailbox() + comma);
        } else {
            put_name(list[i].name);
            put_word(" ", "<" + list[i].mailbox() + ">" + comma);
        }
    }
    finish();
}

void HeaderWriter::parameterised(std::string_view name, std::string_view first,
                                 std::span<const std::string> parameters) {
    std::string all(first);
    for (const std::string& parameter : parameters)
        all += parameter;
    if (!begin(name, all)) return;
    put_word(" ", std::string(first) + (parameters.empty() ? "" : ";"));
    for (std::size_t i = 0; i < parameters.size(); ++i)
        put_word(" ", parameters[i] + (i + 1 < parameters.size() ? ";" : ""));
    finish();
}

}  // namespace mailer::core
