// How long to wait before the next try: of a message after a temporary failure, and of a mailbox whose server fails.
//
// Delays are a list, then each three times the one before; jitter only ever adds, so a retry never comes earlier than
// the settings say. The jitter is drawn from a seed, never from a random source: the same failure gives the
// same plan in the worker, in a forecast and in a test.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/pace/time.hpp"
#include "core/result.hpp"

namespace mailer::core {

inline constexpr double retry_jitter = 0.2;                        // 0 … +20 %
inline constexpr std::int16_t retry_priority = 3;                  // at least, in a campaign: before new leads
inline constexpr Duration longest_delay = std::chrono::hours{24};  // what growing stops at, before jitter

std::vector<Duration> default_retry_delays();  // 10 s, 30 s, 90 s, 270 s

// The delay after the `failures`-th failure (1 is the first). Requires failures ≥ 1; an empty list stands for the
// default.
Duration retry_delay(const std::vector<Duration>& delays, int failures, std::uint64_t seed);

// mailer.retry_delays: "10s,30s,90s,270s,…", units ms, s, min, h, d, a bare number is seconds. A trailing "…" or "..."
// is allowed and means nothing. Fails on an empty list, a delay of 0, one above a day, or an unknown unit.
Result<std::vector<Duration>> parse_retry_delays(std::string_view text);

// How long a mailbox's breaker stays open after its n-th failure in a row (1 is the first). `is_lasting`: nothing gets
// better by itself (login refused, bad certificate), so it starts long: 1 min … 1 h; otherwise 5 s … 10 min. Same
// jitter.
Duration breaker_delay(bool is_lasting, int failures_in_a_row, std::uint64_t seed);

}  // namespace mailer::core
