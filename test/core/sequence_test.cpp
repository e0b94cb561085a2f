// Steps: when they are due, which lane of a pace goes first, and the forecast of a whole sequence.
#include "core/pace/sequence.hpp"

#include <map>

#include <gtest/gtest.h>

#include "core/pace/forecast.hpp"
#include "core/scene.hpp"

namespace mailer::core::test {
namespace {

constexpr std::int64_t kFollowUps = 8;

LaneFacts follow_ups_of(const LaneFacts& main, std::int64_t id, std::int64_t mailbox) {
    LaneFacts lane{.id = id, .kind = LaneKind::campaign, .name = "sales", .pool = {mailbox}};
    lane.pace_id = main.id;
    lane.is_follow_up = true;
    lane.campaign_id = main.campaign_id;
    lane.window = main.window;
    lane.heard_at = kMondayMorning;
    return lane;
}

struct Campaign : testing::Test {
    LaneFacts main = campaign_with(7, {1});
    LaneFacts later = follow_ups_of(main, kFollowUps, 1);
    Planner planner;

    Campaign() { main.max_silence = minutes{10}; }
    void fill() {
        planner.upsert_mailbox(mailbox_named(1, "sales"));
        planner.upsert_mailbox(mailbox_named(2, "sales2"));
        planner.upsert_lane(main, kMondayMorning);
        planner.upsert_lane(later, kMondayMorning);
    }
    std::int64_t lane_now() {
        const auto go = planner.next(kMondayMorning);
        return go ? go->lane_id : 0;
    }
};

TEST(StepDue, LessThanADayCountsFromTheSlot) {
    EXPECT_EQ(step_due(campaign_with(7, {1}).window, kMondayMorning, {.place = 2, .delay = hours{3}}),
              kMondayMorning + hours{3});
}

TEST(StepDue, WholeDaysAreDueWhenTheWindowOpensOnThatLocalDay) {
    const Window window = campaign_with(7, {1}).window;
    EXPECT_EQ(step_due(window, kMondayMorning, {.place = 2, .days = 3}), utc("2026-01-08 08:00"));  // 09:00 in Warsaw
    // Over the change to summer time on Sunday the 29th of March: 09:00 is 07:00 UTC then.
    EXPECT_EQ(step_due(window, utc("2026-03-27 10:00"), {.place = 2, .days = 3}), utc("2026-03-30 07:00"));
}

TEST(StepDue, WorkingDaysPassOverWeekendsAndSkippedDates) {
    Window window = campaign_with(7, {1}).window;
    const Step step{.place = 2, .days = 3, .is_working_days = true};
    EXPECT_EQ(step_due(window, utc("2026-01-08 10:00"), step), utc("2026-01-13 08:00"));  // Thursday to Tuesday
    window.skip_dates = {std::chrono::local_days{std::chrono::year{2026} / 1 / 12}};
    EXPECT_EQ(step_due(window, utc("2026-01-08 10:00"), step), utc("2026-01-14 08:00"));
}

TEST(StepDue, AWindowPastMidnightBelongsToTheDayItStartsOn) {
    Window window = campaign_with(7, {1}).window;
    window.start_minute = 22 * 60;
    window.end_minute = 2 * 60;
    // 00:30 on Tuesday is still Monday's window; one day later it opens on Tuesday at 22:00.
    EXPECT_EQ(step_due(window, utc("2026-01-05 23:30"), {.place = 2, .days = 1}), utc("2026-01-06 21:00"));
}

TEST(SkipDates, NoWindowStartsOnThem) {
    Window window = campaign_with(7, {1}).window;
    for (int day = 5; day <= 30; ++day)
        window.skip_dates.push_back(std::chrono::local_days{std::chrono::year{2026} / 1 / day});
    EXPECT_EQ(window.next_opening(kMondayMorning), utc("2026-02-02 08:00"));
}

TEST_F(Campaign, FollowUpsGoBeforeNewOnesUnlessNewOnesArePreferred) {
    later.waiting_since = main.waiting_since;
    fill();
    EXPECT_EQ(lane_now(), kFollowUps);
    main.prefers_new = true;
    planner.upsert_lane(main, kMondayMorning);
    EXPECT_EQ(lane_now(), 7);
}

TEST_F(Campaign, ALaneWhoseMailboxIsBusyHoldsNobodyUp) {
    later.waiting_since = main.waiting_since;
    main.pool = {1, 2};
    fill();
    MailboxFacts busy = mailbox_named(1, "sales");
    busy.in_flight = 1;
    planner.upsert_mailbox(busy);
    const auto go = planner.next(kMondayMorning);
    ASSERT_TRUE(go);
    EXPECT_EQ(go->lane_id, 7);
    EXPECT_EQ(go->mailbox_id, 2);
}

TEST_F(Campaign, ASlotIsTakenOnceByWhicheverLane) {
    later.waiting_since = main.waiting_since;
    fill();
    planner.finish(planner.reserve(kFollowUps, 1, {.id = 1, .due_at = kMondayMorning}, kMondayMorning), kMondayMorning);
    EXPECT_FALSE(planner.next(kMondayMorning));
    EXPECT_EQ(planner.lane(7)->next_slot_at, kMondayMorning + seconds{90});
    EXPECT_TRUE(planner.next(kMondayMorning + seconds{90}));
}

TEST_F(Campaign, AFollowUpWaitsForAnInboxThatIsRead) {
    main.waiting_since.reset();
    later.waiting_since = kMondayMorning - hours{1};
    later.heard_at = kMondayMorning - minutes{11};
    fill();
    EXPECT_EQ(lane_now(), 0);
    EXPECT_EQ(planner.decide(kFollowUps, kMondayMorning).first_shut, Gate::inbox_heard);
    later.heard_at = kMondayMorning - minutes{10};
    planner.upsert_lane(later, kMondayMorning);
    EXPECT_EQ(lane_now(), kFollowUps);
}

TEST_F(Campaign, TheCapOfNewOnesHoldsNoFollowUps) {
    main.max_new_per_day = 1;
    main.new_use.take(main.window.day_of(kMondayMorning), false);
    later.waiting_since = main.waiting_since;
    fill();
    EXPECT_EQ(lane_now(), kFollowUps);
    planner.set_pending(kFollowUps, std::nullopt);
    EXPECT_EQ(lane_now(), 0);
    EXPECT_EQ(planner.decide(7, kMondayMorning).first_shut, Gate::campaign_new_cap);
}

TEST_F(Campaign, SlotsThatTheCapOfNewOnesLeavesUnusedAreNotMissed) {
    main.max_new_per_day = 1;
    fill();
    planner.finish(planner.reserve(7, 1, {.id = 1, .due_at = kMondayMorning}, kMondayMorning), kMondayMorning);
    EXPECT_FALSE(planner.next(kMondayMorning));
    const Time tuesday = *planner.wake_at();
    ASSERT_TRUE(planner.next(tuesday));
    EXPECT_FALSE(planner.reserve(7, 1, {.id = 2, .due_at = kMondayMorning}, tuesday).missed);
}

TEST_F(Campaign, NothingGoesOnceItHasEnded) {
    main.ends_at = kMondayMorning;
    fill();
    EXPECT_EQ(lane_now(), 0);
    EXPECT_EQ(planner.decide(7, kMondayMorning).first_shut, Gate::campaign_ended);
}

TEST_F(Campaign, WithoutItsMainLaneALaneGoesNowhere) {
    later.waiting_since = kMondayMorning;
    planner.upsert_mailbox(mailbox_named(1, "sales"));
    planner.upsert_lane(later, kMondayMorning);
    EXPECT_FALSE(planner.next(kMondayMorning));
}

TEST(LeadGates, AStoppedLeadIsCancelledAndAHeldOneComesBack) {
    Scene scene;
    scene.message.is_stopped = true;
    EXPECT_EQ(judge(scene.message, scene.now), MessageFate::stopped);
    scene.message.is_stopped = false;
    scene.message.is_held = true;
    EXPECT_EQ(judge(scene.message, scene.now), MessageFate::postponed);
    EXPECT_EQ(postponed_until(scene.message, scene.now), kHeldUntil);
    scene.message.is_held = false;
    scene.message.cooled_until = scene.now + hours{2};
    EXPECT_EQ(judge(scene.message, scene.now), MessageFate::postponed);
    EXPECT_EQ(postponed_until(scene.message, scene.now), scene.now + hours{2});
    EXPECT_EQ(judge(scene.message, scene.now + hours{2}), MessageFate::go);
    scene.message.cooled_until.reset();
    scene.message.not_before = scene.now + hours{3};
    EXPECT_EQ(judge(scene.message, scene.now), MessageFate::postponed);
    EXPECT_EQ(postponed_until(scene.message, scene.now), scene.now + hours{3});
    EXPECT_EQ(judge(scene.message, scene.now + hours{3}), MessageFate::go);
}

// Three leads, two later steps after an hour and a day: each lead in its own order, from its own mailbox.
TEST_F(Campaign, AForecastGoesOnToStepsThatAreNotQueuedYet) {
    main.pool = {1, 2};
    fill();
    ForecastOptions options;
    options.only_lane = 7;
    options.sequences = {{.main_lane_id = 7, .steps = {{.place = 2, .delay = hours{1}}, {.place = 3, .days = 1}}}};
    const auto plan = forecast(planner, {{7, leads(1, 3, kMondayMorning - hours{1})}}, kMondayMorning, options);
    ASSERT_EQ(plan.rows.size(), 9U);
    std::map<std::int64_t, std::vector<ForecastRow>> by_lead;
    for (const ForecastRow& row : plan.rows)
        by_lead[row.source_id].push_back(row);
    for (const auto& [lead, rows] : by_lead) {
        ASSERT_EQ(rows.size(), 3U);
        EXPECT_EQ(rows[0].message_id, lead);
        EXPECT_EQ(rows[1].message_id, 0);
        EXPECT_EQ(rows[1].mailbox_id, rows[0].mailbox_id);
        EXPECT_EQ(rows[2].mailbox_id, rows[0].mailbox_id);
        EXPECT_GE(rows[1].slot_at, rows[0].slot_at + hours{1});
        EXPECT_GE(rows[2].slot_at, utc("2026-01-06 08:00"));
        for (int step = 1; step <= 3; ++step)
            EXPECT_EQ(rows[static_cast<std::size_t>(step - 1)].step, step);
    }
    for (std::size_t i = 1; i < plan.rows.size(); ++i)
        EXPECT_GE(plan.rows[i].slot_at - plan.rows[i - 1].slot_at, seconds{90});
}

TEST_F(Campaign, AReplyRateTakesLeadsOutOfAForecast) {
    fill();
    main.gap = seconds{1};
    planner.upsert_lane(main, kMondayMorning);
    ForecastOptions options;
    options.only_lane = 7;
    options.sequences = {{.main_lane_id = 7, .steps = {{.place = 2, .delay = hours{1}}}, .reply_rate_ppm = 100'000}};
    const auto plan = forecast(planner, {{7, leads(1, 1000, kMondayMorning - hours{1})}}, kMondayMorning, options);
    EXPECT_GT(plan.rows.size(), 1850U);
    EXPECT_LT(plan.rows.size(), 1950U);
}

}  // namespace
}  // namespace mailer::core::test
