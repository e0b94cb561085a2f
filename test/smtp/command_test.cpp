// The commands of a transaction: parameters only where they are offered, and nothing that a server can't take.
#include "smtp/command.hpp"

#include <gtest/gtest.h>

namespace {

using namespace mailer::smtp;

Delivery delivery_to(std::vector<std::string> recipients, std::string body = "Subject: x\r\n\r\nhello\r\n") {
    Delivery d;
    d.token = 5;
    d.mailbox_id = 3;
    d.sender = "s@x.example";
    d.recipients = std::move(recipients);
    d.body = std::make_shared<const std::string>(std::move(body));
    return d;
}

const Delivery one = delivery_to({"a@y.example"});

TEST(Command, ReportsAreAskedForWhereTheServerOffersThem) {
    Delivery mail;
    mail.sender = "s@x.example";
    mail.recipients = {"a+b@x.example"};
    mail.envelope_id = "7.0a1b";
    mail.notify = "FAILURE";
    const Capabilities without_dsn;
    EXPECT_EQ(mail_command(mail, without_dsn), "MAIL FROM:<s@x.example>\r\n");
    EXPECT_EQ(rcpt_command(mail, 0, without_dsn), "RCPT TO:<a+b@x.example>\r\n");
    Capabilities with_dsn;
    with_dsn.add("DSN");
    EXPECT_EQ(mail_command(mail, with_dsn), "MAIL FROM:<s@x.example> RET=HDRS ENVID=7.0a1b\r\n");
    EXPECT_EQ(rcpt_command(mail, 0, with_dsn),
              "RCPT TO:<a+b@x.example> NOTIFY=FAILURE ORCPT=rfc822;a+2Bb@x.example\r\n");
    mail.notify.clear();
    EXPECT_EQ(mail_command(mail, with_dsn), "MAIL FROM:<s@x.example>\r\n");
}

TEST(Command, ParametersAreGivenOnlyWhenOffered) {
    Capabilities c;
    EXPECT_EQ(mail_command(one, c), "MAIL FROM:<s@x.example>\r\n");
    c.has_size = true;
    EXPECT_EQ(mail_command(one, c), "MAIL FROM:<s@x.example> SIZE=21\r\n");
    Delivery d = one;
    d.is_8bit = d.needs_smtputf8 = true;
    c.has_8bitmime = c.has_smtputf8 = true;
    EXPECT_EQ(mail_command(d, c), "MAIL FROM:<s@x.example> SIZE=21 BODY=8BITMIME SMTPUTF8\r\n");
    d.sender.clear();
    EXPECT_TRUE(mail_command(d, c).starts_with("MAIL FROM:<> "));
}

TEST(Command, AnAddressInAnotherScriptNeedsSmtputf8) {
    EXPECT_EQ(find_misfit(delivery_to({"żółw@y.example"}), {})->enhanced, "5.6.7");
    Capabilities c;
    c.has_smtputf8 = true;
    EXPECT_FALSE(find_misfit(delivery_to({"żółw@y.example"}), c));
    Delivery d = one;
    d.needs_smtputf8 = true;
    EXPECT_EQ(find_misfit(d, {})->enhanced, "5.6.7");
}

TEST(Command, NothingThatCouldEndACommandGetsIntoOne) {
    const std::vector<std::string> bad{
        "a@b\r\nRCPT TO:<x@y>", "a@b\n", "a@b\r", std::string("a\0@b", 4), "a@b>", "<a@b", "a @b", "a@b\t", "a@b\x7f",
        "a@b> SIZE=1"};
    for (const std::string& address : bad) {
        EXPECT_EQ(find_misfit(delivery_to({"ok@y.example", address}), {})->enhanced, "5.1.3") << address;
        Delivery d = one;
        d.sender = address;
        EXPECT_EQ(find_misfit(d, {})->enhanced, "5.1.7") << address;
    }
    EXPECT_TRUE(find_misfit(delivery_to({""}), {}));
    EXPECT_TRUE(find_misfit(delivery_to({}), {}));
}

TEST(Command, EightBitNeeds8bitmime) {
    Delivery d = one;
    d.is_8bit = true;
    EXPECT_EQ(find_misfit(d, {})->enhanced, "5.6.3");
}

TEST(Command, SizeIsComparedWithTheLimitAndZeroIsNone) {
    Capabilities c;
    c.has_size = true;
    EXPECT_FALSE(find_misfit(one, c));
    c.size_limit = one.body->size();
    EXPECT_FALSE(find_misfit(one, c));
    c.size_limit--;
    EXPECT_EQ(find_misfit(one, c)->enhanced, "5.3.4");
    EXPECT_EQ(find_misfit(one, c)->code, 0);  // no server said it
}

}  // namespace
