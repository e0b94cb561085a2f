// Which lane goes next, when to wake, and that nothing is looked at before it may open. P1 and P2 are planner.hpp's.
#include "core/pace/planner.hpp"

#include <gtest/gtest.h>

#include "core/scene.hpp"

namespace mailer::core {
namespace {

using namespace test;

struct Plan : Planner {
    std::int64_t last_message = 0;

    Plan(std::vector<MailboxFacts> mailboxes, const std::vector<LaneFacts>& lanes) {
        for (const auto& mailbox : mailboxes)
            upsert_mailbox(mailbox);
        for (const auto& lane : lanes)
            upsert_lane(lane, kMondayMorning);
    }
    // The lane that goes at `now`, 0 when none may; its mail has its reply `transit` later, or flies on.
    std::int64_t send(Time now, std::optional<Duration> transit = Duration{0}) {
        const auto go = next(now);
        if (!go) return 0;
        taken = reserve(go->lane_id, go->mailbox_id, MessageFacts{.id = ++last_message}, now);
        if (transit) finish(taken, now + *transit);
        return go->lane_id;
    }
    Reservation taken;
};

LaneFacts slot_at(LaneFacts lane, Duration after) {
    lane.next_slot_at = kMondayMorning + after;
    return lane;
}

TEST(Planner, LaneThatCouldGoLongestGoesFirst) {
    Plan plan({mailbox_named(1, "a")},
              {slot_at(campaign_with(7, {1}), seconds{2}), slot_at(campaign_with(8, {1}), seconds{1})});
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    EXPECT_EQ(text_of(plan.wake_at()), "2026-01-05 10:00:01");
    EXPECT_EQ(plan.send(kMondayMorning + seconds{2}), 8);
    EXPECT_EQ(plan.send(kMondayMorning + seconds{2}), 7);
    EXPECT_EQ(plan.send(kMondayMorning + seconds{2}), 0);
    EXPECT_EQ(text_of(plan.wake_at()), "2026-01-05 10:01:31.950000");
}

TEST(Planner, StreamsWithABacklogTakeTurnsAndDontHoldUpCampaigns) {
    Plan plan({mailbox_named(1, "a")},
              {stream_with(2, {1}), stream_with(3, {1}), slot_at(campaign_with(7, {1}), seconds{1})});
    std::string order;
    for (int i = 0; i < 3; ++i)
        order += std::to_string(plan.send(kMondayMorning));
    for (int i = 0; i < 4; ++i)
        order += std::to_string(plan.send(kMondayMorning + seconds{2}));
    EXPECT_EQ(order, "2323273");
}

MailboxFacts at_server(std::int64_t id, std::uint64_t server_key, int connections) {
    MailboxFacts mailbox = mailbox_named(id, "m");
    mailbox.server_key = server_key;
    mailbox.max_connections = connections;
    return mailbox;
}

// A server that never answers keeps what it has: the last connections go to others, one after another.
TEST(Planner, TheLastConnectionsAreKeptForOtherServers) {
    Plan plan({at_server(1, 7, 100), at_server(2, 7, 100), at_server(3, 8, 100)},
              {stream_with(1, {1}), stream_with(2, {2})});
    plan.set_system({.max_connections = 16});
    std::vector<Reservation> taken;
    while (plan.send(kMondayMorning, std::nullopt) != 0)
        taken.push_back(plan.taken);
    EXPECT_EQ(taken.size(), 14U);
    EXPECT_EQ(plan.wake_at(), std::nullopt);
    EXPECT_EQ(plan.decide(1, kMondayMorning).first_shut, Gate::mailbox_connection);
    EXPECT_EQ(blocked_by(plan.explain(1, nullptr, kMondayMorning)),
              "the last connections of mailer.max_connections are kept for other servers than mailbox m's");
    plan.upsert_lane(stream_with(3, {3}), kMondayMorning);
    EXPECT_EQ(plan.send(kMondayMorning, std::nullopt), 3);
    EXPECT_EQ(plan.send(kMondayMorning, std::nullopt), 0);
    plan.finish(plan.taken, kMondayMorning);
    EXPECT_EQ(plan.send(kMondayMorning), 3);
    plan.finish(taken.back(), kMondayMorning);  // one more than is kept, but half of that has to come free
    EXPECT_EQ(plan.send(kMondayMorning), 3);
    plan.remove_lane(3);
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    plan.finish(taken.front(), kMondayMorning);
    EXPECT_NE(plan.send(kMondayMorning), 0);
}

LaneFacts of_tenant(LaneFacts lane, std::int64_t tenant_id) {
    lane.tenant_id = tenant_id;
    return lane;
}

// P2. By lanes, a tenant that opens more of them would get more.
TEST(Planner, TenantsTakeTurnsHoweverManyLanesTheyHave) {
    Plan plan({mailbox_named(1, "a")}, {of_tenant(stream_with(9, {1}), 5)});
    for (std::int64_t id = 2; id <= 6; ++id) {
        plan.upsert_mailbox(mailbox_named(id, "m"));
        plan.upsert_lane(of_tenant(stream_with(id, {1}), 4), kMondayMorning);
        plan.upsert_lane(of_tenant(stream_with(10 + id, {1, id}), 4), kMondayMorning);
    }
    int of_nine = 0;
    for (int i = 0; i < 20; ++i)
        of_nine += plan.send(kMondayMorning) == 9 ? 1 : 0;
    EXPECT_EQ(of_nine, 10);
}

TEST(Planner, LanesOfATenantStandBehindAnothersMailWhateverTheyWaitSince) {
    Plan plan({mailbox_named(1, "a")}, {});
    for (std::int64_t id = 2; id <= 50; ++id) {
        LaneFacts batch = of_tenant(stream_with(id, {1}), 4);
        batch.kind = LaneKind::batch;
        batch.gap = std::chrono::microseconds{1};
        batch.waiting_since = kMondayMorning - hours{1000};
        plan.upsert_lane(batch, kMondayMorning);
    }
    EXPECT_NE(plan.send(kMondayMorning), 9);
    plan.upsert_lane(of_tenant(stream_with(99, {1}), 5), kMondayMorning);
    EXPECT_EQ(plan.send(kMondayMorning), 99);
}

TEST(Planner, ARefilledPlannerKnowsWhichTenantsTurnItIs) {
    const std::vector<LaneFacts> lanes = {of_tenant(stream_with(2, {1}), 4), of_tenant(stream_with(3, {1}), 4),
                                          of_tenant(stream_with(4, {1}), 5)};
    Plan plan({mailbox_named(1, "a")}, lanes);
    const std::int64_t first = plan.send(kMondayMorning);
    Plan refilled({mailbox_named(1, "a")}, lanes);
    refilled.remember(plan);
    EXPECT_EQ(first, 2);
    EXPECT_EQ(refilled.send(kMondayMorning), 4);
}

TEST(Planner, LaneWithNothingWaitingIsNotOffered) {
    Plan plan({mailbox_named(1, "a")}, {stream_with(2, {1})});
    plan.set_pending(2, std::nullopt);
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    EXPECT_EQ(text_of(plan.wake_at()), "never");
    plan.set_pending(2, kMondayMorning + minutes{1});
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    EXPECT_EQ(text_of(plan.wake_at()), "2026-01-05 10:01");
    EXPECT_EQ(plan.send(kMondayMorning + minutes{1}), 2);
}

TEST(Planner, NeverTwoAtATimeFromOneMailboxAndAReplyWakesTheNextLane) {
    Plan plan({mailbox_named(1, "a")}, {stream_with(2, {1}), stream_with(3, {1})});
    EXPECT_EQ(plan.send(kMondayMorning, std::nullopt), 2);
    EXPECT_EQ(plan.send(kMondayMorning, std::nullopt), 0);
    EXPECT_EQ(text_of(plan.wake_at()), "never");
    plan.finish(plan.taken, kMondayMorning + seconds{1});
    EXPECT_EQ(plan.send(kMondayMorning + seconds{1}, std::nullopt), 3);
}

TEST(Planner, MailboxGapWakesTheLaneWhenItHasPassed) {
    MailboxFacts mailbox = mailbox_named(1, "a");
    mailbox.gap = seconds{20};
    Plan plan({mailbox}, {stream_with(2, {1})});
    EXPECT_EQ(plan.send(kMondayMorning, seconds{1}), 2);
    EXPECT_EQ(plan.send(kMondayMorning + seconds{1}), 0);
    EXPECT_EQ(text_of(plan.wake_at()), "2026-01-05 10:00:21");
    EXPECT_EQ(plan.send(kMondayMorning + seconds{21}), 2);
}

TEST(Planner, MailboxesOfAPoolTakeTurnsAndShutOnesArePassedOver) {
    MailboxFacts broken = mailbox_named(2, "b");
    broken.breaker_open_until = kMondayMorning + minutes{1};
    Plan plan({mailbox_named(1, "a"), broken, mailbox_named(3, "c")}, {stream_with(2, {1, 2, 3})});
    std::string order;
    for (int i = 0; i < 3; ++i) {
        plan.send(kMondayMorning + seconds{i});
        order += std::to_string(plan.taken.mailbox_id);
    }
    for (int i = 0; i < 4; ++i) {
        plan.send(kMondayMorning + minutes{1} + seconds{i});
        order += std::to_string(plan.taken.mailbox_id);
    }
    EXPECT_EQ(order, "1312312");
}

TEST(Planner, ChangedFactsTakeEffectAtOnce) {
    MailboxFacts mailbox = mailbox_named(1, "a");
    mailbox.is_enabled = false;
    LaneFacts lane = campaign_with(7, {1});
    Plan plan({mailbox}, {lane});
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    mailbox.is_enabled = true;
    plan.upsert_mailbox(mailbox);
    EXPECT_TRUE(plan.next(kMondayMorning));
    lane.state = LaneState::paused;
    plan.upsert_lane(lane, kMondayMorning);
    EXPECT_FALSE(plan.next(kMondayMorning));
    lane.state = LaneState::running;
    plan.upsert_lane(lane, kMondayMorning);
    EXPECT_TRUE(plan.next(kMondayMorning));
    plan.set_system({.pause_reason = "maintenance"});
    EXPECT_FALSE(plan.next(kMondayMorning));
    EXPECT_EQ(text_of(plan.wake_at()), "never");
    plan.set_system({});
    EXPECT_TRUE(plan.next(kMondayMorning));
}

TEST(Planner, MailboxesAndLanesComeAndGo) {
    Plan plan({mailbox_named(1, "a")}, {stream_with(2, {1, 5}), stream_with(3, {5})});
    EXPECT_EQ(plan.send(kMondayMorning, std::nullopt), 2);
    const Reservation flying = plan.taken;
    EXPECT_EQ(plan.system().in_flight, 1);
    plan.remove_mailbox(1);
    EXPECT_EQ(plan.system().in_flight, 0);
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    plan.upsert_mailbox(mailbox_named(5, "late"));
    EXPECT_EQ(plan.send(kMondayMorning), 3);
    plan.remove_lane(3);
    EXPECT_EQ(plan.send(kMondayMorning), 2);
    plan.remove_lane(2);
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    plan.finish(flying, kMondayMorning);  // a reply for what is gone does no harm
    EXPECT_FALSE(plan.release(flying, kMondayMorning));
    EXPECT_EQ(plan.system().in_flight, 0);
    EXPECT_EQ(plan.lane(2), nullptr);
    EXPECT_EQ(plan.mailbox(1), nullptr);
    plan.upsert_lane(stream_with(4, {5}), kMondayMorning);
    EXPECT_EQ(plan.send(kMondayMorning), 4);
    EXPECT_EQ(plan.lane_ids(), std::vector<std::int64_t>{4});
    EXPECT_EQ(plan.mailbox_ids(), std::vector<std::int64_t>{5});
}

// Of the lanes of a pace only the first waits with its mailboxes; the others must be reached while these are shut.
TEST(Planner, AShutMailboxHoldsUpNoOtherLaneOfItsPace) {
    std::vector<LaneFacts> lanes{slot_at(campaign_with(7, {1}), seconds{0})};
    for (std::int64_t id = 8; id <= 10; ++id) {
        lanes.push_back(campaign_with(id, {id - 6}));
        lanes.back().pace_id = 7;
        lanes.back().is_follow_up = true;
    }
    std::vector<MailboxFacts> mailboxes{mailbox_named(1, "a"), mailbox_named(2, "b"), mailbox_named(3, "c"),
                                        mailbox_named(4, "d")};
    for (MailboxFacts& mailbox : mailboxes)
        mailbox.gap = seconds{150};
    Plan plan(mailboxes, lanes);
    std::string order;
    for (int i = 0; i < 6; ++i)
        order += std::to_string(plan.send(kMondayMorning + i * seconds{90})) + " ";
    EXPECT_EQ(order, "8 9 8 9 8 9 ");  // with the least id of those whose mailbox is free
    plan.set_pending(9, std::nullopt);
    EXPECT_EQ(plan.send(kMondayMorning + 6 * seconds{90}), 8);
    EXPECT_EQ(plan.send(kMondayMorning + 7 * seconds{90}), 10);
    plan.set_pending(10, std::nullopt);
    EXPECT_EQ(plan.send(kMondayMorning + 8 * seconds{90}), 8);
    EXPECT_EQ(plan.send(kMondayMorning + 9 * seconds{90}), 7);
    plan.set_pending(7, std::nullopt);
    EXPECT_EQ(plan.send(kMondayMorning + 10 * seconds{90}), 8);
    EXPECT_EQ(plan.send(kMondayMorning + 11 * seconds{90}), 0);  // all others have nothing
    EXPECT_EQ(text_of(plan.wake_at()), text_of(kMondayMorning + 10 * seconds{90} + seconds{150}));
}

// With more due than slots the follow-ups of one mailbox would else wait for those of all mailboxes with a lesser id.
TEST(Planner, OfAPaceThatIsBehindWhatHasBeenDueLongestGoesFirst) {
    std::vector<LaneFacts> lanes{slot_at(campaign_with(7, {1}), seconds{0})};
    for (std::int64_t id = 8; id <= 10; ++id) {
        lanes.push_back(campaign_with(id, {id - 6}));
        lanes.back().pace_id = 7;
        lanes.back().is_follow_up = true;
    }
    Plan plan({mailbox_named(1, "a"), mailbox_named(2, "b"), mailbox_named(3, "c"), mailbox_named(4, "d")}, lanes);
    plan.set_pending(7, std::nullopt);
    plan.set_pending(8, kMondayMorning - seconds{10});
    plan.set_pending(9, kMondayMorning - seconds{30});
    plan.set_pending(10, kMondayMorning - seconds{20});
    EXPECT_EQ(plan.send(kMondayMorning), 9);
    plan.set_pending(9, kMondayMorning - seconds{5});
    EXPECT_EQ(plan.send(kMondayMorning + seconds{90}), 10);
    plan.set_pending(10, std::nullopt);
    EXPECT_EQ(plan.send(kMondayMorning + 2 * seconds{90}), 8);
    plan.set_pending(8, std::nullopt);
    EXPECT_EQ(plan.send(kMondayMorning + 3 * seconds{90}), 9);
}

TEST(Planner, StartedCampaignGetsItsFirstSlotToBeStored) {
    LaneFacts lane = campaign_with(7, {1});
    lane.next_slot_at.reset();
    Plan plan({mailbox_named(1, "a")}, {});
    lane.state = LaneState::draft;
    EXPECT_FALSE(plan.upsert_lane(lane, kMondayMorning));
    lane.state = LaneState::running;
    EXPECT_TRUE(plan.upsert_lane(lane, kMondayMorning));
    EXPECT_EQ(plan.lane(7)->next_slot_at, kMondayMorning);
    EXPECT_FALSE(plan.upsert_lane(*plan.lane(7), kMondayMorning + seconds{1}));
}

TEST(Planner, ConnectionsOfAllMailboxesAreCountedTogether) {
    Plan plan({mailbox_named(1, "a"), mailbox_named(2, "b")}, {stream_with(2, {1, 2})});
    plan.set_system({.max_connections = 1});
    EXPECT_EQ(plan.send(kMondayMorning, std::nullopt), 2);
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    plan.release(plan.taken, kMondayMorning);
    EXPECT_EQ(plan.send(kMondayMorning), 2);
}

// ── Why slots were missed ────────────────────────────────────────────────────────────────────────────────────────

std::string missed_by(const Plan& plan) {
    const auto& missed = plan.taken.missed;
    return missed ? std::to_string(missed->count) + " " + missed_reason_text(missed->reason) : "none";
}

TEST(Planner, SlotsMissedWhileNobodyLookedAreAnOutage) {
    Plan plan({mailbox_named(1, "a")}, {campaign_with(7, {1})});
    EXPECT_EQ(plan.send(kMondayMorning + minutes{15}), 7);
    EXPECT_EQ(missed_by(plan), "10 not_running");
    EXPECT_EQ(plan.send(kMondayMorning + minutes{15}), 0);  // and no catching up
    EXPECT_EQ(text_of(plan.wake_at()), "2026-01-05 10:16:30");
}

TEST(Planner, SlotsMissedInAPauseNameThePauseAlsoInAPlannerThatIsFilledAnew) {
    LaneFacts lane = campaign_with(7, {1});
    lane.state = LaneState::paused;
    Plan plan({mailbox_named(1, "a")}, {slot_at(lane, minutes{1})});
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    lane.state = LaneState::running;
    Plan refilled({mailbox_named(1, "a")}, {slot_at(lane, minutes{1})});
    refilled.remember(plan);
    EXPECT_EQ(refilled.send(kMondayMorning + minutes{16}), 7);
    EXPECT_EQ(missed_by(refilled), "10 campaign_running");
}

TEST(Planner, SlotsMissedWhileEverythingWasPausedNameThat) {
    Plan plan({mailbox_named(1, "a")}, {slot_at(campaign_with(7, {1}), minutes{1})});
    plan.set_system({.pause_reason = "maintenance"});
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    plan.set_system({});
    EXPECT_EQ(plan.send(kMondayMorning + minutes{16}), 7);
    EXPECT_EQ(missed_by(plan), "10 sending_not_paused");
}

TEST(Planner, SlotsMissedForWantOfAMailboxNameItsGate) {
    MailboxFacts mailbox = mailbox_named(1, "a");
    mailbox.is_enabled = false;
    Plan plan({mailbox}, {campaign_with(7, {1})});
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    mailbox.is_enabled = true;
    plan.upsert_mailbox(mailbox);
    EXPECT_EQ(plan.send(kMondayMorning + minutes{15}), 7);
    EXPECT_EQ(missed_by(plan), "10 mailbox_enabled");
}

TEST(Planner, SlotsMissedWhileAMailboxWasPausedNameThatAlsoInAPlannerThatIsFilledAnew) {
    MailboxFacts mailbox = mailbox_named(1, "a");
    mailbox.is_enabled = false;
    const LaneFacts lane = slot_at(campaign_with(7, {1}), minutes{1});
    Plan plan({mailbox}, {lane});
    EXPECT_EQ(plan.send(kMondayMorning), 0);  // shut before the slot, and looked at no more
    mailbox.is_enabled = true;
    Plan refilled({mailbox}, {lane});
    refilled.remember(plan);
    EXPECT_EQ(refilled.send(kMondayMorning + minutes{16}), 7);
    EXPECT_EQ(missed_by(refilled), "10 mailbox_enabled");
}

TEST(Planner, AMailboxThatWasFreeInTimeIsNoReason) {
    MailboxFacts mailbox = mailbox_named(1, "a");
    mailbox.next_at = kMondayMorning + seconds{10};
    Plan plan({mailbox}, {slot_at(campaign_with(7, {1}), minutes{1})});
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    EXPECT_EQ(plan.send(kMondayMorning + minutes{16}), 7);
    EXPECT_EQ(missed_by(plan), "10 not_running");
}

TEST(Planner, SlotThatTheClosingWindowCutOffNamesTheWindow) {
    const Time slot = utc("2026-01-05 15:58");
    MailboxFacts mailbox = mailbox_named(1, "a");
    mailbox.breaker_open_until = slot + minutes{5};
    LaneFacts lane = campaign_with(7, {1});
    lane.next_slot_at = slot;
    Plan plan({mailbox}, {lane});
    EXPECT_EQ(plan.send(slot), 0);
    std::optional<Time> t;
    while ((t = plan.wake_at()) && plan.send(*t) == 0)
        EXPECT_LT(*t, utc("2026-01-07 00:00"));
    EXPECT_GE(plan.taken.at, utc("2026-01-06 08:00"));
    EXPECT_EQ(missed_by(plan), "2 window_open");
}

TEST(Planner, PauseThatEndedBeforeTheSlotIsForgotten) {
    LaneFacts lane = slot_at(campaign_with(7, {1}), minutes{1});
    lane.state = LaneState::paused;
    Plan plan({mailbox_named(1, "a")}, {lane});
    EXPECT_EQ(plan.send(kMondayMorning), 0);
    lane.state = LaneState::running;
    plan.upsert_lane(lane, kMondayMorning + seconds{10});
    EXPECT_EQ(plan.send(kMondayMorning + seconds{10}), 0);
    EXPECT_EQ(plan.send(kMondayMorning + minutes{16}), 7);
    EXPECT_EQ(missed_by(plan), "10 not_running");
}

}  // namespace
}  // namespace mailer::core
