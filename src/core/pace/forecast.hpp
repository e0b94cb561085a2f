// The plan that the sender follows, run ahead: which mail goes when and from which mailbox if nothing disturbs it.
//
// Drives the Planner with virtual time over lists of waiting messages, and takes each message through the same
// judge() as a claim. Contains no rule of its own about what may go; a what-if is the same call with other values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "core/pace/planner.hpp"

namespace mailer::core {

struct LaneQueue {
    std::int64_t lane_id = 0;
    std::vector<MessageFacts> waiting;    // in any order
    std::vector<std::int64_t> ends = {};  // ids of those behind which more wait that aren't listed
};

struct ForecastRow {
    std::int64_t lane_id;
    std::int64_t ordinal;  // of the slot; 0 for lanes without slots
    std::int64_t message_id;
    std::int64_t mailbox_id;
    Time slot_at;
};

struct ForecastOptions {
    std::size_t max_rows = std::numeric_limits<std::size_t>::max();
    std::optional<std::int64_t> only_lane = {};  // rows of this lane alone; the others still take their share
    std::optional<Time> until = {};              // no slot after this
    Duration transit{0};                         // from claim to final reply
};

struct Forecast {
    std::vector<ForecastRow> rows;
    bool has_run_out = false;  // it ended where the listed messages end (LaneQueue::ends), and more would follow
};

// `planner` is a copy that the forecast may use up. Claims in flight in it are taken to end at now + transit.
Forecast forecast(Planner planner, std::vector<LaneQueue> queues, Time now, const ForecastOptions& options = {});

}  // namespace mailer::core
