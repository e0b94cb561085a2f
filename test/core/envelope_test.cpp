#include "core/mail/envelope.hpp"

#include <gtest/gtest.h>

namespace mailer::core {
namespace {

std::vector<Address> list(const std::string& text) {
    auto parsed = parse_address_list(text);
    EXPECT_TRUE(parsed.ok()) << text;
    return parsed.ok() ? *parsed : std::vector<Address>{};
}

TEST(Envelope, EveryAddressHasTheRoleOfItsFirstMention) {
    const auto envelope =
        make_envelope(list("ada@example.com, bob@example.com"), list("carol@example.com"), list("dave@example.com"));
    ASSERT_TRUE(envelope.ok());
    EXPECT_EQ(envelope->roles, "ttcb");
    EXPECT_EQ(envelope->addresses, (std::vector<std::string>{"ada@example.com", "bob@example.com", "carol@example.com",
                                                             "dave@example.com"}));
}

TEST(Envelope, AnAddressNamedTwiceIsOneRecipientWhateverItsSpelling) {
    const auto envelope =
        make_envelope(list("Ada <ada@example.com>, ADA@Example.com"), list("aDa@example.COM"), list("ada@example.com"));
    ASSERT_TRUE(envelope.ok());
    EXPECT_EQ(envelope->roles, "t");
    EXPECT_EQ(envelope->key, "ada@example.com");
    EXPECT_EQ(envelope->header_to, "Ada <ada@example.com>");
    EXPECT_EQ(envelope->header_cc, "");
}

TEST(Envelope, HiddenCopiesAreInNoHeader) {
    const auto envelope = make_envelope(list("ada@example.com"), list("bob@example.com"), list("eve@example.com"));
    ASSERT_TRUE(envelope.ok());
    EXPECT_EQ((envelope->header_to + envelope->header_cc).find("eve"), std::string::npos);
}

TEST(Envelope, HeadersReadBackAsTheAddressesTheyWereMadeFrom) {
    const auto to = list("\"Bob, B.\" <bob@example.com>, Zoë <zoe@bücher.example>");
    const auto envelope = make_envelope(to);
    ASSERT_TRUE(envelope.ok());
    EXPECT_EQ(list(envelope->header_to), to);
}

TEST(Envelope, AHundredRecipientsAreTakenAndOneMoreIsRefused) {
    std::string text = "u1@example.com";
    for (int n = 2; n <= 100; ++n)
        text += ", u" + std::to_string(n) + "@example.com";
    EXPECT_TRUE(make_envelope(list(text)).ok());
    EXPECT_TRUE(make_envelope(list(text), list("U7@example.com")).ok()) << "duplicates don't count";
    const auto refused = make_envelope(list(text), {}, list("one.more@example.com"));
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().detail.find("101"), std::string::npos);
}

TEST(Envelope, NobodyIsRefused) { EXPECT_FALSE(make_envelope({}).ok()); }

}  // namespace
}  // namespace mailer::core
