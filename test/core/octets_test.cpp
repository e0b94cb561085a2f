// Octets as digits, and texts that end with a whole character.
#include "core/octets.hpp"

#include <gtest/gtest.h>

using mailer::core::hexadecimal;
using mailer::core::whole_characters;

TEST(Octets, AreTwoLowerCaseDigitsEach) {
    EXPECT_EQ(hexadecimal(std::string_view("\x00\x0f\xa0\xff", 4)), "000fa0ff");
    EXPECT_EQ(hexadecimal(""), "");
}

TEST(Octets, ATextThatFitsIsNotCut) {
    EXPECT_EQ(whole_characters("grażyna", 8), "grażyna");
    EXPECT_EQ(whole_characters("", 0), "");
}

TEST(Octets, ATextIsCutBeforeTheCharacterThatDoesNotFit) {
    EXPECT_EQ(whole_characters("grażyna", 5), "graż");
    EXPECT_EQ(whole_characters("grażyna", 4), "gra");
    EXPECT_EQ(whole_characters("ż", 1), "");
    EXPECT_EQ(whole_characters("🐘🐘", 7), "🐘");
}

TEST(Octets, WhatIsNoUtf8IsCutAllTheSame) { EXPECT_EQ(whole_characters("\x80\x80\x80", 2), ""); }

TEST(Octets, CaseIsThatOfAsciiLetters) {
    EXPECT_EQ(mailer::core::lowered("AZaz@[`{Ł"), "azaz@[`{Ł");
    EXPECT_EQ(mailer::core::raised("AZaz@[`{ł"), "AZAZ@[`{ł");
    EXPECT_TRUE(mailer::core::equals_ignoring_case("Reply-To", "reply-tO"));
    EXPECT_FALSE(mailer::core::equals_ignoring_case("@", "`"));
    EXPECT_FALSE(mailer::core::equals_ignoring_case("To", "To:"));
    EXPECT_TRUE(mailer::core::starts_ignoring_case("BODY[1]", "body["));
    EXPECT_FALSE(mailer::core::starts_ignoring_case("BODY", "body["));
}

TEST(Octets, BlanksAreTakenOffBothEnds) {
    EXPECT_EQ(mailer::core::trimmed(" \t a b\r\n"), "a b");
    EXPECT_EQ(mailer::core::trimmed("\ta ", " "), "\ta");
    EXPECT_EQ(mailer::core::trimmed(" \t"), "");
}
