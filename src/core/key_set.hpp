// Which keys of a long list came before: an insert-only set of texts.
//
// A batch of a million addresses is told apart by this. std::unordered_set spends a third of such a batch's time on its
// nodes and on giving each of them back; here the texts lie one after the other in one piece of memory.
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
    std::size_t size() const { return count_; }

private:
    struct Entry {
        std::uint64_t hash = 0;  // of a free place 0, of a used one odd
        std::size_t offset = 0;
        std::size_t length = 0;
    };

    void resize(std::size_t places);

    std::string texts_;
    std::vector<Entry> table_;  // open addressing; a power of two, at most half full
    std::size_t count_ = 0;
};

}  // namespace mailer::core
