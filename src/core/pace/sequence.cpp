// See sequence.hpp. Days are added on local dates, so that a change of daylight saving moves no step by an hour.
#include "core/pace/sequence.hpp"

#include <algorithm>

namespace mailer::core {

namespace {

using std::chrono::days;

// A fixed mix of 64 bits; whom it takes must not change between two calls.
std::uint64_t scatter(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

bool may_start_on(const Window& window, Date day) {
    const unsigned bit = std::chrono::weekday{day}.iso_encoding() - 1;
    return (window.weekdays >> bit & 1U) != 0 &&
           !std::binary_search(window.skip_dates.begin(), window.skip_dates.end(), day);
}

Date working_day(const Window& window, Date day, int count) {
    if ((window.weekdays & kEveryDay) == 0) return day + days{count};
    while (count > 0) {
        day += days{1};
        if (may_start_on(window, day)) --count;
    }
    return day;
}

}  // namespace

const Step* next_step(std::span<const Step> steps, int place) {
    const auto next = std::find_if(steps.begin(), steps.end(), [place](const Step& s) { return s.place > place; });
    return next == steps.end() ? nullptr : &*next;
}

Time step_due(const Window& window, Time slot, const Step& step) {
    if (step.days <= 0) return slot + std::max(step.delay, Duration{0});
    const Date from = window.day_of(slot);
    const Date target = step.is_working_days ? working_day(window, from, step.days) : from + days{step.days};
    // The window of that day as if every day had one: two days before, in UTC, is before it in every zone.
    Window daily = window;
    daily.weekdays = kEveryDay;
    daily.skip_dates.clear();
    auto span = daily.span_from(Time{(target - days{2}).time_since_epoch()});
    while (span && span->day < target)
        span = daily.span_from(span->to);
    return std::max(slot, span ? span->from : slot);
}

bool is_taken_to_reply(std::int64_t lead, std::int64_t rate_ppm) {
    constexpr std::uint64_t kMillion = 1'000'000;
    return static_cast<std::int64_t>(scatter(static_cast<std::uint64_t>(lead)) % kMillion) < rate_ppm;
}

}  // namespace mailer::core
