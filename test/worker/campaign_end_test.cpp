// The end of a campaign, by its last mail or by somebody who cancels it: what the pump does with mail that settles just then.
#include <gtest/gtest.h>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;

// A campaign's lane (1) and a stream (2), which share a mailbox; each holds one mail, which the courier gives back at once.
class CampaignAndStream : public StubQueue {
public:
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t>,
                                         const InFlight& in_flight, Time) override {
        core::MailboxFacts mailbox = only_mailbox(in_flight);
        mailbox.max_connections = 10;
        planner.upsert_mailbox(mailbox);
        core::LaneFacts campaign;
        campaign.id = 1;
        campaign.kind = core::LaneKind::campaign;
        campaign.campaign_id = 7;
        campaign.state = state;
        campaign.pool = {1};
        planner.upsert_lane(campaign, start);
        core::LaneFacts stream;
        stream.id = 2;
        stream.pool = {1};
        planner.upsert_lane(stream, start);
        return {};
    }
    Swept sweep() override {
        Swept swept;
        for (const std::int64_t lane : pending)
            swept.lanes.push_back({lane, start});
        return swept;
    }
    std::vector<Candidate> pick(std::int64_t lane, int, Time) override {
        if (!pending.contains(lane)) return {};
        Candidate c;
        c.facts.id = 100 + lane;
        c.facts.due_at = c.age_from = start;
        c.lane_id = lane;
        if (lane == 1) c.campaign_id = 7;
        return {c};
    }
    void passed(const Candidate& candidate) override { pending.erase(candidate.lane_id); }
    HeldMail hold(std::span<const Settlement>) override { return held; }
    std::vector<std::int64_t> complete_campaigns(std::span<const std::int64_t> lanes, Time) override {
        emptied.insert(emptied.end(), lanes.begin(), lanes.end());
        return {};
    }

    std::set<std::int64_t> pending;
    core::LaneState state = core::LaneState::running;
    HeldMail held;
    std::vector<std::int64_t> emptied;
};

class CampaignEnd : public testing::Test {
protected:
    std::string settled() const {
        std::string text;
        for (const Settlement& s : queue.settled)
            text += std::to_string(s.row.facts.id) + (s.is_final ? " " + s.reason : " again") + ". ";
        return text;
    }

    CampaignAndStream queue;
    ReadyRoom room;
    StubCourier courier;
    StubJournal journal;
    Pump pump{queue, room, courier, journal, 1000};
};

TEST_F(CampaignEnd, MailOfACampaignThatIsBeingCancelledWaitsForThatAndHoldsUpNothingElse) {
    queue.pending = {1, 2};
    queue.held.busy = {101};
    pump.tick(start);
    pump.tick(start);
    EXPECT_EQ(settled(), "102 again. ");
    EXPECT_FALSE(pump.is_idle());
    ASSERT_TRUE(pump.wake_at());
    EXPECT_GT(*pump.wake_at(), start);
    EXPECT_LE(*pump.wake_at(), start + 1s);

    pump.tick(start + 1s);
    EXPECT_EQ(settled(), "102 again. ");

    queue.held = {};  // it was rolled back
    pump.tick(start + 2s);
    EXPECT_EQ(settled(), "102 again. 101 again. ");
    EXPECT_TRUE(pump.is_idle());
}

TEST_F(CampaignEnd, WhatComesBackWaitsNoMoreOnceItsCampaignWasCancelledOrItsLeadHasReplied) {
    queue.pending = {1, 2};
    queue.held.busy = {101};
    pump.tick(start);
    pump.tick(start);
    queue.held = {.busy = {}, .ended = {{101, core::Cause::campaign_cancelled}}};
    pump.tick(start + 1s);
    EXPECT_EQ(settled(), "102 again. 101 campaign_cancelled. ");

    queue.settled.clear();
    queue.pending = {1};
    queue.held = {.busy = {}, .ended = {{101, core::Cause::replied}}};
    pump.sweep_soon();
    pump.tick(start + 2s);
    pump.tick(start + 2s);
    EXPECT_EQ(settled(), "101 replied. ");
}

TEST_F(CampaignEnd, ACampaignWhoseLastMailEndedWhileNoSenderRanIsLookedAt) {
    pump.tick(start);
    EXPECT_EQ(queue.emptied, std::vector<std::int64_t>{1});
}

TEST_F(CampaignEnd, APausedOneOrOneWithMailIsNot) {
    queue.pending = {1};
    queue.state = core::LaneState::paused;
    pump.tick(start);
    EXPECT_TRUE(queue.emptied.empty());
}

}  // namespace
}  // namespace mailer::worker
