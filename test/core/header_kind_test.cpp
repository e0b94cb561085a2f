// Fields that an application sets: structured ones keep their words, free text is encoded (RFC 2047 5).
#include "core/mail/header_kind.hpp"

#include <gtest/gtest.h>

#include "core/mail/header.hpp"

namespace mailer::core {
namespace {

std::string written(std::string_view name, std::string_view value) {
    std::string out;
    HeaderWriter writer(out);
    writer.application(name, value);
    return writer.error() ? writer.error()->sqlstate + ": " + writer.error()->message : out;
}

TEST(HeaderKind, AUrlWithTheSignsOfAnEncodedWordStays) {
    const std::string url = "<https://example.com/u/dG9rZW4=?utm=mail>";
    EXPECT_EQ(written("List-Unsubscribe", url), "List-Unsubscribe: " + url + "\r\n");
    EXPECT_EQ(written("X-Link", "https://example.com/?a=?b"), "X-Link: https://example.com/?a=?b\r\n");
    EXPECT_EQ(written("X-Link", "=?utf-8?Q?a?= b"), "X-Link: =?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=3F=3D?= b\r\n");
}

TEST(HeaderKind, LongWordsStayUpToTheLineAndAreRefusedBeyond) {
    const std::string word(997, 'x');
    EXPECT_EQ(written("X-Token", word), "X-Token:\r\n " + word + "\r\n");
    EXPECT_EQ(written("List-Help", word), "List-Help:\r\n " + word + "\r\n");
    EXPECT_EQ(written("X-Token", word + "x").substr(0, 5), "22023");
    EXPECT_EQ(written("List-Help", word + "x").substr(0, 5), "22023");
    std::string many;
    for (int i = 0; i < 60; ++i)
        many += "<" + std::to_string(i) + ".12345678901234567890@example.com> ";
    EXPECT_FALSE(check_header("References", many).has_value());
    EXPECT_TRUE(written("References", many).find("=?") == std::string::npos);
}

TEST(HeaderKind, EncodedWordsStandOnlyInCommentsAndPhrases) {
    EXPECT_EQ(written("List-Help", "<mailto:a@example.com> (für alle)"),
              "List-Help: <mailto:a@example.com> ( =?utf-8?Q?f=C3=BCr_alle?= )\r\n");
    EXPECT_EQ(written("List-Help", "<https://exämple.com>").substr(0, 5), "22023");
    EXPECT_EQ(written("List-Id", "\"Bücher, neu\" <books.example.com>"),
              "List-Id: =?utf-8?Q?B=C3=BCcher=2C_neu?= <books.example.com>\r\n");
    EXPECT_EQ(written("List-Id", "<books.example.com>"), "List-Id: <books.example.com>\r\n");
    EXPECT_EQ(written("Disposition-Notification-To", "\"Jörg, Q.\" <j@example.com>"),
              "Disposition-Notification-To: =?utf-8?B?SsO2cmcsIFEu?= <j@example.com>\r\n");
    EXPECT_EQ(written("Return-Receipt-To", "nobody").substr(0, 5), "22023");
}

}  // namespace
}  // namespace mailer::core
