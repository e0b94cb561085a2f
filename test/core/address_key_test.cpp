// The identity of a lead: the same person under every spelling, different people never.
#include <gtest/gtest.h>

#include "core/mail/address.hpp"

namespace mailer::core {
namespace {

std::string key_of(std::string_view text) {
    const auto address = parse_address(text);
    return address ? address_key(*address) : "error: " + address.error().message;
}

TEST(AddressKey, CaseBlanksNameAndQuotesDoNotCount) {
    EXPECT_EQ(key_of("  Ada <ADA@Example.COM> "), "ada@example.com");
    EXPECT_EQ(key_of("\"Ada\"@example.com"), "ada@example.com");
}

TEST(AddressKey, ComposedAndDecomposedLettersAreOnePerson) {
    EXPECT_EQ(key_of("J\xC3\x96RG@example.com"), key_of("jo\xCC\x88rg@example.com"));
}

TEST(AddressKey, FoldingIsUnicodesAndNotALocales) {
    EXPECT_EQ(key_of("I@example.com"), "i@example.com");  // never the dotless i of a Turkish locale
    EXPECT_EQ(key_of("STRASSE@example.com"), key_of("straße@example.com"));
    EXPECT_EQ(key_of("ΣΑΣ@example.com"), key_of("σας@example.com"));  // final sigma
}

TEST(AddressKey, BothSpellingsOfAnInternationalDomainAreOne) {
    EXPECT_EQ(key_of("a@BÜCHER.example"), key_of("a@xn--bcher-kva.example"));
}

TEST(AddressKey, DifferentPeopleStayDifferent) {
    EXPECT_NE(key_of("a.b@example.com"), key_of("ab@example.com"));
    EXPECT_NE(key_of("ada+x@example.com"), key_of("ada@example.com"));
    EXPECT_NE(key_of("\"a@b\"@example.com"), key_of("a@b.example.com"));
}

TEST(AddressKey, KeyOfAKeyIsItself) {
    for (const char* text : {"\xCD\x85\xCC\x94@example.com", "ǰ@example.com", "ΐ@example.com", "ﬁ@example.com",
                             "İ@example.com", "ẞ@example.com"}) {
        auto address = parse_address(text).value();
        const std::string key = address_key(address);
        address.local = key.substr(0, key.rfind('@'));
        EXPECT_EQ(address_key(address), key) << text;
    }
}

}  // namespace
}  // namespace mailer::core
