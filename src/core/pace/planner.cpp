// What changes lanes and mailboxes, and which of them goes next. How lanes are kept in order: planner_groups.cpp and
// planner_pools.cpp.
#include "core/pace/planner.hpp"

#include <algorithm>
#include <utility>

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
        mark_changed(entry.group);
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
        leave_group(entry);
        leave_pool(entry.pool);
    }
    const auto waiting_since = lane.waiting_since ? lane.waiting_since : entry.facts.waiting_since;
    entry.facts = lane;
    entry.facts.waiting_since = waiting_since;
    entry.pool = pool;
    const bool lacks_slot = lane.pace_id == 0 && lane.state == LaneState::running && !lane.next_slot_at;
    const bool is_placed = lacks_slot && replan_slot(entry.facts, now);
    if (lane.pace_id == 0) regroup(lane.id);
    join_group(entry);
    if (lane.pace_id != 0) sharers_[lane.pace_id].insert(lane.id);
    if (lane.kind == LaneKind::campaign) refresh_pace(main_lane_of(lane));
    return is_placed;
}

void Planner::remove_lane(std::int64_t id) {
    const auto known = lanes_.find(id);
    if (known == lanes_.end()) return;
    leave_group(known->second);
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
    if (main == lanes_.end() || !sharers_.contains(main_lane_id)) return;
    LaneFacts& pace = main->second.facts;
    pace.new_waiting_since.reset();
    pace.follow_ups_waiting_since.reset();
    std::vector<std::pair<std::int64_t, const Window*>> windows;  // by the first lane that has it
    bool is_uniform = true;
    for (const std::uint32_t index : groups_of_pace_.at(main_lane_id)) {
        const std::vector<WaitingLane>& waiting = groups_[index].waiting;
        if (waiting.empty()) continue;
        const LaneFacts& member = lanes_.at(waiting.front().lane_id).facts;
        auto& since = member.is_follow_up ? pace.follow_ups_waiting_since : pace.new_waiting_since;
        for (const WaitingLane& lane : waiting)
            if (lane.lane_id != main_lane_id) since = since ? std::min(*since, lane.since) : lane.since;
        is_uniform = is_uniform && member.window.zone.name() == pace.window.zone.name();
        windows.emplace_back(member.id, &member.window);
    }
    pace.windows.clear();
    if (!is_uniform) {
        std::sort(windows.begin(), windows.end());
        if (pace.waiting_since) pace.windows.push_back(pace.window);
        for (const auto& [lane, window] : windows) {
            const Window& other = *window;
            const bool is_known = std::any_of(pace.windows.begin(), pace.windows.end(),
                                              [&](const Window& w) { return w.zone.name() == other.zone.name(); });
            if (!is_known) pace.windows.push_back(other);
        }
    }
    mark_pace_changed(main_lane_id);
}

void Planner::mark_pace_changed(std::int64_t main_lane_id) {
    const auto groups = groups_of_pace_.find(main_lane_id);
    if (groups == groups_of_pace_.end()) return;
    for (const std::uint32_t index : groups->second)
        mark_changed(index);
}

// After a slot was taken by one lane: all the others of its pace wait for the next one.
void Planner::mark_others_changed(const LaneEntry& served) {
    for (const std::uint32_t index : groups_of_pace_.at(main_lane_of(served.facts)))
        if (index != served.group || groups_[index].waiting.size() > 1) mark_changed(index, served.facts.id);
}

std::vector<std::int64_t> Planner::lane_ids() const { return keys_of(lanes_); }

std::vector<std::int64_t> Planner::mailbox_ids() const { return keys_of(mailbox_index_); }

void Planner::set_pending(std::int64_t lane_id, std::optional<Time> earliest_due) {
    const auto known = lanes_.find(lane_id);
    if (known == lanes_.end() || known->second.facts.waiting_since == earliest_due) return;
    const LaneEntry& entry = known->second;
    known->second.facts.waiting_since = earliest_due;
    list_waiting(entry);
    mark_changed(entry.group);
    if (entry.facts.kind == LaneKind::campaign) refresh_pace(main_lane_of(entry.facts));
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
    while (!timers_.empty() && timers_.begin()->at <= now)
        put_in_order(timers_.begin()->group, now);
    look_at_mailboxes(now);
    while (open_mailbox_count_ > 0 && !ready_tenants_.empty()) {
        const auto [key, index] = *tenants_.at(ready_tenants_.begin()->second).ready_pools.begin();
        LaneEntry& entry = lanes_.at(key.lane_id);
        if (core::shut_for_lane(pace_of(entry), entry.facts, now)) {
            put_in_order(entry.group, now);
            continue;
        }
        if (const auto mailbox = open_mailbox_of(pools_[index], now)) return Go{key.lane_id, mailboxes_[*mailbox].id};
        detach_pool(index);
        pools_[index].is_blocked = true;
        for (const std::uint32_t group : std::exchange(pools_[index].led_groups, {}))
            queue_next(group);
    }
    return std::nullopt;
}

std::optional<Time> Planner::wake_at() const {
    if (shut_for_all(system_, Time::min())) return std::nullopt;
    std::optional<Time> wake;
    if (!timers_.empty()) wake = timers_.begin()->at;
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
    put_in_order(entry.group, now);
    take_turn(entry.facts.tenant_id, now);
    if (sharers_.contains(main_lane_of(entry.facts))) mark_others_changed(entry);
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
    if (lane != lanes_.end() && lane->second.facts.kind == LaneKind::batch) mark_changed(lane->second.group);
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
    mark_pace_changed(main_lane_of(lane->second.facts));
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
