// How large the values may be that people store: the same numbers as in sql/05_bounds.sql and doc/limits.md.
//
// A statement that asks for more is refused (the functions say so in a sentence, the tables' constraints again). What
// reads a table clamps to these bounds nevertheless: a row that was written past both, by the extension's owner or by
// an older version, may then hold up its own lane, and never overflow what the others' times are computed with.
#pragma once

#include <algorithm>
#include <cstddef>

#include "core/pace/time.hpp"

namespace mailer::core {

inline constexpr Time earliest_time{Duration{0}};                          // 1970-01-01 00:00:00 UTC
inline constexpr Time latest_time{std::chrono::seconds{253'402'300'799}};  // 9999-12-31 23:59:59 UTC
inline constexpr Duration longest_span = std::chrono::hours{24} * 36525;   // 100 years
inline constexpr int most_jitter_ppm = 900'000;                            // 0.9 of a gap
inline constexpr int most_rate = 1'000'000;                                // messages in a mailbox's period

// Octets.
inline constexpr std::size_t longest_subject = 64u << 10;
inline constexpr std::size_t longest_display_name = 64u << 10;  // a display name
inline constexpr std::size_t most_headers = 1u << 20;           // those of one message together, as JSON
inline constexpr std::size_t most_variables = 16u << 20;        // as JSON; also what a loader returns
inline constexpr std::size_t longest_addresses = 8u << 20;      // a list of recipients as it was written

constexpr Time bounded(Time t) { return std::clamp(t, earliest_time, latest_time); }
constexpr Duration bounded(Duration span) { return std::clamp(span, Duration{0}, longest_span); }

}  // namespace mailer::core
