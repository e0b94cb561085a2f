// Transfer encodings to the octet (RFC 2045 6.7, 6.8) and content types (5.1).
#include "core/mail/mime_encode.hpp"

#include <gtest/gtest.h>

#include "core/mail/mime_type.hpp"

namespace mailer::core {
namespace {

std::string base64(std::string_view in, Base64Lines lines = Base64Lines::k76) {
    std::string out;
    append_base64(in, out, lines);
    return out;
}

std::string qp(std::string_view in) {
    std::string out;
    append_quoted_printable(in, out);
    return out;
}

TEST(MimeEncode, Base64IsThatOfRfc4648) {
    const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                           {"f", "Zg=="},
                                                           {"fo", "Zm8="},
                                                           {"foo", "Zm9v"},
                                                           {"foob", "Zm9vYg=="},
                                                           {"fooba", "Zm9vYmE="},
                                                           {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, encoded] : vectors)
        EXPECT_EQ(base64(plain), encoded);
    EXPECT_EQ(base64("\xFB\xFF\xBF"), "+/+/");
}

TEST(MimeEncode, Base64LinesHave76ColumnsAndTheSizeIsForetold) {
    for (const std::size_t size : {56, 57, 58, 114, 57 * 32, 57 * 32 + 1, 57 * 64, 100'000}) {
        const std::string content(size, 'x');
        const std::string out = base64(content);
        EXPECT_EQ(out.size(), base64_size(size));
        EXPECT_FALSE(out.ends_with("\r\n"));
        for (std::size_t at = 76; at < out.size(); at += 78)
            EXPECT_EQ(out.substr(at, 2), "\r\n");
        EXPECT_EQ(base64(content, Base64Lines::kNone).find('\r'), std::string::npos);
    }
}

TEST(MimeEncode, QuotedPrintableEscapesWhatWouldNotSurvive) {
    EXPECT_EQ(qp("Größe = 1\n"), "Gr=C3=B6=C3=9Fe =3D 1\r\n");
    EXPECT_EQ(qp("a \nb\t\n \n"), "a=20\r\nb=09\r\n=20\r\n");
    EXPECT_EQ(qp("From x\nxFrom "), "=46rom x\r\nxFrom=20\r\n");
    EXPECT_EQ(qp(std::string_view("\0\x01\x7F", 3)), "=00=01=7F\r\n");
    EXPECT_EQ(qp(""), "");
    EXPECT_EQ(qp("\n\n"), "\r\n\r\n");
}

TEST(MimeEncode, QuotedPrintableBreaksSoftlyAt76) {
    EXPECT_EQ(qp(std::string(80, 'x')), std::string(75, 'x') + "=\r\nxxxxx\r\n");
    EXPECT_EQ(qp(std::string(73, 'x') + "ü"), std::string(73, 'x') + "=\r\n=C3=BC\r\n");
}

TEST(MimeEncode, AttachedTextComesBackToTheOctet) {
    const auto exact = [](std::string_view in) {
        std::string out;
        append_quoted_printable_exact(in, out);
        return out;
    };
    EXPECT_EQ(exact("a=b\r\nc"), "a=3Db\r\nc");
    EXPECT_EQ(exact("a\nb\n"), "a=0A=\r\nb=0A");
    EXPECT_EQ(exact("a \r\rb\r\n\r\n"), "a=20=0D=\r\n=0D=\r\nb\r\n\r\n");
    EXPECT_EQ(exact(""), "");
    EXPECT_EQ(exact(std::string(80, 'x') + "\n"), std::string(75, 'x') + "=\r\nxxxxx=0A");
}

TEST(MimeEncode, TheLightestEncodingThatArrivesIsChosen) {
    EXPECT_EQ(plan_text("plain\n.\n").encoding, TextEncoding::k7bit);
    EXPECT_EQ(plan_text("").encoding, TextEncoding::k7bit);
    EXPECT_EQ(plan_text(std::string(78, 'x')).encoding, TextEncoding::k7bit);
    EXPECT_EQ(plan_text(std::string(79, 'x')).encoding, TextEncoding::kQuotedPrintable);
    EXPECT_EQ(plan_text("From x").encoding, TextEncoding::kQuotedPrintable);
    EXPECT_EQ(plan_text("--=_x").encoding, TextEncoding::kQuotedPrintable);
    EXPECT_EQ(plan_text("\x01").encoding, TextEncoding::kQuotedPrintable);
    EXPECT_EQ(plan_text("Die Größe ändert sich").encoding, TextEncoding::kQuotedPrintable);
    EXPECT_EQ(plan_text("你好，世界").encoding, TextEncoding::kBase64);
}

TEST(MimeEncode, WhatMayTravelUnencodedIsKnown) {
    EXPECT_TRUE(is_7bit("a\nb\r\n" + std::string(998, 'x')));
    EXPECT_FALSE(is_7bit(std::string(999, 'x')));
    EXPECT_FALSE(is_7bit("\xC3\xBC"));
    EXPECT_FALSE(is_7bit(std::string_view("\0", 1)));
}

TEST(MimeEncode, AMegabyteOfCarriageReturnsTakesNoLongerThanOneOfText) {
    std::string out;
    append_canonical_lines(std::string(1 << 20, '\r'), out);  // a quadratic search would take minutes
    EXPECT_EQ(out.size(), 2u << 20);
    out.clear();
    append_canonical_lines(std::string(1 << 20, '\n') + "\r", out);
    EXPECT_EQ(out.size(), (2u << 20) + 2);
}

TEST(MimeType, GivenTypesAreCheckedAndLowerCased) {
    const auto type = parse_content_type("Text/Calendar; method=REQUEST; charset=\"utf-8\"; name=x");
    ASSERT_TRUE(type.ok());
    EXPECT_EQ(type.value().type, "text/calendar");
    EXPECT_EQ(type.value().parameters, (std::vector<std::string>{"method=REQUEST", "charset=\"utf-8\""}));
    for (const char* bad :
         {"", "text", "text/", "/plain", "te xt/plain", "text/plain; x", "text/plain; x=", "text/plain; x=a b",
          "text/plain; x=\"a", "text/plain\r\n", "text/plain; x=\"a\"b\"", "tëxt/plain", "text/a/b"})
        EXPECT_FALSE(parse_content_type(bad).ok()) << bad;
}

TEST(MimeType, EndingsAreGuessedWithoutCase) {
    EXPECT_EQ(guess_content_type("a.b.JPG"), "image/jpeg");
    EXPECT_EQ(guess_content_type("x.zst"), "application/zstd");
    for (const char* name : {"", ".", "pdf", "a.", "a.unknown", "a.pdf.", "a.verylongending"})
        EXPECT_EQ(guess_content_type(name), "application/octet-stream") << name;
}

}  // namespace
}  // namespace mailer::core
