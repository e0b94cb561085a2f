// What a refusal's words say about the mailbox, and what they don't.
#include <gtest/gtest.h>

#include "core/outcome/verdict.hpp"

namespace mailer::core {
namespace {

Report refused(Reply reply) {
    Report report;
    report.token = 7;
    report.recipient_count = 1;
    report.stage = Stage::rcpt;
    report.ending = Ending::answered;
    report.recipients.push_back({0, std::move(reply)});
    return report;
}

Verdict judged(const Report& report) {
    const Time now = from_unix_us(1'800'000'000'000'000);
    History history;
    history.age_from = now;
    return judge(report, {}, history, now);
}

TEST(Verdict, TheWordsInAnAddressThatTheServerRepeatsAreNotItsOwn) {
    for (const char* text :
         {"<throttle@example.com>: Recipient address rejected: no such user here",
          "ratelimit@example.com... User unknown", "<\"relay access denied\"@example.com>: Recipient address rejected",
          "<\"must authenticate@once\"@example.com> unknown", "user <x@daily-ratelimit.example> unknown",
          "\"sending quota\"@example.com", "@throttle", "unknown: ada@throttle",
          "<\"relay access denied now\"@example.com> unknown", "<\"x@ rate limit z\"@example.com> unknown",
          R"(<"rate limit \" z"@example.com> unknown)", R"("list" <"rate limit \\"@example.com> unknown)"}) {
        const Verdict verdict = judged(refused({550, "", text}));
        EXPECT_EQ(verdict.trouble, Trouble::none) << text;
        EXPECT_EQ(verdict.next, Next::settle_failed) << text;
    }
    const Reply own{554, "5.7.1", "<ada@example.com>: Relay access denied"};
    EXPECT_EQ(judged(refused(own)).trouble, Trouble::sender_refused);
}

}  // namespace
}  // namespace mailer::core
