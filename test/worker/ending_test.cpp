// What the pump ends itself, of mails that had reached one of two recipients before: such a mail is sent, and the other
// recipient stops waiting.
#include <gtest/gtest.h>

#include "worker/settlement.hpp"
#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;

const Time now = core::from_unix_us(1'800'000'000'000'000);

// A lane with one mail that is due, claimed and prepared in one tick; the courier takes nothing.
class HalfSent : public StubQueue {
public:
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t>, const InFlight&,
                                         Time) override {
        planner.upsert_mailbox(only_mailbox());
        core::LaneFacts lane;
        lane.id = 1;
        lane.pool = {1};
        lane.state = state;
        planner.upsert_lane(lane, now);
        return {};
    }
    Swept sweep() override {
        Swept swept;
        if (is_pending) swept.lanes = {{1, now}};
        return swept;
    }
    std::vector<Candidate> pick(std::int64_t, int, Time) override {
        if (!is_pending) return {};
        return {row};
    }
    void passed(const Candidate&) override { is_pending = false; }

    bool is_pending = true;
    core::LaneState state = core::LaneState::running;
    Candidate row;
};

class Answering : public StubRoom {
public:
    Prepared prepare(const Ticket&, Time) override { return answer; }
    Prepared answer;
};

class EndingByThePump : public testing::Test {
protected:
    EndingByThePump() {
        queue.row.facts.id = 5;
        queue.row.facts.due_at = queue.row.age_from = now;
        queue.row.lane_id = 1;
        queue.row.recipient_count = 2;
        queue.row.accepted_before = queue.row.try_count = 1;
    }
    std::string ended() {
        Pump pump(queue, room, courier, journal, 1000);
        for (int i = 0; i < 3 && queue.settled.empty(); ++i)
            pump.tick(now);
        EXPECT_EQ(queue.settled.size(), 1u);
        const Settlement& s = queue.settled.at(0);
        EXPECT_TRUE(s.is_final);
        return std::string(1, s.state) + " " + s.reason + ", rest " + s.rest;
    }

    HalfSent queue;
    Answering room;
    StubCourier courier;
    StubJournal journal;
};

TEST_F(EndingByThePump, WhatSendIfRefusesIsSentToThoseWhoHaveIt) {
    room.answer.kind = Prepared::Kind::cancelled;
    room.answer.cause = core::Cause::send_if;
    EXPECT_EQ(ended(), "S 1 of 2 send_if, rest c");
}

TEST_F(EndingByThePump, WhenTheRestIsSuppressedItIsSentToThoseWhoHaveIt) {
    room.answer.kind = Prepared::Kind::cancelled;
    room.answer.cause = core::Cause::suppressed;
    EXPECT_EQ(ended(), "S 1 of 2 suppressed, rest c");
}

TEST_F(EndingByThePump, WhatCanNotBeRenderedAgainIsSentToThoseWhoHaveIt) {
    room.answer.kind = Prepared::Kind::failed;
    room.answer.cause = core::Cause::render_error;
    EXPECT_EQ(ended(), "S 1 of 2 render_error, rest f");
}

TEST_F(EndingByThePump, WhatExpiresIsSentToThoseWhoHaveIt) {
    queue.row.facts.expires_at = now - 1s;
    EXPECT_EQ(ended(), "S 1 of 2 expired, rest f");
}

TEST_F(EndingByThePump, ASuppressedMailIsSentToThoseWhoHaveIt) {
    queue.row.facts.is_suppressed = true;
    EXPECT_EQ(ended(), "S 1 of 2 suppressed, rest c");
}

TEST_F(EndingByThePump, NobodyReachedIsCancelled) {
    queue.row.accepted_before = 0;
    room.answer.kind = Prepared::Kind::cancelled;
    room.answer.cause = core::Cause::send_if;
    EXPECT_EQ(ended(), "c send_if, rest c");
}

}  // namespace
}  // namespace mailer::worker
