// Each gate is one function; the order is gate_walk.hpp's. A gate works out when it opens only while it is shut.
#include "core/pace/gate.hpp"

#include <algorithm>
#include <tuple>

#include "core/pace/gate_walk.hpp"
#include "core/pace/slot.hpp"

namespace mailer::core {

namespace {

GateState open_gate(Gate gate) { return {gate, true, std::nullopt, std::nullopt, std::nullopt}; }
GateState gate_if(Gate gate, bool is_open, std::optional<Time> opens_at = std::nullopt) {
    return {gate, is_open, is_open ? std::nullopt : opens_at, std::nullopt, std::nullopt};
}
GateState counted(Gate gate, int limit, int used) { return {gate, used < limit, std::nullopt, limit, used}; }
// Counts claims, and shows connections: what is claimed ahead of them waits for one.
GateState with_connection(Gate gate, int connections, int claims_per_connection, int claims) {
    return {gate, claims < connections * claims_per_connection, std::nullopt, connections, claims};
}
GateState not_before(Gate gate, std::optional<Time> at, Time now) { return gate_if(gate, !at || *at <= now, at); }

// Gathers a part's shut gates: the first of them, and the instant at which the last of them opens.
struct ShutGates {
    std::optional<Decision> shut;

    void operator()(const GateState& state) {
        if (state.is_open) return;
        if (!shut) {
            shut = Decision{.go = false, .first_shut = state.gate, .opens_at = state.opens_at};
        } else if (!state.opens_at || !shut->opens_at) {
            shut->opens_at.reset();
        } else {
            shut->opens_at = std::max(shut->opens_at, state.opens_at);
        }
    }
};

// A mailbox that will not have room within a year is not waited for.
constexpr int kDaysAhead = 366;

std::optional<Time> next_day_with_room(const MailboxFacts& mailbox, Time now) {
    Time t = now;
    for (int i = 0; i < kDaysAhead; ++i) {
        t = mailbox.zone.next_date_change(t);
        const Date day = mailbox.zone.date(t);
        const auto limit = mailbox.daily_limit.on(day, mailbox.use);
        if (!limit || mailbox.use.used_on(day) < *limit) return t;
    }
    return std::nullopt;
}

std::optional<Time> next_opening_with_room(const LaneFacts& pace, int limit, const Usage& use, Time now) {
    if (limit <= 0) return std::nullopt;
    auto span = pace.window.span_from(now);
    while (span && use.used_on(span->day) >= limit)
        span = pace.window.span_from(span->to);
    if (!span) return std::nullopt;
    return std::max(now, span->from);
}

// A cap of the campaign's day, over all its mails or its first ones.
GateState day_cap(Gate gate, const LaneFacts& pace, int limit, const Usage& use, Time now) {
    auto state = counted(gate, limit, use.used_on(pace.window.day_of(now)));
    if (!state.is_open) state.opens_at = next_opening_with_room(pace, limit, use, now);
    return state;
}

}  // namespace

GateState sending_enabled_gate(const SystemFacts& system) { return gate_if(Gate::sending_enabled, system.is_enabled); }

GateState sending_armed_gate(const SystemFacts& system) { return gate_if(Gate::sending_armed, system.is_armed); }

GateState sending_not_paused_gate(const SystemFacts& system) {
    return gate_if(Gate::sending_not_paused, !system.pause_reason);
}

GateState standbys_gate(const SystemFacts& system) {
    return gate_if(Gate::standbys, system.standbys.is_open, system.standbys.opens_at);
}

GateState lease_gate(const SystemFacts& system) {
    return gate_if(Gate::lease, system.lease.is_open, system.lease.opens_at);
}

GateState sender_running_gate(const SystemFacts& system) {
    return gate_if(Gate::sender_running, system.sender.is_open, system.sender.opens_at);
}

GateState connections_free_gate(const SystemFacts& system) {
    if (system.max_connections <= 0) return open_gate(Gate::connections_free);
    return with_connection(Gate::connections_free, system.max_connections, system.claims_per_connection,
                           system.in_flight);
}

GateState campaign_running_gate(const LaneFacts& lane) {
    return gate_if(Gate::campaign_running, lane.state == LaneState::running);
}

GateState campaign_shield_gate(const LaneFacts& pace) {
    return gate_if(Gate::campaign_shield, pace.shield_reason.empty());
}

GateState campaign_started_gate(const LaneFacts& lane, Time now) {
    return not_before(Gate::campaign_started, lane.starts_at, now);
}

GateState campaign_ended_gate(const LaneFacts& pace, Time now) {
    return gate_if(Gate::campaign_ended, !pace.ends_at || now < *pace.ends_at);
}

GateState window_open_gate(const LaneFacts& lane, Time now) {
    const auto opening = lane.window.next_opening(now);
    return gate_if(Gate::window_open, opening == now, opening);
}

GateState campaign_day_cap_gate(const LaneFacts& lane, Time now) {
    if (!lane.max_per_day) return open_gate(Gate::campaign_day_cap);
    return day_cap(Gate::campaign_day_cap, lane, *lane.max_per_day, lane.use, now);
}

GateState campaign_new_cap_gate(const LaneFacts& pace, const LaneFacts& lane, Time now) {
    if (!pace.max_new_per_day || lane.is_follow_up) return open_gate(Gate::campaign_new_cap);
    return day_cap(Gate::campaign_new_cap, pace, *pace.max_new_per_day, pace.new_use, now);
}

// Shut, only a fact opens it: the inbox is read again.
GateState inbox_heard_gate(const LaneFacts& pace, const LaneFacts& lane, Time now) {
    if (!pace.max_silence || !lane.is_follow_up) return open_gate(Gate::inbox_heard);
    return gate_if(Gate::inbox_heard, lane.heard_at && now - *lane.heard_at <= *pace.max_silence);
}

GateState campaign_gap_gate(const LaneFacts& lane, Time now) {
    return not_before(Gate::campaign_gap, current_slot(lane, now).at, now);
}

GateState batch_gap_gate(const LaneFacts& lane, Time now) {
    if (lane.gap > Duration{0} && lane.in_flight > 0) return gate_if(Gate::batch_gap, false);
    return not_before(Gate::batch_gap, lane.next_at, now);
}

GateState mailbox_enabled_gate(const MailboxFacts& mailbox) {
    return gate_if(Gate::mailbox_enabled, mailbox.is_enabled);
}

GateState mailbox_shield_gate(const MailboxFacts& mailbox) {
    return gate_if(Gate::mailbox_shield, mailbox.shield_reason.empty());
}

GateState mailbox_breaker_gate(const MailboxFacts& mailbox, Time now) {
    return not_before(Gate::mailbox_breaker, mailbox.breaker_open_until, now);
}

GateState mailbox_day_cap_gate(const MailboxFacts& mailbox, Time now) {
    if (!mailbox.daily_limit.ceiling && !mailbox.daily_limit.ramp_start) return open_gate(Gate::mailbox_day_cap);
    const Date today = mailbox.zone.date(now);
    auto state =
        counted(Gate::mailbox_day_cap, *mailbox.daily_limit.on(today, mailbox.use), mailbox.use.used_on(today));
    if (!state.is_open) state.opens_at = next_day_with_room(mailbox, now);
    return state;
}

GateState mailbox_gap_gate(const MailboxFacts& mailbox, Time now) {
    if (mailbox.gap > Duration{0} && mailbox.in_flight > 0) return gate_if(Gate::mailbox_gap, false);
    return not_before(Gate::mailbox_gap, mailbox.next_at, now);
}

GateState mailbox_rate_gate(const MailboxFacts& mailbox, Time now) {
    return not_before(Gate::mailbox_rate, mailbox.rate_next_at, now);
}

GateState mailbox_connection_gate(const MailboxFacts& mailbox, Time now) {
    auto state = with_connection(Gate::mailbox_connection, mailbox.connections(now), mailbox.claims_per_connection,
                                 mailbox.in_flight);
    if (mailbox.leaves_room) {
        state.is_open = false;
        return state;
    }
    if (!state.is_open) state.opens_at = more_connections_at(mailbox.max_connections, mailbox.lowered, now);
    return state;
}

GateState not_suppressed_gate(const MessageFacts& message) {
    return gate_if(Gate::not_suppressed, !message.is_suppressed);
}

GateState not_yet_mailed_gate(const MessageFacts& message) {
    return gate_if(Gate::not_yet_mailed, !message.is_already_mailed);
}

GateState lead_active_gate(const MessageFacts& message) { return gate_if(Gate::lead_active, !message.is_stopped); }

GateState lead_held_gate(const MessageFacts& message) { return gate_if(Gate::lead_held, !message.is_held); }

GateState lead_not_before_gate(const MessageFacts& message, Time now) {
    return not_before(Gate::lead_not_before, message.not_before, now);
}

GateState cooldown_gate(const MessageFacts& message, Time now) {
    return not_before(Gate::cooldown, message.cooled_until, now);
}

GateState due_gate(const MessageFacts& message, Time now) { return not_before(Gate::due, message.due_at, now); }

GateState not_expired_gate(const MessageFacts& message, Time now) {
    return gate_if(Gate::not_expired, !message.expires_at || now < *message.expires_at);
}

std::optional<Decision> shut_for_all(const SystemFacts& system, [[maybe_unused]] Time now) {
    ShutGates gates;
    walk_system(system, gates);
    return gates.shut;
}

std::optional<Decision> shut_for_lane(const LaneFacts& pace, const LaneFacts& lane, Time now) {
    ShutGates gates;
    walk_lane(pace, lane, now, gates);
    return gates.shut;
}

Decision choose_mailbox(PoolView pool, Time now) {
    Decision best{.go = false, .first_shut = Gate::pool_not_empty};
    const MailboxFacts* chosen = nullptr;
    for (const std::uint32_t member : pool.members) {
        const MailboxFacts& mailbox = pool.mailboxes[member];
        if (chosen && std::tie(chosen->last_used_at, chosen->id) < std::tie(mailbox.last_used_at, mailbox.id)) continue;
        ShutGates gates;
        walk_mailbox(mailbox, now, gates);
        if (!gates.shut) {
            chosen = &mailbox;
            best = Decision{.go = true, .mailbox = member};
        } else if (!chosen) {
            // The pool is shut by the gate that the furthest of its mailboxes came to.
            best.first_shut = std::max(best.first_shut, gates.shut->first_shut);
            if (!best.opens_at || (gates.shut->opens_at && *gates.shut->opens_at < *best.opens_at)) {
                best.opens_at = gates.shut->opens_at;
            }
        }
    }
    return best;
}

Decision decide(const SystemFacts& system, const LaneFacts& pace, const LaneFacts& lane, PoolView pool, Time now) {
    const auto all = shut_for_all(system, now);
    const auto here = shut_for_lane(pace, lane, now);
    const Decision mailbox = choose_mailbox(pool, now);
    if (all) return *all;
    if (here) return *here;
    return mailbox;
}

MessageFate judge(const MessageFacts& message, Time now) {
    ShutGates gates;
    walk_message(message, now, gates);
    if (!gates.shut) return MessageFate::go;
    switch (gates.shut->first_shut) {
        case Gate::not_suppressed:
            return MessageFate::suppressed;
        case Gate::not_yet_mailed:
            return MessageFate::duplicate;
        case Gate::lead_active:
            return MessageFate::stopped;
        case Gate::not_expired:
            return MessageFate::expired;
        case Gate::lead_held:
        case Gate::lead_not_before:
        case Gate::cooldown:
            return MessageFate::postponed;
        default:
            return MessageFate::wait;
    }
}

Time postponed_until(const MessageFacts& message, Time now) {
    if (message.is_held) return kHeldUntil;
    return std::max({now, message.not_before.value_or(now), message.cooled_until.value_or(now)});
}

}  // namespace mailer::core
