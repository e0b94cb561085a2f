// Delays: the list, then three times, never earlier, never beyond a day.
#include "core/outcome/backoff.hpp"

#include <gtest/gtest.h>

namespace mailer::core {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, FollowsTheListAndThenTriples) {
    const std::vector<Duration> delays{10s, 30s, 90s, 270s};
    const Duration expected[] = {10s, 30s, 90s, 270s, 810s, 2430s, 7290s, 21870s, 65610s};
    for (int failure = 1; failure <= 9; failure++) {
        for (std::uint64_t seed = 0; seed < 200; seed++) {
            const Duration delay = retry_delay(delays, failure, seed);
            EXPECT_GE(delay, expected[failure - 1]);
            EXPECT_LE(delay, expected[failure - 1] * 12 / 10);
        }
    }
}

TEST(Backoff, JitterUsesItsWholeRange) {
    Duration least = 100s, most = 0s;
    for (std::uint64_t seed = 0; seed < 1000; seed++) {
        const Duration delay = retry_delay({10s}, 1, seed);
        least = std::min(least, delay);
        most = std::max(most, delay);
    }
    EXPECT_LT(least, 10s + 100ms);
    EXPECT_GT(most, 12s - 100ms);
}

TEST(Backoff, IsTheSameForTheSameSeedAndOrdinal) {
    EXPECT_EQ(retry_delay({10s}, 3, 5), retry_delay({10s}, 3, 5));
    EXPECT_NE(retry_delay({10s}, 3, 5), retry_delay({10s}, 3, 6));
}

TEST(Backoff, StopsGrowingAtADay) {
    EXPECT_LE(retry_delay({10s}, 2'000'000'000, 1), longest_delay * 12 / 10);
    EXPECT_GE(retry_delay({10s}, 2'000'000'000, 1), longest_delay);
}

TEST(Backoff, AnEmptyListStandsForTheDefaultAndOddCountsForTheFirst) {
    EXPECT_EQ(retry_delay({}, 1, 7), retry_delay(default_retry_delays(), 1, 7));
    EXPECT_GE(retry_delay({10s}, 0, 7), 10s);
    EXPECT_LE(retry_delay({10s}, -5, 7), 12s);
}

TEST(Backoff, ReadsTheSetting) {
    const auto parsed = parse_retry_delays("10s,30s,90s,270s");
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, default_retry_delays());
    const auto mixed = parse_retry_delays(" 500ms , 5 , 2min, 1h ,1d,…");
    ASSERT_TRUE(mixed.ok());
    EXPECT_EQ(*mixed, (std::vector<Duration>{500ms, 5s, 2min, 1h, 24h}));
    EXPECT_TRUE(parse_retry_delays("10s,...").ok());
}

TEST(Backoff, RefusesSettingsThatMakeNoSense) {
    for (const char* text : {"", ",", "10s,", "0s", "-1s", "10x", "s", "10s;30s", "2d", "99999999999999999999s", "...",
                             "10s,…,20s", "1e3s"}) {
        const auto parsed = parse_retry_delays(text);
        ASSERT_FALSE(parsed.ok()) << text;
        EXPECT_EQ(parsed.error().sqlstate, "22023");
        EXPECT_NE(parsed.error().message.find(text), std::string::npos);
    }
}

TEST(Backoff, BreakerOpensBrieflyForBriefTroubleAndLongForLasting) {
    EXPECT_GE(breaker_delay(false, 1, 0), 5s);
    EXPECT_LE(breaker_delay(false, 1, 0), 6s);
    EXPECT_GE(breaker_delay(true, 1, 0), 1min);
    EXPECT_LE(breaker_delay(false, 1000, 0), 12min);
    EXPECT_LE(breaker_delay(true, 1000, 0), 72min);
    EXPECT_GT(breaker_delay(true, 3, 0), breaker_delay(true, 2, 0));
}

}  // namespace
}  // namespace mailer::core
