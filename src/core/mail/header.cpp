// Writes header lines. See header.hpp for what it promises; RFC 5322 2.2.3 for folding.
//
// Blanks of a value are kept as they are: a fold only puts CRLF before one, so that unfolding gives the value back.
#include "core/mail/header.hpp"

#include <algorithm>

#include "core/mail/address_grammar.hpp"
#include "core/mail/header_text.hpp"
#include "core/mail/header_words.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t kLongestRawWord = 900;  // with the longest field name still under 998 (RFC 5322 2.1.1)
constexpr std::size_t kLongestBlank = 60;
constexpr std::size_t kLongestPlainName = 60;

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

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
        const bool must = !is_ascii(word.text) || word.text.size() > longest_raw_word ||
                          word.text.find("=?") != std::string_view::npos;
        if (!must) continue;
        span.first = std::min(span.first, i);
        span.last = i + 1;
    }
    if (span.first >= span.last) return {0, 0};
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
    if (column + width <= kHeaderLine || is_first_) return;
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
    for (const Word& word : split(trimmed(value))) {
        if (!is_ascii(word.text) || word.text.size() > kLongestRawWord) {
            error_ = Error{"22023",
                           "header \"" + std::string(name) + "\" can't be written",
                           quoted_for_error(word.text) + " must be ASCII and at most 900 octets long.",
                           {}};
            return;
        }
        put_word(is_first_ ? " " : word.blank, word.text);
    }
    finish();
}

void HeaderWriter::unstructured(std::string_view name, std::string_view value, std::size_t longest_raw_word) {
    if (!begin(name, value)) return;
    const auto words = split(trimmed(value));
    const Span span = span_to_encode(words, std::min(longest_raw_word, kLongestRawWord));
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i < span.first || i >= span.last) {
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
