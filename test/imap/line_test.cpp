// What a connection refuses before it is one.
#include "imap/line.hpp"

#include <gtest/gtest.h>

#include "net/cleartext.hpp"

namespace mailer::imap {
namespace {

class LineTest : public ::testing::Test {
protected:
    LineTest() {
        endpoint.host = "imap.example.invalid";
        endpoint.port = 143;
        endpoint.username = "ada";
        endpoint.password = "s3cret";
    }
    std::string error() {
        const Line line(loop, std::make_shared<const smtp::Endpoint>(endpoint), Plan{}, core::Time{});
        return line.error();
    }

    smtp::CurlLoop loop{4};
    smtp::Endpoint endpoint;
};

TEST_F(LineTest, ALoginWithoutTlsAcrossTheNetworkIsRefusedAndSaysWhatToSet) {
    endpoint.tls = smtp::Tls::none;
    EXPECT_NE(error().find("set imap_tls to starttls or implicit"), std::string::npos) << error();
    EXPECT_EQ(error().find("s3cret"), std::string::npos);
    endpoint.oauth_bearer = "token";
    EXPECT_NE(error().find("clear text"), std::string::npos);
}

TEST_F(LineTest, ALoginWithoutTlsIsTriedOnThisMachineAndWhereTheNetworkIsTrusted) {
    endpoint.tls = smtp::Tls::none;
    endpoint.allow_cleartext_login = true;
    EXPECT_EQ(error(), "");
    endpoint.allow_cleartext_login = false;
    endpoint.host = "localhost";
    EXPECT_EQ(error(), "");
}

TEST_F(LineTest, TlsNeedsNoPermission) {
    for (const smtp::Tls tls : {smtp::Tls::starttls, smtp::Tls::implicit}) {
        endpoint.tls = tls;
        EXPECT_EQ(error(), "");
    }
}

TEST(Loopback, IsAnAddressOfThisMachineAndNoNameThatLooksLikeOne) {
    for (const char* host : {"localhost", "127.0.0.1", "127.9.8.7", "::1", "[::1]"})
        EXPECT_TRUE(smtp::is_loopback(host)) << host;
    for (const char* host :
         {"127.example.com", "127.0.0.1.example.com", "0.0.0.0", "128.0.0.1", "localhost.example.com", ""})
        EXPECT_FALSE(smtp::is_loopback(host)) << host;
}

TEST(Loopback, IsElsewhereThroughAProxy) {
    EXPECT_TRUE(smtp::stays_on_this_machine("localhost", false));
    EXPECT_FALSE(smtp::stays_on_this_machine("localhost", true));
    EXPECT_FALSE(smtp::stays_on_this_machine("smtp.example.com", false));
}

}  // namespace
}  // namespace mailer::imap
