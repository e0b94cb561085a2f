// What the pump knows of paces, their lanes and mailboxes between claims: days that are counted, what is on its way,
// whether a campaign has anything left or is ending, when the inboxes of its follow-ups were read, and how many connections a
// mailbox's server takes.
#include <algorithm>
#include <iterator>

#include "worker/pump.hpp"

namespace mailer::worker {

namespace {

constexpr core::Duration pause_while_undecided = std::chrono::milliseconds(200);

}  // namespace

// When their inboxes were last read is a fact of follow-ups that changes all the time: looked up with each sweep.
void Pump::hear_inboxes(Time now) {
    std::vector<std::int64_t> lanes;
    for (const std::int64_t id : planner_.lane_ids()) {
        const core::LaneFacts* lane = planner_.lane(id);
        const core::LaneFacts* pace = planner_.pace(id);
        if (lane->is_follow_up && lane->waiting_since && pace != nullptr && pace->max_silence) lanes.push_back(id);
    }
    if (lanes.empty()) return;
    for (const std::int64_t id : queue_.load_lanes(planner_, lanes, in_flight(), now))
        tick_.dirty_lanes.insert(id);
}

// Nothing of the campaign waits or is on its way, as far as is known.
bool Pump::is_pace_idle(std::int64_t main_lane_id) const {
    const std::vector<std::int64_t> lanes = planner_.lanes_of_pace(main_lane_id);
    return std::all_of(lanes.begin(), lanes.end(), [this](std::int64_t id) {
        const core::LaneFacts* lane = planner_.lane(id);
        return lane == nullptr || (!lane->waiting_since && lane->in_flight == 0);
    });
}

// What ended with its campaign or its lead's sequence, of the settlements. Where a transaction that is open decides that
// just now, they wait for it, and hold up nobody else's.
std::map<std::int64_t, core::Cause> Pump::hold(Time now) {
    if (put_off_until_ && *put_off_until_ <= now) {
        std::move(put_off_.begin(), put_off_.end(), std::back_inserter(settlements_));
        put_off_.clear();
        put_off_until_.reset();
    }
    if (settlements_.empty()) return {};
    Queue::HeldMail held = queue_.hold(settlements_);
    const auto later = std::stable_partition(settlements_.begin(), settlements_.end(), [&held](const Settlement& s) {
        return !held.busy.contains(s.row.facts.id);
    });
    if (later == settlements_.end()) return std::move(held.ended);
    std::move(later, settlements_.end(), std::back_inserter(put_off_));
    settlements_.erase(later, settlements_.end());
    put_off_until_ = now + pause_while_undecided;
    return std::move(held.ended);
}

void Pump::count_days(const core::Reservation& r, int sign) {
    auto add = [&](auto& days, std::int64_t id, core::Date day, bool is_warmup, std::optional<int> limit) {
        DayDelta& delta = days[{id, day.time_since_epoch().count()}];
        delta.id = id;
        delta.day = day;
        delta.used += sign;
        if (is_warmup) delta.warmup += sign;
        if (sign > 0) delta.day_limit = limit;
    };
    const core::MailboxFacts* mailbox = planner_.mailbox(r.mailbox_id);
    add(tick_.mailbox_days, r.mailbox_id, r.mailbox_day, r.is_warmup,
        mailbox ? mailbox->daily_limit.on(r.mailbox_day, mailbox->use) : std::nullopt);
    if (!r.campaign_day) return;
    const core::LaneFacts* pace = planner_.pace(r.lane_id);
    if (pace == nullptr) return;
    add(tick_.campaign_days, pace->campaign_id, *r.campaign_day, false, pace->max_per_day);
    if (r.is_new)
        tick_.campaign_days[{pace->campaign_id, r.campaign_day->time_since_epoch().count()}].first_mails += sign;
}

// What is kept of mailboxes is kept of those that exist.
void Pump::note_mailboxes() {
    const auto is_gone = [this](const auto& entry) { return planner_.mailbox(entry.first) == nullptr; };
    std::erase_if(refusals_, is_gone);
    std::erase_if(doubts_, is_gone);
    std::erase_if(lowered_, is_gone);
    std::map<std::int64_t, core::LoweredConnections> limits = lowered_;  // before what is stored: they are newer
    for (const std::int64_t id : planner_.mailbox_ids())
        if (const auto& stored = planner_.mailbox(id)->lowered) limits.emplace(id, *stored);
    courier_.limit_connections(limits);
}

// What the courier found out goes into gates and table, so that no more is claimed than can be carried.
void Pump::lower_connections() {
    for (const auto& [id, lowered] : lowered_) {
        const core::MailboxFacts* known = planner_.mailbox(id);
        if (known == nullptr) continue;
        core::MailboxFacts mailbox = *known;
        const bool is_new = !mailbox.lowered || mailbox.lowered->next_at != lowered.next_at;
        mailbox.lowered = lowered;
        planner_.upsert_mailbox(mailbox);
        queue_.store_lowered(mailbox);
        if (is_new)
            queue_.log_event("connections_lowered", {}, {}, id,
                             "its server takes fewer than " + std::to_string(mailbox.max_connections) +
                                 " connections: " + lowered.reason);
    }
}

InFlight Pump::in_flight() const {
    InFlight counts;
    for (const auto& [token, ticket] : tickets_) {
        ++counts.lanes[ticket.row.lane_id];
        if (!ticket.is_aside) ++counts.mailboxes[ticket.reservation.mailbox_id];
    }
    return counts;
}

}  // namespace mailer::worker
