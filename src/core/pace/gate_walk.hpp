// The gates one by one, and the order in which they are tried. Included by gate.cpp and explain.cpp alone.
//
// decide() and explain() both walk these lists, so a gate that is missing here is missing everywhere, and one
// that is changed changes everywhere. A visitor takes each GateState in turn.
#pragma once

#include "core/pace/gate.hpp"

namespace mailer::core {

GateState sending_enabled_gate(const SystemFacts& system);
GateState sending_armed_gate(const SystemFacts& system);
GateState sending_not_paused_gate(const SystemFacts& system);
GateState standbys_gate(const SystemFacts& system);
GateState lease_gate(const SystemFacts& system);
GateState connections_free_gate(const SystemFacts& system);
GateState sender_running_gate(const SystemFacts& system);

GateState campaign_running_gate(const LaneFacts& lane);
GateState campaign_shield_gate(const LaneFacts& pace);
GateState campaign_started_gate(const LaneFacts& lane, Time now);
GateState campaign_ended_gate(const LaneFacts& pace, Time now);
GateState window_open_gate(const LaneFacts& lane, Time now);
GateState campaign_day_cap_gate(const LaneFacts& lane, Time now);
GateState campaign_new_cap_gate(const LaneFacts& pace, const LaneFacts& lane, Time now);
GateState inbox_heard_gate(const LaneFacts& pace, const LaneFacts& lane, Time now);
GateState campaign_gap_gate(const LaneFacts& lane, Time now);
GateState batch_gap_gate(const LaneFacts& lane, Time now);

GateState mailbox_enabled_gate(const MailboxFacts& mailbox);
GateState mailbox_shield_gate(const MailboxFacts& mailbox);
GateState mailbox_breaker_gate(const MailboxFacts& mailbox, Time now);
GateState mailbox_day_cap_gate(const MailboxFacts& mailbox, Time now);
GateState mailbox_gap_gate(const MailboxFacts& mailbox, Time now);
GateState mailbox_rate_gate(const MailboxFacts& mailbox, Time now);
GateState mailbox_connection_gate(const MailboxFacts& mailbox, Time now);

GateState not_suppressed_gate(const MessageFacts& message);
GateState not_yet_mailed_gate(const MessageFacts& message);
GateState lead_active_gate(const MessageFacts& message);
GateState lead_held_gate(const MessageFacts& message);
GateState lead_not_before_gate(const MessageFacts& message, Time now);
GateState cooldown_gate(const MessageFacts& message, Time now);
GateState due_gate(const MessageFacts& message, Time now);
GateState not_expired_gate(const MessageFacts& message, Time now);

template <class Visit>
void walk_system(const SystemFacts& system, Visit&& visit) {
    visit(sending_enabled_gate(system));
    visit(sending_armed_gate(system));
    visit(sending_not_paused_gate(system));
    if (system.standbys.is_set) visit(standbys_gate(system));
    if (system.lease.is_set) visit(lease_gate(system));
    visit(connections_free_gate(system));
}

template <class Visit>
void walk_lane(const LaneFacts& pace, const LaneFacts& lane, Time now, Visit&& visit) {
    if (lane.kind == LaneKind::campaign) {
        visit(campaign_running_gate(pace));
        visit(campaign_shield_gate(pace));
        visit(campaign_started_gate(pace, now));
        visit(campaign_ended_gate(pace, now));
        visit(window_open_gate(lane, now));
        visit(campaign_day_cap_gate(pace, now));
        visit(campaign_new_cap_gate(pace, lane, now));
        visit(inbox_heard_gate(pace, lane, now));
        visit(campaign_gap_gate(pace, now));
    }
    if (lane.kind == LaneKind::batch) visit(batch_gap_gate(lane, now));
}

template <class Visit>
void walk_mailbox(const MailboxFacts& mailbox, Time now, Visit&& visit) {
    visit(mailbox_enabled_gate(mailbox));
    visit(mailbox_shield_gate(mailbox));
    visit(mailbox_breaker_gate(mailbox, now));
    visit(mailbox_day_cap_gate(mailbox, now));
    visit(mailbox_gap_gate(mailbox, now));
    if (mailbox.rate) visit(mailbox_rate_gate(mailbox, now));
    visit(mailbox_connection_gate(mailbox, now));
}

template <class Visit>
void walk_message(const MessageFacts& message, Time now, Visit&& visit) {
    visit(not_suppressed_gate(message));
    visit(not_yet_mailed_gate(message));
    visit(lead_active_gate(message));
    visit(lead_held_gate(message));
    visit(lead_not_before_gate(message, now));
    visit(cooldown_gate(message, now));
    visit(not_expired_gate(message, now));
    visit(due_gate(message, now));
}

}  // namespace mailer::core
