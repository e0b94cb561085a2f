// What waits in a lane, as far as a plan needs it.
#pragma once

#include "core/pace/forecast.hpp"

namespace mailer::pg {

struct PlannedLane {
    std::int64_t id = 0;
    std::optional<std::int64_t> campaign_id = {};
    bool is_follow_up = false;   // then each message tells its step
    bool has_cooldowns = false;  // then each message tells its recipient, and until when it cools down
};

// The first `depth` of every priority; LaneQueue::ends tells where more wait. Suppressed ones are marked: the claim
// cancels them, so they take no slot. Requires an Spi as the extension's owner.
core::LaneQueue read_queue(const PlannedLane& lane, std::int64_t depth, core::Time now);

// How many of its own priority come before a message of this lane, counted up to `most`.
std::int64_t count_before(std::int64_t lane_id, const core::MessageFacts& message, std::int64_t most);

}  // namespace mailer::pg
