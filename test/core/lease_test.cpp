// mailer.sender_lease as text.
#include "core/standby/lease.hpp"

#include <gtest/gtest.h>

namespace mailer::core {
namespace {

TEST(Lease, IsAnAddressOrAFileWithItsAge) {
    EXPECT_EQ(parse_lease("")->kind, LeaseSource::Kind::none);
    const auto http = parse_lease("http://127.0.0.1:8008/primary");
    ASSERT_TRUE(http.ok());
    EXPECT_EQ(http->kind, LeaseSource::Kind::http);
    EXPECT_EQ(http->good_for, std::chrono::seconds{5});
    const auto file = parse_lease("file:/run/a:b:10s");
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(file->address, "/run/a:b");
    EXPECT_EQ(file->good_for, std::chrono::seconds{10});
    EXPECT_EQ(parse_lease("file:/x:500ms")->good_for, std::chrono::milliseconds{500});
    EXPECT_EQ(parse_lease("file:/x:1min")->good_for, std::chrono::minutes{1});
}

TEST(Lease, AnythingElseIsRefused) {
    for (const char* text : {"x", "file:x:1s", "file:/x", "file:/x:0s", "file:/x:1h", "file:/x:s", "file:/x:-1s",
                             "file::1s", "http://", "http:///x", "http://:80", "http://a b", "file:/a b:1s", "ftp://x"})
        EXPECT_FALSE(parse_lease(text).ok()) << text;
}

}  // namespace
}  // namespace mailer::core
