// See header_date.hpp. strftime would follow the locale.
#include "core/mail/header_date.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace mailer::core {

std::string format_date(Time time, int utc_offset_minutes) {
    namespace ch = std::chrono;
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const int offset = std::clamp(utc_offset_minutes, -(23 * 60 + 59), 23 * 60 + 59);
    const auto local = ch::floor<ch::seconds>(time) + ch::minutes{offset};
    const auto day = ch::floor<ch::days>(local);
    const ch::year_month_day date{day};
    const ch::hh_mm_ss clock{local - day};
    char text[64];
    std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d %c%02d%02d", kDays[ch::weekday{day}.c_encoding()],
                  unsigned{date.day()}, kMonths[unsigned{date.month()} - 1], int{date.year()},
                  static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                  static_cast<int>(clock.seconds().count()), offset < 0 ? '-' : '+', std::abs(offset) / 60,
                  std::abs(offset) % 60);
    return text;
}

}  // namespace mailer::core
