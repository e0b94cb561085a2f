// Slots, jitter, missed slots, and what a claim takes and gives back. S1 to S4 are slot.hpp's invariants.
#include "core/pace/slot.hpp"

#include <gtest/gtest.h>

#include <set>

#include "core/bounds.hpp"
#include "core/scene.hpp"

namespace mailer::core {
namespace {

using namespace test;

struct Claims {
    LaneFacts lane = campaign_with(7, {1});
    MailboxFacts mailbox = mailbox_named(1, "sales");
    MessageFacts message{.id = 100, .due_at = kMondayMorning - hours{1}};

    Reservation at(Time now, std::optional<Gate> why = std::nullopt) {
        const Reservation taken = reserve(lane, mailbox, message, now, why);
        finish(lane, mailbox, taken, now);
        return taken;
    }
};

TEST(Slot, NextSlotCountsFromTheSlotAndNotFromTheClaim) {
    Claims claims;
    const Reservation taken = claims.at(kMondayMorning + std::chrono::milliseconds{50});
    EXPECT_EQ(text_of(taken.next_slot_at), "2026-01-05 10:01:30");
    EXPECT_EQ(text_of(taken.gap_from), "2026-01-05 10:00");
    EXPECT_EQ(taken.ordinal, 1);
    EXPECT_EQ(taken.next_ordinal, 2);
    EXPECT_EQ(claims.lane.next_slot_at, taken.next_slot_at);
    EXPECT_FALSE(taken.missed);
}

// The numbers are the contract: another platform or version that draws others moves every schedule.
TEST(Slot, JitterIsDrawnFromCampaignAndOrdinalAlone) {
    LaneFacts lane = campaign_with(7, {1});
    lane.jitter_ppm = 200'000;
    lane.campaign_id = 42;
    EXPECT_EQ(jittered_gap(lane, 1).count(), 106'972'798);
    EXPECT_EQ(jittered_gap(lane, 2).count(), 92'395'095);
    lane.campaign_id = 43;
    EXPECT_EQ(jittered_gap(lane, 1).count(), 81'186'279);
    lane.id = 99;
    lane.next_ordinal = 17;
    EXPECT_EQ(jittered_gap(lane, 1).count(), 81'186'279);
    lane.jitter_ppm = 0;
    EXPECT_EQ(jittered_gap(lane, 1), seconds{90});
}

TEST(Slot, JitterFillsItsRangeEvenlyAndNeverLeavesIt) {
    LaneFacts lane = campaign_with(7, {1});
    lane.jitter_ppm = 200'000;
    std::int64_t sum = 0, lowest = INT64_MAX, highest = 0;
    std::set<std::int64_t> distinct;
    for (std::int64_t ordinal = 1; ordinal <= 20'000; ++ordinal) {
        const std::int64_t gap = jittered_gap(lane, ordinal).count();
        sum += gap;
        lowest = std::min(lowest, gap);
        highest = std::max(highest, gap);
        distinct.insert(gap);
    }
    EXPECT_GE(lowest, 72'000'000);
    EXPECT_LT(lowest, 72'020'000);
    EXPECT_LE(highest, 108'000'000);
    EXPECT_GT(highest, 107'980'000);
    EXPECT_NEAR(static_cast<double>(sum) / 20'000, 90e6, 300e3);
    EXPECT_GT(distinct.size(), 19'900U);
}

TEST(Slot, ClaimThatIsLateByLessThanAGapKeepsTheLeastGapBehindIt) {
    Claims claims;
    claims.lane.jitter_ppm = 200'000;
    const Reservation taken = claims.at(kMondayMorning + seconds{80});
    EXPECT_GE(*taken.next_slot_at, kMondayMorning + seconds{80 + 72} - std::chrono::milliseconds{50});
    EXPECT_FALSE(taken.missed);
    claims.lane.jitter_ppm = 0;
    claims.lane.next_slot_at = kMondayMorning + minutes{10};
    EXPECT_EQ(claims.at(kMondayMorning + minutes{11}).next_slot_at,
              kMondayMorning + minutes{11} + seconds{90} - std::chrono::milliseconds{50});
}

TEST(Slot, OutsideTheWindowMovesToTheNextOpeningWithinItsFirstGap) {
    Claims claims;
    claims.lane.next_slot_at = utc("2026-01-09 15:59:30");  // Friday, half a minute before closing
    const Reservation taken = claims.at(*claims.lane.next_slot_at);
    const Time opening = utc("2026-01-12 08:00");
    EXPECT_GE(*taken.next_slot_at, opening);
    EXPECT_LT(*taken.next_slot_at, opening + seconds{90});
    EXPECT_EQ(taken.next_slot_at, placed_slot(claims.lane, utc("2026-01-10 12:00")));
}

TEST(Slot, CampaignsThatOpenAtTheSameMinuteAreSpreadOverIt) {
    std::set<Time> slots;
    for (std::int64_t id = 1; id <= 100; ++id) {
        slots.insert(placed_slot(campaign_with(id, {1}), utc("2026-01-10 12:00")));
    }
    EXPECT_GT(slots.size(), 95U);
    EXPECT_GT(*slots.rbegin() - *slots.begin(), seconds{60});
}

TEST(Slot, WindowShorterThanTheGapStillHoldsOneSlotADay) {
    LaneFacts lane = campaign_with(7, {1});
    lane.window = {10 * 60, 10 * 60 + 1, kEveryDay, warsaw()};
    lane.gap = hours{5};
    for (std::int64_t ordinal = 1; ordinal < 50; ++ordinal) {
        lane.next_ordinal = ordinal;
        EXPECT_TRUE(lane.window.is_open(placed_slot(lane, utc("2026-01-05 12:00"))));
    }
}

TEST(Slot, LastMailOfTheDayMovesTheSlotToTheNextDay) {
    Claims claims;
    claims.lane.max_per_day = 1;
    const Reservation taken = claims.at(kMondayMorning);
    EXPECT_GE(*taken.next_slot_at, utc("2026-01-06 08:00"));
    EXPECT_LT(*taken.next_slot_at, utc("2026-01-06 08:01:30"));
    EXPECT_EQ(taken.campaign_day, day("2026-01-05"));
}

TEST(Slot, ReleasedMailGivesBackTheSlotThatOnlyTheCapHadMoved) {
    Claims claims;
    claims.lane.max_per_day = 1;
    const Reservation taken = reserve(claims.lane, claims.mailbox, claims.message, kMondayMorning);
    EXPECT_TRUE(release(claims.lane, claims.mailbox, taken, kMondayMorning + seconds{2}));
    EXPECT_EQ(text_of(claims.lane.next_slot_at), "2026-01-05 10:01:30");
    EXPECT_EQ(claims.lane.use.used_on(day("2026-01-05")), 0);
}

TEST(Slot, ReleaseGoesBackToTheDayItWasTakenFromAlsoAfterMidnight) {
    Claims claims;
    claims.lane.window = {0, 0, kEveryDay, warsaw()};
    claims.message.is_warmup = true;
    const Time late = utc("2026-01-05 22:59:59");  // a second before midnight
    claims.lane.next_slot_at = late;
    const Reservation taken = reserve(claims.lane, claims.mailbox, claims.message, late);
    EXPECT_EQ(claims.mailbox.use.used_on(day("2026-01-05")), 1);
    EXPECT_EQ(claims.mailbox.use.days[0].warmup, 1);
    release(claims.lane, claims.mailbox, taken, late + seconds{30});
    EXPECT_EQ(claims.mailbox.use.used_on(day("2026-01-05")), 0);
    EXPECT_EQ(claims.mailbox.use.used_on(day("2026-01-06")), 0);
    EXPECT_EQ(claims.mailbox.use.days[0].warmup, 0);
    EXPECT_EQ(claims.mailbox.in_flight, 0);
    EXPECT_EQ(claims.lane.in_flight, 0);
    EXPECT_EQ(claims.mailbox.last_used_at, late);
}

TEST(Slot, LaterThanOneGapIsMissedCountedAndNeverCaughtUp) {
    Claims claims;
    const Reservation taken = claims.at(kMondayMorning + minutes{30}, Gate::sending_not_paused);
    ASSERT_TRUE(taken.missed);
    EXPECT_EQ(taken.missed->count, 20);
    EXPECT_EQ(text_of(taken.missed->from), "2026-01-05 10:00");
    EXPECT_EQ(text_of(taken.missed->to), "2026-01-05 10:30");
    EXPECT_EQ(missed_reason_text(taken.missed->reason), "sending_not_paused");
    EXPECT_EQ(text_of(taken.next_slot_at), "2026-01-05 10:31:30");
    EXPECT_EQ(text_of(taken.slot_at), "2026-01-05 10:30");  // what a follow-up's delay counts from
    EXPECT_EQ(missed_reason_text(std::nullopt), "not_running");
}

TEST(Slot, MissedOvernightOnlyTheOpenHoursCountAndTheMorningIsSpreadAnew) {
    Claims claims;
    claims.lane.next_slot_at = utc("2026-01-09 15:57:00");  // Friday: slots at :57:00 and :58:30
    const Time slot = current_slot(claims.lane, utc("2026-01-12 08:00")).at;
    EXPECT_GE(slot, utc("2026-01-12 08:00"));
    EXPECT_LT(slot, utc("2026-01-12 08:01:30"));
    EXPECT_EQ(current_slot(claims.lane, utc("2026-01-10 12:00")).at, slot);
    EXPECT_EQ(current_slot(claims.lane, slot).at, slot);
    const Reservation taken = claims.at(slot);
    ASSERT_TRUE(taken.missed);
    EXPECT_EQ(taken.missed->to, slot);
    EXPECT_LE(taken.missed->count, 3);
    EXPECT_GE(taken.missed->count, 2);
    EXPECT_EQ(*taken.next_slot_at, slot + seconds{90});
}

TEST(Slot, WithSeveralWindowsTheMorningIsSpreadFromTheFirstThatOpens) {
    Claims claims;
    claims.lane.next_slot_at = utc("2026-01-09 15:57:00");
    const Time alone = current_slot(claims.lane, utc("2026-01-12 08:00")).at;
    Window later = claims.lane.window;
    later.start_minute += 60;
    claims.lane.windows = {later, claims.lane.window};
    for (const Time now : {utc("2026-01-10 12:00"), utc("2026-01-12 08:00"), alone, utc("2026-01-12 09:30")})
        EXPECT_EQ(current_slot(claims.lane, now).at, alone) << text_of(now);
}

TEST(Slot, MissedSlotsAreNoMoreThanTheDailyCapHadLeft) {
    Claims claims;
    claims.lane.max_per_day = 10;
    claims.lane.use.take(day("2026-01-05"), false);
    const Reservation taken = claims.at(utc("2026-01-07 10:00"));  // nothing ran on Monday afternoon and Tuesday
    ASSERT_TRUE(taken.missed);
    EXPECT_EQ(taken.missed->count, 9 + 10 + 10);
}

TEST(Slot, TimeInWhichNothingWaitedIsNotMissed) {
    Claims claims;
    claims.lane.waiting_since = kMondayMorning + hours{2};
    EXPECT_EQ(current_slot(claims.lane, kMondayMorning).at, kMondayMorning + hours{2});
    const Reservation taken = claims.at(kMondayMorning + hours{2});
    EXPECT_FALSE(taken.missed);
    EXPECT_EQ(text_of(taken.next_slot_at), "2026-01-05 12:01:30");
}

TEST(Slot, LeadAddedAtNightWaitsForTheSpreadOpening) {
    LaneFacts lane = campaign_with(7, {1});
    lane.waiting_since = utc("2026-01-05 20:00");
    const Time slot = current_slot(lane, utc("2026-01-05 20:00")).at;
    EXPECT_GE(slot, utc("2026-01-06 08:00"));
    EXPECT_LT(slot, utc("2026-01-06 08:01:30"));
    EXPECT_EQ(current_slot(lane, slot).at, slot);
}

TEST(Slot, WithoutAGapEveryMomentOfTheWindowIsASlot) {
    Claims claims;
    claims.lane.gap = Duration{0};
    claims.lane.jitter_ppm = 200'000;
    const Reservation taken = claims.at(kMondayMorning + hours{1});
    EXPECT_FALSE(taken.missed);
    EXPECT_EQ(taken.next_slot_at, kMondayMorning + hours{1});
}

TEST(Slot, ReplanFollowsChangedSettingsFromTheSlotBefore) {
    Claims claims;
    claims.lane.gap = hours{2};
    claims.at(kMondayMorning);
    EXPECT_EQ(text_of(claims.lane.next_slot_at), "2026-01-05 12:00");
    claims.lane.gap = minutes{10};
    EXPECT_TRUE(replan_slot(claims.lane, kMondayMorning + minutes{4}));
    EXPECT_EQ(text_of(claims.lane.next_slot_at), "2026-01-05 10:10");
    EXPECT_FALSE(replan_slot(claims.lane, kMondayMorning + minutes{4}));
    claims.lane.gap = minutes{1};
    claims.lane.next_slot_at.reset();
    EXPECT_TRUE(replan_slot(claims.lane, kMondayMorning + minutes{4}));
    EXPECT_EQ(text_of(claims.lane.next_slot_at), "2026-01-05 10:04");
}

TEST(Slot, ReplanLeavesALateSlotToBeCountedAsMissed) {
    LaneFacts lane = campaign_with(7, {1});
    EXPECT_FALSE(replan_slot(lane, kMondayMorning + hours{1}));
    EXPECT_EQ(lane.next_slot_at, kMondayMorning);
}

TEST(Slot, FirstSlotIsTheStartOrWhereTheWindowPutsIt) {
    LaneFacts lane = campaign_with(7, {1});
    lane.next_slot_at.reset();
    EXPECT_TRUE(replan_slot(lane, kMondayMorning));
    EXPECT_EQ(lane.next_slot_at, kMondayMorning);
    lane.next_slot_at.reset();
    lane.starts_at = kMondayMorning + hours{3};
    EXPECT_TRUE(replan_slot(lane, kMondayMorning));
    EXPECT_EQ(lane.next_slot_at, kMondayMorning + hours{3});
}

TEST(Slot, BatchAndMailboxGapsRunFromTheFinalReply) {
    LaneFacts lane = batch_with(7, {1}, seconds{5});
    MailboxFacts mailbox = mailbox_named(1, "sales");
    mailbox.gap = seconds{20};
    const Reservation taken = reserve(lane, mailbox, MessageFacts{.id = 1}, kMondayMorning);
    EXPECT_EQ(lane.in_flight, 1);
    EXPECT_EQ(mailbox.in_flight, 1);
    EXPECT_FALSE(taken.campaign_day);
    finish(lane, mailbox, taken, kMondayMorning + seconds{3});
    EXPECT_EQ(text_of(lane.next_at), "2026-01-05 10:00:08");
    EXPECT_EQ(text_of(mailbox.next_at), "2026-01-05 10:00:23");
    EXPECT_EQ(lane.in_flight, 0);
    finish(lane, mailbox, taken, kMondayMorning);  // an older reply never brings the gap forward
    EXPECT_EQ(text_of(lane.next_at), "2026-01-05 10:00:08");
}

TEST(Slot, RefusalGivesBackTheCountAndStillRunsTheGaps) {
    LaneFacts lane = batch_with(7, {1}, seconds{5});
    MailboxFacts mailbox = mailbox_named(1, "sales");
    mailbox.gap = seconds{20};
    Reservation taken = reserve(lane, mailbox, MessageFacts{.id = 1}, kMondayMorning);
    release(lane, mailbox, taken, kMondayMorning + seconds{1});
    EXPECT_FALSE(lane.next_at);
    EXPECT_FALSE(mailbox.next_at);
    taken = reserve(lane, mailbox, MessageFacts{.id = 1}, kMondayMorning);
    release(lane, mailbox, taken, kMondayMorning + seconds{3}, kMondayMorning + seconds{2});
    EXPECT_EQ(text_of(lane.next_at), "2026-01-05 10:00:07");
    EXPECT_EQ(text_of(mailbox.next_at), "2026-01-05 10:00:22");
    EXPECT_EQ(mailbox.use.used_on(day("2026-01-05")), 0);
}

// S5
TEST(Slot, AGapNeverHoldsForLongerThanItself) {
    const Time tomorrow = kMondayMorning + hours{24};
    MailboxFacts mailbox = mailbox_named(1, "sales");
    mailbox.gap = seconds{20};
    mailbox.next_at = tomorrow;
    EXPECT_EQ(hold_gap(mailbox, kMondayMorning), tomorrow);
    EXPECT_EQ(mailbox.next_at, kMondayMorning + seconds{20});
    EXPECT_FALSE(hold_gap(mailbox, kMondayMorning));
    LaneFacts batch = batch_with(7, {1}, seconds{5});
    batch.next_at = tomorrow;
    EXPECT_EQ(hold_gap(batch, kMondayMorning), tomorrow);
    EXPECT_EQ(batch.next_at, kMondayMorning + seconds{5});
}

TEST(Slot, ASlotThatTheClockOfTomorrowPlacedIsPlacedAgain) {
    LaneFacts lane = campaign_with(1, {1});
    lane.gap_from = kMondayMorning + hours{24};
    lane.next_slot_at = *lane.gap_from + seconds{90};
    EXPECT_EQ(hold_gap(lane, kMondayMorning), kMondayMorning + hours{24} + seconds{90});
    EXPECT_TRUE(replan_slot(lane, kMondayMorning));
    EXPECT_EQ(lane.next_slot_at, kMondayMorning + seconds{90});
    // A slot that the window moved to next week is no gap's doing.
    lane.next_slot_at = kMondayMorning + hours{24 * 7};
    EXPECT_FALSE(hold_gap(lane, kMondayMorning));
}

TEST(Slot, TheLongestGapEndsWhereTimeDoes) {
    LaneFacts lane = campaign_with(1, {1});
    lane.window = {0, 0, kEveryDay, {}};
    lane.gap = longest_span;
    lane.jitter_ppm = most_jitter_ppm;
    MailboxFacts mailbox = mailbox_named(1, "sales");
    Time now = kMondayMorning;
    for (int i = 0; i < 200; ++i) {
        (void)reserve(lane, mailbox, MessageFacts{.id = 1}, now);
        ASSERT_GE(*lane.next_slot_at, now);
        now = *lane.next_slot_at;
    }
    EXPECT_EQ(now, latest_time);
}

}  // namespace
}  // namespace mailer::core
