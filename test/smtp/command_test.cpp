// Reports that a server is asked for (RFC 3461): only where it offers DSN, and with what stands for the message.
#include "smtp/command.hpp"

#include <gtest/gtest.h>

namespace {

using namespace mailer::smtp;

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

}  // namespace
