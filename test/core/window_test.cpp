// When a window is open, in every zone and on every day that is not like the others.
#include "core/pace/window.hpp"

#include <gtest/gtest.h>

#include "core/zones.hpp"

namespace mailer::core {
namespace {

using namespace test;

constexpr Weekdays kMonday = 1, kSaturday = 1 << 5, kSunday = 1 << 6;

Window window(int start, int end, Weekdays weekdays, const Zone& zone) { return {start, end, weekdays, zone}; }
Window office() { return window(9 * 60, 17 * 60, kMondayToFriday, warsaw()); }

std::string opening(const Window& w, const std::string& t) {
    const auto at = w.next_opening(utc(t));
    return at ? text_of(*at) : "never";
}
std::string closing(const Window& w, const std::string& t) {
    const auto at = w.closes_at(utc(t));
    return at ? text_of(*at) : "never";
}

TEST(Window, IsOpenFromItsFirstMinuteUntilItsLast) {
    // 2026-01-05 is a Monday; Warsaw is an hour ahead of UTC.
    EXPECT_FALSE(office().is_open(utc("2026-01-05 07:59:59.999999")));
    EXPECT_TRUE(office().is_open(utc("2026-01-05 08:00")));
    EXPECT_TRUE(office().is_open(utc("2026-01-05 15:59:59.999999")));
    EXPECT_FALSE(office().is_open(utc("2026-01-05 16:00")));
}

TEST(Window, WaitsForTheNextAllowedWeekday) {
    EXPECT_EQ(opening(office(), "2026-01-09 16:00"), "2026-01-12 08:00");
    EXPECT_EQ(opening(office(), "2026-01-09 15:00"), "2026-01-09 15:00");
    EXPECT_EQ(opening(window(540, 1020, kMonday, warsaw()), "2026-01-05 16:00"), "2026-01-12 08:00");
    EXPECT_EQ(opening(window(540, 1020, 0, warsaw()), "2026-01-05 16:00"), "never");
}

TEST(Window, ClosesWhereItsOpenTimeEnds) {
    EXPECT_EQ(closing(office(), "2026-01-05 08:00"), "2026-01-05 16:00");
    EXPECT_EQ(closing(office(), "2026-01-05 07:00"), "2026-01-05 07:00");
    EXPECT_EQ(closing(window(0, 0, kEveryDay, warsaw()), "2026-01-05 07:00"), "never");
    EXPECT_EQ(closing(window(0, 0, kMondayToFriday, warsaw()), "2026-01-05 07:00"), "2026-01-09 23:00");
}

TEST(Window, StartEqualToEndIsTheWholeCalendarDay) {
    for (const int minute : {0, 540, 1440}) {
        const Window w = window(minute, minute, kMonday, warsaw());
        EXPECT_FALSE(w.is_open(utc("2026-01-04 22:59"))) << minute;
        EXPECT_TRUE(w.is_open(utc("2026-01-04 23:00"))) << minute;
        EXPECT_TRUE(w.is_open(utc("2026-01-05 22:59"))) << minute;
        EXPECT_FALSE(w.is_open(utc("2026-01-05 23:00"))) << minute;
        EXPECT_EQ(w.day_of(utc("2026-01-04 23:00")), day("2026-01-05")) << minute;
    }
    EXPECT_TRUE(window(0, 1440, kMonday, warsaw()).is_open(utc("2026-01-05 22:59")));
    EXPECT_FALSE(window(0, 1440, kMonday, warsaw()).is_open(utc("2026-01-05 23:00")));
}

TEST(Window, PastMidnightBelongsToTheDayItStartsOn) {
    const Window night = window(22 * 60, 2 * 60, kMonday, warsaw());
    EXPECT_FALSE(night.is_open(utc("2026-01-05 00:30")));  // Monday 01:30 is still Sunday's
    EXPECT_TRUE(night.is_open(utc("2026-01-05 21:00")));
    EXPECT_TRUE(night.is_open(utc("2026-01-06 00:59")));
    EXPECT_FALSE(night.is_open(utc("2026-01-06 01:00")));
    EXPECT_EQ(night.day_of(utc("2026-01-05 21:00")), day("2026-01-05"));
    EXPECT_EQ(night.day_of(utc("2026-01-06 00:59")), day("2026-01-05"));
    EXPECT_EQ(night.day_of(utc("2026-01-06 01:00")), day("2026-01-06"));
    EXPECT_EQ(closing(night, "2026-01-05 22:30"), "2026-01-06 01:00");
    EXPECT_TRUE(window(22 * 60, 0, kMonday, warsaw()).is_open(utc("2026-01-05 22:59")));
    EXPECT_FALSE(window(22 * 60, 0, kMonday, warsaw()).is_open(utc("2026-01-05 23:00")));
}

TEST(Window, InsideTheMissingHourIsEmptyThatDay) {
    const Window w = window(150, 180, kEveryDay, warsaw());  // 02:30 to 03:00
    EXPECT_EQ(opening(w, "2026-03-28 12:00"), "2026-03-30 00:30");
    EXPECT_EQ(opening(w, "2026-03-27 12:00"), "2026-03-28 01:30");
}

TEST(Window, ReachingIntoTheMissingHourIsOpenForTheRest) {
    const Window w = window(150, 210, kEveryDay, warsaw());  // 02:30 to 03:30
    EXPECT_EQ(opening(w, "2026-03-28 12:00"), "2026-03-29 01:00");
    EXPECT_EQ(closing(w, "2026-03-29 01:00"), "2026-03-29 01:30");
}

TEST(Window, InTheDoubledHourBothPassesCount) {
    const Window w = window(120, 150, kEveryDay, warsaw());  // 02:00 to 02:30
    EXPECT_EQ(opening(w, "2026-10-24 12:00"), "2026-10-25 00:00");
    EXPECT_EQ(closing(w, "2026-10-25 00:00"), "2026-10-25 00:30");
    EXPECT_EQ(opening(w, "2026-10-25 00:30"), "2026-10-25 01:00");
    EXPECT_EQ(closing(w, "2026-10-25 01:00"), "2026-10-25 01:30");
    EXPECT_EQ(opening(w, "2026-10-25 01:30"), "2026-10-26 01:00");
}

TEST(Window, AcrossTheDoubledHourIsOpenAnHourLonger) {
    const Window w = window(60, 240, kEveryDay, new_york());  // 01:00 to 04:00, doubled from 01:00 to 02:00
    EXPECT_EQ(opening(w, "2026-11-01 00:00"), "2026-11-01 05:00");
    EXPECT_EQ(closing(w, "2026-11-01 05:00"), "2026-11-01 09:00");
}

TEST(Window, PastMidnightIsDecidedOnTheWallClockWhenMidnightComesTwice) {
    const Window w = window(23 * 60, 30, kSaturday, havana());  // Saturday 23:00 to 00:30
    EXPECT_EQ(closing(w, "2026-11-01 03:00"), "2026-11-01 04:30");
    EXPECT_EQ(opening(w, "2026-11-01 04:30"), "2026-11-01 05:00");  // 00:00 again
    EXPECT_EQ(w.day_of(utc("2026-11-01 05:10")), day("2026-10-31"));
    EXPECT_EQ(closing(w, "2026-11-01 05:10"), "2026-11-01 05:30");
    EXPECT_EQ(opening(window(0, 60, kSunday, havana()), "2026-03-07 12:00"), "2026-03-15 04:00");
}

TEST(Window, SkippedDayIsNoDay) {
    const Window w = window(540, 600, kEveryDay, apia());
    EXPECT_EQ(opening(w, "2011-12-29 20:00"), "2011-12-30 19:00");  // Thursday's is over; Friday never was
    EXPECT_EQ(w.day_of(utc("2011-12-30 19:00")), day("2011-12-31"));
    const Window fridays = window(540, 600, 1 << 4, apia());
    EXPECT_EQ(opening(fridays, "2011-12-29 20:00"), "2012-01-05 19:00");
}

// The window's rule restated minute by minute, against spans and openings, over a year in each zone.
TEST(Window, SpansAndOpeningsAgreeWithTheWallClockAllYear) {
    for (const Zone& zone : {warsaw(), new_york(), lord_howe(), havana(), kathmandu(), Zone{}}) {
        for (const auto& [start, end] :
             {std::pair{540, 1020}, {1320, 120}, {150, 180}, {0, 0}, {1410, 30}, {119, 121}}) {
            const Window w = window(start, end, 0b1010111, zone);
            Time promised = Time::min();  // the next opening, as told while it was shut
            for (Time t = utc("2026-01-01 00:00"); t < utc("2027-01-01 00:00"); t += std::chrono::minutes{7}) {
                const LocalTime local = zone.local(t);
                const Date date = std::chrono::floor<std::chrono::days>(local);
                const int minute =
                    static_cast<int>(std::chrono::floor<std::chrono::minutes>(local - LocalTime{date}).count());
                const bool is_night = end < start, is_late = is_night && minute < end;
                const Date owner = is_late ? date - std::chrono::days{1} : date;
                const bool is_in =
                    start == end || (is_night ? minute >= start || minute < end : minute >= start && minute < end);
                const bool is_open = is_in && (0b1010111 >> (std::chrono::weekday{owner}.iso_encoding() - 1) & 1);
                ASSERT_EQ(w.is_open(t), is_open) << zone.name() << " " << start << " " << text_of(t);
                ASSERT_EQ(w.day_of(t), owner);
                if (promised != Time::min()) {
                    ASSERT_EQ(is_open, t >= promised) << zone.name() << " " << start << " " << text_of(t);
                }
                promised = is_open ? Time::min() : w.next_opening(t).value_or(Time::max());
                if (promised < t + std::chrono::minutes{7}) promised = Time::min();  // may be over at the next step
            }
        }
    }
}

}  // namespace
}  // namespace mailer::core
