// A window is a rule about wall clock readings; each stretch of one offset turns it into instants on its own.
#include "core/pace/window.hpp"

#include <algorithm>

namespace mailer::core {

namespace {

using std::chrono::days;
using std::chrono::minutes;

constexpr int kMinutesADay = 1440;
constexpr days kLongestOpen{60};  // when an uninterrupted opening counts as endless

struct Shape {
    minutes from;
    minutes to;  // beyond a day's minutes when the window passes midnight
};

Shape shape_of(const Window& window) {
    if (window.start_minute % kMinutesADay == window.end_minute % kMinutesADay)
        return {minutes{0}, minutes{kMinutesADay}};
    const int start = window.start_minute % kMinutesADay;
    const bool is_past_midnight = window.end_minute < start;
    return {minutes{start}, minutes{window.end_minute + (is_past_midnight ? kMinutesADay : 0)}};
}

bool is_allowed(const Window& window, Date day) {
    const unsigned bit = std::chrono::weekday{day}.iso_encoding() - 1;
    return (window.weekdays >> bit & 1U) != 0 &&
           !std::binary_search(window.skip_dates.begin(), window.skip_dates.end(), day);
}

bool is_ever_open(const Window& window) { return (window.weekdays & kEveryDay) != 0; }

// The part of `day`'s window under this stretch's offset.
Span span_on(const Shape& shape, Date day, const Stretch& stretch) {
    const Time midnight{day.time_since_epoch() - stretch.offset};
    return {std::max(stretch.from, midnight + shape.from), std::min(stretch.to, midnight + shape.to), day};
}

}  // namespace

bool Window::is_open(Time t) const {
    const auto span = span_from(t);
    return span && span->from <= t;
}

Date Window::day_of(Time t) const {
    const LocalTime local = zone.local(t);
    const Date today = std::chrono::floor<days>(local);
    const Shape shape = shape_of(*this);
    const Duration since_midnight = local - LocalTime{today.time_since_epoch()};
    return since_midnight + days{1} < shape.to ? today - days{1} : today;
}

std::optional<Span> Window::span_from(Time t) const {
    if (!is_ever_open(*this)) return std::nullopt;
    const Shape shape = shape_of(*this);
    for (Stretch stretch = zone.stretch(t);; stretch = zone.stretch(stretch.to)) {
        const Time start = std::max(t, stretch.from);
        const Date first = std::chrono::floor<days>(LocalTime{start.time_since_epoch() + stretch.offset}) - days{1};
        // A week and two days from the day before hold every weekday's window at least once from its start.
        // Skipped dates may take out a week and more; behind the last of them the same holds.
        const Date last = (skip_dates.empty() ? first : std::max(first, skip_dates.back())) + days{9};
        for (Date day = first; day <= last; day += days{1}) {
            if (!is_allowed(*this, day)) continue;
            const Span span = span_on(shape, day, stretch);
            if (span.from < span.to && span.to > t) return span;
            if (span.from >= stretch.to) break;
        }
    }
}

std::optional<Time> Window::next_opening(Time t) const {
    const auto span = span_from(t);
    if (!span) return std::nullopt;
    return std::max(t, span->from);
}

std::optional<Time> Window::closes_at(Time t) const {
    Time end = t;
    while (end < t + kLongestOpen) {
        const auto span = span_from(end);
        if (!span || span->from > end) return end;
        end = span->to;
    }
    return std::nullopt;
}

}  // namespace mailer::core
