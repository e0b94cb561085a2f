// How many connections a mailbox may have while its server takes fewer.
#include "core/pace/connection_limit.hpp"

#include <gtest/gtest.h>

namespace mailer::core {
namespace {

using namespace std::chrono_literals;

const Time start = from_unix_us(1'800'000'000'000'000);

TEST(ConnectionLimit, GrowsByOneEachStepUntilAllAreBack) {
    const std::optional lowered = lower(std::nullopt, 6, 3, "421", start);
    EXPECT_EQ(most_connections(6, lowered, start), 3);
    EXPECT_EQ(more_connections_at(6, lowered, start), start + first_connection_pause);
    EXPECT_EQ(most_connections(6, lowered, start + first_connection_pause - 1us), 3);
    EXPECT_EQ(most_connections(6, lowered, start + first_connection_pause), 4);
    EXPECT_EQ(more_connections_at(6, lowered, start + first_connection_pause),
              start + first_connection_pause + connection_step);
    EXPECT_EQ(most_connections(6, lowered, start + first_connection_pause + connection_step), 5);
    const Time all = all_connections_at(6, *lowered);
    EXPECT_EQ(most_connections(6, lowered, all - 1us), 5);
    EXPECT_EQ(most_connections(6, lowered, all), 6);
    EXPECT_EQ(more_connections_at(6, lowered, all), std::nullopt);
}

TEST(ConnectionLimit, IsNeverBelowOneNorAboveWhatIsConfigured) {
    const std::optional lowered = lower(std::nullopt, 4, 0, "421", start);
    EXPECT_EQ(most_connections(4, lowered, start), 1);
    EXPECT_EQ(most_connections(4, lowered, start + 24h * 365), 4);
    EXPECT_EQ(most_connections(2, lower(std::nullopt, 9, 5, "421", start), start), 2);
}

TEST(ConnectionLimit, WhatIsTurnedAwayTogetherIsOneLowering) {
    const std::optional first = lower(std::nullopt, 10, 6, "421", start);
    const LoweredConnections second = lower(first, 10, 3, "421", start + 1s);
    EXPECT_EQ(second.connections, 3);
    EXPECT_EQ(second.next_at, first->next_at);
    EXPECT_EQ(second.since, start);
    EXPECT_EQ(lower(second, 10, 5, "421", start + 2s).connections, 3);
}

TEST(ConnectionLimit, ThePauseDoublesWhileTheServerTakesNoMore) {
    std::optional lowered = lower(std::nullopt, 10, 3, "421", start);
    for (const Duration pause : {60s, 120s, 240s, 480s, 600s, 600s}) {
        lowered = lower(lowered, 10, 3, "421", lowered->next_at);
        EXPECT_EQ(lowered->pause, pause);
        EXPECT_EQ(lowered->since, start);
    }
    EXPECT_EQ(lower(lowered, 10, 4, "421", lowered->next_at).pause, first_connection_pause);  // it took one more
    const Time later = all_connections_at(10, *lowered) + longest_connection_pause;
    EXPECT_EQ(lower(lowered, 10, 3, "421", later).pause, first_connection_pause);
    EXPECT_EQ(lower(lowered, 10, 3, "421", later).since, later);
}

TEST(ConnectionLimit, EndsWhenTheClockIsSetBack) {
    const std::optional lowered = lower(std::nullopt, 10, 3, "421", start);
    EXPECT_EQ(most_connections(10, lowered, start - 1h), 10);
}

}  // namespace
}  // namespace mailer::core
