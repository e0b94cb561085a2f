// One tenant's refusals stop no mailbox that others use.
#include "worker/doubts.hpp"

#include <gtest/gtest.h>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;
using Blame = Doubts::Blame;
constexpr std::int64_t mallory = 7, alice = 8, bob = 9;

TEST(Doubts, WhereOneTenantAloneIsServedItsRefusalsAreTheMailboxes) {
    Doubts doubts;
    EXPECT_EQ(doubts.refused(alice), Blame::mailbox);
    doubts.proved(alice);
    EXPECT_EQ(doubts.refused(alice), Blame::mailbox);
}

TEST(Doubts, OneTenantsRefusalsAreItsOwnWhileOthersAreServed) {
    Doubts doubts;
    doubts.proved(alice);
    for (int i = 0; i < 100; ++i) {
        for (int j = 0; j < 5; ++j)
            EXPECT_EQ(doubts.refused(mallory), Blame::mail);
        doubts.proved(alice);
    }
}

TEST(Doubts, ItIsTheMailboxWhereTwoTenantsAreRefusedAndNobodyIsServedInBetween) {
    Doubts doubts;
    doubts.proved(alice);
    doubts.proved(bob);
    EXPECT_EQ(doubts.refused(alice), Blame::mail);
    EXPECT_EQ(doubts.refused(bob), Blame::mailbox);
    EXPECT_EQ(doubts.refused(alice), Blame::mailbox);
    doubts.proved(bob);
    EXPECT_EQ(doubts.refused(alice), Blame::mail);
    doubts.proved(alice);
    EXPECT_EQ(doubts.refused(bob), Blame::mail);
}

TEST(Doubts, TenRefusalsInARowSpareTheServerForAMoment) {
    Doubts doubts;
    doubts.proved(alice);
    for (int i = 1; i <= 30; ++i)
        EXPECT_EQ(doubts.refused(mallory), i % 10 == 0 ? Blame::moment : Blame::mail) << i;
}

// One mailbox, a lane of each tenant, and the mail that waits in one of them.
class Shared : public StubQueue {
public:
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t>, const InFlight&,
                                         Time now) override {
        planner.upsert_mailbox(only_mailbox());
        for (const std::int64_t tenant : {alice, bob}) {
            core::LaneFacts lane;
            lane.id = lane.tenant_id = tenant;
            lane.pool = {1};
            planner.upsert_lane(lane, now);
        }
        return {};
    }
    Swept sweep() override {
        Swept swept;
        if (waiting) swept.lanes = {{waiting->lane_id, waiting->facts.due_at}};
        return swept;
    }
    std::vector<Candidate> pick(std::int64_t lane_id, int, Time) override {
        if (!waiting || waiting->lane_id != lane_id) return {};
        return {*waiting};
    }
    void passed(const Candidate&) override { waiting.reset(); }
    void store_breaker(std::int64_t, int failures, std::optional<Time> until, const std::string&, Time) override {
        breaker = failures;
        rests_until = until;
    }
    int breaker_failures(std::int64_t) override { return breaker; }

    std::optional<Candidate> waiting;
    int breaker = 0;
    std::optional<Time> rests_until;
};

class Answering : public StubCourier {
public:
    bool submit(const Ticket& ticket, Prepared) override {
        answer.token = ticket.token;
        is_asked = true;
        return true;
    }
    void turn(Time, std::vector<core::Report>& finished) override {
        if (std::exchange(is_asked, false)) finished.push_back(answer);
    }

    core::Report answer;
    bool is_asked = false;
};

class SharedMailbox : public testing::Test {
protected:
    SharedMailbox() {
        accepted.mailbox_id = accepted.recipient_count = 1;
        denied = refused_login = accepted;
        accepted.stage = core::Stage::done;
        accepted.ending = denied.ending = core::Ending::answered;
        accepted.dot_sent = true;
        accepted.final_reply = {250, "2.0.0", "OK"};
        accepted.recipients = {{0, {250, "2.1.5", "OK"}}};
        denied.stage = core::Stage::rcpt;
        denied.recipients = {{0, {554, "5.7.1", "Relay access denied"}}};
        refused_login.stage = core::Stage::auth;
        refused_login.session_reply = {535, "5.7.8", "bad credentials"};
    }
    // A mail of the tenant's is sent once the mailbox rests no more, and answered so. Whether the mailbox rests then.
    bool rests_after(std::int64_t tenant, const core::Report& answer) {
        now = std::max(now, queue.rests_until.value_or(now)) + 1s;
        Candidate mail;
        mail.facts.id = ++last_id;
        mail.facts.due_at = mail.age_from = now;
        mail.lane_id = tenant;
        mail.recipient_count = 1;
        queue.waiting = mail;
        courier.answer = answer;
        const std::size_t before = queue.settled.size();
        pump.sweep_soon();
        for (int i = 0; i < 5 && queue.settled.size() == before; ++i)
            pump.tick(now);
        EXPECT_EQ(queue.settled.size(), before + 1);
        return queue.rests_until && *queue.rests_until > now;
    }

    Shared queue;
    ReadyRoom room;
    Answering courier;
    StubJournal journal;
    Pump pump{queue, room, courier, journal, 1};
    core::Report accepted, denied, refused_login;
    Time now = core::from_unix_us(1'800'000'000'000'000);
    std::int64_t last_id = 0;
};

TEST_F(SharedMailbox, ForgetsWhomItServedBeforeItRestedForAFaultThatLasts) {
    EXPECT_FALSE(rests_after(bob, accepted));
    EXPECT_FALSE(rests_after(alice, denied));
    EXPECT_TRUE(rests_after(bob, refused_login));
    EXPECT_TRUE(rests_after(alice, denied));
    EXPECT_FALSE(rests_after(bob, accepted));
    EXPECT_FALSE(rests_after(alice, denied));
}

TEST_F(SharedMailbox, RemembersThemOverTheMomentsThatOneTenantsRefusalsCost) {
    EXPECT_FALSE(rests_after(bob, accepted));
    for (int i = 1; i <= 30; ++i)
        EXPECT_EQ(rests_after(alice, denied), i % 10 == 0) << i;
}

}  // namespace
}  // namespace mailer::worker
