// A hash of three octets leads to the few phrases that can begin at a place.
#include "core/feedback/phrase_set.hpp"

#include <cassert>

namespace mailer::core::feedback {

PhraseSet::PhraseSet(std::vector<std::string_view> phrases) : phrases_(std::move(phrases)), next_(phrases_.size()) {
    heads_.fill(none);
    for (std::size_t i = phrases_.size(); i-- > 0;) {  // backwards, so that a chain begins with its highest rank
        assert(phrases_[i].size() >= 3);
        std::int16_t& head = heads_[slot(phrases_[i])];
        next_[i] = head;
        head = static_cast<std::int16_t>(i);
    }
}

std::size_t PhraseSet::slot(std::string_view text) noexcept {
    const auto octet = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
    return ((octet(0) << 16 | octet(1) << 8 | octet(2)) * 2654435761U) >> 20;
}

int PhraseSet::first_in(std::string_view text) const noexcept {
    int best = none;
    for (; text.size() >= 3; text.remove_prefix(1)) {
        for (int i = heads_[slot(text)]; i != none && (best == none || i < best);
             i = next_[static_cast<std::size_t>(i)]) {
            if (text.starts_with(phrases_[static_cast<std::size_t>(i)])) best = i;
        }
    }
    return best;
}

}  // namespace mailer::core::feedback
