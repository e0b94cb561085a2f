// Real zones in short: the transitions that the tests walk over, as PostgreSQL's time zone database has them.
#pragma once

#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/pace/zone.hpp"

namespace mailer::core::test {

// "2026-03-29 01:00", optionally with ":30" and ".5", read as UTC or as a wall clock.
inline Duration since_epoch(const std::string& text) {
    int y = 0, mo = 0, d = 0, h = 0, mi = 0;
    double s = 0;
    if (std::sscanf(text.c_str(), "%d-%d-%d %d:%d:%lf", &y, &mo, &d, &h, &mi, &s) < 3) throw std::logic_error(text);
    const std::chrono::year_month_day date{std::chrono::year{y}, std::chrono::month{static_cast<unsigned>(mo)},
                                           std::chrono::day{static_cast<unsigned>(d)}};
    return std::chrono::sys_days{date}.time_since_epoch() + std::chrono::hours{h} + std::chrono::minutes{mi} +
           Duration{static_cast<std::int64_t>(s * 1e6 + 0.5)};
}
inline Time utc(const std::string& text) { return Time{since_epoch(text)}; }
inline LocalTime wall(const std::string& text) { return LocalTime{since_epoch(text)}; }
inline Date day(const std::string& text) { return std::chrono::floor<std::chrono::days>(wall(text)); }

// The other way round, so that a failing test prints something that people can read.
inline std::string text_of(Duration t) {
    const auto date = std::chrono::floor<std::chrono::days>(std::chrono::sys_time<Duration>{t});
    const std::chrono::year_month_day ymd{date};
    const auto us = (std::chrono::sys_time<Duration>{t} - date).count();
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02u %02d:%02d:%02d.%06d", static_cast<int>(ymd.year()),
                  static_cast<unsigned>(ymd.month()), static_cast<unsigned>(ymd.day()),
                  static_cast<int>(us / 3'600'000'000), static_cast<int>(us / 60'000'000 % 60),
                  static_cast<int>(us / 1'000'000 % 60), static_cast<int>(us % 1'000'000));
    std::string trimmed{text};
    if (us % 1'000'000 == 0) trimmed.resize(trimmed.size() - 7);
    if (us % 60'000'000 == 0) trimmed.resize(trimmed.size() - 3);
    return trimmed;
}
inline std::string text_of(Time t) { return text_of(t.time_since_epoch()); }
inline std::string text_of(LocalTime t) { return text_of(t.time_since_epoch()); }

inline Zone zone_of(std::string name, int first_minutes, const std::vector<std::pair<std::string, int>>& changes) {
    std::vector<Transition> transitions;
    for (const auto& [at, minutes] : changes)
        transitions.push_back({utc(at), std::chrono::minutes{minutes}});
    return Zone::make(std::move(name), std::chrono::minutes{first_minutes}, std::move(transitions)).value();
}

inline Zone warsaw() {
    return zone_of("Europe/Warsaw", 60,
                   {{"2025-03-30 01:00", 120},
                    {"2025-10-26 01:00", 60},
                    {"2026-03-29 01:00", 120},
                    {"2026-10-25 01:00", 60},
                    {"2027-03-28 01:00", 120},
                    {"2027-10-31 01:00", 60}});
}
inline Zone new_york() {
    return zone_of("America/New_York", -300,
                   {{"2025-03-09 07:00", -240},
                    {"2025-11-02 06:00", -300},
                    {"2026-03-08 07:00", -240},
                    {"2026-11-01 06:00", -300},
                    {"2027-03-14 07:00", -240},
                    {"2027-11-07 06:00", -300}});
}
// Skipped 2011-12-30 altogether.
inline Zone apia() { return zone_of("Pacific/Apia", -600, {{"2011-12-30 10:00", 840}, {"2012-03-31 14:00", 780}}); }
// Half an hour of daylight saving.
inline Zone lord_howe() {
    return zone_of("Australia/Lord_Howe", 660, {{"2026-04-04 15:00", 630}, {"2026-10-03 15:30", 660}});
}
// Changes at midnight: 00:00 to 01:00 doesn't exist on 2026-03-08 and comes twice on 2026-11-01.
inline Zone havana() {
    return zone_of("America/Havana", -300, {{"2026-03-08 05:00", -240}, {"2026-11-01 05:00", -300}});
}
inline Zone kathmandu() { return zone_of("Asia/Kathmandu", 345, {}); }

}  // namespace mailer::core::test
