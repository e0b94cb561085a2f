// A refusal that speaks of the mailbox, for one tenant's mail while another's is accepted: that mail waits alone, no
// longer than any message may, and is counted once however often its result is written.
#include <gtest/gtest.h>

#include <stdexcept>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t alice = 1, mallory = 2;  // lanes and tenants

// One mailbox, a lane for each tenant; the messages' numbers are their lanes'.
class TwoTenants : public StubQueue {
public:
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t>,
                                         const InFlight& in_flight, Time) override {
        core::MailboxFacts mailbox = only_mailbox(in_flight);
        mailbox.max_connections = 2;
        mailbox.breaker_open_until = open_until;
        planner.upsert_mailbox(mailbox);
        for (const std::int64_t id : {alice, mallory}) {
            core::LaneFacts lane;
            lane.id = id;
            lane.tenant_id = id;
            lane.pool = {1};
            planner.upsert_lane(lane, start);
        }
        return {};
    }
    Signals take_signals() override { return {{}, true, generation}; }
    Swept sweep() override {
        Swept swept;
        for (const auto& [id, due_at] : pending)
            swept.lanes.push_back({id, due_at});
        return swept;
    }
    std::vector<Candidate> pick(std::int64_t lane_id, int, Time now) override {
        const auto it = pending.find(lane_id);
        if (it == pending.end() || it->second > now) return {};
        Candidate c;
        c.facts.id = c.lane_id = lane_id;
        c.facts.due_at = it->second;
        c.age_from = start;
        c.recipient_count = 1;
        c.attempt_count = 0;
        return {c};
    }
    std::optional<Time> next_due(std::int64_t lane_id, Time) override {
        const auto it = pending.find(lane_id);
        return it == pending.end() ? std::nullopt : std::optional(it->second);
    }
    void claim(std::span<const Ticket> tickets, Time) override {
        for (const Ticket& ticket : tickets)
            pending.erase(ticket.row.facts.id);
    }
    void passed(const Candidate& candidate) override { pending.erase(candidate.facts.id); }
    std::vector<bool> settle(std::span<const Settlement> settlements, Time now) override {
        if (std::exchange(is_locked, false)) throw std::runtime_error("locked");
        for (const Settlement& s : settlements) {
            if (!s.is_final) pending[s.row.facts.id] = *s.due_at;
        }
        return StubQueue::settle(settlements, now);
    }
    void store_breaker(std::int64_t, int, std::optional<Time> until, const std::string&, Time) override {
        open_until = until;
    }

    std::map<std::int64_t, Time> pending;
    std::optional<Time> open_until;
    bool is_locked = false;
};

// Takes alice's mail, and finds no fault but the mailbox's with mallory's.
class Server : public StubCourier {
public:
    bool submit(const Ticket& ticket, Prepared) override {
        core::Report report;
        report.token = ticket.token;
        report.recipient_count = 1;
        report.ending = core::Ending::answered;
        if (ticket.row.facts.id == alice) {
            report.stage = core::Stage::done;
            report.dot_sent = true;
            report.recipients = {{0, core::Reply{250, "2.1.5", "ok"}}};
            report.final_reply = core::Reply{250, "2.0.0", "ok"};
        } else {
            report.stage = core::Stage::mail;
            report.session_reply = core::Reply{550, "5.7.1", "sending is disabled for this account"};
        }
        answers.push_back(report);
        return true;
    }
    void turn(Time now, std::vector<core::Report>& reports) override {
        for (core::Report& report : answers) {
            report.finished_at = now;
            reports.push_back(report);
        }
        answers.clear();
    }

    std::vector<core::Report> answers;
};

class Blamed : public testing::Test {
protected:
    void turn(Time now) {
        ++queue.generation;  // as a statement's notice would
        pump.tick(now);
        pump.tick(now);
    }
    const Settlement& last() const { return queue.settled.back(); }

    TwoTenants queue;
    ReadyRoom room;
    Server courier;
    StubJournal journal;
    Pump pump{queue, room, courier, journal, 1};
};

TEST_F(Blamed, ItWaitsAloneAndEndsWhenItIsTooOld) {
    queue.pending = {{alice, start}};
    turn(start);
    ASSERT_EQ(queue.settled.size(), 1U);
    EXPECT_EQ(last().state, 'S');
    queue.pending = {{mallory, start}};
    Time now = start;
    int tries = 0;
    for (; tries < 10'000; ++tries) {
        turn(now);
        if (last().is_final && last().row.facts.id == mallory) break;
        ASSERT_TRUE(queue.pending.contains(mallory)) << tries;
        now = std::max(queue.pending[mallory], queue.open_until.value_or(now));
    }
    EXPECT_GT(tries, 2);
    EXPECT_EQ(last().state, 'f');
    EXPECT_EQ(last().reason, "too_old");
    ASSERT_TRUE(last().attempt);
    EXPECT_EQ(last().attempt->outcome, "failed");
    EXPECT_LE(now, start + core::RetryPolicy{}.max_age);
}

TEST_F(Blamed, ItsRefusalCountsOnceThoughItIsWrittenTwice) {
    queue.pending = {{alice, start}};
    turn(start);
    Time now = start;
    for (int refusal = 1; refusal <= 9; ++refusal) {
        queue.pending = {{mallory, now}};
        ++queue.generation;
        pump.tick(now);
        queue.is_locked = true;
        EXPECT_THROW(pump.tick(now), std::runtime_error);
        now += 2s;
        pump.tick(now);
        EXPECT_EQ(last().row.facts.id, mallory);
        EXPECT_FALSE(queue.open_until) << refusal;
    }
}

}  // namespace
}  // namespace mailer::worker
