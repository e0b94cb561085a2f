// See key_set.hpp.
#include "core/key_set.hpp"

#include <bit>
#include <functional>
#include <utility>

namespace mailer::core {

KeySet::KeySet(std::size_t expected) { resize(std::bit_ceil(2 * expected + 64)); }

bool KeySet::insert(std::string_view key) {
    if (2 * (count_ + 1) > table_.size()) resize(2 * table_.size());
    const std::uint64_t hash = std::hash<std::string_view>{}(key) | 1;
    const std::size_t mask = table_.size() - 1;
    std::size_t place = (hash >> 1) & mask;
    for (; table_[place].hash != 0; place = (place + 1) & mask) {
        const Entry& entry = table_[place];
        const std::string_view known{texts_.data() + entry.offset, entry.length};
        if (entry.hash == hash && known == key) return false;
    }
    table_[place] = {hash, texts_.size(), key.size()};
    texts_ += key;
    ++count_;
    return true;
}

void KeySet::resize(std::size_t places) {
    const std::vector<Entry> former = std::exchange(table_, std::vector<Entry>(places));
    for (const Entry& entry : former) {
        if (entry.hash == 0) continue;
        std::size_t place = (entry.hash >> 1) & (places - 1);
        while (table_[place].hash != 0)
            place = (place + 1) & (places - 1);
        table_[place] = entry;
    }
}

}  // namespace mailer::core
