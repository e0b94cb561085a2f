// What comes back unsent when its mailbox gets another server: only what is not on the wire, at no cost, at once.
#include <gtest/gtest.h>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;

// One mailbox, one lane; its messages are pending or claimed.
class OneLane : public StubQueue {
public:
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t>,
                                         const InFlight& in_flight, Time) override {
        core::MailboxFacts mailbox = only_mailbox(in_flight);
        mailbox.max_connections = 2;
        planner.upsert_mailbox(mailbox);
        core::LaneFacts lane;
        lane.id = 1;
        lane.pool = {1};
        if (in_flight.lanes.contains(1)) lane.in_flight = in_flight.lanes.at(1);
        planner.upsert_lane(lane, start);
        return {};
    }
    Swept sweep() override {
        Swept swept;
        if (!pending.empty()) swept.lanes = {{1, start}};
        return swept;
    }
    std::vector<Candidate> pick(std::int64_t, int limit, Time) override {
        std::vector<Candidate> picked;
        for (std::int64_t id : pending) {
            if (static_cast<int>(picked.size()) == limit) break;
            Candidate c;
            c.facts.id = id;
            c.facts.due_at = c.age_from = start;
            c.lane_id = 1;
            picked.push_back(c);
        }
        return picked;
    }
    std::optional<Time> next_due(std::int64_t, Time) override {
        return pending.empty() ? std::nullopt : std::optional(start);
    }
    void claim(std::span<const Ticket> tickets, Time) override {
        for (const Ticket& ticket : tickets)
            pending.erase(ticket.row.facts.id);
    }
    void passed(const Candidate& candidate) override { pending.erase(candidate.facts.id); }
    std::vector<bool> settle(std::span<const Settlement> settlements, Time now) override {
        for (const Settlement& s : settlements) {
            if (!s.is_final) pending.insert(s.row.facts.id);
        }
        return StubQueue::settle(settlements, now);
    }

    std::set<std::int64_t> pending;
};

// Keeps what it is given. The mail of a message in `on_wire` has begun; all it has is for the server `server`.
class OneServer : public StubCourier {
public:
    bool submit(const Ticket& ticket, Prepared) override {
        in_hand[ticket.token] = {ticket.row.facts.id, server};
        return true;
    }
    std::vector<std::uint64_t> take_back_outdated() override {
        std::vector<std::uint64_t> taken;
        for (const auto& [token, mail] : in_hand) {
            if (mail.server != server && !on_wire.contains(mail.message_id)) taken.push_back(token);
        }
        for (std::uint64_t token : taken)
            in_hand.erase(token);
        return taken;
    }

    struct Mail {
        std::int64_t message_id;
        int server;
    };
    int server = 1;
    std::map<std::uint64_t, Mail> in_hand;  // by token
    std::set<std::int64_t> on_wire;
};

class Recall : public testing::Test {
protected:
    void alter_server() {
        ++queue.generation;
        ++courier.server;
    }

    OneLane queue;
    ReadyRoom room;
    OneServer courier;
    StubJournal journal;
    Pump pump{queue, room, courier, journal, 1000};
};

TEST_F(Recall, AMailThatIsStillConnectingGoesToItsMailboxesNewServerInTheSameTick) {
    queue.pending = {5};
    pump.tick(start);
    ASSERT_EQ(courier.in_hand.size(), 1u);
    alter_server();
    pump.tick(start + 1s);
    ASSERT_EQ(queue.settled.size(), 1u);
    const Settlement& s = queue.settled[0];
    EXPECT_FALSE(s.is_final);
    EXPECT_FALSE(s.consumes_attempt);
    EXPECT_FALSE(s.counts_crash);
    EXPECT_FALSE(s.is_sent);
    EXPECT_FALSE(s.attempt);
    EXPECT_LE(s.due_at, start + 1s);
    EXPECT_EQ(journal.closed, std::vector<std::uint64_t>{1000});
    ASSERT_EQ(courier.in_hand.size(), 1u);
    EXPECT_EQ(courier.in_hand.begin()->first, 1001u);
    EXPECT_EQ(courier.in_hand.begin()->second.message_id, 5);
    EXPECT_EQ(courier.in_hand.begin()->second.server, 2);
}

TEST_F(Recall, AMailOnTheWireIsLeftAlone) {
    queue.pending = {5, 6};
    pump.tick(start);
    ASSERT_EQ(courier.in_hand.size(), 2u);
    courier.on_wire = {5};
    alter_server();
    pump.tick(start + 1s);
    ASSERT_EQ(queue.settled.size(), 1u);
    EXPECT_EQ(queue.settled[0].row.facts.id, 6);
    std::map<std::int64_t, int> servers;
    for (const auto& [token, mail] : courier.in_hand)
        servers[mail.message_id] = mail.server;
    EXPECT_EQ(servers, (std::map<std::int64_t, int>{{5, 1}, {6, 2}}));
}

TEST_F(Recall, OtherSettingsCallNothingBack) {
    queue.pending = {5};
    pump.tick(start);
    ++queue.generation;
    pump.tick(start + 1s);
    EXPECT_TRUE(queue.settled.empty());
    EXPECT_EQ(courier.in_hand.size(), 1u);
}

// Nothing waits for an instant of the time before.
TEST_F(Recall, AClockThatIsSetBackIsNoticed) {
    pump.tick(start + std::chrono::hours{24});
    queue.pending = {5};
    pump.tick(start);
    EXPECT_EQ(courier.in_hand.size(), 1u);
}

}  // namespace
}  // namespace mailer::worker
