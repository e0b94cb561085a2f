// The dialogue as a conversation: what it says, what it hears, what it reports. The numbers cite dialogue.hpp.
#include "smtp/dialogue.hpp"

#include <gtest/gtest.h>

namespace mailer::smtp {
namespace {

using core::Ending;
using core::Stage;
using namespace std::chrono_literals;

const core::Time start = core::from_unix_us(1'800'000'000'000'000);

Capabilities pipelining() {
    Capabilities c;
    c.has_pipelining = true;
    return c;
}

Delivery delivery_to(std::vector<std::string> recipients, std::string body = "Subject: x\r\n\r\nhello\r\n") {
    Delivery d;
    d.token = 5;
    d.mailbox_id = 3;
    d.sender = "s@x.example";
    d.recipients = std::move(recipients);
    d.body = std::make_shared<const std::string>(std::move(body));
    return d;
}

// A dialogue whose bytes go nowhere; time stands still unless it is moved.
struct Talk {
    explicit Talk(Capabilities capabilities = pipelining()) : dialogue(std::move(capabilities), Timeouts{}, true) {}

    void begin(const Delivery& delivery, bool is_reused = false) { dialogue.begin(delivery, is_reused, now, now); }

    // All that it has to say, at most `step` bytes at a time; grants the dot when asked to.
    std::string says(bool grants_dot = true, std::size_t step = 1 << 20) {
        std::string all;
        while (true) {
            if (dialogue.wants_dot()) {
                if (!grants_dot) return all;
                dialogue.allow_dot(now);
            }
            const std::string_view out = dialogue.output().substr(0, step);
            if (out.empty()) return all;
            all += out;
            dialogue.sent(out.size(), now);
        }
    }
    void hears(std::string_view bytes) { dialogue.receive(bytes, now); }

    core::Report report() {
        auto taken = dialogue.take_report();
        EXPECT_TRUE(taken.has_value());
        return taken.value_or(core::Report{});
    }

    Dialogue dialogue;
    core::Time now = start;
};

const Delivery one = delivery_to({"a@y.example"});
const Delivery three = delivery_to({"a@y.example", "b@y.example", "c@y.example"});
const std::string one_envelope = "MAIL FROM:<s@x.example>\r\nRCPT TO:<a@y.example>\r\nDATA\r\n";

TEST(Dialogue, PipelinesTheWholeEnvelopeWhenOffered) {
    Talk talk;
    talk.begin(one);
    EXPECT_EQ(talk.says(), one_envelope);
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
    EXPECT_TRUE(talk.dialogue.take_body_started());
    EXPECT_FALSE(talk.dialogue.take_body_started());
    EXPECT_EQ(talk.says(), "Subject: x\r\n\r\nhello\r\n.\r\n");
    talk.now += 1s;
    talk.hears("250 2.0.0 queued\r\n");
    const core::Report report = talk.report();
    EXPECT_EQ(report.token, 5U);
    EXPECT_EQ(report.mailbox_id, 3);
    EXPECT_EQ(report.recipient_count, 1);
    EXPECT_EQ(report.stage, Stage::done);
    EXPECT_EQ(report.ending, Ending::answered);
    EXPECT_TRUE(report.dot_sent);
    EXPECT_EQ(report.final_reply, (core::Reply{250, "2.0.0", "queued"}));
    EXPECT_EQ(report.started_at, start);
    EXPECT_EQ(report.dot_at, start);
    EXPECT_EQ(report.finished_at, start + 1s);
    EXPECT_TRUE(talk.dialogue.is_idle());
}

TEST(Dialogue, SpeaksStepByStepWhenPipeliningIsNotOffered) {
    Talk talk{Capabilities{}};
    talk.begin(three);
    EXPECT_EQ(talk.says(), "MAIL FROM:<s@x.example>\r\n");
    talk.hears("250 ok\r\n");
    EXPECT_EQ(talk.says(), "RCPT TO:<a@y.example>\r\n");
    talk.hears("250 ok\r\n");
    EXPECT_EQ(talk.says(), "RCPT TO:<b@y.example>\r\n");
    talk.hears("450 later\r\n");
    EXPECT_EQ(talk.says(), "RCPT TO:<c@y.example>\r\n");
    talk.hears("550 no\r\n");
    EXPECT_EQ(talk.says(), "DATA\r\n");
    talk.hears("354 go\r\n");
    talk.says();
    talk.hears("250 ok\r\n");
    const core::Report report = talk.report();
    ASSERT_EQ(report.recipients.size(), 3U);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(report.recipients[static_cast<std::size_t>(i)].index, i);
    EXPECT_EQ(report.recipients[1].reply.code, 450);
}

TEST(Dialogue, ARefusedSenderEndsAStepByStepEnvelopeAtOnce) {
    Talk talk{Capabilities{}};
    talk.begin(one);
    talk.says();
    talk.hears("550 no\r\n");
    EXPECT_EQ(talk.report().session_reply->code, 550);
    EXPECT_TRUE(talk.dialogue.is_idle());
    EXPECT_EQ(talk.says(), "");
}

TEST(Dialogue, TheDotWaitsForPermission) {  // 1
    for (const std::size_t size : {std::size_t{0}, std::size_t{10}, Dialogue::block - 1, Dialogue::block,
                                   Dialogue::block + 1, 5 * Dialogue::block}) {
        const Delivery delivery = delivery_to({"a@y.example"}, std::string(size, 'x'));
        Talk talk;
        talk.begin(delivery);
        talk.says();
        talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
        const std::string before = talk.says(false);
        EXPECT_EQ(before.find('.'), std::string::npos);
        EXPECT_FALSE(talk.dialogue.is_dot_in_flight());
        EXPECT_EQ(talk.dialogue.output(), "");
        EXPECT_EQ(before + talk.says(), std::string(size, 'x') + (size > 0 ? "\r\n.\r\n" : ".\r\n"));
        EXPECT_TRUE(talk.dialogue.is_dot_in_flight());
    }
}

TEST(Dialogue, WithoutPermissionTheDotIsNeverSent) {
    Talk talk;
    talk.begin(one);
    talk.says();
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
    talk.says(false);
    talk.dialogue.abandon("no journal", talk.now);
    EXPECT_EQ(talk.dialogue.output(), "");
    const core::Report report = talk.report();
    EXPECT_EQ(report.ending, Ending::abandoned);
    EXPECT_FALSE(report.dot_sent);
    EXPECT_EQ(report.error_text, "no journal");
}

TEST(Dialogue, OneByteOfTheDotIsEnoughToLoseCertainty) {
    for (std::size_t missing = 0; missing <= 4; missing++) {
        Talk talk;
        talk.begin(one);
        talk.says();
        talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
        talk.dialogue.allow_dot(talk.now);
        const std::size_t length = talk.dialogue.output().size();
        talk.dialogue.sent(length - missing, talk.now);
        talk.dialogue.receive_end("closed", talk.now);
        EXPECT_EQ(talk.report().dot_sent, missing < 3) << missing;
    }
}

TEST(Dialogue, ADotApartIsAskedForWhenAllElseIsSentAndGoesAlone) {
    for (const std::size_t size : {0, 1, 16 * 1024, 40'000}) {
        Delivery delivery = delivery_to({"a@y.example"}, std::string(size, 'x') + "\r\n");
        delivery.is_dot_apart = true;
        Talk talk;
        talk.begin(delivery);
        talk.says();
        talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
        EXPECT_EQ(talk.says(false), *delivery.body) << size;
        EXPECT_TRUE(talk.dialogue.wants_dot()) << size;
        EXPECT_EQ(talk.says(), ".\r\n") << size;
    }
}

TEST(Dialogue, OutputStaysWhereItIsUntilItIsSent) {  // 3
    const Delivery delivery = delivery_to({"a@y.example"}, std::string(100'000, 'x'));
    Talk talk;
    talk.begin(delivery);
    while (true) {
        const std::string_view first = talk.dialogue.output();
        if (first.empty()) break;
        const std::string copy{first};
        if (talk.dialogue.wants_dot()) talk.dialogue.allow_dot(talk.now);
        const std::string_view second = talk.dialogue.output();
        ASSERT_EQ(first.data(), second.data());
        ASSERT_EQ(copy, second);
        talk.dialogue.sent(std::min<std::size_t>(second.size(), 1000), talk.now);
    }
}

TEST(Dialogue, ALargeBodyIsNeverCopiedWhole) {
    const Delivery delivery = delivery_to({"a@y.example"}, std::string(10'000'000, '.'));
    Talk talk;
    talk.begin(delivery);
    talk.says();
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
    std::size_t largest = 0, total = 0;
    while (true) {
        if (talk.dialogue.wants_dot()) talk.dialogue.allow_dot(talk.now);
        const std::size_t size = talk.dialogue.output().size();
        if (size == 0) break;
        largest = std::max(largest, size);
        total += size;
        talk.dialogue.sent(size, talk.now);
    }
    EXPECT_LE(largest, 2 * Dialogue::block + 10);
    EXPECT_EQ(total, 10'000'000U + 1 + 5);
    EXPECT_EQ(delivery.body.use_count(), 1);
}

TEST(Dialogue, ARefusalInTheMiddleOfTheBodyCountsAndEndsTheConnection) {
    const Delivery delivery = delivery_to({"a@y.example"}, std::string(100'000, 'x'));
    Talk talk;
    talk.begin(delivery);
    talk.says();
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
    talk.dialogue.sent(talk.dialogue.output().size(), talk.now);
    talk.hears("552 5.3.4 enough\r\n");
    EXPECT_TRUE(talk.dialogue.is_dead());
    const core::Report report = talk.report();
    EXPECT_EQ(report.final_reply->code, 552);
    EXPECT_FALSE(report.dot_sent);
    EXPECT_EQ(report.stage, Stage::body);
}

TEST(Dialogue, ASuccessBeforeTheDotIsNonsense) {  // 5
    Talk talk;
    talk.begin(one);
    talk.says();
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n");
    const core::Report report = talk.report();
    EXPECT_EQ(report.ending, Ending::garbled);
    EXPECT_FALSE(report.final_reply);
    EXPECT_FALSE(report.dot_sent);
    EXPECT_TRUE(talk.dialogue.is_dead());
}

TEST(Dialogue, RepliesToCommandsThatWereNeverSentAreNonsense) {  // 5
    Talk talk{Capabilities{}};
    talk.begin(one);
    talk.says();
    talk.hears("250 ok\r\n250 ok\r\n");
    EXPECT_EQ(talk.report().ending, Ending::garbled);
    EXPECT_TRUE(talk.dialogue.is_dead());
}

TEST(Dialogue, AServerThatSpeaksUnaskedLosesTheConnection) {
    Talk talk;
    talk.hears("250 hello\r\n");
    EXPECT_TRUE(talk.dialogue.is_dead());
    EXPECT_FALSE(talk.dialogue.has_report());
}

TEST(Dialogue, OneReplyTooManyBehindTheLastKeepsTheResult) {
    Talk talk;
    talk.begin(one);
    talk.says();
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
    talk.says();
    talk.hears("250 queued\r\n250 queued\r\n");
    EXPECT_EQ(talk.report().stage, Stage::done);
    EXPECT_TRUE(talk.dialogue.is_dead());
}

TEST(Dialogue, FourTwentyOneEndsItAnywhere) {
    const std::vector<std::string> before{"", "250 ok\r\n", "250 ok\r\n250 ok\r\n"};
    for (const std::string& replies : before) {
        Talk talk;
        talk.begin(one);
        talk.says();
        talk.hears(replies + "421 4.3.2 bye\r\n");
        const core::Report report = talk.report();
        EXPECT_EQ(report.ending, Ending::answered);
        EXPECT_EQ(report.session_reply->code, 421);
        EXPECT_FALSE(report.dot_sent);
        EXPECT_TRUE(talk.dialogue.is_dead());
    }
}

TEST(Dialogue, RejectedRecipientsAreFollowedByRset) {
    Talk talk;
    talk.begin(one);
    talk.says();
    talk.hears("250 ok\r\n550 no\r\n503 no recipients\r\n");
    const core::Report report = talk.report();
    EXPECT_EQ(report.stage, Stage::rcpt);
    EXPECT_FALSE(report.session_reply);
    EXPECT_FALSE(talk.dialogue.is_idle());
    EXPECT_EQ(talk.says(), "RSET\r\n");
    talk.hears("250 ok\r\n");
    EXPECT_TRUE(talk.dialogue.is_idle());
}

TEST(Dialogue, DataAcceptedForNobodyEndsWithADotAlone) {  // RFC 2920 3.1
    Talk talk;
    talk.begin(one);
    talk.says();
    talk.hears("250 ok\r\n550 no\r\n354 go\r\n");
    const core::Report report = talk.report();
    EXPECT_FALSE(report.dot_sent);
    EXPECT_EQ(report.recipients[0].reply.code, 550);
    EXPECT_FALSE(talk.dialogue.wants_dot());
    EXPECT_EQ(talk.says(false), ".\r\n");
    talk.hears("554 nobody\r\n");
    EXPECT_TRUE(talk.dialogue.is_idle());
}

TEST(Dialogue, DataAcceptedAfterARefusedSenderIsNotAnswered) {
    Talk talk;
    talk.begin(one);
    talk.says();
    talk.hears("550 no\r\n250 ok\r\n354 go\r\n");
    EXPECT_EQ(talk.report().session_reply->code, 550);
    EXPECT_TRUE(talk.dialogue.is_dead());
    EXPECT_EQ(talk.dialogue.output(), "");
}

TEST(Dialogue, EveryStageHasItsTimeOut) {
    const Timeouts t;
    struct Case {
        const char* heard;
        bool says_body;
        core::Duration timeout;
        Stage stage;
    };
    const Case cases[] = {{"", false, t.mail, Stage::mail},
                          {"250 ok\r\n", false, t.rcpt, Stage::rcpt},
                          {"250 ok\r\n250 ok\r\n", false, t.data, Stage::data},
                          {"250 ok\r\n250 ok\r\n354 go\r\n", false, t.block, Stage::body},
                          {"250 ok\r\n250 ok\r\n354 go\r\n", true, t.dot, Stage::dot}};
    for (const Case& c : cases) {
        Talk talk;
        talk.begin(one);
        talk.says();
        talk.now += 1s;
        talk.hears(c.heard);
        if (c.says_body) talk.says();
        const core::Time due = (*c.heard == '\0' ? start : talk.now) + c.timeout;
        EXPECT_EQ(talk.dialogue.deadline(), due);
        talk.dialogue.expire(due - 1us);
        EXPECT_FALSE(talk.dialogue.has_report());
        talk.dialogue.expire(due);
        const core::Report report = talk.report();
        EXPECT_EQ(report.ending, Ending::timed_out);
        EXPECT_EQ(report.stage, c.stage);
        EXPECT_EQ(report.dot_sent, c.says_body);
        EXPECT_TRUE(talk.dialogue.is_dead());
    }
}

TEST(Dialogue, PiecesOfAReplyDoNotBuyTime) {
    Talk talk;
    talk.begin(one);
    talk.says();
    const auto due = *talk.dialogue.deadline();
    talk.now += 1min;
    talk.hears("250-still\r\n250-coming");
    EXPECT_EQ(talk.dialogue.deadline(), due);
}

TEST(Dialogue, WritingTheBodyBuysTimeForTheNextBlock) {
    const Delivery delivery = delivery_to({"a@y.example"}, std::string(100'000, 'x'));
    Talk talk;
    talk.begin(delivery);
    talk.says();
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
    talk.now += 1min;
    talk.dialogue.sent(talk.dialogue.output().size(), talk.now);
    EXPECT_EQ(talk.dialogue.deadline(), talk.now + Timeouts{}.block);
    talk.now += 1min;
    talk.dialogue.output();
    talk.dialogue.sent(0, talk.now);
    EXPECT_EQ(talk.dialogue.deadline(), talk.now - 1min + Timeouts{}.block);
}

TEST(Dialogue, ABodyThatTricklesAwayEndsBeforeItsDot) {
    const Delivery delivery = delivery_to({"a@y.example"}, std::string(100 * 1024, 'x'));
    Talk talk;
    talk.begin(delivery);
    talk.says();
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
    const auto until = talk.now + Timeouts{}.body + 100s;
    while (talk.now < until) {
        EXPECT_FALSE(talk.dialogue.is_dead());
        EXPECT_LE(*talk.dialogue.deadline(), until);
        talk.dialogue.output();
        talk.dialogue.sent(1, talk.now);
        talk.now += 1min;
        talk.dialogue.expire(talk.now);
    }
    EXPECT_TRUE(talk.dialogue.is_dead());
}

TEST(Dialogue, QuitIsSaidOnceAndAnythingEndsIt) {
    for (const char* answer : {"221 bye\r\n", "500 what\r\n", "421 x\r\n", "nonsense\r\n"}) {
        Talk talk;
        talk.dialogue.quit(talk.now);
        EXPECT_EQ(talk.says(), "QUIT\r\n");
        EXPECT_FALSE(talk.dialogue.is_idle());
        talk.hears(answer);
        EXPECT_TRUE(talk.dialogue.is_dead());
        EXPECT_FALSE(talk.dialogue.has_report());
    }
    Talk talk;
    talk.dialogue.quit(talk.now);
    talk.dialogue.expire(talk.now + Timeouts{}.quit);
    EXPECT_TRUE(talk.dialogue.is_dead());
}

TEST(Dialogue, AMessageThatDoesNotFitIsReportedWithoutAWord) {
    Capabilities c = pipelining();
    c.has_size = true;
    c.size_limit = 10;
    Talk talk{c};
    talk.begin(one);
    const core::Report report = talk.report();
    EXPECT_EQ(report.ending, Ending::unfit);
    EXPECT_EQ(report.session_reply->enhanced, "5.3.4");
    EXPECT_EQ(talk.says(), "");
    EXPECT_TRUE(talk.dialogue.is_idle());
}

TEST(Dialogue, ManyMessagesFollowEachOther) {
    Talk talk;
    for (int i = 0; i < 100; i++) {
        talk.begin(i % 2 == 0 ? one : three, i > 0);
        talk.says(true, 7);
        const std::string rcpts = i % 2 == 0 ? "250 ok\r\n" : "250 ok\r\n550 no\r\n450 no\r\n";
        talk.hears("250 ok\r\n" + rcpts + "354 go\r\n");
        EXPECT_TRUE(talk.says(true, 7).ends_with("\r\n.\r\n"));
        talk.hears("250 ok\r\n");
        const core::Report report = talk.report();
        EXPECT_EQ(report.stage, Stage::done);
        EXPECT_EQ(report.connection_was_reused, i > 0);
        EXPECT_EQ(report.recipients.size(), i % 2 == 0 ? 1U : 3U);
    }
}

TEST(Dialogue, ARecipientThatTheServerCantTakeIsLeftOutAndTheOthersGetTheMail) {
    Capabilities c = pipelining();
    Talk talk{c};
    const Delivery mixed = delivery_to({"żółw@y.example", "ada@y.example"});
    talk.begin(mixed);
    EXPECT_EQ(talk.says(), "MAIL FROM:<s@x.example>\r\nRCPT TO:<ada@y.example>\r\nDATA\r\n");
    talk.hears("250 ok\r\n250 ok\r\n354 go\r\n");
    talk.says(true, 7);
    talk.hears("250 taken\r\n");
    const core::Report report = talk.report();
    ASSERT_EQ(report.recipients.size(), 2U);
    EXPECT_TRUE(report.recipients[0].is_unfit);
    EXPECT_EQ(report.recipients[0].reply.enhanced, "5.6.7");
    EXPECT_EQ(report.recipients[1].index, 1);
    EXPECT_EQ(report.final_reply->code, 250);
}

}  // namespace
}  // namespace mailer::smtp
