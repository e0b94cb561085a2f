// Daily counts and the ramp of a mailbox that warms up.
#include "core/pace/quota.hpp"

#include <gtest/gtest.h>

#include "core/zones.hpp"

namespace mailer::core {
namespace {

using namespace test;

TEST(DailyLimit, RampsUpWithEveryDayOnWhichSomethingWasSent) {
    const DailyLimit limit{.ceiling = 40, .ramp_start = 10, .ramp_step = 15};
    Usage use{.days = {}, .counted_from = day("2026-01-05")};
    EXPECT_EQ(limit.on(day("2026-01-05"), use), 10);
    EXPECT_EQ(limit.on(day("2026-02-05"), use), 10);  // a month of rest warms nothing up
    use.take(day("2026-02-05"), false);
    EXPECT_EQ(limit.on(day("2026-02-05"), use), 10);
    EXPECT_EQ(limit.on(day("2026-02-06"), use), 25);
    EXPECT_EQ(limit.on(day("2026-02-20"), use), 25);
    use.take(day("2026-02-20"), false);
    EXPECT_EQ(limit.on(day("2026-02-21"), use), 40);
    use.give_back(day("2026-02-20"), false);
    EXPECT_EQ(limit.on(day("2026-02-21"), use), 25);
}

TEST(DailyLimit, RampCountsNoDayBeforeItBeganAndForgetsNone) {
    const DailyLimit limit{.ramp_start = 1, .ramp_step = 1};
    Usage use{.days = {}, .counted_from = day("2026-01-10")};
    for (int i = 0; i < 105; ++i)
        use.take(day("2026-01-05") + std::chrono::days{i}, false);
    EXPECT_EQ(limit.on(day("2026-01-05") + std::chrono::days{105}, use), 101);
}

TEST(DailyLimit, WithoutRampIsTheCeilingAndWithoutBothThereIsNone) {
    EXPECT_EQ(DailyLimit{.ceiling = 40}.after(3), 40);
    EXPECT_EQ(DailyLimit{}.after(0), std::nullopt);
    EXPECT_EQ((DailyLimit{.ramp_start = 5, .ramp_step = 5}.after(2)), 15);
}

TEST(DailyLimit, RampNeverOverflowsNorGoesBelowZero) {
    const DailyLimit steep{.ramp_start = 2'000'000'000, .ramp_step = 2'000'000'000};
    EXPECT_EQ(steep.after(2'000'000'000), 1'000'000'000);
    const DailyLimit falling{.ceiling = 9, .ramp_start = 1, .ramp_step = -1};
    EXPECT_EQ(falling.after(4), 0);
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
