// The later steps of a campaign: which step follows, when it is due, and what a forecast assumes of replies.
//
// A step's delay counts from the slot of the step before it, not from the moment of sending: the milliseconds of an
// SMTP dialogue must not decide an order that was forecast. Whole days are days of the campaign's own clock.
// Invariants:
//   Q1  a step is never due before the slot that it counts from.
//   Q2  the same slot, delay and window give the same due time, in the sender and in the forecast.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/pace/facts.hpp"

namespace mailer::core {

struct Step {
    std::int64_t id = 0;
    int place = 1;                 // counted from 1, ascending; may have gaps
    int days = 0;                  // whole days; then `delay` is nothing
    bool is_working_days = false;  // `days` counts only days on which the campaign's window may start
    Duration delay{0};             // less than a day
};

// The step behind `place`; nothing when that was the last.
const Step* next_step(std::span<const Step> steps, int place);

// When a step is due whose predecessor was sent in the slot at `slot`: with whole days, when the window opens on that
// local day (should no window start on it, the campaign's window gate moves it on).
Time step_due(const Window& window, Time slot, const Step& step);

// Whether a what-if takes this lead to reply before its next step: `rate_ppm` of a million leads do, always the same.
bool is_taken_to_reply(std::int64_t lead, std::int64_t rate_ppm);

}  // namespace mailer::core
