// Instants and wall clocks, in the hours where they don't match one to one.
#include <gtest/gtest.h>

#include "core/zones.hpp"

namespace mailer::core {
namespace {

using namespace test;

std::string first_of(const Zone& zone, const std::string& date) { return text_of(zone.first_instant_of(day(date))); }

TEST(Zone, WithoutTransitionsKeepsItsOffset) {
    EXPECT_EQ(text_of(kathmandu().local(utc("2026-05-01 18:15"))), "2026-05-02 00:00");
    EXPECT_EQ(first_of(kathmandu(), "2026-05-02"), "2026-05-01 18:15");
    EXPECT_EQ(text_of(Zone{}.local(utc("2026-05-01 18:15"))), "2026-05-01 18:15");
    EXPECT_EQ(Zone{}.name(), "UTC");
}

TEST(Zone, ChangesOffsetAtTheInstantOfTheTransition) {
    EXPECT_EQ(text_of(warsaw().local(utc("2026-03-29 00:59:59"))), "2026-03-29 01:59:59");
    EXPECT_EQ(text_of(warsaw().local(utc("2026-03-29 01:00"))), "2026-03-29 03:00");
    EXPECT_EQ(text_of(warsaw().local(utc("2026-10-25 00:59:59"))), "2026-10-25 02:59:59");
    EXPECT_EQ(text_of(warsaw().local(utc("2026-10-25 01:00"))), "2026-10-25 02:00");
}

TEST(Zone, SkippedHourHasNoInstantAndRepeatedHourHasTwo) {
    EXPECT_EQ(warsaw().instants(wall("2026-03-29 02:30")).count, 0U);
    const Instants twice = warsaw().instants(wall("2026-10-25 02:30"));
    ASSERT_EQ(twice.count, 2U);
    EXPECT_EQ(text_of(twice.at[0]), "2026-10-25 00:30");
    EXPECT_EQ(text_of(twice.at[1]), "2026-10-25 01:30");
    const Instants once = warsaw().instants(wall("2026-10-25 03:00"));
    ASSERT_EQ(once.count, 1U);
    EXPECT_EQ(text_of(once.at[0]), "2026-10-25 02:00");
}

TEST(Zone, HalfHourOfDaylightSavingIsHalfAnHour) {
    EXPECT_EQ(lord_howe().instants(wall("2026-10-04 02:15")).count, 0U);
    EXPECT_EQ(lord_howe().instants(wall("2026-10-04 02:30")).count, 1U);
    EXPECT_EQ(lord_howe().instants(wall("2026-04-05 01:45")).count, 2U);
    EXPECT_EQ(lord_howe().instants(wall("2026-04-05 01:15")).count, 1U);
}

TEST(Zone, DayStartsAtMidnightOrWhereTheClockJumpedOverIt) {
    EXPECT_EQ(first_of(warsaw(), "2026-03-29"), "2026-03-28 23:00");
    EXPECT_EQ(first_of(warsaw(), "2026-03-30"), "2026-03-29 22:00");
    EXPECT_EQ(first_of(havana(), "2026-03-08"), "2026-03-08 05:00");
    EXPECT_EQ(first_of(havana(), "2026-11-01"), "2026-11-01 04:00");
    EXPECT_EQ(first_of(new_york(), "2026-11-01"), "2026-11-01 04:00");
}

TEST(Zone, SkippedDayStartsWithTheDayAfterIt) {
    EXPECT_EQ(first_of(apia(), "2011-12-30"), "2011-12-30 10:00");
    EXPECT_EQ(first_of(apia(), "2011-12-31"), "2011-12-30 10:00");
    EXPECT_EQ(apia().date(utc("2011-12-30 09:59:59")), day("2011-12-29"));
    EXPECT_EQ(apia().date(utc("2011-12-30 10:00")), day("2011-12-31"));
}

TEST(Zone, NextDateChangeIsTheNextMidnightOnTheWallClock) {
    EXPECT_EQ(text_of(warsaw().next_date_change(utc("2026-03-28 23:00"))), "2026-03-29 22:00");
    EXPECT_EQ(text_of(warsaw().next_date_change(utc("2026-10-25 00:30"))), "2026-10-25 23:00");
    EXPECT_EQ(text_of(apia().next_date_change(utc("2011-12-30 00:00"))), "2011-12-30 10:00");
    EXPECT_EQ(text_of(havana().next_date_change(utc("2026-03-08 04:00"))), "2026-03-08 05:00");
}

TEST(Zone, RefusesTransitionsOutOfOrderAndOffsetsOfADay) {
    using std::chrono::hours;
    EXPECT_FALSE(Zone::make("x", hours{0}, {{utc("2026-01-02 00:00"), hours{1}}, {utc("2026-01-01 00:00"), hours{2}}}));
    EXPECT_FALSE(Zone::make("x", hours{0}, {{utc("2026-01-02 00:00"), hours{24}}}));
    EXPECT_FALSE(Zone::make("x", hours{-24}, {}));
}

}  // namespace
}  // namespace mailer::core
