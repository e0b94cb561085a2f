// Mail that is given ready-made: kept to the octet but for what is missing.
#include "core/mail/raw.hpp"

#include <gtest/gtest.h>

namespace mailer::core {
namespace {

const std::string head = "From: Ada <ada@example.com>\r\nSubject: Signed\r\n mail\r\n";

std::string refusal_of(std::string_view source) {
    const auto facts = inspect_raw(source);
    return facts ? "" : facts.error().detail;
}

TEST(Raw, WhatIsThereStaysToTheOctet) {
    const std::string source = head +
                               "Date: Sat, 26 Oct 2024 09:30:00 +0200\r\nMessage-ID: <1@example.com>\r\n"
                               "X-Odd:   two  blanks \r\n\r\n.dot\r\n  body \t\r\n";
    const auto facts = inspect_raw(source);
    ASSERT_TRUE(facts.ok());
    EXPECT_EQ(facts->message_id, "<1@example.com>");
    EXPECT_EQ(facts->subject, "Signed mail");
    EXPECT_EQ(facts->from.front().mailbox(), "ada@example.com");
    EXPECT_FALSE(facts->is_8bit || facts->needs_smtputf8);
    EXPECT_EQ(finish_raw(source, *facts, "<2@example.com>", {}), source);
}

TEST(Raw, MissingFieldsAreAddedInFront) {
    const auto facts = inspect_raw(head + "\r\nbody");
    ASSERT_TRUE(facts.ok());
    EXPECT_EQ(finish_raw(head + "\r\nbody", *facts, "<2@example.com>", Time{}),
              "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nMessage-ID: <2@example.com>\r\n" + head + "\r\nbody\r\n");
    EXPECT_TRUE(
        finish_raw("From: a@b.example\n", *inspect_raw("From: a@b.example\n"), "<2@x>", {}).ends_with("\r\n\r\n"));
}

TEST(Raw, BareLineFeedsBecomeCrlfAndEightBitsAreSeen) {
    const std::string source = "From: a@b.example\n\ngrün\n";
    const auto facts = inspect_raw(source);
    ASSERT_TRUE(facts.ok());
    EXPECT_TRUE(facts->is_8bit && !facts->needs_smtputf8);
    EXPECT_TRUE(finish_raw(source, *facts, "<2@x>", {}).ends_with("From: a@b.example\r\n\r\ngrün\r\n"));
    EXPECT_TRUE(inspect_raw("From: a@b.example\nSubject: grün\n\nx")->needs_smtputf8);
}

TEST(Raw, WhatNoServerCouldPassOnIsRefused) {
    using namespace std::string_view_literals;
    EXPECT_NE(refusal_of(""), "");
    EXPECT_NE(refusal_of("no header at all"), "");
    EXPECT_EQ(refusal_of("Subject: x\r\n\r\nb"), "It has no From.");
    EXPECT_NE(refusal_of("From: nobody\r\n\r\n"), "");
    EXPECT_NE(refusal_of(head + "Bcc: x@example.com\r\n\r\n"), "");
    EXPECT_NE(refusal_of(head + "From: b@example.com\r\n\r\n"), "");
    EXPECT_NE(refusal_of(head + "Message-ID: <1@x.example>\r\nMessage-Id: <2@x.example>\r\n\r\n"), "");
    EXPECT_NE(refusal_of(head + "\r\n" + std::string(999, 'x')), "");
    EXPECT_EQ(refusal_of(head + "\r\n" + std::string(998, 'x')), "");
    EXPECT_NE(refusal_of(head + "\r\na\rb"), "");
    EXPECT_NE(refusal_of("From: a@b.example\r\n\r\na\0b"sv), "");
    EXPECT_NE(refusal_of(" From: a@b.example\r\n\r\n"), "");
}

}  // namespace
}  // namespace mailer::core
