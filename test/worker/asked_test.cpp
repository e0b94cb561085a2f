// Messages whose functions other processes run: the pump goes on with others meanwhile, and nothing is settled twice.
#include <gtest/gtest.h>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;

// One mailbox with one connection, one lane. Odd messages are late-bound.
class OneLane : public StubQueue {
public:
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t>,
                                         const InFlight& in_flight, Time) override {
        core::MailboxFacts mailbox = only_mailbox(in_flight);
        mailbox.gap = gap;
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
            c.crash_count = crashes_before;
            picked.push_back(c);
        }
        return picked;
    }
    std::optional<Time> next_due(std::int64_t, Time) override {
        return pending.empty() ? std::nullopt : std::optional(start);
    }
    void passed(const Candidate& candidate) override { pending.erase(candidate.facts.id); }

    core::Duration gap{0};
    int crashes_before = 0;
    std::set<std::int64_t> pending;
};

class AskingRoom : public StubRoom {
public:
    Prepared prepare(const Ticket& ticket, Time) override {
        Prepared prepared;
        prepared.recipients = {"ada@example.com"};
        prepared.body = std::make_shared<const std::string>("body");
        if (ticket.row.facts.id % 2 == 0) return prepared;
        if (auto it = answers.find(ticket.token); it != answers.end()) {
            prepared.kind = it->second;
            prepared.until = start + 1h;
            return prepared;
        }
        asked.push_back(ticket.token);
        prepared.kind = Prepared::Kind::asked;
        return prepared;
    }
    Heard turn(Time, bool may_ask, const std::function<void(std::uint64_t)>& on_begin) override {
        if (may_ask && begins) {
            for (std::uint64_t token : asked)
                on_begin(token);
        }
        return std::exchange(heard, {});
    }
    std::vector<std::uint64_t> take_back(const std::set<std::uint64_t>& tokens) override {
        std::vector<std::uint64_t> taken;
        for (std::uint64_t token : asked)
            if (tokens.contains(token) && !answers.contains(token)) taken.push_back(token);
        return taken;
    }
    void answer(Prepared::Kind kind) {
        answers[asked.front()] = kind;
        heard.answered = {asked.front()};
    }

    bool begins = false;
    std::vector<std::uint64_t> asked;
    std::map<std::uint64_t, Prepared::Kind> answers;
    Heard heard;
};

class KeepingCourier : public StubCourier {
public:
    bool submit(const Ticket& ticket, Prepared) override {
        submitted.push_back(ticket.row.facts.id);
        return true;
    }
    std::vector<std::int64_t> submitted;
};

class MarkedJournal : public StubJournal {
public:
    bool mark(std::uint64_t token, Phase phase) noexcept override {
        phases[token] = phase;
        return true;
    }
    std::map<std::uint64_t, Phase> phases;
};

class Asked : public ::testing::Test {
protected:
    void tick(Time at) { pump.tick(at); }
    OneLane queue;
    AskingRoom room;
    KeepingCourier courier;
    MarkedJournal journal;
    Pump pump{queue, room, courier, journal, 1};
};

TEST_F(Asked, OnlyAFunctionThatMayRunCountsAsPreparing) {
    queue.pending = {1};
    tick(start);
    ASSERT_EQ(room.asked.size(), 1u);
    EXPECT_EQ(journal.phases.at(room.asked[0]), Phase::claimed) << "a crash now is not this message's";
    room.begins = true;
    tick(start);
    EXPECT_EQ(journal.phases.at(room.asked[0]), Phase::preparing);
}

TEST_F(Asked, AnAnswerIsComposedAndSent) {
    queue.pending = {1};
    tick(start);
    EXPECT_TRUE(courier.submitted.empty());
    room.answer(Prepared::Kind::ready);
    tick(start + 1ms);
    EXPECT_EQ(courier.submitted, (std::vector<std::int64_t>{1}));
}

TEST_F(Asked, WhileASlowFunctionRunsItsMailboxIsFreeForOthers) {
    queue.pending = {1};
    tick(start);
    queue.pending = {2};
    pump.sweep_soon();
    tick(start + 1ms);
    EXPECT_TRUE(courier.submitted.empty()) << "one at a time";
    room.heard.slow = room.asked;
    tick(start + 100ms);
    tick(start + 100ms);
    EXPECT_EQ(courier.submitted, (std::vector<std::int64_t>{2}));
}

TEST_F(Asked, ASlotOfAMailboxWithAGapStaysItsOwn) {
    queue.gap = 1min;
    queue.pending = {1};
    tick(start);
    queue.pending = {2};
    pump.sweep_soon();
    room.heard.slow = room.asked;
    tick(start + 100ms);
    tick(start + 100ms);
    EXPECT_TRUE(courier.submitted.empty());
}

TEST_F(Asked, WhatIsPostponedGoesBackAsItWas) {
    queue.pending = {1};
    tick(start);
    room.answer(Prepared::Kind::postponed);
    tick(start + 1ms);
    tick(start + 1ms);
    ASSERT_EQ(queue.settled.size(), 1u);
    EXPECT_FALSE(queue.settled[0].is_final);
    EXPECT_FALSE(queue.settled[0].attempt);
    EXPECT_FALSE(queue.settled[0].counts_crash);
    EXPECT_EQ(queue.settled[0].due_at, start + 1h);
}

TEST_F(Asked, TheDeathOfItsProcessIsTheMessagesCrash) {
    queue.pending = {1};
    tick(start);
    room.answer(Prepared::Kind::died);
    tick(start + 1ms);
    tick(start + 1ms);
    ASSERT_EQ(queue.settled.size(), 1u);
    EXPECT_FALSE(queue.settled[0].is_final);
    EXPECT_TRUE(queue.settled[0].counts_crash);
    EXPECT_FALSE(queue.settled[0].consumes_attempt);
}

TEST_F(Asked, TheSecondDeathQuarantinesIt) {
    queue.crashes_before = 1;
    queue.pending = {1};
    tick(start);
    room.answer(Prepared::Kind::died);
    tick(start + 1ms);
    tick(start + 1ms);
    ASSERT_EQ(queue.settled.size(), 1u);
    EXPECT_TRUE(queue.settled[0].is_final);
    EXPECT_EQ(queue.settled[0].reason, "quarantined");
}

TEST_F(Asked, WhatIsCalledOffIsSettledOnceWhetherItHasAnsweredOrNot) {
    queue.pending = {1, 3};
    pump.configure({});
    tick(start);
    ASSERT_GE(room.asked.size(), 1u);
    const std::size_t asked = room.asked.size();
    room.answer(Prepared::Kind::ready);
    room.heard = {};  // not told yet
    pump.stop_claiming();
    pump.hand_back_all(start + 1ms);
    tick(start + 1ms);
    std::set<std::uint64_t> tokens;
    for (const Settlement& s : queue.settled)
        EXPECT_TRUE(tokens.insert(s.token).second);
    EXPECT_GE(queue.settled.size(), asked - 1);
}

}  // namespace
}  // namespace mailer::worker
