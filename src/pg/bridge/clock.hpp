// PostgreSQL's instants and days as the core's, and back.
#pragma once

#include "core/bounds.hpp"
#include "core/pace/time.hpp"
#include "core/pace/zone.hpp"
#include "pg/bridge/spi.hpp"

namespace mailer::pg {

constexpr int pg_epoch_offset_days = 10957;  // 1970-01-01 to 2000-01-01

// Whatever is out of bounds (core/bounds.hpp), infinities included, becomes the nearest instant within them.
inline core::Time from_pg(std::int64_t pg_us) {
    constexpr std::int64_t first = core::to_unix_us(core::earliest_time) - pg_epoch_offset_us;
    constexpr std::int64_t last = core::to_unix_us(core::latest_time) - pg_epoch_offset_us;
    return core::from_unix_us(std::clamp(pg_us, first, last) + pg_epoch_offset_us);
}
inline std::int64_t to_pg(core::Time t) { return core::to_unix_us(t) - pg_epoch_offset_us; }
// The time that mailer.virtual_now sets for a simulation; nothing: the clock's is in force. Throws PgError for a text
// that is no time.
std::optional<core::Time> virtual_now();
// mailer._now(): the virtual time, or the transaction's. As PostgreSQL has it; throws PgError.
std::int64_t transaction_now();
inline core::Time now() { return from_pg(GetCurrentTimestamp()); }
inline core::Date day_from_pg(std::int64_t days) { return core::Date{std::chrono::days{days + pg_epoch_offset_days}}; }
inline std::int32_t day_to_pg(core::Date day) {
    return static_cast<std::int32_t>(day.time_since_epoch().count() - pg_epoch_offset_days);
}

// A timestamptz column.
inline std::optional<core::Time> time_at(const Rows& rows, std::uint64_t row, Rows::Column column) {
    auto us = rows.maybe_bigint(row, column);
    if (!us) return std::nullopt;
    return from_pg(*us);
}

// An interval column as microseconds within the bounds (SQL text): NULL where it is NULL, 0 where it is negative,
// 100 years where it is longer or infinite. (greatest() and least() pass over a NULL: "none" would become a bound.)
#define MAILER_SPAN_US(column) \
    "(CASE WHEN " column       \
    " IS NOT NULL"             \
    " THEN greatest(0, least(extract(epoch FROM " column "), 3155760000)) * 1000000 END)::bigint"

// "2026-11-22 09:00:00+00", for log lines.
inline std::string utc_text(core::Time t) {
    return call([&] { return std::string_view(timestamptz_to_str(to_pg(t))); }).data();
}

inline Param p_at(core::Time t) { return p_time(to_pg(t)); }
inline Param p_at(const std::optional<core::Time>& t) { return t ? p_at(*t) : p_null(TIMESTAMPTZOID); }

}  // namespace mailer::pg
