// Hard, soft or not its own fault: every rule by the sentence that it is for, and what codes say without words.
#include "core/feedback/fault.hpp"

#include <gtest/gtest.h>

#include "core/feedback/fault_rules.hpp"
#include "core/feedback/provider_id.hpp"
#include "core/feedback/reply_code.hpp"
#include "core/feedback/text.hpp"

using namespace mailer::core::feedback;

namespace {

TEST(Fault, EveryRuleIsFoundInTheSentenceThatItIsFor) {
    for (const FaultRule& rule : fault_rules) {
        EXPECT_EQ(rule.phrase, comparable(rule.phrase)) << "is not written as texts are compared";
        const Finding finding = weigh(find_code(rule.sample), find_enhanced(rule.sample), rule.sample);
        EXPECT_EQ(to_text(finding.cause), to_text(rule.cause)) << rule.phrase << " in " << rule.sample;
    }
}

TEST(Fault, WordsCountBeforeCodes) {
    EXPECT_FALSE(weigh(550, "5.1.1", "5.1.1 mailbox full").is_hard());
    EXPECT_FALSE(weigh(550, "5.1.1", "your IP address is blacklisted").is_hard());
    EXPECT_TRUE(weigh(550, "5.7.1", "<a@example.com>: Recipient address rejected: User unknown").is_hard());
    EXPECT_TRUE(weigh(550, "5.4.1", "<a@b>: Recipient address rejected: Access denied").is_hard());
    EXPECT_EQ(weigh(550, "5.4.1", "relay access denied").fault, Fault::not_its_own);
}

TEST(Fault, CodesCountWhereWordsSayNothing) {
    EXPECT_TRUE(weigh(550, "5.1.1", "").is_hard());
    EXPECT_TRUE(weigh(550, "5.1.6", "gone").is_hard());
    EXPECT_TRUE(weigh(550, "5.4.4", "").is_hard());
    EXPECT_FALSE(weigh(550, "5.2.1", "").is_hard());  // disabled: it may be switched on again
    EXPECT_FALSE(weigh(550, "", "").is_hard());
    EXPECT_FALSE(weigh(550, "", "Rejected").is_hard());
    EXPECT_EQ(weigh(550, "5.7.1", "no").fault, Fault::not_its_own);
    EXPECT_EQ(weigh(0, "4.4.7", "").cause, Cause::temporary);
}

TEST(Fault, CodesBetweenTheWordsOfAFoldedReplyDontHideThem) {
    EXPECT_TRUE(weigh(550, "5.1.1", "550-5.1.1 The email account that you tried to\n 550 5.1.1 reach does not exist")
                    .is_hard());
}

TEST(Fault, ABareRejectionOfTheRecipientIsHard) {
    EXPECT_TRUE(weigh(550, "", "<a@example.com>: Recipient address rejected.").is_hard());
    EXPECT_FALSE(weigh(550, "", "<a@example.com>: Recipient address rejected: Mailer error").is_hard());
}

TEST(ReplyCode, IsNeverAPartOfSomethingElse) {
    EXPECT_EQ(find_code("host mx [192.0.2.20]: 550 no"), 550);
    EXPECT_EQ(find_code("smtp; 552-5.2.2 x"), 552);
    EXPECT_EQ(find_code("192.168.2.550 and v550x, port 5500"), 0);
    EXPECT_EQ(find_enhanced("from 5.1.1.1 came 550 5.7.26 no"), "5.7.26");
    EXPECT_EQ(find_enhanced("(#5.1.1 - chkusr)"), "5.1.1");
    EXPECT_EQ(find_enhanced("550-5.1.1 x"), "5.1.1");
    EXPECT_EQ(find_enhanced("version 1.5.1.1"), "");
}

TEST(ProviderId, IsWhatTheProviderWillNameTheMailBy) {
    EXPECT_EQ(provider_id("Ok 0102018f2b7c6d5e-1a2b3c4d-0000-1111-2222-333344445555-000000"),
              "0102018f2b7c6d5e-1a2b3c4d-0000-1111-2222-333344445555-000000");
    EXPECT_EQ(provider_id("OK <AM9PR01MB1@AM9PR01MB1.eurprd01.prod.outlook.com> [Hostname=AM9PR01MB1]"),
              "AM9PR01MB1@AM9PR01MB1.eurprd01.prod.outlook.com");
    EXPECT_EQ(provider_id("Ok: queued as n9wVbzs_Q_2qQ7Xh1Jkq0A"), "n9wVbzs_Q_2qQ7Xh1Jkq0A");
    EXPECT_EQ(provider_id("Ok: queued as 4XyZ1a2B3c4D"), "");
    EXPECT_EQ(provider_id("OK id=1rXyZa-0005Ab-2C"), "");
    EXPECT_EQ(provider_id(""), "");
    const auto message_id = [](const char* id, const char* host) { return provider_message_id(id, host); };
    EXPECT_EQ(message_id("AM9@prod.outlook.com", "smtp.office365.com"), "AM9@prod.outlook.com");
    EXPECT_EQ(message_id("0102-000000", "email-smtp.eu-west-1.amazonaws.com"), "0102-000000@eu-west-1.amazonses.com");
    EXPECT_EQ(message_id("0100-000000", "email-smtp.us-east-1.amazonaws.com"), "0100-000000@email.amazonses.com");
    EXPECT_EQ(message_id("n9wVbzs_Q_2qQ7Xh1Jkq0A", "smtp.sendgrid.net"), "");
    EXPECT_EQ(message_id("0102-000000", "email-smtp..amazonaws.com"), "");
    EXPECT_EQ(message_id("", "email-smtp.us-east-1.amazonaws.com"), "");
}

}  // namespace
