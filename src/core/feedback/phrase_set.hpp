// Which of many phrases stands in a text: one pass over the text, however many phrases there are.
//
// Phrases are compared octet by octet with text that comparable() made; each has at least three octets. The order of
// the phrases is their rank: where several stand in the text, the lowest index wins.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mailer::core::feedback {

class PhraseSet {
public:
    static constexpr int none = -1;

    explicit PhraseSet(std::vector<std::string_view> phrases);
    int first_in(std::string_view text) const noexcept;  // index of the phrase of the highest rank; none

private:
    static std::size_t slot(std::string_view text) noexcept;

    std::vector<std::string_view> phrases_;
    std::array<std::int16_t, 4096> heads_;  // of the chain of phrases whose first three octets fall into the slot
    std::vector<std::int16_t> next_;
};

}  // namespace mailer::core::feedback
