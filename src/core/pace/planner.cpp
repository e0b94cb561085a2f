// A lane is in one of three places: idle (a change of facts brings it back), in the timers (until its last shut gate
// may open), or waiting with its pool (every gate of its own was open when it came there; asked again when its turn
// comes).
#include "core/pace/planner.hpp"

#include <algorithm>
#include <cassert>

namespace mailer::core {

namespace {

template <class Map>
std::vector<std::int64_t> keys_of(const Map& map) {
    std::vector<std::int64_t> keys;
    keys.reserve(map.size());
    for (const auto& [key, value] : map)
        keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    return keys;
}

}  // namespace

void Planner::remember(const Planner& before) {
    turn_ = before.turn_;
    is_system_shut_ = before.is_system_shut_;
    system_shut_by_ = before.system_shut_by_;
    system_shut_at_ = before.system_shut_at_;
    for (auto& [id, entry] : lanes_) {
        const auto known = before.lanes_.find(id);
        if (known == before.lanes_.end()) continue;
        entry.turn = known->second.turn;
        entry.served_at = known->second.served_at;
        entry.why_late = known->second.why_late;
        mark_changed(entry);
    }
    for (const auto& [id, tenant] : before.tenants_) {
        leave_order(id);
        tenants_[id].turn = tenant.turn;
        tenants_[id].served_at = tenant.served_at;
        enter_order(id);
    }
    for (const auto& [id, index] : mailbox_index_) {
        const auto known = before.mailbox_index_.find(id);
        if (known == before.mailbox_index_.end()) continue;
        outlooks_[index].shut_by = before.outlooks_[known->second].shut_by;
        outlooks_[index].shut_at = before.outlooks_[known->second].shut_at;
        outlooks_[index].was_shut = before.outlooks_[known->second].was_shut;
        outlooks_[index].opens_at = before.outlooks_[known->second].opens_at;
    }
}

void Planner::set_system(const SystemFacts& system) {
    const int in_flight = system_.in_flight;
    system_ = system;
    system_.in_flight = in_flight;
    look_at_room();
}

void Planner::upsert_mailbox(const MailboxFacts& mailbox) {
    const auto [known, is_new] = mailbox_index_.try_emplace(mailbox.id, static_cast<std::uint32_t>(mailboxes_.size()));
    if (is_new && !unused_mailboxes_.empty()) {
        known->second = unused_mailboxes_.back();
        unused_mailboxes_.pop_back();
    } else if (is_new) {
        mailboxes_.emplace_back();
        outlooks_.emplace_back();
        pools_of_mailbox_.emplace_back();
    }
    if (!is_new) leave_server(known->second);
    mailboxes_[known->second] = mailbox;
    join_server(known->second);
    if (is_new) {
        outlooks_[known->second] = {.state = Outlook::gone};
        list_all_members();
    }
    mailbox_changed(known->second);
}

void Planner::remove_mailbox(std::int64_t id) {
    const auto known = mailbox_index_.find(id);
    if (known == mailbox_index_.end()) return;
    leave_server(known->second);
    mailbox_changed(known->second);
    mailboxes_[known->second] = {};
    outlooks_[known->second].state = Outlook::gone;
    unused_mailboxes_.push_back(known->second);
    mailbox_index_.erase(known);
    list_all_members();
}

bool Planner::upsert_lane(const LaneFacts& lane, Time now) {
    const auto [known, is_new] = lanes_.try_emplace(lane.id);
    LaneEntry& entry = known->second;
    const std::uint32_t pool = join_pool(lane.tenant_id, lane.pool);
    if (!is_new) {
        take_out(entry);
        leave_pool(entry.pool);
    }
    const auto waiting_since = lane.waiting_since ? lane.waiting_since : entry.facts.waiting_since;
    entry.facts = lane;
    entry.facts.waiting_since = waiting_since;
    entry.pool = pool;
    const bool lacks_slot = lane.pace_id == 0 && lane.state == LaneState::running && !lane.next_slot_at;
    const bool is_placed = lacks_slot && replan_slot(entry.facts, now);
    mark_changed(entry);
    if (lane.pace_id != 0) sharers_[lane.pace_id].insert(lane.id);
    if (lane.kind == LaneKind::campaign) refresh_pace(lane.pace_id != 0 ? lane.pace_id : lane.id);
    return is_placed;
}

void Planner::remove_lane(std::int64_t id) {
    const auto known = lanes_.find(id);
    if (known == lanes_.end()) return;
    take_out(known->second);
    leave_pool(known->second.pool);
    const std::int64_t pace_id = known->second.facts.pace_id;
    lanes_.erase(known);
    if (pace_id == 0) return;
    sharers_[pace_id].erase(id);
    refresh_pace(pace_id);
}

const MailboxFacts* Planner::mailbox(std::int64_t id) const {
    const auto known = mailbox_index_.find(id);
    return known == mailbox_index_.end() ? nullptr : &mailboxes_[known->second];
}

const LaneFacts* Planner::lane(std::int64_t id) const {
    const auto known = lanes_.find(id);
    return known == lanes_.end() ? nullptr : &known->second.facts;
}

const LaneFacts* Planner::pace(std::int64_t lane_id) const {
    const LaneFacts* facts = lane(lane_id);
    return facts == nullptr || facts->pace_id == 0 ? facts : lane(facts->pace_id);
}

std::vector<std::int64_t> Planner::lanes_of_pace(std::int64_t main_lane_id) const {
    std::vector<std::int64_t> ids{main_lane_id};
    const auto known = sharers_.find(main_lane_id);
    if (known != sharers_.end()) ids.insert(ids.end(), known->second.begin(), known->second.end());
    return ids;
}

// Without its main lane a lane can't go: the facts of a pace that was never started.
const LaneFacts& Planner::pace_of(const LaneEntry& entry) const {
    static const LaneFacts none{.kind = LaneKind::campaign, .state = LaneState::draft};
    if (entry.facts.pace_id == 0) return entry.facts;
    const auto known = lanes_.find(entry.facts.pace_id);
    return known == lanes_.end() ? none : known->second.facts;
}

Planner::LaneEntry& Planner::pace_entry(LaneEntry& entry) {
    const auto known = entry.facts.pace_id == 0 ? lanes_.end() : lanes_.find(entry.facts.pace_id);
    return known == lanes_.end() ? entry : known->second;
}

// What the main lane knows of the others: since when they have mail, and in which windows that may go.
void Planner::refresh_pace(std::int64_t main_lane_id) {
    const auto main = lanes_.find(main_lane_id);
    const auto others = sharers_.find(main_lane_id);
    if (main == lanes_.end() || others == sharers_.end()) return;
    LaneFacts& pace = main->second.facts;
    std::vector<const Window*> windows;
    if (pace.waiting_since) windows.push_back(&pace.window);
    pace.new_waiting_since.reset();
    pace.follow_ups_waiting_since.reset();
    bool is_uniform = true;
    for (const std::int64_t id : others->second) {
        LaneEntry& entry = lanes_.at(id);
        if (!entry.facts.waiting_since) continue;
        auto& since = entry.facts.is_follow_up ? pace.follow_ups_waiting_since : pace.new_waiting_since;
        since = since ? std::min(since, entry.facts.waiting_since) : entry.facts.waiting_since;
        is_uniform = is_uniform && entry.facts.window.zone.name() == pace.window.zone.name();
        windows.push_back(&entry.facts.window);
        mark_changed(entry);
    }
    pace.windows.clear();
    if (!is_uniform) {
        for (const Window* window : windows) {
            const bool is_known = std::any_of(pace.windows.begin(), pace.windows.end(),
                                              [&](const Window& w) { return w.zone.name() == window->zone.name(); });
            if (!is_known) pace.windows.push_back(*window);
        }
    }
    mark_changed(main->second);
}

// After a slot was taken by one lane: all the others of its pace wait for the next one.
void Planner::mark_sharers_changed(const LaneEntry& served) {
    const std::int64_t main_lane_id = served.facts.pace_id != 0 ? served.facts.pace_id : served.facts.id;
    const auto others = sharers_.find(main_lane_id);
    if (others == sharers_.end()) return;
    for (const std::int64_t id : others->second)
        if (id != served.facts.id && lanes_.at(id).facts.waiting_since) mark_changed(lanes_.at(id));
    const auto main = lanes_.find(main_lane_id);
    if (main != lanes_.end() && main_lane_id != served.facts.id) mark_changed(main->second);
}

std::vector<std::int64_t> Planner::lane_ids() const { return keys_of(lanes_); }

std::vector<std::int64_t> Planner::mailbox_ids() const { return keys_of(mailbox_index_); }

void Planner::set_pending(std::int64_t lane_id, std::optional<Time> earliest_due) {
    const auto known = lanes_.find(lane_id);
    if (known == lanes_.end() || known->second.facts.waiting_since == earliest_due) return;
    known->second.facts.waiting_since = earliest_due;
    mark_changed(known->second);
    const LaneFacts& facts = known->second.facts;
    if (facts.kind == LaneKind::campaign) refresh_pace(facts.pace_id != 0 ? facts.pace_id : facts.id);
}

std::optional<Planner::Go> Planner::next(Time now) {
    if (const auto shut = shut_for_all(system_, now)) {
        system_shut_by_ = shut->first_shut;
        system_shut_at_ = now;
        is_system_shut_ = true;
        return std::nullopt;
    }
    if (is_system_shut_) system_shut_at_ = now;  // shut until just now
    is_system_shut_ = false;
    while (!lane_timers_.empty() && lane_timers_.begin()->first <= now) {
        put_in_order(lanes_.at(lane_timers_.begin()->second), now);
    }
    look_at_mailboxes(now);
    while (open_mailbox_count_ > 0 && !ready_tenants_.empty()) {
        const auto [key, index] = *tenants_.at(ready_tenants_.begin()->second).ready_pools.begin();
        LaneEntry& entry = lanes_.at(key.lane_id);
        if (core::shut_for_lane(pace_of(entry), entry.facts, now)) {
            put_in_order(entry, now);
            continue;
        }
        if (const auto mailbox = open_mailbox_of(pools_[index], now)) return Go{key.lane_id, mailboxes_[*mailbox].id};
        detach_pool(index);
        pools_[index].is_blocked = true;
    }
    return std::nullopt;
}

std::optional<Time> Planner::wake_at() const {
    if (shut_for_all(system_, Time::min())) return std::nullopt;
    std::optional<Time> wake;
    if (!lane_timers_.empty()) wake = lane_timers_.begin()->first;
    if (waiting_count_ == 0) return wake;
    if (!changed_mailboxes_.empty() || (open_mailbox_count_ > 0 && !ready_tenants_.empty())) return Time::min();
    if (!mailbox_timers_.empty() && (!wake || mailbox_timers_.begin()->first < *wake))
        return mailbox_timers_.begin()->first;
    return wake;
}

Reservation Planner::reserve(std::int64_t lane_id, std::int64_t mailbox_id, const MessageFacts& message, Time now) {
    LaneEntry& entry = lanes_.at(lane_id);
    const std::uint32_t index = mailbox_index_.at(mailbox_id);
    LaneEntry& pace = pace_entry(entry);
    const Reservation taken =
        core::reserve(pace.facts, entry.facts, mailboxes_[index], message, now, why_late(pace, index));
    mailbox_changed(index);
    count_claims(index, 1);
    pace.why_late.reset();
    entry.turn = ++turn_;
    entry.served_at = now;
    put_in_order(entry, now);
    take_turn(entry.facts.tenant_id, now);
    mark_sharers_changed(entry);
    return taken;
}

void Planner::finish(const Reservation& reservation, Time replied_at) {
    const auto lane = lanes_.find(reservation.lane_id);
    const auto mailbox = mailbox_index_.find(reservation.mailbox_id);
    LaneFacts gone_lane;
    MailboxFacts gone_mailbox;
    MailboxFacts& sender = mailbox == mailbox_index_.end() ? gone_mailbox : mailboxes_[mailbox->second];
    core::finish(lane == lanes_.end() ? gone_lane : lane->second.facts, sender, reservation, replied_at);
    if (mailbox != mailbox_index_.end()) {
        count_claims(mailbox->second, -1);
        mailbox_changed(mailbox->second);
    }
    if (lane != lanes_.end() && lane->second.facts.kind == LaneKind::batch) mark_changed(lane->second);
}

bool Planner::release(const Reservation& reservation, Time now, std::optional<Time> replied_at) {
    const auto lane = lanes_.find(reservation.lane_id);
    const auto mailbox = mailbox_index_.find(reservation.mailbox_id);
    LaneFacts gone_lane;
    MailboxFacts gone_mailbox;
    MailboxFacts& sender = mailbox == mailbox_index_.end() ? gone_mailbox : mailboxes_[mailbox->second];
    const bool is_here = lane != lanes_.end();
    const bool is_moved = core::release(is_here ? pace_entry(lane->second).facts : gone_lane,
                                        is_here ? lane->second.facts : gone_lane, sender, reservation, now, replied_at);
    if (mailbox != mailbox_index_.end()) {
        count_claims(mailbox->second, -1);
        mailbox_changed(mailbox->second);
    }
    if (lane == lanes_.end()) return false;
    mark_changed(lane->second);
    mark_sharers_changed(lane->second);
    return is_moved;
}

Decision Planner::decide(std::int64_t lane_id, Time now) const {
    const LaneEntry& entry = lanes_.at(lane_id);
    return core::decide(system_, pace_of(entry), entry.facts, view(pools_[entry.pool]), now);
}

std::optional<Decision> Planner::shut_for_lane(std::int64_t lane_id, Time now) const {
    const LaneEntry& entry = lanes_.at(lane_id);
    return core::shut_for_lane(pace_of(entry), entry.facts, now);
}

std::vector<GateLine> Planner::explain(std::int64_t lane_id, const MessageFacts* message, Time now) const {
    const LaneEntry& entry = lanes_.at(lane_id);
    return core::explain(system_, pace_of(entry), entry.facts, view(pools_[entry.pool]), message, now);
}

// What kept a lane from its slot, as far as this planner has seen it: a gate of its own, then everybody's, then the one
// of the mailbox that it gets now.
std::optional<Gate> Planner::why_late(const LaneEntry& entry, std::uint32_t mailbox) const {
    if (entry.why_late) return entry.why_late;
    const Time slot = entry.facts.next_slot_at.value_or(Time::max());
    if (system_shut_by_ && system_shut_at_ >= slot) return system_shut_by_;
    if (outlooks_[mailbox].shut_at >= slot) return outlooks_[mailbox].shut_by;
    return std::nullopt;
}

void Planner::put_in_order(LaneEntry& entry, Time now) {
    take_out(entry);
    if (!entry.facts.waiting_since) return;
    const Time due = *entry.facts.waiting_since;
    LaneEntry& pace = pace_entry(entry);
    const auto shut = core::shut_for_lane(pace_of(entry), entry.facts, now);
    if (shut) {
        // Shut beyond its slot, it will miss that slot because of this gate; shut only by a slot ahead, it is in time.
        const Time slot = pace.facts.next_slot_at.value_or(Time::max());
        if (shut->first_shut != Gate::campaign_gap) {
            if (!shut->opens_at || *shut->opens_at > slot) pace.why_late = shut->first_shut;
        } else if (now < slot) {
            pace.why_late.reset();
        }
        if (shut->opens_at) wait_until(entry, std::max(due, *shut->opens_at));
    } else if (due > now) {
        wait_until(entry, due);
    } else {
        wait_for_mailbox(entry);
    }
}

void Planner::take_out(LaneEntry& entry) {
    if (entry.place == Place::timed) lane_timers_.erase({entry.wake_at, entry.facts.id});
    if (entry.place == Place::waiting) {
        detach_pool(entry.pool);
        pools_[entry.pool].waiting.erase(entry.key);
        waiting_count_ -= 1;
        attach_pool(entry.pool);
    }
    entry.place = Place::idle;
}

void Planner::wait_until(LaneEntry& entry, Time t) {
    take_out(entry);
    entry.place = Place::timed;
    entry.wake_at = t;
    lane_timers_.emplace(t, entry.facts.id);
}

void Planner::wait_for_mailbox(LaneEntry& entry) {
    const LaneFacts& lane = entry.facts;
    const LaneFacts& pace = pace_of(entry);
    const bool is_paced = lane.kind != LaneKind::stream && pace.gap > Duration{0};
    Time ready_at = *lane.waiting_since;
    // Stored values only: whatever happened since, a planner that is filled again has the same order.
    if (lane.kind == LaneKind::campaign) ready_at = std::max(ready_at, pace.next_slot_at.value_or(ready_at));
    if (lane.kind == LaneKind::batch) ready_at = std::max(ready_at, lane.next_at.value_or(ready_at));
    // What has no pace of its own goes behind all that was ready when it was served: turns, not a race.
    if (!is_paced) ready_at = std::max(ready_at, entry.served_at);
    entry.place = Place::waiting;
    const int rank = lane.kind == LaneKind::campaign && lane.is_follow_up == pace.prefers_new ? 1 : 0;
    entry.key = {ready_at, is_paced ? 0 : entry.turn, rank, lane.id};
    detach_pool(entry.pool);
    pools_[entry.pool].waiting.insert(entry.key);
    waiting_count_ += 1;
    attach_pool(entry.pool);
}

// ── Room for other servers ──

namespace {

std::uint64_t server_of(const MailboxFacts& mailbox) {
    constexpr std::uint64_t own = std::uint64_t{1} << 63;
    return mailbox.server_key != 0 ? mailbox.server_key & ~own : own | static_cast<std::uint64_t>(mailbox.id);
}

}  // namespace

void Planner::join_server(std::uint32_t mailbox) {
    MailboxFacts& facts = mailboxes_[mailbox];
    ServerEntry& server = servers_[server_of(facts)];
    server.members.insert(mailbox);
    facts.leaves_room = is_crowded_ && server.in_flight > 0;
    count_claims(mailbox, facts.in_flight);
}

void Planner::leave_server(std::uint32_t mailbox) {
    const std::uint64_t key = server_of(mailboxes_[mailbox]);
    count_claims(mailbox, -mailboxes_[mailbox].in_flight);
    ServerEntry& server = servers_.at(key);
    server.members.erase(mailbox);
    if (server.members.empty()) servers_.erase(key);
}

void Planner::count_claims(std::uint32_t mailbox, int change) {
    ServerEntry& server = servers_.at(server_of(mailboxes_[mailbox]));
    const bool had_any = server.in_flight > 0;
    server.in_flight += change;
    system_.in_flight += change;
    look_at_room();
    if (is_crowded_ && had_any != (server.in_flight > 0)) tell_members(server);
}

// Once crowded, it is so until half of what is kept has come free besides: not every claim concerns every mailbox.
void Planner::look_at_room() {
    const int kept = system_.kept_claims(), free = system_.claims() - system_.in_flight;
    const bool is_crowded = kept > 0 && free <= (is_crowded_ ? kept + kept / 2 : kept);
    if (is_crowded == is_crowded_) return;
    is_crowded_ = is_crowded;
    for (const auto& [key, server] : servers_)
        tell_members(server);
}

void Planner::tell_members(const ServerEntry& server) {
    const bool leaves_room = is_crowded_ && server.in_flight > 0;
    for (const std::uint32_t member : server.members) {
        if (mailboxes_[member].leaves_room == leaves_room) continue;
        mailboxes_[member].leaves_room = leaves_room;
        mailbox_changed(member);
    }
}

void Planner::mailbox_changed(std::uint32_t mailbox) {
    MailboxOutlook& outlook = outlooks_[mailbox];
    if (outlook.state == Outlook::changed) return;
    if (outlook.state == Outlook::open) open_mailbox_count_ -= 1;
    if (outlook.state == Outlook::shut && outlook.opens_at) mailbox_timers_.erase({*outlook.opens_at, mailbox});
    outlook.state = Outlook::changed;
    changed_mailboxes_.push_back(mailbox);
}

void Planner::look_at_mailboxes(Time now) {
    while (!mailbox_timers_.empty() && mailbox_timers_.begin()->first <= now) {
        mailbox_changed(mailbox_timers_.begin()->second);
    }
    for (const std::uint32_t mailbox : changed_mailboxes_) {
        if (outlooks_[mailbox].state == Outlook::changed) look_at(mailbox, now);
    }
    changed_mailboxes_.clear();
}

void Planner::look_at(std::uint32_t mailbox, Time now) {
    MailboxOutlook& outlook = outlooks_[mailbox];
    const Decision decision = choose_mailbox({mailboxes_, {&mailbox, 1}}, now);
    if (outlook.was_shut) outlook.shut_at = std::min(now, outlook.opens_at.value_or(now));  // until just now
    outlook.was_shut = !decision.go;
    outlook.opens_at = decision.opens_at;
    if (!decision.go) {
        outlook.state = Outlook::shut;
        outlook.shut_by = decision.first_shut;
        outlook.shut_at = now;
        if (outlook.opens_at) mailbox_timers_.emplace(*outlook.opens_at, mailbox);
        return;
    }
    outlook.state = Outlook::open;
    open_mailbox_count_ += 1;
    for (const std::uint32_t index : pools_of_mailbox_[mailbox]) {
        if (!pools_[index].is_blocked) continue;
        pools_[index].is_blocked = false;
        attach_pool(index);
    }
}

std::optional<std::uint32_t> Planner::open_mailbox_of(const PoolEntry& pool, Time now) {
    open_members_.clear();
    for (const std::uint32_t member : pool.members) {
        if (outlooks_[member].state == Outlook::open) open_members_.push_back(member);
    }
    const Decision choice = choose_mailbox({mailboxes_, open_members_}, now);
    if (choice.go) return choice.mailbox;
    // Open when they were looked at, and shut without a change of facts: a zone whose date went back at midnight.
    for (const std::uint32_t member : open_members_)
        mailbox_changed(member);
    return std::nullopt;
}

}  // namespace mailer::core
