// The plan that the sender follows, run ahead: which mail goes when and from which mailbox if nothing disturbs it.
//
// Drives the Planner with virtual time over lists of waiting messages, and takes each message through the same
// judge() as a claim. Contains no rule of its own about what may go; a what-if is the same call with other values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "core/pace/planner.hpp"
#include "core/pace/sequence.hpp"

namespace mailer::core {

// A mail that is being sent: its lead's next step counts from its slot.
struct MailInFlight {
    std::int64_t message_id = 0;
    std::int64_t lane_id = 0;
    std::int64_t mailbox_id = 0;
    int step = 1;
    Time slot_at = {};
    std::uint64_t recipient = 0;  // see MessageFacts
};

// The later steps of a campaign, for a forecast that goes on to what isn't queued yet.
struct SequencePlan {
    std::int64_t main_lane_id = 0;
    std::vector<Step> steps = {};  // from the second one on, by place
    std::vector<MailInFlight> in_flight = {};
    std::int64_t reply_rate_ppm = 0;  // of a million leads, how many are taken to reply before each step
};

struct LaneQueue {
    std::int64_t lane_id = 0;
    std::vector<MessageFacts> waiting;    // in any order
    std::vector<std::int64_t> ends = {};  // ids of those behind which more wait that aren't listed
};

struct ForecastRow {
    std::int64_t lane_id;
    std::int64_t ordinal;     // of the slot; 0 for lanes without slots
    std::int64_t message_id;  // 0: a later step that isn't queued yet
    std::int64_t mailbox_id;
    Time slot_at;
    int step = 1;
    std::int64_t source_id = 0;  // the message of the same lead that waits or is on its way now
};

struct ForecastOptions {
    std::size_t max_rows = std::numeric_limits<std::size_t>::max();
    // Rows of this lane alone, or of the lanes that share its pace; the others still take their share.
    std::optional<std::int64_t> only_lane = {};
    std::vector<SequencePlan> sequences = {};
    std::map<std::int64_t, Duration> cooldowns = {};  // of the campaigns that have one, by id
    std::optional<Time> until = {};                   // no slot after this
    Duration transit{0};                              // from claim to final reply
};

struct Forecast {
    std::vector<ForecastRow> rows;
    bool has_run_out = false;  // it ended where the listed messages end (LaneQueue::ends), and more would follow
};

// `planner` is a copy that the forecast may use up. Claims in flight in it are taken to end at now + transit.
Forecast forecast(Planner planner, std::vector<LaneQueue> queues, Time now, const ForecastOptions& options = {});

}  // namespace mailer::core
