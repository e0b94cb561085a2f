// Which keys of a long list came before: an insert-only set of texts.
//
// It finds the duplicates in a batch of a million addresses. std::unordered_set spends a third of such a batch's time
// on allocating and freeing its nodes; here the texts lie one after the other in one piece of memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mailer::core {

class KeySet {
public:
    explicit KeySet(std::size_t expected = 0);

    // True when the key is new. The text is copied.
    bool insert(std::string_view key);
    // That this key will be inserted soon: fetches its place from memory meanwhile.
    void expect(std::string_view key) const noexcept;
    std::size_t size() const { return count_; }

private:
    void resize(std::size_t places);
    std::string_view text_at(std::uint64_t entry) const;

    std::string texts_;  // each behind its length
    // Open addressing; a power of two, at most half full. A used place has the text's offset, plus one, in its low 40
    // bits and a part of its hash above them: what misses the processor's cache is as small as can be.
    std::vector<std::uint64_t> table_;
    std::size_t count_ = 0;
};

}  // namespace mailer::core
