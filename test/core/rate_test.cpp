// A mailbox's rate: what is understood, and how many it lets through.
#include "core/pace/rate.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "core/pace/slot.hpp"

namespace mailer::core {
namespace {

using namespace std::chrono_literals;

const Time start = from_unix_us(1'800'000'000'000'000);

TEST(Rate, IsACountASlashAndAUnit) {
    EXPECT_EQ(*parse_rate("14/s"), (Rate{14, 1s}));
    EXPECT_EQ(*parse_rate(" 100 / min "), (Rate{100, 1min}));
    EXPECT_EQ(*parse_rate("1000/h"), (Rate{1000, 1h}));
    EXPECT_EQ(parse_rate("5000/d")->text(), "5000/d");
    EXPECT_EQ(parse_rate("014/s")->text(), "14/s");
}

TEST(Rate, AnythingElseIsRefusedWithAHint) {
    for (const char* text : {"", "14", "/s", "14/", "0/s", "-1/s", "1.5/s", "14/sec ond", "14/S", "1000001/s",
                             "99999999999/s", "s/14", "14/s/s", "14 s"}) {
        const auto rate = parse_rate(text);
        ASSERT_FALSE(rate.ok()) << text;
        EXPECT_EQ(rate.error().sqlstate, "22023");
        EXPECT_FALSE(rate.error().hint.empty());
    }
}

// The claims of a sender that looks every `tick`, for a minute.
std::vector<Time> claims(const Rate& rate, Duration tick) {
    std::vector<Time> at;
    std::optional<Time> next;
    for (Time now = start; now < start + 1min; now += tick) {
        while (!next || *next <= now) {
            at.push_back(now);
            next = next_by_rate(rate, next, now);
        }
    }
    return at;
}

int most_within(const std::vector<Time>& at, Duration period) {
    int most = 0;
    for (std::size_t i = 0, first = 0; i < at.size(); ++i) {
        while (at[i] - at[first] >= period)
            ++first;
        most = std::max(most, static_cast<int>(i - first + 1));
    }
    return most;
}

TEST(Rate, NoSecondHoldsMoreWheneverItBegins) {
    for (const Duration tick : {Duration(1ms), Duration(3ms), Duration(17ms), Duration(200ms)}) {
        EXPECT_LE(most_within(claims({14, 1s}, tick), 1s), 14);
        EXPECT_LE(most_within(claims({50, 1s}, tick), 1s), 50);
        EXPECT_LE(most_within(claims({100, 1min}, tick), 1min), 100);
    }
    EXPECT_GE(most_within(claims({14, 1s}, 1ms), 1s), 13);
}

TEST(Rate, AFastOneMakesUpForTicksAndForNoMore) {
    const std::vector<Time> at = claims({500, 1s}, 10ms);
    EXPECT_GE(at.size(), 500U * 59);
    EXPECT_LE(most_within(at, 1s), 510);
    EXPECT_LE(most_within(claims({500, 1s}, 1s), 100ms), 10);
}

TEST(Rate, CountsFromTheStoredClaimAndNotFromTheFuture) {
    MailboxFacts mailbox;
    mailbox.rate = Rate{1, 1min};
    mailbox.last_used_at = start;
    place_rate(mailbox, start + 10s);
    EXPECT_EQ(mailbox.rate_next_at, start + 1min);
    place_rate(mailbox, start - 1h);  // the clock was set back
    EXPECT_EQ(mailbox.rate_next_at, start - 1h + 1min);
    mailbox.rate.reset();
    place_rate(mailbox, start);
    EXPECT_EQ(mailbox.rate_next_at, std::nullopt);
}

}  // namespace
}  // namespace mailer::core
