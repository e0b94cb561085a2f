// What comes back unsent: after a pause, a cancel, a breaker, a change of its mailbox's server, before the sender
// leaves.
//
// Only what is not on the wire; which that is the courier says. It becomes pending again as it was, no attempt
// consumed, its slot and day's count given back. The tick's transaction may be open, so nothing here may talk to a mail
// server.
#include "worker/pump.hpp"

namespace mailer::worker {

namespace {

// Whether a message already claimed may no longer go, as the gates see it: somebody switched something off. A gate that
// only paces doesn't call back what it let through.
bool is_switch(core::Gate gate) {
    switch (gate) {
        case core::Gate::sending_enabled:
        case core::Gate::sending_armed:
        case core::Gate::sending_not_paused:
        case core::Gate::standbys:
        case core::Gate::lease:
        case core::Gate::campaign_running:
        case core::Gate::campaign_shield:
        case core::Gate::mailbox_enabled:
        case core::Gate::mailbox_shield:
        case core::Gate::mailbox_breaker:
            return true;
        default:
            return false;
    }
}

bool is_switched_off(const std::optional<core::Decision>& decision) {
    return decision && !decision->go && is_switch(decision->first_shut);
}

bool is_switched_off(const core::MailboxFacts& mailbox, Time now) {
    const std::uint32_t member = 0;
    return is_switched_off(core::choose_mailbox({{&mailbox, 1}, {&member, 1}}, now));
}

}  // namespace

// At once, so that nothing is claimed in the same transaction that a refusal has just stopped.
void Pump::shut_shields(Time now) {
    for (const Queue::ShutShield& shield : queue_.take_shut_shields()) {
        if (shield.lane_id && planner_.lane(*shield.lane_id) != nullptr) {
            core::LaneFacts lane = *planner_.lane(*shield.lane_id);
            lane.shield_reason = shield.reason;
            if (planner_.upsert_lane(lane, now)) tick_.dirty_lanes.insert(lane.id);
        }
        if (shield.mailbox_id && planner_.mailbox(*shield.mailbox_id) != nullptr) {
            core::MailboxFacts mailbox = *planner_.mailbox(*shield.mailbox_id);
            mailbox.shield_reason = shield.reason;
            planner_.upsert_mailbox(mailbox);
        }
        tick_.has_shut = true;
    }
}

// Takes back what the courier hasn't begun and what wasn't given to it yet.
void Pump::take_back(const std::set<std::uint64_t>& tokens, Time now) {
    for (std::uint64_t token : courier_.take_back(tokens))
        settlements_.push_back(unsent(tickets_.at(token), now));
    for (std::uint64_t token : mail_room_.take_back(tokens)) {
        Ticket& ticket = tickets_.at(token);
        set_aside(ticket, false);
        settlements_.push_back(unsent(ticket, now));
    }
    std::deque<std::uint64_t> kept;
    for (std::uint64_t token : unprepared_) {
        if (!tokens.contains(token)) {
            kept.push_back(token);
        } else if (auto it = tickets_.find(token); it != tickets_.end()) {
            settlements_.push_back(unsent(it->second, now));
        }
    }
    unprepared_ = std::move(kept);
}

// After a pause, a cancel or a breaker: what is not on the wire and may not go any more comes back.
void Pump::take_back_shut(Time now) {
    std::set<std::uint64_t> shut;
    const bool is_all_shut = is_switched_off(core::shut_for_all(planner_.system(), now));
    for (const auto& [token, ticket] : tickets_) {
        const core::LaneFacts* lane = planner_.lane(ticket.row.lane_id);
        const core::MailboxFacts* mailbox = planner_.mailbox(ticket.reservation.mailbox_id);
        bool is_lane_shut = lane != nullptr && is_switched_off(planner_.shut_for_lane(lane->id, now));
        bool is_mailbox_shut = mailbox == nullptr || is_switched_off(*mailbox, now);
        if (is_all_shut || is_lane_shut || is_mailbox_shut) shut.insert(token);
    }
    if (!shut.empty()) take_back(shut, now);
}

void Pump::apply_fences() {
    core::SystemFacts system = planner_.system();
    system.standbys = standbys_;
    system.lease = lease_;
    planner_.set_system(system);
}

void Pump::note_fences(const core::SenderFence& standbys, const core::SenderFence& lease, Time now) {
    if (standbys == standbys_ && lease == lease_) return;
    standbys_ = standbys;
    lease_ = lease;
    apply_fences();
    if (!standbys.is_open || !lease.is_open) take_back_shut(now);
}

// What hasn't begun with a server that its mailbox left meanwhile goes again to the new one, in the same tick. Without
// this it would wait for the old server as long as connecting may take, and fail there.
void Pump::take_back_outdated(Time now) {
    for (std::uint64_t token : courier_.take_back_outdated())
        settlements_.push_back(unsent(tickets_.at(token), now));
}

// A lead that has replied, or was stopped or held, gets nothing more: what isn't on the wire comes back.
void Pump::take_back_stopped(Time now) {
    std::map<std::int64_t, std::uint64_t> tokens;
    for (const auto& [token, ticket] : tickets_)
        if (ticket.row.campaign_id) tokens.emplace(ticket.row.facts.id, token);
    if (tokens.empty()) return;
    std::vector<std::int64_t> ids;
    ids.reserve(tokens.size());
    for (const auto& [id, token] : tokens)
        ids.push_back(id);
    std::set<std::uint64_t> stopped;
    for (const std::int64_t id : queue_.stopped_among(ids))
        stopped.insert(tokens.at(id));
    if (!stopped.empty()) take_back(stopped, now);
}

void Pump::hand_back_all(Time now) {
    std::set<std::uint64_t> all;
    for (const auto& [token, ticket] : tickets_)
        all.insert(token);
    take_back(all, now);
}

}  // namespace mailer::worker
