// Reading, checking and writing addresses (RFC 5321 4.1.2 and 4.5.3.1, RFC 5322 3.4, RFC 6531, RFC 5891).
#include "core/mail/address.hpp"

#include <gtest/gtest.h>

namespace mailer::core {
namespace {

std::string spelled(std::string_view text) {
    const auto list = parse_address_list(text);
    if (!list) return "error: " + list.error().message;
    std::string out;
    for (const Address& a : *list) {
        if (!out.empty()) out += " | ";
        out += a.name + "<" + a.mailbox() + ">";
    }
    return out;
}

std::string refusal_of(std::string_view text) {
    const auto list = parse_address_list(text);
    if (list) return "accepted";
    EXPECT_EQ(list.error().sqlstate, "22023");
    EXPECT_FALSE(list.error().detail.empty()) << text;
    return list.error().message;
}

bool is_refused(std::string_view text) { return !parse_address_list(text).ok(); }

TEST(Address, ListOfNamedQuotedAndBareAddressesIsRead) {
    EXPECT_EQ(spelled(R"(Ada <ada@example.com>, "Bob, B." <bob@example.com>, carol@bücher.example)"),
              "Ada<ada@example.com> | Bob, B.<bob@example.com> | <carol@xn--bcher-kva.example>");
}

TEST(Address, CommentsAreDroppedWhereverTheyStand) {
    EXPECT_EQ(spelled("(a (nested \\) one)) Ada (L.) <ada@example.com> (work), (x)bob(y)@(z)example.com(w)"),
              "Ada<ada@example.com> | <bob@example.com>");
}

TEST(Address, GroupsBecomeTheirMembers) {
    EXPECT_EQ(spelled("Team: Ada <ada@example.com>, bob@example.com;, \"Others\":; , carol@example.com"),
              "Ada<ada@example.com> | <bob@example.com> | <carol@example.com>");
    EXPECT_TRUE(is_refused("undisclosed-recipients:;"));
    EXPECT_TRUE(parse_address_list("undisclosed-recipients:;", EmptyGroups::allowed)->empty());
    EXPECT_TRUE(is_refused("Team: ada@example.com"));
    EXPECT_TRUE(is_refused("A: B: ada@example.com;;"));
    const auto closed_in_comment = parse_address_list("Team (;): ada@example.com");
    ASSERT_FALSE(closed_in_comment);
    EXPECT_NE(closed_in_comment.error().message.find("a group isn't closed"), std::string::npos);
}

TEST(Address, NamesMayBeInAnyLanguageAndHoldDots) {
    EXPECT_EQ(spelled("John Q. Public <j@example.com>, 山田 太郎 <t@example.com>, Łukasz O'Neil <l@example.com>"),
              "John Q. Public<j@example.com> | 山田 太郎<t@example.com> | Łukasz O'Neil<l@example.com>");
}

TEST(Address, QuotedLocalPartIsUnquotedInTheValueAndQuotedOnTheWire) {
    const auto address = parse_address(R"("two \"words\""@example.com)");
    ASSERT_TRUE(address.ok());
    EXPECT_EQ(address.value().local, "two \"words\"");
    EXPECT_EQ(address.value().mailbox(), R"("two \"words\""@example.com)");
}

TEST(Address, NeedlessQuotesAroundTheLocalPartAreNotSent) {
    EXPECT_EQ(spelled(R"("ada"@example.com)"), "<ada@example.com>");
}

TEST(Address, DomainIsLowerCasedAndConvertedToALabels) {
    EXPECT_EQ(spelled("Ada@EXAMPLE.Com"), "<Ada@example.com>");
    EXPECT_EQ(spelled("a@BÜCHER.example"), "<a@xn--bcher-kva.example>");
    EXPECT_EQ(spelled("a@bu\xCC\x88"
                      "cher.example"),
              "<a@xn--bcher-kva.example>");  // u + combining diaeresis
    EXPECT_EQ(spelled("a@例え。テスト"), "<a@xn--r8jz45g.xn--zckzah>");
    EXPECT_EQ(spelled("a@faß.example"), "<a@xn--fa-hia.example>");  // IDNA2008: not "fass"
}

TEST(Address, DomainLiteralsAreCheckedAndMadeCanonical) {
    EXPECT_EQ(spelled("a@[192.0.2.1]"), "<a@[192.0.2.1]>");
    EXPECT_EQ(spelled("a@[ipv6:2001:DB8:0::1]"), "<a@[IPv6:2001:db8::1]>");
    for (const char* bad :
         {"a@[]", "a@[192.0.2.256]", "a@[192.0.2.1", "a@[IPv6:::g]", "a@[example.com]", "a@192.0.2.1"})
        EXPECT_TRUE(is_refused(bad)) << bad;
}

TEST(Address, Utf8LocalPartIsTakenAndNeedsSmtputf8) {
    const auto address = parse_address("dömi@example.com");
    ASSERT_TRUE(address.ok());
    EXPECT_TRUE(address.value().needs_smtputf8());
    EXPECT_FALSE(parse_address("Dömi <domi@bücher.example>").value().needs_smtputf8());
}

TEST(Address, MalformedAddressesAreRefused) {
    for (const char* bad : {"",
                            "  ",
                            "ada",
                            "ada@",
                            "@example.com",
                            "ada@@example.com",
                            "ada@b@example.com",
                            "a b@example.com",
                            ".ada@example.com",
                            "ada.@example.com",
                            "a..b@example.com",
                            "ada@.example.com",
                            "ada@example..com",
                            "ada@example.com.",
                            "ada@-example.com",
                            "ada@example-.com",
                            "ada@exa_mple.com",
                            "ada@exam ple.com",
                            "<ada@example.com",
                            "ada@example.com>",
                            "Ada <ada@example.com> x",
                            "Ada <>",
                            "<>",
                            "\"ada@example.com",
                            "(ada@example.com",
                            "ada@example.com,",
                            ",ada@example.com",
                            "a@example.com,,b@example.com",
                            "a@example.com; b@example.com",
                            "a@example.com b@example.com",
                            "Ada ada@example.com",
                            "\"\"@example.com",
                            "<@relay.example:ada@example.com>",
                            "ada@exa\xC2\xA0mple.com",
                            "ad\xE2\x80\x8B"
                            "a@example.com",
                            "ada@example.com\\",
                            "a[b@example.com",
                            "Ada @ home <ada@example.com>"})
        EXPECT_TRUE(is_refused(bad)) << bad;
}

TEST(Address, ControlCharactersAndBrokenUtf8AreRefusedEverywhere) {
    using namespace std::string_view_literals;
    for (const std::string_view bad :
         {"ada@example.com\r\nBcc: eve@example.com"sv, "ada@example.com\n"sv, "a\0b@example.com"sv,
          "\"a\rb\" <ada@example.com>"sv, "\"a\nb\"@example.com"sv, "\"a\\\nb\"@example.com"sv, "(\n)ada@example.com"sv,
          "A\x7F <ada@example.com>"sv, "A\xC2\x85 <ada@example.com>"sv, "A\xE2\x80\xA8 <ada@example.com>"sv,
          "A\xFF <ada@example.com>"sv, "A\xC0\x8A <ada@example.com>"sv, "\"a\tb\" <ada@example.com>"sv,
          "ada@example.com\0"sv, "\xED\xA0\x80@example.com"sv})
        EXPECT_TRUE(is_refused(bad)) << bad;
}

TEST(Address, LimitsOfRfc5321AreKeptToTheOctet) {
    const std::string local64(64, 'a');
    EXPECT_FALSE(is_refused(local64 + "@example.com"));
    EXPECT_TRUE(is_refused(local64 + "a@example.com"));
    EXPECT_TRUE(is_refused("\"" + std::string(62, 'a') + " \"@example.com"));  // 65 with its quotes
    EXPECT_FALSE(is_refused("\"" + std::string(61, 'a') + " \"@example.com"));
    EXPECT_FALSE(is_refused("a@" + std::string(63, 'b') + ".example"));
    EXPECT_TRUE(is_refused("a@" + std::string(64, 'b') + ".example"));
    const std::string label = std::string(60, 'b') + ".";
    const std::string domain = label + label + label;                             // 183
    EXPECT_FALSE(is_refused("a@" + domain + std::string(60, 'c') + ".example"));  // 251 + 2, and 2 brackets: 255
    EXPECT_FALSE(is_refused("aa@" + domain + std::string(60, 'c') + ".example"));
    EXPECT_TRUE(is_refused("aaa@" + domain + std::string(60, 'c') + ".example"));
    EXPECT_TRUE(is_refused("a@" + domain + label + std::string(60, 'd') + ".example"));
}

TEST(Address, ErrorsNameTheFaultItsPlaceAndTheWayOut) {
    const auto error = parse_address_list("Ada <ada@example.com>, Böb, B. <bob@example.com>").error();
    EXPECT_EQ(error.message, "invalid mail address: \"@\" and a domain are missing after \"Böb\"");
    EXPECT_EQ(error.detail, "The problem is at character 24 of \"Ada <ada@example.com>, Böb, B. <bob@example.com>\".");
    EXPECT_EQ(error.hint, "A name that holds a comma or another special character stands in double quotes.");
    EXPECT_EQ(refusal_of("ada@example.com\nx"), "invalid mail address: control character U+000A");
    EXPECT_EQ(refusal_of("a@x; b@x"), "invalid mail address: unexpected \";\"");
    EXPECT_EQ(refusal_of("ada@"), "invalid mail address: the domain is missing");
}

TEST(Address, ErrorsStayValidUtf8WhateverWasTyped) {
    const auto error = parse_address_list("\xFF\xFE" + std::string(300, '\x80')).error();
    for (const char c : error.detail)
        EXPECT_LT(static_cast<unsigned char>(c), 0x80 + 0x70);
    EXPECT_EQ(error.detail.find('\xFF'), std::string::npos);
    const auto cut = parse_address_list(std::string(99, 'a') + "ööö").error();
    EXPECT_NE(cut.detail.find("a…\""), std::string::npos) << cut.detail;
}

TEST(Address, ExactlyOneIsWantedWhereOneIsWanted) {
    EXPECT_TRUE(parse_address("ada@example.com").ok());
    EXPECT_FALSE(parse_address("ada@example.com, bob@example.com").ok());
}

TEST(Address, HandMadeValuesAreCheckedToo) {
    EXPECT_FALSE(check_address({"Ada", "ada", "example.com"}).has_value());
    EXPECT_TRUE(check_address({"Ada\r\nBcc: eve@example.com", "ada", "example.com"}).has_value());
    EXPECT_TRUE(check_address({"", "ada\n", "example.com"}).has_value());
    EXPECT_TRUE(check_address({"", "", "example.com"}).has_value());
    EXPECT_TRUE(check_address({"", "ada", "example.com\r\nDATA"}).has_value());
    EXPECT_TRUE(check_address({"", "ada", "Example.com"}).has_value());
    EXPECT_TRUE(check_address({"", "ada", ""}).has_value());
}

TEST(Address, FormattedAddressParsesBackToItself) {
    for (const Address& address : std::vector<Address>{{"", "ada", "example.com"},
                                                       {"Ada", "ada", "example.com"},
                                                       {"Bob, \"B\" \\ <x>", "two words", "[192.0.2.1]"},
                                                       {"a  b", "ö", "xn--bcher-kva.example"},
                                                       {"J. (x)", "a@b", "example.com"}}) {
        const auto back = parse_address(format_address(address));
        ASSERT_TRUE(back.ok()) << format_address(address);
        EXPECT_EQ(back.value(), address);
    }
}

TEST(Address, HintsSayWhatToDo) {
    const auto hint = [](std::string_view text) { return parse_address_list(text).error().hint; };
    EXPECT_EQ(hint("joe@x.example <joe@x.example>"),
              "Put the name in double quotes: \"joe@x.example\" <joe@x.example>");
    EXPECT_EQ(hint("dependabot[bot] <d@x.example>"),
              "Put the name in double quotes: \"dependabot[bot]\" <d@x.example>");
    EXPECT_EQ(hint("Joe: Bot <j@x.example>"), "Put the name in double quotes: \"Joe: Bot\" <j@x.example>");
    EXPECT_TRUE(hint("mailto:a@x.example").starts_with("Drop mailto:"));
    EXPECT_TRUE(hint("MailTo:a@x.example, b@x.example").starts_with("Drop mailto:"));
}

TEST(Address, NoNameAddsAnAddress) {
    const Address eve{"", "eve", "example.com"};
    for (const std::string_view name : {"eve@evil.example, Bob", "a <b@c.example>", "\"", "\\", "a:b;", "(c)",
                                        "Bob\r\nBcc: x@y.example", "\t", "José, \"Pepe\"", "x\xC2\x85y"}) {
        const std::string text = address_with_name(name, eve);
        const auto list = parse_address_list(text);
        ASSERT_TRUE(list.ok()) << text;
        ASSERT_EQ(list->size(), 1u) << text;
        EXPECT_EQ(list->front().mailbox(), "eve@example.com");
    }
    EXPECT_EQ(address_with_name("eve@evil.example, Bob", eve), "\"eve@evil.example, Bob\" <eve@example.com>");
    EXPECT_EQ(address_with_name(" Help\nDesk ", eve), "Help Desk <eve@example.com>");
    EXPECT_EQ(address_with_name("", eve), "eve@example.com");
}

TEST(Address, LongNamesAndListsAreRefusedUnread) {
    EXPECT_EQ(parse_address_list(std::string(70'000, 'a') + " <ada@example.com>").error().sqlstate, "54000");
    EXPECT_EQ(parse_address_list(std::string(9 << 20, ',')).error().sqlstate, "54000");
}

}  // namespace
}  // namespace mailer::core
