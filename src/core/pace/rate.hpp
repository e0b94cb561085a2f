// A mailbox's rate: how many messages it may begin in a second, minute, hour or day, over all its connections.
//
// Messages are spaced evenly: the next may be claimed period / count after the last claim, so that no period holds more
// than the count, whenever it begins. Where that is less than 20 ms, what a claim was late by may be made up for within
// these 20 ms: claims come in ticks, and one a tick would be fewer than the rate allows.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/pace/time.hpp"
#include "core/result.hpp"

namespace mailer::core {

struct Rate {
    int count = 1;
    Duration period = std::chrono::seconds{1};

    Duration spacing() const;  // rounded up to a microsecond
    std::string text() const;  // "14/s"

    bool operator==(const Rate&) const = default;
};

// "14/s", "100/min", "1000/h", "5000/d", with blanks around the slash. Fails, with a hint, on anything else.
Result<Rate> parse_rate(std::string_view text);

// When the next may begin after one at `now`, which was to come at `wanted` or later.
Time next_by_rate(const Rate& rate, std::optional<Time> wanted, Time now);

}  // namespace mailer::core
