// Header fields: what may be set, and how values are folded and encoded (RFC 5322 2.2.3, RFC 2047).
#include "core/mail/header.hpp"

#include <gtest/gtest.h>

#include "core/mail/header_date.hpp"

namespace mailer::core {
namespace {

std::string text_field(std::string_view value, std::size_t longest = 900) {
    std::string out;
    HeaderWriter writer(out);
    writer.unstructured("Subject", value, longest);
    return writer.error() ? "error" : out;
}

std::string address_field(std::vector<Address> list) {
    std::string out;
    HeaderWriter writer(out);
    writer.addresses("To", list);
    return writer.error() ? "error" : out;
}

std::size_t longest_line(const std::string& text) {
    std::size_t longest = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find("\r\n", at);
        longest = std::max(longest, end - at);
        at = end + 2;
    }
    return longest;
}

TEST(Header, OwnedFieldsAreRefusedInAnyCaseWithAHint) {
    for (const char* name : {"From", "TO", "cc", "Bcc", "Subject", "date", "Message-Id", "MIME-Version", "content-type",
                             "Content-Anything", "Reply-To", "Sender", "Return-Path", "Received", "Resent-To",
                             "DKIM-Signature", "ARC-Seal"}) {
        const auto error = check_header(name, "x");
        ASSERT_TRUE(error.has_value()) << name;
        EXPECT_EQ(error->sqlstate, "22023");
        EXPECT_FALSE(error->hint.empty());
    }
    for (const char* name : {"X-Priority", "Precedence", "X-From", "Tok", "Received2", "Archived-At"})
        EXPECT_FALSE(check_header(name, "x").has_value()) << name;
}

TEST(Header, IllegalNamesAndValuesAreRefused) {
    using namespace std::string_view_literals;
    for (const auto name : {""sv, "X Y"sv, "X:"sv, "X\r\nY"sv, "X\0"sv, "Ü"sv, "X\t"sv})
        EXPECT_TRUE(check_header(name, "x").has_value()) << name;
    EXPECT_TRUE(check_header(std::string(77, 'X'), "x").has_value());
    for (const auto value : {"a\r\nb"sv, "a\n"sv, "\r"sv, "a\0b"sv, "\x7F"sv, "\xC2\x80"sv, "\xFF"sv})
        EXPECT_TRUE(check_header("X-A", value).has_value()) << value;
    EXPECT_TRUE(check_header("X-A", std::string(32'001, 'x')).has_value());
    EXPECT_FALSE(check_header("X-A", "Größe 😀").has_value());
    EXPECT_TRUE(check_header("List-Unsubscribe", "<https://exämple.com>").has_value());
    EXPECT_TRUE(check_header("References", "<a@b> junk").has_value());
    EXPECT_FALSE(check_header("References", "<a@b> <c@d>").has_value());
}

TEST(Header, MessageIdentifiersAreOnePairOfBracketsWithAnAt) {
    EXPECT_FALSE(check_message_id("<a.b+c@x>").has_value());
    for (const char* bad :
         {"", "<>", "a@b", "<a@b", "<a>", "<@b>", "<a@>", "<a b@c>", "<a@b><c@d>", "<ä@b>", "<a@b>\n"})
        EXPECT_TRUE(check_message_id(bad).has_value()) << bad;
}

TEST(Header, AsciiTextIsWrittenAsItIs) {
    EXPECT_EQ(text_field("Ticket 156: it's (not) \"done\""), "Subject: Ticket 156: it's (not) \"done\"\r\n");
    EXPECT_EQ(text_field(""), "Subject:\r\n");
    EXPECT_EQ(text_field("  x "), "Subject: x\r\n");
}

TEST(Header, OnlyTheWordsThatNeedItAreEncoded) {
    EXPECT_EQ(text_field("Ticket 156: Größe geändert now"),
              "Subject: Ticket 156: =?utf-8?Q?Gr=C3=B6=C3=9Fe_ge=C3=A4ndert?= now\r\n");
    EXPECT_EQ(text_field("你好"), "Subject: =?utf-8?B?5L2g5aW9?=\r\n");
}

TEST(Header, TextThatLooksEncodedIsEncodedSoThatItStaysAsTyped) {
    EXPECT_EQ(text_field("=?utf-8?Q?x?="), "Subject: =?utf-8?Q?=3D=3Futf-8=3FQ=3Fx=3F=3D?=\r\n");
}

TEST(Header, FoldingOnlyAddsCrlfBeforeABlank) {
    std::string value = "word";
    for (int i = 0; i < 60; ++i)
        value += i % 7 == 0 ? "  word" : " word";
    const std::string field = text_field(value);
    EXPECT_LE(longest_line(field), 78u);
    std::string unfolded = field;
    for (auto at = unfolded.find("\r\n "); at != std::string::npos; at = unfolded.find("\r\n "))
        unfolded.erase(at, 2);
    EXPECT_EQ(unfolded, "Subject: " + value + "\r\n");
}

TEST(Header, EncodedWordsAreAtMost75OctetsAndEndBetweenCharacters) {
    for (const char* character : {"ü", "漢", "😀", "é\xCC\x81"}) {
        std::string value;
        for (int i = 0; i < 100; ++i)
            value += character;
        const std::string field = text_field(value);
        EXPECT_LE(longest_line(field), 76u);
        for (std::size_t at = field.find("=?"); at != std::string::npos; at = field.find("=?utf", at + 1)) {
            const auto end = field.find("?=", at + 10);
            EXPECT_LE(end + 2 - at, 75u);
            if (field[at + 8] != 'Q') continue;
            EXPECT_EQ((end - at - 10) % 3, 0u);
            EXPECT_GE(field.substr(at + 10, 2), "=C");  // a lead octet begins it
        }
    }
}

TEST(Header, OnlyTheLastBase64WordIsPadded) {
    for (const char* start : {"", "a", "ab", "ü", "😀"}) {
        std::string value = start;
        for (int i = 0; i < 60; ++i)
            value += i % 5 == 0 ? "漢ü" : "漢";
        const std::string field = text_field(value);
        const auto padded = field.find("=?=");
        EXPECT_TRUE(padded == std::string::npos || field.substr(padded) == "=?=\r\n") << field;
    }
}

TEST(Header, LongWordsAreKeptInCustomFieldsAndEncodedInSubjects) {
    const std::string url = "https://example.com/" + std::string(200, 'x');
    EXPECT_EQ(text_field(url), "Subject: " + url + "\r\n");
    EXPECT_LE(longest_line(text_field(url, 74)), 76u);
    EXPECT_LE(longest_line(text_field(std::string(5000, 'x'))), 998u);
}

TEST(Header, NamesAreAtomsQuotedOrEncodedAsTheyNeed) {
    EXPECT_EQ(address_field({{"Ada Lovelace", "ada", "example.com"}}), "To: Ada Lovelace <ada@example.com>\r\n");
    EXPECT_EQ(address_field({{"Bob, \"B\"", "bob", "example.com"}}), "To: \"Bob, \\\"B\\\"\" <bob@example.com>\r\n");
    EXPECT_EQ(address_field({{"Jörg Meyer, Ulm", "j", "example.com"}}),
              "To: =?utf-8?Q?J=C3=B6rg_Meyer=2C_Ulm?= <j@example.com>\r\n");
    EXPECT_EQ(address_field({{"=?x?=", "j", "example.com"}}), "To: =?utf-8?B?PT94Pz0=?= <j@example.com>\r\n");
}

TEST(Header, ManyAddressesAreFoldedBetweenThem) {
    std::vector<Address> list(40, Address{"Ada Lovelace", "ada", "example.com"});
    EXPECT_LE(longest_line(address_field(list)), 76u);
}

TEST(Header, WriterRefusesWhatNobodyChecked) {
    EXPECT_EQ(text_field("a\r\nb"), "error");
    EXPECT_EQ(address_field({{"a\nb", "a", "example.com"}}), "error");
    EXPECT_EQ(address_field({{"", "a", "example.com\r\nx"}}), "error");
    std::string out;
    HeaderWriter writer(out);
    const std::string evil = "a=\"x\r\ny\"";
    writer.parameterised("Content-Type", "text/plain", {&evil, 1});
    writer.structured("X-A", "ü");
    EXPECT_TRUE(writer.error().has_value());
    EXPECT_EQ(out.find('\n'), std::string::npos);
}

TEST(Header, DatesAreEnglishWithTheGivenOffset) {
    EXPECT_EQ(format_date(from_unix_us(0), 0), "Thu, 01 Jan 1970 00:00:00 +0000");
    EXPECT_EQ(format_date(from_unix_us(951'782'399'999'999), -210), "Mon, 28 Feb 2000 20:29:59 -0330");
    EXPECT_EQ(format_date(from_unix_us(-1), 330), "Thu, 01 Jan 1970 05:29:59 +0530");
}

}  // namespace
}  // namespace mailer::core
