// The hours and weekdays in which a campaign may send, on the wall clock of its own zone.
//
// Decided on local times alone, so that nothing has to know about daylight saving: a moment is inside when the
// wall clock reads a time of the window. A window inside the hour that doesn't exist is therefore empty that day, and
// in the hour that comes twice both passes count.
// Invariants:
//   W1  start == end is the whole calendar day.
//   W2  a window past midnight belongs, to its last minute, to the day it starts on: weekday and day cap.
//   W3  is_open(t) holds exactly when some span has from <= t < to.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/pace/time.hpp"
#include "core/pace/zone.hpp"

namespace mailer::core {

using Weekdays = std::uint8_t;  // bit 0 is Monday … bit 6 is Sunday
inline constexpr Weekdays kEveryDay = 0x7f;
inline constexpr Weekdays kMondayToFriday = 0x1f;

// An open stretch [from, to) that belongs to one day of the window and lies under one offset of the zone.
struct Span {
    Time from;
    Time to;
    Date day;
};

struct Window {
    int start_minute = 0;  // 0 … 1440, minutes since local midnight
    int end_minute = 0;    // 0 … 1440, exclusive
    Weekdays weekdays = kEveryDay;
    Zone zone = {};
    std::vector<Date> skip_dates = {};  // ascending; no window starts on them

    bool is_open(Time t) const;
    // The local date that t is counted on: the day before while t is in the part of a window past midnight.
    Date day_of(Time t) const;
    // The span that t is in, else the next one. None when no weekday is allowed.
    std::optional<Span> span_from(Time t) const;
    // The first instant at or after t that is open: t itself when it is.
    std::optional<Time> next_opening(Time t) const;
    // Where the open time that t is in ends; t when it is shut; none when it never ends (or not within 60 days).
    std::optional<Time> closes_at(Time t) const;

    bool operator==(const Window&) const = default;
};

}  // namespace mailer::core
