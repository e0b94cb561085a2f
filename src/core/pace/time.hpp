// Instants and spans of time as the core sees them: microseconds, like PostgreSQL's timestamptz and interval.
//
// Nothing in src/core reads a clock. The caller passes `now`: so tests can run a year of a campaign in
// seconds, and a forecast is the plan that the sender follows.
#pragma once

#include <chrono>
#include <cstdint>

namespace mailer::core {

using Duration = std::chrono::microseconds;
using Time = std::chrono::time_point<std::chrono::system_clock, Duration>;  // UTC, Unix epoch

constexpr Time from_unix_us(std::int64_t us) { return Time{Duration{us}}; }
constexpr std::int64_t to_unix_us(Time t) { return t.time_since_epoch().count(); }

}  // namespace mailer::core
