// What was used of a day's limit, and what a mailbox's limit is on a day (warm-up ramp).
//
// A count belongs to a local date, never to "the last 24 hours", and is kept for several dates: what is given back
// goes to the day it was taken from, also after midnight.
#pragma once

#include <optional>
#include <vector>

#include "core/pace/zone.hpp"

namespace mailer::core {

struct DayUse {
    Date day;
    int used = 0;    // everything reserved on that day, warm-up included
    int warmup = 0;  // how many of `used` were warm-up mails
};

// Newest days only: taking on a day forgets what is more than a fortnight older, but for how many days were used.
struct Usage {
    std::vector<DayUse> days;
    Date counted_from = Date::min();  // first day of a ramp
    int earlier_days = 0;             // used ones since then that aren't in `days` any more

    int used_on(Date day) const;
    int days_used_before(Date day) const;  // since counted_from
    void take(Date day, bool is_warmup);
    void give_back(Date day, bool is_warmup);  // never below zero
};

struct DailyLimit {
    std::optional<int> ceiling = {};     // none: unlimited
    std::optional<int> ramp_start = {};  // none: no ramp
    int ramp_step = 0;

    // Day n of the ramp: least(ceiling, start + n × step), n being the earlier days of the ramp on which something was
    // sent: what rests doesn't warm up. None is unlimited.
    std::optional<int> after(int days_used) const;
    std::optional<int> on(Date day, const Usage& use) const { return after(use.days_used_before(day)); }
};

}  // namespace mailer::core
