// The plan ahead: every gate moves it, and with nothing disturbed it is what the sender then does.
#include "core/pace/forecast.hpp"

#include <gtest/gtest.h>

#include <map>

#include "core/outlook.hpp"

namespace mailer::core {
namespace {

using namespace test;

TEST(Forecast, FollowsTheGapInTheOrderOfTheQueue) {
    Outlook outlook;
    outlook.message(3).priority = 3;
    EXPECT_EQ(outlook.text(),
              "104@01-05 10:00, 101@01-05 10:01:30, 102@01-05 10:03, 103@01-05 10:04:30, 105@01-05 10:06");
    EXPECT_EQ(outlook.rows()[4].ordinal, 5);
    EXPECT_EQ(outlook.rows()[4].lane_id, 7);
}

TEST(Forecast, APostponedMailOfHigherPriorityHoldsUpNoneThatIsDue) {
    Outlook outlook;
    outlook.message(3).priority = 3;
    outlook.message(3).not_before = kMondayMorning + hours{1};
    EXPECT_EQ(outlook.text(),
              "101@01-05 10:00, 102@01-05 10:01:30, 103@01-05 10:03, 105@01-05 10:04:30, 104@01-05 11:00");
}

TEST(Forecast, EndsWhereTheListedMessagesEndAndSaysSo) {
    Outlook outlook;
    EXPECT_FALSE(outlook.whole().has_run_out);
    outlook.queues.front().ends = {102};
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 102@01-05 10:01:30");
    EXPECT_TRUE(outlook.whole().has_run_out);
}

TEST(Forecast, AnOtherLaneThatRunsOutEndsItForAll) {
    Outlook outlook;
    LaneFacts other = outlook.lane();
    other.id = 8;
    other.campaign_id = 8;
    outlook.lanes.push_back(other);
    outlook.queues.push_back({8, leads(201, 1, kMondayMorning - hours{1}), {201}});
    outlook.options.only_lane = 7;
    const Forecast plan = outlook.whole();
    EXPECT_TRUE(plan.has_run_out);
    EXPECT_LT(plan.rows.size(), 5U);
}

// As the claim has it (P2): two streams of one tenant and one of another, from a mailbox with a gap.
TEST(Forecast, TenantsTakeTurns) {
    Outlook outlook;
    outlook.mailbox().gap = minutes{1};
    outlook.lanes.clear();
    outlook.queues.clear();
    for (const std::int64_t id : {2, 3, 4}) {
        LaneFacts lane = stream_with(id, {1});
        lane.tenant_id = id == 4 ? 5 : 1;
        outlook.lanes.push_back(lane);
        outlook.queues.push_back({id, leads(100 * id, 3, kMondayMorning - hours{1})});
    }
    std::string order;
    for (const ForecastRow& row : outlook.rows())
        order += std::to_string(row.lane_id);
    EXPECT_EQ(order.substr(0, 6), "243424");
}

TEST(Forecast, JitterMovesEachSlotAsItWillBeDrawn) {
    Outlook outlook;
    outlook.lane().jitter_ppm = 200'000;
    Time slot = kMondayMorning;
    for (const ForecastRow& row : outlook.rows()) {
        EXPECT_EQ(row.slot_at, slot);
        slot += jittered_gap(outlook.lane(), row.ordinal + 1);
    }
}

TEST(Forecast, OfSomethingSwitchedOffUnarmedOrPausedIsEmpty) {
    Outlook outlook;
    outlook.system.is_enabled = false;
    EXPECT_EQ(outlook.text(), "");
    outlook.system = {.is_armed = false};
    EXPECT_EQ(outlook.text(), "");
    outlook.system = {.pause_reason = "maintenance"};
    EXPECT_EQ(outlook.text(), "");
    outlook.system = {.standbys = {.is_set = true, .is_open = false}};
    EXPECT_EQ(outlook.text(), "");
    outlook.system = {.lease = {.is_set = true, .is_open = false}};
    EXPECT_EQ(outlook.text(), "");
    outlook.system = {};
    outlook.lane().state = LaneState::paused;
    EXPECT_EQ(outlook.text(), "");
    outlook.lane().state = LaneState::running;
    outlook.mailbox().is_enabled = false;
    EXPECT_EQ(outlook.text(), "");
    outlook.mailboxes.clear();
    EXPECT_EQ(outlook.text(), "");
}

TEST(Forecast, WaitsForTheStart) {
    Outlook outlook;
    outlook.options.max_rows = 1;
    outlook.lane().starts_at = kMondayMorning + minutes{1};
    EXPECT_EQ(outlook.text(), "101@01-05 10:01");
}

TEST(Forecast, GoesOnWhereTheWindowOpensAgain) {
    Outlook outlook;
    outlook.lane().window.end_minute = 11 * 60 + 2;  // 10:02 in UTC
    const auto rows = outlook.rows();
    ASSERT_EQ(rows.size(), 5U);
    EXPECT_EQ(text_of(rows[1].slot_at), "2026-01-05 10:01:30");
    EXPECT_GE(rows[2].slot_at, utc("2026-01-06 08:00"));
    EXPECT_LT(rows[2].slot_at, utc("2026-01-06 08:01:30"));
    EXPECT_EQ(rows[3].slot_at, rows[2].slot_at + seconds{90});
}

// Slots are placed in the window; a mailbox that comes back after closing time must not make them go then.
TEST(Forecast, SlotThatCouldNotGoInTheWindowDoesNotGoOutsideIt) {
    Outlook outlook;
    outlook.lane().next_slot_at = utc("2026-01-05 15:59");
    outlook.mailbox().breaker_open_until = utc("2026-01-05 16:00:10");
    outlook.options.max_rows = 1;
    const auto rows = outlook.rows();
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_GE(rows[0].slot_at, utc("2026-01-06 08:00"));
    EXPECT_LT(rows[0].slot_at, utc("2026-01-06 08:01:30"));
}

TEST(Forecast, WindowInTheMissingHourSkipsThatDay) {
    Outlook outlook;
    outlook.lane().window = {150, 180, kEveryDay, warsaw()};  // 02:30 to 03:00
    outlook.lane().max_per_day = 1;
    outlook.lane().next_slot_at = utc("2026-03-27 01:30");
    outlook.message(0).due_at = outlook.message(1).due_at = outlook.message(2).due_at = utc("2026-03-27 00:00");
    outlook.queues[0].waiting.resize(3);
    std::string days;
    for (const auto& row : outlook.rows())
        days += text_of(row.slot_at).substr(5, 6);
    EXPECT_EQ(days, "03-27 03-28 03-30 ");
}

TEST(Forecast, CampaignCapContinuesNextDay) {
    Outlook outlook;
    outlook.lane().max_per_day = 2;
    outlook.lane().use.take(day("2026-01-05"), false);
    std::string days;
    for (const auto& row : outlook.rows())
        days += text_of(row.slot_at).substr(5, 6);
    EXPECT_EQ(days, "01-05 01-06 01-06 01-07 01-07 ");
}

// placed_slot() keeps a slot away from a full day; the gate itself matters where nothing was placed.
TEST(Forecast, CampaignThatIsFullAlreadyWaitsForTheNextDay) {
    Outlook outlook;
    outlook.lane().max_per_day = 1;
    outlook.lane().gap = Duration{0};
    outlook.lane().use.take(day("2026-01-05"), false);
    outlook.options.max_rows = 1;
    EXPECT_EQ(outlook.text(), "101@01-06 08:00");
}

TEST(Forecast, BatchGapRunsFromTheReply) {
    Outlook outlook;
    outlook.lane() = batch_with(7, {1}, seconds{5});
    outlook.options = {.max_rows = 3, .transit = seconds{2}};
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 102@01-05 10:00:07, 103@01-05 10:00:14");
    outlook.mailbox().max_connections = 9;
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 102@01-05 10:00:07, 103@01-05 10:00:14");
}

TEST(Forecast, NothingIsForetoldWhileAShieldIsShut) {
    Outlook campaign;
    campaign.lane().shield_reason = "too much bounced";
    EXPECT_TRUE(campaign.rows().empty());
    Outlook mailbox;
    mailbox.mailbox().shield_reason = "too much bounced";
    EXPECT_TRUE(mailbox.rows().empty());
}

TEST(Forecast, BreakerHoldsUntilItsTime) {
    Outlook outlook;
    outlook.options.max_rows = 1;
    outlook.mailbox().breaker_open_until = kMondayMorning + minutes{1};
    EXPECT_EQ(outlook.text(), "101@01-05 10:01");
}

TEST(Forecast, MailboxCapOverflowsToTheNextMailboxAndThenToTheNextDay) {
    Outlook outlook;
    outlook.mailboxes.push_back(mailbox_named(2, "b"));
    outlook.lane().pool = {1, 2};
    outlook.lane().window.weekdays = kEveryDay;
    outlook.lane().window.start_minute = outlook.lane().window.end_minute = 0;
    outlook.mailboxes[0].daily_limit.ceiling = 1;
    outlook.mailboxes[1].daily_limit.ceiling = 2;
    outlook.options.max_rows = 4;
    EXPECT_EQ(outlook.text(), "101@01-05 10:00/1, 102@01-05 10:01:30/2, 103@01-05 10:03/2, 104@" +
                                  text_of(outlook.rows()[3].slot_at).substr(5) + "/1");
    EXPECT_GE(outlook.rows()[3].slot_at, utc("2026-01-05 23:00"));  // local midnight
    EXPECT_LT(outlook.rows()[3].slot_at, utc("2026-01-05 23:01:30"));
}

// Two mailboxes that are busy with each other's campaigns make mails late; the next ones make room (S2).
TEST(Forecast, CampaignsThatShareMailboxesKeepTheirLeastGapTo50Milliseconds) {
    using std::chrono::milliseconds;
    Outlook outlook;
    outlook.mailboxes = {mailbox_named(1, "a"), mailbox_named(2, "b")};
    for (MailboxFacts& mailbox : outlook.mailboxes)
        mailbox.gap = milliseconds{300};
    outlook.lanes.clear();
    outlook.queues.clear();
    outlook.options.transit = milliseconds{40};
    std::int64_t id = 0;
    for (const Duration gap : {milliseconds{900}, milliseconds{1300}, milliseconds{1700}}) {
        LaneFacts lane = campaign_with(++id, {1, 2});
        lane.gap = gap;
        lane.jitter_ppm = 200'000;
        outlook.lanes.push_back(lane);
        outlook.queues.push_back({id, leads(1000 * id, 300, kMondayMorning - hours{1})});
    }
    std::map<std::int64_t, Time> last;
    int busy = 0;
    for (const ForecastRow& row : outlook.rows()) {
        const Duration gap = outlook.lanes[static_cast<std::size_t>(row.lane_id) - 1].gap;
        if (last.contains(row.lane_id)) {
            const Duration apart = row.slot_at - last[row.lane_id];
            ASSERT_GE(apart, gap - gap / 5 - milliseconds{50}) << row.lane_id << " " << text_of(row.slot_at);
            busy += apart > gap + gap / 5 ? 1 : 0;
        }
        last[row.lane_id] = row.slot_at;
    }
    EXPECT_GT(busy, 0);
}

TEST(Forecast, RampLetsMoreGoEachDay) {
    Outlook outlook;
    outlook.mailbox().daily_limit = {.ramp_start = 1, .ramp_step = 1};
    std::string days;
    for (const auto& row : outlook.rows())
        days += text_of(row.slot_at).substr(5, 6);
    EXPECT_EQ(days, "01-05 01-06 01-06 01-07 01-07 ");
}

TEST(Forecast, MailboxGapHoldsAcrossCampaigns) {
    Outlook outlook;
    outlook.mailbox().gap = minutes{2};
    outlook.lanes.push_back(campaign_with(8, {1}));
    outlook.queues.push_back({8, leads(201, 5, kMondayMorning - hours{1})});
    outlook.options.max_rows = 4;
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 201@01-05 10:02, 102@01-05 10:04, 202@01-05 10:06");
    EXPECT_EQ(outlook.rows()[1].lane_id, 8);
}

TEST(Forecast, MailboxConnectionHoldsAcrossCampaigns) {
    Outlook outlook;
    outlook.lanes.push_back(campaign_with(8, {1}));
    outlook.queues.push_back({8, leads(201, 5, kMondayMorning - hours{1})});
    outlook.options = {.max_rows = 2, .transit = seconds{3}};
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 201@01-05 10:00:03");
    outlook.mailbox().max_connections = 2;
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 201@01-05 10:00");
    outlook.system.max_connections = 1;
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 201@01-05 10:00:03");
}

TEST(Forecast, WhatIsInFlightNowLandsFirst) {
    Outlook outlook;
    outlook.mailbox().in_flight = 1;
    outlook.options = {.max_rows = 1, .transit = seconds{3}};
    EXPECT_EQ(outlook.text(), "101@01-05 10:00:03");
    outlook.lane() = batch_with(7, {1}, seconds{5});
    outlook.lane().in_flight = 1;
    EXPECT_EQ(outlook.text(), "101@01-05 10:00:08");
}

TEST(Forecast, MessagesThatWillNotGoTakeNoSlot) {
    Outlook outlook;
    outlook.message(0).is_suppressed = true;
    outlook.message(1).is_already_mailed = true;
    outlook.message(3).expires_at = kMondayMorning + seconds{90};
    EXPECT_EQ(outlook.text(), "103@01-05 10:00, 105@01-05 10:01:30");
}

TEST(Forecast, ARateHoldsAcrossCampaigns) {
    Outlook outlook;
    outlook.mailbox().rate = Rate{20, hours{1}};
    LaneFacts other = outlook.lane();
    other.id = other.campaign_id = 8;
    outlook.lanes.push_back(other);
    outlook.queues[0].waiting.resize(2);
    outlook.queues.push_back({8, leads(201, 1, kMondayMorning - hours{1})});
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 201@01-05 10:03, 102@01-05 10:06");
}

TEST(Forecast, MessageThatIsNotDueLetsOthersPass) {
    Outlook outlook;
    outlook.message(0).due_at = kMondayMorning + minutes{2};
    outlook.message(1).due_at = kMondayMorning + hours{1};
    outlook.message(0).priority = 4;
    EXPECT_EQ(outlook.text(),
              "103@01-05 10:00, 104@01-05 10:01:30, 101@01-05 10:03, 105@01-05 10:04:30, 102@01-05 11:00");
}

TEST(Forecast, OfOneCampaignCountsTheOthersButShowsOnlyItsOwnRows) {
    Outlook outlook;
    outlook.mailbox().gap = minutes{2};
    outlook.lanes.push_back(campaign_with(8, {1}));
    outlook.queues.push_back({8, leads(201, 500, kMondayMorning - hours{1})});
    outlook.options.only_lane = 7;
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 102@01-05 10:04, 103@01-05 10:08, 104@01-05 10:12, 105@01-05 10:16");
    outlook.options.until = kMondayMorning + minutes{5};
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 102@01-05 10:04");
}

TEST(Forecast, WhatIfIsTheSameCallWithOtherValues) {
    Outlook outlook;
    const std::string before = outlook.text();
    Outlook faster = outlook;
    faster.lane().gap = seconds{10};
    EXPECT_EQ(faster.text(),
              "101@01-05 10:00, 102@01-05 10:00:10, 103@01-05 10:00:20, 104@01-05 10:00:30, 105@01-05 10:00:40");
    EXPECT_EQ(outlook.text(), before);
}

TEST(Forecast, OfAHundredThousandMailsIsComplete) {
    Outlook outlook;
    outlook.mailboxes.clear();
    outlook.lanes.clear();
    outlook.queues.clear();
    std::vector<std::int64_t> pool;
    for (int i = 1; i <= 200; ++i) {
        outlook.mailboxes.push_back(mailbox_named(i, "m"));
        outlook.mailboxes.back().daily_limit.ceiling = 300;
        outlook.mailboxes.back().gap = seconds{60};
        pool.push_back(i);
    }
    for (int i = 0; i < 20; ++i) {
        outlook.lanes.push_back(campaign_with(1000 + i, pool));
        outlook.lanes.back().gap = seconds{5};
        outlook.lanes.back().jitter_ppm = 200'000;
        outlook.lanes.back().max_per_day = 4000;
        outlook.queues.push_back({1000 + i, leads(i * 5000, 5000, kMondayMorning)});
    }
    EXPECT_EQ(outlook.rows().size(), 100'000U);
}

}  // namespace
}  // namespace mailer::core
