// See key_set.hpp.
#include "core/key_set.hpp"

#include <bit>
#include <cstring>
#include <functional>
#include <utility>

namespace mailer::core {

namespace {

constexpr std::size_t usual_length = 32;  // of an address, with what tells its length
constexpr int offset_bits = 40;
constexpr std::uint64_t offset_mask = (std::uint64_t{1} << offset_bits) - 1;

std::uint64_t hash_of(std::string_view key) { return std::hash<std::string_view>{}(key); }

}  // namespace

KeySet::KeySet(std::size_t expected) {
    resize(std::bit_ceil(2 * expected + 64));
    texts_.reserve(expected * usual_length);
}

bool KeySet::insert(std::string_view key) {
    if (2 * (count_ + 1) > table_.size()) resize(2 * table_.size());
    const std::uint64_t hash = hash_of(key);
    const std::size_t mask = table_.size() - 1;
    std::size_t place = hash & mask;
    for (; table_[place] != 0; place = (place + 1) & mask) {
        const bool may_be_it = ((table_[place] ^ hash) & ~offset_mask) == 0;
        if (may_be_it && text_at(table_[place]) == key) return false;
    }
    table_[place] = (hash & ~offset_mask) | (texts_.size() + 1);
    const auto length = static_cast<std::uint32_t>(key.size());
    texts_.append(reinterpret_cast<const char*>(&length), sizeof length);
    texts_ += key;
    ++count_;
    return true;
}

void KeySet::expect(std::string_view key) const noexcept {
    __builtin_prefetch(&table_[hash_of(key) & (table_.size() - 1)], 1);
}

std::string_view KeySet::text_at(std::uint64_t entry) const {
    const char* at = texts_.data() + ((entry & offset_mask) - 1);
    std::uint32_t length = 0;
    std::memcpy(&length, at, sizeof length);
    return {at + sizeof length, length};
}

void KeySet::resize(std::size_t places) {
    const std::vector<std::uint64_t> former = std::exchange(table_, std::vector<std::uint64_t>(places));
    for (std::uint64_t entry : former) {
        if (entry == 0) continue;
        std::size_t place = hash_of(text_at(entry)) & (places - 1);
        while (table_[place] != 0)
            place = (place + 1) & (places - 1);
        table_[place] = entry;
    }
}

}  // namespace mailer::core
