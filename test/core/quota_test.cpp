// Daily counts and the ramp of a mailbox that warms up.
#include "core/pace/quota.hpp"

#include <gtest/gtest.h>

#include "core/zones.hpp"

namespace mailer::core {
namespace {

using namespace test;

TEST(DailyLimit, RampsUpDayByDayToTheCeiling) {
    const DailyLimit limit{.ceiling = 40, .ramp_start = 10, .ramp_step = 15, .ramp_first_day = day("2026-01-05")};
    EXPECT_EQ(limit.on(day("2026-01-05")), 10);
    EXPECT_EQ(limit.on(day("2026-01-06")), 25);
    EXPECT_EQ(limit.on(day("2026-01-07")), 40);
    EXPECT_EQ(limit.on(day("2027-01-07")), 40);
    EXPECT_EQ(limit.on(day("2026-01-01")), 10);  // before the ramp: as on its first day
}

TEST(DailyLimit, WithoutRampIsTheCeilingAndWithoutBothThereIsNone) {
    EXPECT_EQ(DailyLimit{.ceiling = 40}.on(day("2026-01-05")), 40);
    EXPECT_EQ(DailyLimit{}.on(day("2026-01-05")), std::nullopt);
    const DailyLimit endless{.ramp_start = 5, .ramp_step = 5, .ramp_first_day = day("2026-01-05")};
    EXPECT_EQ(endless.on(day("2026-01-07")), 15);
}

TEST(DailyLimit, RampNeverOverflowsNorGoesBelowZero) {
    const DailyLimit steep{
        .ramp_start = 2'000'000'000, .ramp_step = 2'000'000'000, .ramp_first_day = day("1970-01-01")};
    EXPECT_EQ(steep.on(day("2026-01-05")), 1'000'000'000);
    const DailyLimit falling{.ceiling = 9, .ramp_start = 1, .ramp_step = -1, .ramp_first_day = day("2026-01-05")};
    EXPECT_EQ(falling.on(day("2026-01-09")), 0);
}

TEST(Usage, CountsByDayWithWarmupApartAndIncluded) {
    Usage usage;
    usage.take(day("2026-01-05"), false);
    usage.take(day("2026-01-05"), true);
    usage.take(day("2026-01-06"), false);
    EXPECT_EQ(usage.used_on(day("2026-01-05")), 2);
    EXPECT_EQ(usage.days[0].warmup, 1);
    EXPECT_EQ(usage.used_on(day("2026-01-06")), 1);
    EXPECT_EQ(usage.used_on(day("2026-01-07")), 0);
}

TEST(Usage, NeverGivesBackMoreThanWasTaken) {
    Usage usage;
    usage.take(day("2026-01-05"), false);
    usage.give_back(day("2026-01-05"), true);
    usage.give_back(day("2026-01-05"), true);
    usage.give_back(day("2026-01-06"), false);
    EXPECT_EQ(usage.used_on(day("2026-01-05")), 0);
    EXPECT_EQ(usage.days[0].warmup, 0);
    EXPECT_EQ(usage.used_on(day("2026-01-06")), 0);
}

TEST(Usage, ForgetsDaysOlderThanAFortnight) {
    Usage usage;
    for (int i = 0; i < 100; ++i)
        usage.take(day("2026-01-05") + std::chrono::days{i}, false);
    EXPECT_EQ(usage.days.size(), 15U);
}

}  // namespace
}  // namespace mailer::core
