// How text that isn't plain ASCII is spelled in a header: encoded words (RFC 2047) in free text and names, extended
// parameters (RFC 2231) for file names. Both are split between characters, never inside one, so that each piece can be
// decoded alone.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mailer::core {

constexpr std::size_t kHeaderLine = 76;         // RFC 2047 2: no line with an encoded word is longer
constexpr std::size_t kLongestWord = 75;        // RFC 2047 2
constexpr std::size_t kShortestRoom = 12 + 12;  // the frame `=?utf-8?Q?` `?=` and one character of four octets

enum class WordPlace { kText, kPhrase };  // a phrase (a display name) may hold fewer characters as they are

// Cuts a text into encoded words: Q where people can read it at a fair price, else B. Requires valid UTF-8.
//
// Only the last B word may end in padding: GMime joins adjacent B words before it decodes, and drops what follows "=".
class EncodedWords {
public:
    EncodedWords(std::string_view text, WordPlace place);

    bool is_done() const noexcept { return rest_.empty(); }
    // The octets that one word for all of the rest would have.
    std::size_t whole_size() const noexcept;
    // Appends the next word, at most `room` octets of it; requires !is_done() and room >= kShortestRoom.
    void append_next(std::size_t room, std::string& out);

private:
    std::size_t width(char c) const noexcept;
    std::size_t octets_for_q(std::size_t room) const noexcept;
    std::size_t octets_for_base64(std::size_t room) const noexcept;

    std::string_view rest_;
    WordPlace place_;
    bool prefers_base64_ = false;
};

// Appends the parameter as `name=value`, `name="value"` or, when it must, as `name*=utf-8''…` in as many pieces as keep
// each on a line of its own. Requires valid UTF-8 without control characters.
void append_parameter(std::string_view name, std::string_view value, std::vector<std::string>& parameters);

// RFC 2045 5.1: what a parameter's value may hold without quotes.
bool is_token(std::string_view text) noexcept;

}  // namespace mailer::core
