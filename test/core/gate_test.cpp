// Each gate, shut alone: the decision names it, says when it opens, and explain() says the same in words.
#include "core/pace/gate.hpp"
#include "core/pace/slot.hpp"

#include <gtest/gtest.h>

#include "core/scene.hpp"

namespace mailer::core {
namespace {

using namespace test;

GateLine line_for(const std::vector<GateLine>& lines, Gate gate, const std::string& mailbox = "") {
    for (const GateLine& line : lines) {
        if (line.gate == gate && line.mailbox == mailbox) return line;
    }
    ADD_FAILURE() << "no line for " << gate_name(gate) << " " << mailbox;
    return {.gate = gate};
}

// The scene is shut by this gate and no other one; `opens_at` as UTC text or "never".
void expect_shut_by(const Scene& scene, Gate gate, const std::string& opens_at, const std::string& detail) {
    const Decision decision = scene.decide();
    EXPECT_FALSE(decision.go);
    EXPECT_EQ(gate_name(decision.first_shut), gate_name(gate));
    EXPECT_EQ(text_of(decision.opens_at), opens_at);
    const auto lines = scene.explain();
    EXPECT_EQ(blocked_by(lines), detail);
    for (const GateLine& line : lines)
        EXPECT_EQ(line.is_open, line.gate != gate) << gate_name(line.gate);
    EXPECT_EQ(text_of(line_for(lines, gate).opens_at), opens_at);
}

void expect_message_shut_by(const Scene& scene, Gate gate, MessageFate fate, const std::string& detail) {
    EXPECT_TRUE(scene.decide().go);  // the lane is open: it is this message that isn't sent
    EXPECT_EQ(judge(scene.message, scene.now), fate);
    const auto lines = scene.explain();
    EXPECT_EQ(blocked_by(lines), detail);
    for (const GateLine& line : lines)
        EXPECT_EQ(line.is_open, line.gate != gate) << gate_name(line.gate);
}

TEST(Gate, NothingShutMeansGo) {
    const Scene scene;
    const Decision decision = scene.decide();
    EXPECT_TRUE(decision.go);
    EXPECT_EQ(decision.mailbox, 0U);
    EXPECT_EQ(judge(scene.message, scene.now), MessageFate::go);
    EXPECT_EQ(blocked_by(scene.explain()), "");
}

TEST(Gate, SendingSwitchedOffShutsEverything) {
    Scene scene;
    scene.system.is_enabled = false;
    expect_shut_by(scene, Gate::sending_enabled, "never", "sending is switched off by mailer.enabled");
}

TEST(Gate, UnarmedDatabaseSendsNothing) {
    Scene scene;
    scene.system.is_armed = false;
    scene.system.held_reason = "restored from a dump";
    expect_shut_by(scene, Gate::sending_armed, "never", "sending is held until mailer.arm(): restored from a dump");
}

TEST(Gate, PauseShutsEverythingAndSaysWhy) {
    Scene scene;
    scene.system.pause_reason = "maintenance";
    expect_shut_by(scene, Gate::sending_not_paused, "never", "all sending is paused: maintenance");
}

TEST(Gate, StandbyThatMayBePromotedIsWaitedFor) {
    Scene scene;
    scene.system.standbys = {true, true, {}, "every mail waits until standby n1 has its claim on disk"};
    EXPECT_TRUE(scene.decide().go);
    scene.system.standbys = {true, false, kMondayMorning + seconds{75}, "waiting for standby n1"};
    expect_shut_by(scene, Gate::standbys, text_of(kMondayMorning + seconds{75}), "waiting for standby n1");
}

TEST(Gate, ServerWithoutTheLeaseSendsNothing) {
    Scene scene;
    scene.system.lease = {true, false, {}, "this server does not have the lease"};
    expect_shut_by(scene, Gate::lease, "never", "this server does not have the lease");
}

TEST(Gate, ServerWithoutStandbysAndLeaseShowsNoGateOfThem) {
    for (const GateLine& line : Scene().explain()) {
        EXPECT_NE(line.gate, Gate::standbys);
        EXPECT_NE(line.gate, Gate::lease);
    }
}

TEST(Gate, SenderThatDoesNotRunIsTheLastGateOfALaneAndHoldsNoDecision) {
    Scene scene;
    scene.system.sender = {true, false, kMondayMorning + seconds{30},
                           "the sender is not running: starts again at 11:00:30"};
    const GateLine line = line_for(scene.explain(), Gate::sender_running);
    EXPECT_FALSE(line.is_open);
    EXPECT_EQ(line.opens_at, kMondayMorning + seconds{30});
    EXPECT_EQ(blocked_by(scene.explain()), "the sender is not running: starts again at 11:00:30");
    EXPECT_TRUE(scene.decide().go);
    scene.system.pause_reason = "maintenance";
    EXPECT_EQ(blocked_by(scene.explain()), "all sending is paused: maintenance");
    for (const GateLine& other : Scene().explain())
        EXPECT_NE(other.gate, Gate::sender_running);
}

TEST(Gate, ConnectionsOfAllMailboxesAreLimitedTogether) {
    Scene scene;
    scene.system.max_connections = 3;
    scene.system.in_flight = 2;
    EXPECT_TRUE(scene.decide().go);
    scene.system.in_flight = 3;
    expect_shut_by(scene, Gate::connections_free, "never", "all connections of mailer.max_connections are busy");
    EXPECT_EQ(line_for(scene.explain(), Gate::connections_free).limit, "3");
    EXPECT_EQ(line_for(scene.explain(), Gate::connections_free).used, "3");
}

TEST(Gate, ClaimsAheadOfTheConnectionsAreNoConnections) {
    Scene scene;
    scene.system.max_connections = 2;
    scene.system.claims_per_connection = 3;
    scene.system.in_flight = 2;
    EXPECT_TRUE(scene.decide().go);
    EXPECT_EQ(line_for(scene.explain(), Gate::connections_free).detail,
              "all connections of mailer.max_connections are busy; there is room to claim ahead");
    scene.system.in_flight = 5;
    EXPECT_TRUE(scene.decide().go);
    EXPECT_EQ(line_for(scene.explain(), Gate::connections_free).used, "2");
    EXPECT_EQ(line_for(scene.explain(), Gate::connections_free).detail,
              "all connections of mailer.max_connections are busy, and 3 claimed mails wait; there is room for more");
    scene.system.in_flight = 6;
    expect_shut_by(scene, Gate::connections_free, "never",
                   "all connections of mailer.max_connections are busy, and 4 claimed mails wait");
    EXPECT_EQ(line_for(scene.explain(), Gate::connections_free).limit, "2");
    EXPECT_EQ(line_for(scene.explain(), Gate::connections_free).used, "2");
}

TEST(Gate, AMailboxWithClaimsAheadShowsItsConnections) {
    Scene scene;
    scene.mailbox().max_connections = 2;
    scene.mailbox().claims_per_connection = 2;
    scene.mailbox().in_flight = 3;
    EXPECT_TRUE(scene.decide().go);
    EXPECT_EQ(line_for(scene.explain(), Gate::mailbox_connection).used, "2");
    scene.mailbox().in_flight = 4;
    expect_shut_by(scene, Gate::mailbox_connection, "never",
                   "mailbox sales has no free connection, and 2 claimed mails wait");
}

TEST(Gate, AServerThatTakesFewerConnectionsGetsNoMoreUntilOneMoreIsTried) {
    Scene scene;
    scene.mailbox().max_connections = 10;
    scene.mailbox().in_flight = 3;
    EXPECT_TRUE(scene.decide().go);
    scene.mailbox().lowered = lower(std::nullopt, 10, 3, "421 too many", scene.now);
    expect_shut_by(scene, Gate::mailbox_connection, "2026-01-05 10:00:30",
                   "mailbox sales has no free connection; its server takes fewer than 10, one more is tried at Mon "
                   "11:00:30 Europe/Warsaw: 421 too many");
    EXPECT_EQ(line_for(scene.explain(), Gate::mailbox_connection).limit, "3");
    scene.now += seconds{30};
    scene.lane.next_slot_at = scene.now;
    EXPECT_TRUE(scene.decide().go);
    EXPECT_EQ(line_for(scene.explain(), Gate::mailbox_connection).limit, "4");
}

TEST(Gate, ARateSpacesMailsWhateverIsInFlight) {
    Scene scene;
    scene.mailbox().rate = Rate{2, minutes{1}};
    scene.mailbox().max_connections = 10;
    EXPECT_TRUE(scene.decide().go);
    reserve(scene.lane, scene.mailbox(), scene.message, scene.now);
    scene.lane.next_slot_at = scene.now;
    expect_shut_by(scene, Gate::mailbox_rate, "2026-01-05 10:00:30",
                   "rate of mailbox sales (2/min) until Mon 11:00:30 Europe/Warsaw");
    scene.now += seconds{30};
    scene.lane.next_slot_at = scene.now;
    EXPECT_TRUE(scene.decide().go);
    EXPECT_EQ(line_for(scene.explain(), Gate::mailbox_rate).detail, "rate of mailbox sales (2/min) has room");
}

TEST(Gate, CampaignThatIsNotRunningSendsNothing) {
    Scene scene;
    scene.lane.state = LaneState::paused;
    scene.lane.state_reason = "typo in the subject";
    expect_shut_by(scene, Gate::campaign_running, "never", "campaign is paused: typo in the subject");
    scene.lane.state = LaneState::draft;
    expect_shut_by(scene, Gate::campaign_running, "never", "campaign has not been started");
}

TEST(Gate, CampaignWaitsForItsStart) {
    Scene scene;
    scene.lane.starts_at = scene.now + minutes{30};
    expect_shut_by(scene, Gate::campaign_started, "2026-01-05 10:30", "campaign starts at Mon 11:30 Europe/Warsaw");
    scene.now += minutes{30};
    scene.lane.next_slot_at = scene.now;
    EXPECT_TRUE(scene.decide().go);
}

TEST(Gate, WindowClosedSaysWhenItOpens) {
    Scene scene;
    scene.now = utc("2026-01-09 16:00");
    scene.lane.next_slot_at = scene.now - seconds{1};
    expect_shut_by(scene, Gate::window_open, "2026-01-12 08:00", "window closed until Mon 09:00 Europe/Warsaw");
    scene.lane.window.weekdays = 0;
    expect_shut_by(scene, Gate::window_open, "never", "window has no allowed weekday");
}

TEST(Gate, OpeningMoreThanSixDaysAwayIsNamedWithItsDate) {
    Scene scene;
    scene.lane.window.weekdays = 1;  // Mondays
    scene.now = utc("2026-01-05 16:00");
    scene.lane.next_slot_at = scene.now - seconds{1};
    expect_shut_by(scene, Gate::window_open, "2026-01-12 08:00",
                   "window closed until Mon 2026-01-12 09:00 Europe/Warsaw");
}

TEST(Gate, CampaignDayCapOpensWithTheNextDayOfTheWindow) {
    Scene scene;
    scene.lane.max_per_day = 2;
    scene.lane.use.take(day("2026-01-05"), false);
    EXPECT_TRUE(scene.decide().go);
    scene.lane.use.take(day("2026-01-05"), false);
    expect_shut_by(scene, Gate::campaign_day_cap, "2026-01-06 08:00",
                   "daily limit of the campaign reached until Tue 09:00 Europe/Warsaw");
    EXPECT_EQ(line_for(scene.explain(), Gate::campaign_day_cap).limit, "2");
    EXPECT_EQ(line_for(scene.explain(), Gate::campaign_day_cap).used, "2");
    scene.lane.max_per_day = 0;
    EXPECT_EQ(scene.decide().opens_at, std::nullopt);
}

TEST(Gate, CampaignDayCapPastMidnightCountsOnTheDayItStartedOn) {
    Scene scene;
    scene.lane.window = {22 * 60, 2 * 60, kEveryDay, warsaw()};
    scene.lane.max_per_day = 1;
    scene.lane.use.take(day("2026-01-05"), false);
    scene.now = utc("2026-01-06 00:30");  // 01:30 on Tuesday, still Monday's window
    scene.lane.next_slot_at = scene.now;
    expect_shut_by(scene, Gate::campaign_day_cap, "2026-01-06 21:00",
                   "daily limit of the campaign reached until Tue 22:00 Europe/Warsaw");
}

TEST(Gate, CampaignGapIsTheStoredSlot) {
    Scene scene;
    scene.lane.next_slot_at = scene.now + seconds{30};
    expect_shut_by(scene, Gate::campaign_gap, "2026-01-05 10:00:30", "next slot at Mon 11:00:30 Europe/Warsaw");
    EXPECT_EQ(line_for(scene.explain(), Gate::campaign_gap).limit, "90 s");
    scene.now += seconds{30};
    EXPECT_TRUE(scene.decide().go);
}

TEST(Gate, BatchGapRunsFromTheStoredInstantAndOneIsInFlightAtATime) {
    Scene scene;
    scene.lane = batch_with(7, {1}, seconds{5});
    scene.lane.next_at = scene.now + seconds{5};
    expect_shut_by(scene, Gate::batch_gap, "2026-01-05 10:00:05", "gap of the batch until Mon 11:00:05 Europe/Warsaw");
    scene.lane.next_at = scene.now;
    EXPECT_TRUE(scene.decide().go);
    scene.lane.in_flight = 1;
    expect_shut_by(scene, Gate::batch_gap, "never", "a mail of the batch is being sent; the gap runs from its reply");
    scene.lane.gap = Duration{0};
    EXPECT_TRUE(scene.decide().go);
}

TEST(Gate, LaneWithoutAMailboxSendsNothing) {
    Scene scene;
    scene.mailboxes.clear();
    expect_shut_by(scene, Gate::pool_not_empty, "never", "no mailbox to send from");
}

TEST(Gate, PausedMailboxSaysWhy) {
    Scene scene;
    scene.mailbox().is_enabled = false;
    scene.mailbox().pause_reason = "moved to another host";
    expect_shut_by(scene, Gate::mailbox_enabled, "never", "mailbox sales is paused: moved to another host");
}

TEST(Gate, AShutShieldHoldsACampaignUntilSomebodyResumesIt) {
    Scene scene;
    scene.lane.shield_reason = "9 of the last 60 mails bounced";
    expect_shut_by(scene, Gate::campaign_shield, "never",
                   "shield is shut until mailer.campaign_resume(): 9 of the last 60 mails bounced");
}

TEST(Gate, AShutShieldHoldsAMailboxUntilSomebodyResumesIt) {
    Scene scene;
    scene.mailbox().shield_reason = "9 of the last 60 mails bounced";
    expect_shut_by(scene, Gate::mailbox_shield, "never",
                   "shield of mailbox sales is shut until mailer.mailbox_resume(): 9 of the last 60 mails bounced");
}

TEST(Gate, BreakerHoldsAMailboxBackUntilItsTime) {
    Scene scene;
    scene.mailbox().breaker_open_until = scene.now + minutes{5};
    scene.mailbox().breaker_reason = "login refused";
    expect_shut_by(scene, Gate::mailbox_breaker, "2026-01-05 10:05",
                   "mailbox sales is held back after failures until Mon 11:05 Europe/Warsaw: login refused");
    scene.now += minutes{5};
    scene.lane.next_slot_at = scene.now;
    EXPECT_TRUE(scene.decide().go);
}

TEST(Gate, MailboxDayCapCountsWarmupAndOpensAtLocalMidnight) {
    Scene scene;
    scene.mailbox().daily_limit.ceiling = 2;
    scene.mailbox().use.take(day("2026-01-05"), true);
    EXPECT_TRUE(scene.decide().go);
    scene.mailbox().use.take(day("2026-01-05"), false);
    expect_shut_by(scene, Gate::mailbox_day_cap, "2026-01-05 23:00",
                   "mailbox sales has reached its daily limit until Tue 00:00 Europe/Warsaw, 1 warm-up included");
    EXPECT_EQ(line_for(scene.explain(), Gate::mailbox_day_cap).limit, "2");
}

TEST(Gate, MailboxDayCapFollowsTheRampAndItsOwnZone) {
    Scene scene;
    scene.mailbox().zone = kathmandu();
    scene.mailbox().daily_limit = {.ceiling = 100, .ramp_start = 1, .ramp_step = 3};
    scene.mailbox().use.take(day("2026-01-05"), false);
    expect_shut_by(scene, Gate::mailbox_day_cap, "2026-01-05 18:15",
                   "mailbox sales has reached its daily limit until Tue 00:00 Asia/Kathmandu");
    scene.mailbox().daily_limit = {.ceiling = 0};
    EXPECT_EQ(scene.decide().opens_at, std::nullopt);
}

TEST(Gate, MailboxGapRunsFromTheStoredInstantAndOneIsInFlightAtATime) {
    Scene scene;
    scene.mailbox().gap = seconds{20};
    scene.mailbox().max_connections = 5;
    scene.mailbox().next_at = scene.now + seconds{20};
    expect_shut_by(scene, Gate::mailbox_gap, "2026-01-05 10:00:20",
                   "gap of mailbox sales until Mon 11:00:20 Europe/Warsaw");
    scene.mailbox().next_at.reset();
    EXPECT_TRUE(scene.decide().go);
    scene.mailbox().in_flight = 1;
    expect_shut_by(scene, Gate::mailbox_gap, "never", "mailbox sales is sending; its gap runs from the reply");
}

TEST(Gate, MailboxConnectionsAreLimited) {
    Scene scene;
    scene.mailbox().in_flight = 1;
    expect_shut_by(scene, Gate::mailbox_connection, "never", "mailbox sales has no free connection");
    scene.mailbox().max_connections = 2;
    EXPECT_TRUE(scene.decide().go);
}

TEST(Gate, SuppressedRecipientIsCancelledForEver) {
    Scene scene;
    scene.message.is_suppressed = true;
    scene.message.suppressed_reason = "hard bounce";
    expect_message_shut_by(scene, Gate::not_suppressed, MessageFate::suppressed,
                           "recipient is suppressed: hard bounce");
}

TEST(Gate, RecipientMailedAlreadyIsADuplicate) {
    Scene scene;
    scene.message.is_already_mailed = true;
    expect_message_shut_by(scene, Gate::not_yet_mailed, MessageFate::duplicate,
                           "recipient has been mailed in this campaign already");
}

TEST(Gate, MessageWaitsUntilItIsDue) {
    Scene scene;
    scene.message.due_at = scene.now + seconds{10};
    expect_message_shut_by(scene, Gate::due, MessageFate::wait, "message is due at Mon 11:00:10 Europe/Warsaw");
}

TEST(Gate, ExpiredMessageFailsForEver) {
    Scene scene;
    scene.message.expires_at = scene.now + Duration{1};
    EXPECT_EQ(judge(scene.message, scene.now), MessageFate::go);
    scene.message.expires_at = scene.now;
    expect_message_shut_by(scene, Gate::not_expired, MessageFate::expired, "message has expired");
}

TEST(Gate, PoolTakesTheLeastRecentlyUsedOpenMailbox) {
    Scene scene;
    scene.mailboxes = {mailbox_named(3, "c"), mailbox_named(2, "b"), mailbox_named(1, "a")};
    EXPECT_EQ(scene.mailboxes[scene.decide().mailbox].name, "a");  // all unused: the lowest id
    scene.mailboxes[2].last_used_at = scene.now - seconds{1};
    EXPECT_EQ(scene.mailboxes[scene.decide().mailbox].name, "b");
    scene.mailboxes[1].last_used_at = scene.now - seconds{9};
    scene.mailboxes[0].last_used_at = scene.now - seconds{5};
    EXPECT_EQ(scene.mailboxes[scene.decide().mailbox].name, "b");
    scene.mailboxes[1].is_enabled = false;
    EXPECT_EQ(scene.mailboxes[scene.decide().mailbox].name, "c");
}

TEST(Gate, PoolIsShutOnlyWhenAllItsMailboxesAre) {
    Scene scene;
    scene.mailboxes = {mailbox_named(1, "a"), mailbox_named(2, "b"), mailbox_named(3, "c")};
    scene.mailboxes[0].is_enabled = false;
    scene.mailboxes[1].next_at = scene.now + seconds{40};
    EXPECT_TRUE(scene.decide().go);
    EXPECT_EQ(blocked_by(scene.explain()), "");
    scene.mailboxes[2].next_at = scene.now + seconds{15};
    const Decision decision = scene.decide();
    EXPECT_FALSE(decision.go);
    EXPECT_EQ(gate_name(decision.first_shut), "mailbox_gap");
    EXPECT_EQ(text_of(decision.opens_at), "2026-01-05 10:00:15");
    const auto lines = scene.explain();
    EXPECT_EQ(blocked_by(lines), "gap of mailbox c until Mon 11:00:15 Europe/Warsaw (0 of 2 mailboxes)");
    EXPECT_EQ(line_for(lines, Gate::mailbox_enabled).detail, "2 of 3 mailboxes");
    EXPECT_FALSE(line_for(lines, Gate::mailbox_enabled, "a").is_open);
    EXPECT_FALSE(line_for(lines, Gate::mailbox_gap, "b").is_open);
}

TEST(Gate, SeveralShutGatesOpenWithTheLastOfThem) {
    Scene scene;
    scene.now = utc("2026-01-09 16:00");
    scene.lane.starts_at = utc("2026-01-09 17:00");
    scene.lane.next_slot_at = utc("2026-01-12 08:00:30");
    EXPECT_EQ(gate_name(scene.decide().first_shut), "campaign_started");
    EXPECT_EQ(text_of(scene.decide().opens_at), "2026-01-12 08:00:30");
}

}  // namespace
}  // namespace mailer::core
