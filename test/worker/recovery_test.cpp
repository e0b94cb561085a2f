// What becomes of the messages that a dead sender had claimed: of each phase the one right end, for each recipient.
//
// The queue and the journal are stubs: one says who is an orphan and keeps what is settled, the other says how far each
// message had come.
#include <gtest/gtest.h>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;
using core::Reply;

const Time now = core::from_unix_us(1'800'000'000'000'000);

class Recovery : public testing::Test {
protected:
    Recovery() {
        orphan.token = 77;
        orphan.row.facts.id = 5;
        orphan.row.recipient_count = 1;
        orphan.row.age_from = now - 1min;
        orphan.unsettled = {1};
    }

    Settlement recovered() {
        Pump pump(queue, room, courier, journal, 1000);
        queue.left = {orphan};
        pump.recover("server_crash", now);
        pump.tick(now);
        EXPECT_EQ(queue.settled.size(), 1u);
        EXPECT_EQ(journal.closed, std::vector<std::uint64_t>{77});
        return queue.settled.at(0);
    }
    std::string states() {
        std::string all;
        for (const RecipientRow& r : recovered().recipients)
            all += std::to_string(r.n) + r.state + " ";
        return all;
    }

    // Five recipients: 1 had its mail before, 4 is suppressed; of the envelope 2 is accepted, 3 refused, 5 put off.
    void send_to_five(Phase phase, std::optional<Reply> final_reply) {
        orphan.row.recipient_count = 5;
        orphan.row.try_count = orphan.row.accepted_before = 1;
        orphan.unsettled = {2, 3, 4, 5};
        core::Report report;
        report.recipient_count = 3;
        report.recipients = {{0, {250, "", "OK"}}, {1, {550, "5.1.1", "who?"}}, {2, {450, "", "later"}}};
        report.stage = core::Stage::done;
        report.ending = core::Ending::answered;
        report.dot_sent = final_reply.has_value();
        report.final_reply = std::move(final_reply);
        report.started_at = now - 3s;
        report.dot_at = now - 2s;
        report.finished_at = now - 1s;
        journal.found = Recorded{phase, report, {2, 3, 5}};
    }

    StubQueue queue;
    StubRoom room;
    StubCourier courier;
    StubJournal journal;
    Orphan orphan;
};

TEST_F(Recovery, WhatNeverCameToTheDotGoesBackAsItWas) {
    for (Phase phase : {Phase::claimed, Phase::ready, Phase::body}) {
        queue.settled.clear();
        journal.closed.clear();
        journal.found = Recorded{phase, {}, {}};
        Settlement s = recovered();
        EXPECT_FALSE(s.is_final);
        EXPECT_FALSE(s.consumes_attempt);
        EXPECT_FALSE(s.counts_crash);
        EXPECT_FALSE(s.is_sent);
        EXPECT_EQ(s.due_at, now);
    }
}

TEST_F(Recovery, WhatAForwarderHadGoesBackAlsoWithoutARecord) {
    orphan.is_repeatable = true;
    for (const auto& recorded : {std::optional<Recorded>(), std::optional(Recorded{Phase::ready, {}, {}})}) {
        queue.settled.clear();
        journal.closed.clear();
        journal.found = recorded;
        Settlement s = recovered();
        EXPECT_FALSE(s.is_final);
        EXPECT_FALSE(s.consumes_attempt);
        EXPECT_FALSE(s.is_sent);
        EXPECT_EQ(s.due_at, now);
    }
}

TEST_F(Recovery, DyingWhileItComposesIsCountedAgainstTheMessage) {
    journal.found = Recorded{Phase::preparing, {}, {}};
    Settlement s = recovered();
    EXPECT_FALSE(s.is_final);
    EXPECT_TRUE(s.counts_crash);
}

TEST_F(Recovery, TheSecondTimeItIsQuarantined) {
    journal.found = Recorded{Phase::preparing, {}, {}};
    orphan.row.crash_count = 1;
    Settlement s = recovered();
    EXPECT_TRUE(s.is_final);
    EXPECT_EQ(s.state, 'f');
    EXPECT_EQ(s.reason, "quarantined");
    EXPECT_FALSE(s.is_sent);
}

TEST_F(Recovery, AQuarantinedMailThatSomebodyGotIsSentToThatOne) {
    journal.found = Recorded{Phase::preparing, {}, {}};
    orphan.row.crash_count = 1;
    orphan.row.recipient_count = 3;
    orphan.row.accepted_before = 1;
    orphan.unsettled = {2, 3};
    Settlement s = recovered();
    EXPECT_EQ(s.state, 'S');
    EXPECT_EQ(s.reason, "2 of 3 quarantined");
}

TEST_F(Recovery, ADotWithoutAReplyIsUnconfirmedForThoseWhoWereAccepted) {
    send_to_five(Phase::dot, {});
    Settlement s = recovered();
    EXPECT_EQ(s.state, 'u');
    EXPECT_EQ(s.reason, "server_crash");
    EXPECT_TRUE(s.is_sent);
    ASSERT_TRUE(s.attempt);
    EXPECT_EQ(s.attempt->outcome, "unconfirmed");
    EXPECT_EQ(s.attempt->dot_at, now - 2s);
    EXPECT_EQ(s.trouble, core::Trouble::none);
    queue.settled.clear();
    journal.closed.clear();
    EXPECT_EQ(states(), "2u 3f 5p 4p ");  // 5 is put off, 4 was not tried; both end with their message
}

TEST_F(Recovery, ARecordedReplyIsSettledAsIfNothingHadHappened) {
    send_to_five(Phase::reply, Reply{250, "2.0.0", "taken"});
    Settlement s = recovered();
    EXPECT_FALSE(s.is_final);  // 5 gets another try
    EXPECT_EQ(s.attempt->reply.text, "taken");
    queue.settled.clear();
    journal.closed.clear();
    EXPECT_EQ(states(), "2S 3f 5p 4p ");  // 4 was left out, and is looked at again with the next try
}

TEST_F(Recovery, WithoutARecordEveryRecipientLeftIsUnconfirmed) {
    orphan.row.recipient_count = 3;
    orphan.unsettled = {2, 3};
    journal.found.reset();
    EXPECT_EQ(states(), "2u 3u ");
    EXPECT_EQ(queue.settled[0].state, 'u');
    EXPECT_EQ(queue.settled[0].reason, "server_crash");
}

TEST_F(Recovery, AReportThatDoesntFitItsEnvelopeIsNoRecord) {
    send_to_five(Phase::reply, Reply{250, "2.0.0", "taken"});
    journal.found->envelope = {2, 3};
    EXPECT_EQ(recovered().state, 'u');
}

}  // namespace
}  // namespace mailer::worker
