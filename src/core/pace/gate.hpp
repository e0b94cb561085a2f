// What may go now: the one place that decides it.
//
// Claim, explain, forecast and simulation all end in the same functions of values: each gate is one function in
// gate.cpp, and the order of the gates is written down once there. decide() stops at the first shut gate and
// makes no strings; explain() walks the same gates to the end and puts them into words.
// No gate reads a clock; `now` comes in.
// Invariants:
//   G1  decide().go holds exactly when explain() of the same values has no shut line for the lane and its pool. (The
//       line sender_running is apart: its fact is never set where something is decided.)
//   G2  a shut gate stays shut until its opens_at unless a fact changes; without opens_at only a fact can open it.
//   G3  of the open mailboxes of a pool the least recently used is taken, ties by id.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/pace/facts.hpp"

namespace mailer::core {

enum class Gate : std::uint8_t {
    sending_enabled,
    sending_armed,
    sending_not_paused,
    standbys,          // those that may be promoted are there to take claims (core/standby/promise)
    lease,             // mailer.sender_lease
    connections_free,  // mailer.max_connections over all mailboxes
    campaign_running,
    campaign_shield,
    campaign_started,
    campaign_ended,
    window_open,
    campaign_day_cap,
    campaign_new_cap,
    inbox_heard,  // of the mailbox that a follow-up goes from
    campaign_gap,
    batch_gap,
    pool_not_empty,
    mailbox_enabled,
    mailbox_shield,
    mailbox_breaker,
    mailbox_day_cap,
    mailbox_gap,
    mailbox_rate,  // over all its connections
    mailbox_connection,
    sender_running,  // of explain() alone: a sender that decides is running
    not_suppressed,
    not_yet_mailed,
    lead_active,
    lead_held,
    lead_not_before,
    cooldown,
    due,
    not_expired,
};

std::string_view gate_name(Gate gate);  // as users see it: "window_open"

// One gate, evaluated. `limit` and `used` where the gate counts something.
struct GateState {
    Gate gate;
    bool is_open = true;
    std::optional<Time> opens_at = {};  // none while shut: only a change of facts opens it
    std::optional<int> limit = {};
    std::optional<int> used = {};
};

// The mailboxes of a lane: indexes into all mailboxes, in ascending order of id.
struct PoolView {
    std::span<const MailboxFacts> mailboxes;
    std::span<const std::uint32_t> members;
};

struct Decision {
    bool go = false;
    std::uint32_t mailbox = 0;          // index into PoolView::mailboxes; valid when go
    Gate first_shut = {};               // valid when !go
    std::optional<Time> opens_at = {};  // when !go: not before this; none: wait for a fact to change
};

// The parts of decide(), for a caller that keeps lanes in timer order: nullopt when all of these gates are open, else
// a Decision with go == false. opens_at is the latest of the shut gates of the part.
std::optional<Decision> shut_for_all(const SystemFacts& system, Time now);
std::optional<Decision> shut_for_lane(const LaneFacts& pace, const LaneFacts& lane, Time now);
Decision choose_mailbox(PoolView pool, Time now);

// System, lane and pool together; no message yet, so a shut lane need never be scanned. `pace` is the main lane of the
// lane's campaign: the lane itself where it carries its pace.
Decision decide(const SystemFacts& system, const LaneFacts& pace, const LaneFacts& lane, PoolView pool, Time now);
inline Decision decide(const SystemFacts& system, const LaneFacts& lane, PoolView pool, Time now) {
    return decide(system, lane, lane, pool, now);
}

// What becomes of a message that is next in an open lane.
enum class MessageFate {
    go,
    wait,        // not due yet
    expired,     // settle as failed, reason 'expired'
    suppressed,  // settle as cancelled, reason 'suppressed'
    stopped,     // settle as cancelled: the lead's sequence has ended
    postponed,   // back to the queue until postponed_until()
    duplicate,   // settle as cancelled: this campaign has mailed the address already
};
MessageFate judge(const MessageFacts& message, Time now);
Time postponed_until(const MessageFacts& message, Time now);  // of one that is postponed

// One line of explain(). A pool of several mailboxes has a line for the pool (mailbox empty: shut when none
// of them passes) and one for each mailbox.
struct GateLine {
    Gate gate;
    bool is_open = true;
    std::string mailbox = {};
    std::string limit = {};  // empty where the gate has none
    std::string used = {};
    std::optional<Time> opens_at = {};
    std::string detail = {};  // "window closed until Mon 09:00 Europe/Warsaw"
};

// Every gate that applies to the lane, in the order in which they are tried; with a message, its gates as well.
std::vector<GateLine> explain(const SystemFacts& system, const LaneFacts& pace, const LaneFacts& lane, PoolView pool,
                              const MessageFacts* message, Time now);
inline std::vector<GateLine> explain(const SystemFacts& system, const LaneFacts& lane, PoolView pool,
                                     const MessageFacts* message, Time now) {
    return explain(system, lane, lane, pool, message, now);
}

// The detail of the first line that blocks; empty when nothing does. Lines of single mailboxes of a pool don't block.
std::string blocked_by(const std::vector<GateLine>& lines);

}  // namespace mailer::core
