// Few days are kept, so a linear look is the fastest one.
#include "core/pace/quota.hpp"

#include <algorithm>
#include <cstdint>

namespace mailer::core {

namespace {

constexpr std::chrono::days kKept{14};

}  // namespace

int Usage::used_on(Date day) const {
    for (const DayUse& use : days) {
        if (use.day == day) return use.used;
    }
    return 0;
}

int Usage::days_used_before(Date day) const {
    return earlier_days + static_cast<int>(std::count_if(days.begin(), days.end(), [&](const DayUse& use) {
               return use.used > 0 && use.day >= counted_from && use.day < day;
           }));
}

void Usage::take(Date day, bool is_warmup) {
    auto use = std::find_if(days.begin(), days.end(), [day](const DayUse& kept) { return kept.day == day; });
    if (use == days.end()) {
        std::erase_if(days, [&](const DayUse& kept) {
            const bool is_old = kept.day < day - kKept;
            if (is_old && kept.used > 0 && kept.day >= counted_from) ++earlier_days;
            return is_old;
        });
        use = days.insert(days.end(), DayUse{.day = day});
    }
    use->used += 1;
    use->warmup += is_warmup ? 1 : 0;
}

void Usage::give_back(Date day, bool is_warmup) {
    for (DayUse& use : days) {
        if (use.day != day) continue;
        use.used = std::max(0, use.used - 1);
        if (is_warmup) use.warmup = std::max(0, use.warmup - 1);
    }
}

std::optional<int> DailyLimit::after(int days_used) const {
    if (!ramp_start) return ceiling;
    const std::int64_t n = std::max(0, days_used);
    constexpr std::int64_t kUnreachable = 1'000'000'000;
    const std::int64_t ramped = std::min(kUnreachable, *ramp_start + std::min(n, kUnreachable) * ramp_step);
    return static_cast<int>(std::clamp<std::int64_t>(ramped, 0, ceiling.value_or(static_cast<int>(kUnreachable))));
}

}  // namespace mailer::core
