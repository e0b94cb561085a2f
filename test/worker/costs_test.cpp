// What is costly to compose: a tenant's large mails keep the sender neither from others' mail nor from its conversations.
#include <gtest/gtest.h>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;

// Two lanes with a tenant each, one mailbox. Messages of lane 1 are below 100.
class TwoLanes : public StubQueue {
public:
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t>,
                                         const InFlight& in_flight, Time now) override {
        core::MailboxFacts mailbox = only_mailbox(in_flight);
        mailbox.max_connections = 20;
        planner.upsert_mailbox(mailbox);
        for (std::int64_t id : {1, 2}) {
            core::LaneFacts lane;
            lane.id = lane.tenant_id = id;
            lane.pool = {1};
            if (in_flight.lanes.contains(id)) lane.in_flight = in_flight.lanes.at(id);
            planner.upsert_lane(lane, now);
        }
        return {};
    }
    Swept sweep() override {
        Swept swept;
        for (std::int64_t lane : {1, 2})
            if (next_due(lane, start)) swept.lanes.push_back({lane, start});
        return swept;
    }
    std::vector<Candidate> pick(std::int64_t lane_id, int limit, Time) override {
        std::vector<Candidate> picked;
        for (std::int64_t id : pending) {
            if (static_cast<int>(picked.size()) == limit) break;
            if ((id < 100) != (lane_id == 1)) continue;
            Candidate c;
            c.facts.id = id;
            c.facts.due_at = c.age_from = start;
            c.lane_id = lane_id;
            picked.push_back(c);
        }
        return picked;
    }
    std::optional<Time> next_due(std::int64_t lane_id, Time) override {
        for (std::int64_t id : pending)
            if ((id < 100) == (lane_id == 1)) return start;
        return std::nullopt;
    }
    void passed(const Candidate& candidate) override { pending.erase(candidate.facts.id); }

    std::set<std::int64_t> pending;
};

class SlowRoom : public StubRoom {
public:
    Prepared prepare(const Ticket& ticket, Time) override {
        Prepared prepared;
        prepared.recipients = {"ada@example.com"};
        prepared.body = std::make_shared<const std::string>("body");
        prepared.took = ticket.row.facts.id < 100 ? costly : 100us;
        return prepared;
    }
    core::Duration costly = 200ms;
};

class KeepingCourier : public StubCourier {
public:
    bool submit(const Ticket& ticket, Prepared) override {
        submitted.push_back(ticket.row.facts.id);
        return true;
    }
    std::vector<std::int64_t> submitted;
};

class Costly : public ::testing::Test {
protected:
    TwoLanes queue;
    SlowRoom room;
    KeepingCourier courier;
    StubJournal journal;
    Pump pump{queue, room, courier, journal, 1};
};

TEST_F(Costly, MailsAreComposedOneAtATime) {
    queue.pending = {1, 2, 3};
    pump.tick(start);
    EXPECT_EQ(courier.submitted, (std::vector<std::int64_t>{1}));
    ASSERT_TRUE(pump.wake_at());
    EXPECT_LE(*pump.wake_at(), start + 300ms) << "nothing else wakes the sender";
    pump.tick(*pump.wake_at());
    EXPECT_EQ(courier.submitted, (std::vector<std::int64_t>{1, 2}));
}

TEST_F(Costly, ThoseOfOthersGoBetween) {
    queue.pending = {1, 2, 3};
    pump.tick(start);
    queue.pending = {100, 101};
    pump.sweep_soon();
    pump.tick(start + 200ms);
    EXPECT_EQ(courier.submitted, (std::vector<std::int64_t>{1, 100, 101}));
    pump.tick(start + 220ms);
    EXPECT_EQ(courier.submitted.size(), 4u) << "and then it goes on";
}

TEST_F(Costly, WhereOthersMailIsOnItsWayItGetsAsMuchTime) {
    queue.pending = {1, 2, 3, 100};
    pump.tick(start);
    pump.tick(start + 250ms);
    EXPECT_EQ(courier.submitted, (std::vector<std::int64_t>{1, 100}));
    pump.tick(start + 400ms);
    EXPECT_EQ(courier.submitted, (std::vector<std::int64_t>{1, 100, 2}));
}

TEST_F(Costly, CheapMailsAreComposedInTheirOrder) {
    room.costly = 1ms;
    queue.pending = {1, 2, 3, 100, 101};
    pump.tick(start);
    EXPECT_EQ(courier.submitted.size(), 5u);
}

TEST_F(Costly, AClockThatIsSetBackHoldsNothingUp) {
    queue.pending = {1, 2, 3, 100};
    pump.tick(start);
    pump.tick(start - 1h);
    pump.tick(start - 1h);
    EXPECT_GE(courier.submitted.size(), 3u);
}

}  // namespace
}  // namespace mailer::worker
