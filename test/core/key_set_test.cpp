// The set that tells a batch's recipients apart.
#include "core/key_set.hpp"

#include <gtest/gtest.h>

#include <string>
#include <unordered_set>

using mailer::core::KeySet;

TEST(KeySet, AKeyIsNewOnce) {
    KeySet keys;
    EXPECT_TRUE(keys.insert("ada@example.com"));
    EXPECT_FALSE(keys.insert("ada@example.com"));
    EXPECT_TRUE(keys.insert("Ada@example.com"));
    EXPECT_EQ(keys.size(), 2U);
}

TEST(KeySet, TheEmptyKeyAndOnesWithZeroOctetsAreKeysToo) {
    KeySet keys;
    EXPECT_TRUE(keys.insert(""));
    EXPECT_FALSE(keys.insert(""));
    EXPECT_TRUE(keys.insert(std::string_view("a\0b", 3)));
    EXPECT_TRUE(keys.insert(std::string_view("a\0c", 3)));
    EXPECT_FALSE(keys.insert(std::string_view("a\0b", 3)));
}

TEST(KeySet, ConcatenatedTextsAreNotConfused) {
    KeySet keys;
    EXPECT_TRUE(keys.insert("ab"));
    EXPECT_TRUE(keys.insert("c"));
    EXPECT_TRUE(keys.insert("a"));
    EXPECT_TRUE(keys.insert("bc"));
    EXPECT_TRUE(keys.insert("abc"));
}

TEST(KeySet, GrownItKnowsWhatItKnewBefore) {
    KeySet keys;
    std::unordered_set<std::string> reference;
    for (int i = 0; i < 20000; ++i) {
        const std::string key = "user" + std::to_string(i * 7919 % 13000) + "@example.com";
        EXPECT_EQ(keys.insert(key), reference.insert(key).second) << key;
    }
    EXPECT_EQ(keys.size(), reference.size());
}
