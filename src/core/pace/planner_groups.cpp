// Groups (lanes that the same gates hold back) and where they stand; see planner.hpp.
//
// A group is idle (a change of facts brings it back), in the timers (until its last shut gate may open, or its next
// lane is due), or has lanes in the queues of their pools: every gate of theirs was open when they came there, and is
// asked again when their turn comes. In line are lanes that may go as well, but whose turn comes later than that of a
// queued lane of their group whose pool isn't blocked.
#include <algorithm>
#include <functional>

#include "core/pace/planner.hpp"

namespace mailer::core {

// The facts of a lane of its own that gates and turns look at; all others are the pace's. How long an inbox may have
// been silent says whether it matters when it was heard.
bool Planner::pass_same_gates(const LaneFacts& a, const LaneFacts& b) const {
    if (a.kind != LaneKind::campaign || b.kind != LaneKind::campaign) return false;
    if (a.tenant_id != b.tenant_id || a.is_follow_up != b.is_follow_up || a.window != b.window) return false;
    const auto main = lanes_.find(main_lane_of(a));
    return a.heard_at == b.heard_at || !a.is_follow_up || main == lanes_.end() || !main->second.facts.max_silence;
}

void Planner::join_group(LaneEntry& entry) {
    std::vector<std::uint32_t>& groups = groups_of_pace_[main_lane_of(entry.facts)];
    auto known = std::find_if(groups.begin(), groups.end(), [&](std::uint32_t index) {
        return pass_same_gates(lanes_.at(groups_[index].lanes.front()).facts, entry.facts);
    });
    if (known == groups.end()) {
        if (unused_groups_.empty()) {
            unused_groups_.push_back(static_cast<std::uint32_t>(groups_.size()));
            groups_.emplace_back();
        }
        known = groups.insert(groups.end(), unused_groups_.back());
        unused_groups_.pop_back();
    }
    entry.group = *known;
    groups_[entry.group].main_lane_id = main_lane_of(entry.facts);
    groups_[entry.group].lanes.push_back(entry.facts.id);
    list_waiting(entry);
    mark_changed(entry.group);
}

void Planner::leave_group(LaneEntry& entry) {
    const std::uint32_t index = entry.group;
    GroupEntry& group = groups_[index];
    take_out(index);
    std::erase(group.lanes, entry.facts.id);
    std::erase_if(group.waiting, [&](const WaitingLane& lane) { return lane.lane_id == entry.facts.id; });
    mark_changed(index);
    if (!group.lanes.empty()) return;
    const auto groups = groups_of_pace_.find(group.main_lane_id);
    std::erase(groups->second, index);
    if (groups->second.empty()) groups_of_pace_.erase(groups);
    group = {};
    unused_groups_.push_back(index);
}

// The main lane came or changed, and with it what its others have in common.
void Planner::regroup(std::int64_t main_lane_id) {
    const auto others = sharers_.find(main_lane_id);
    if (others == sharers_.end()) return;
    for (const std::int64_t id : others->second)
        leave_group(lanes_.at(id));
    for (const std::int64_t id : others->second)
        join_group(lanes_.at(id));
}

void Planner::list_waiting(const LaneEntry& entry) {
    std::vector<WaitingLane>& waiting = groups_[entry.group].waiting;
    const auto place = std::lower_bound(waiting.begin(), waiting.end(), entry.facts.id,
                                        [](const WaitingLane& lane, std::int64_t id) { return lane.lane_id < id; });
    const bool is_listed = place != waiting.end() && place->lane_id == entry.facts.id;
    if (is_listed && entry.facts.waiting_since) {
        place->since = *entry.facts.waiting_since;
    } else if (is_listed) {
        waiting.erase(place);
    } else if (entry.facts.waiting_since) {
        waiting.insert(place, {entry.facts.id, *entry.facts.waiting_since});
    }
}

void Planner::take_out(std::uint32_t index) {
    GroupEntry& group = groups_[index];
    if (group.timer) timers_.erase(*group.timer);
    group.timer.reset();
    if (!group.line.empty()) std::erase(pools_[lanes_.at(group.queued.back()).pool].led_groups, index);
    group.line.clear();
    for (const std::int64_t id : group.queued) {
        const LaneEntry& entry = lanes_.at(id);
        detach_pool(entry.pool);
        pools_[entry.pool].waiting.erase(entry.key);
        waiting_count_ -= 1;
        attach_pool(entry.pool);
    }
    group.queued.clear();
}

void Planner::wait_until(std::uint32_t index, Time t) {
    GroupEntry& group = groups_[index];
    const auto last = std::find_if(group.waiting.rbegin(), group.waiting.rend(),
                                   [&](const WaitingLane& lane) { return lane.since <= t; });
    group.timer = {t, last->lane_id, index};
    timers_.insert(*group.timer);
}

void Planner::mark_changed(std::uint32_t index, std::int64_t but_for) {
    take_out(index);
    GroupEntry& group = groups_[index];
    if (group.waiting.empty()) return;
    auto last = group.waiting.rbegin();
    if (last->lane_id == but_for && group.waiting.size() > 1) ++last;
    group.timer = {Time::min(), last->lane_id, index};
    timers_.insert(*group.timer);
}

void Planner::put_in_order(std::uint32_t index, Time now) {
    take_out(index);
    GroupEntry& group = groups_[index];
    if (group.waiting.empty()) return;
    LaneEntry& member = lanes_.at(group.waiting.front().lane_id);
    const LaneFacts& pace = pace_of(member);
    if (const auto shut = core::shut_for_lane(pace, member.facts, now)) {
        LaneEntry& keeper = pace_entry(member);
        // Shut beyond its slot, it will miss that slot because of this gate; shut only by a slot ahead, it is in time.
        const Time slot = keeper.facts.next_slot_at.value_or(Time::max());
        if (shut->first_shut != Gate::campaign_gap) {
            if (!shut->opens_at || *shut->opens_at > slot) keeper.why_late = shut->first_shut;
        } else if (now < slot) {
            keeper.why_late.reset();
        }
        if (!shut->opens_at) return;
        const auto first = std::min_element(group.waiting.begin(), group.waiting.end(),
                                            [](const auto& a, const auto& b) { return a.since < b.since; });
        wait_until(index, std::max(first->since, *shut->opens_at));
        return;
    }
    std::optional<Time> next_due;
    for (const WaitingLane& lane : group.waiting) {
        if (lane.since > now) {
            next_due = std::min(next_due.value_or(lane.since), lane.since);
        } else {
            group.line.push_back(key_of(lane, member, pace));
        }
    }
    if (next_due) wait_until(index, *next_due);
    std::make_heap(group.line.begin(), group.line.end(), std::greater<>{});
    queue_next(index);
}

// `member` is any lane of the group: what differs between them is when they were served.
Planner::Key Planner::key_of(const WaitingLane& waiting, const LaneEntry& member, const LaneFacts& pace) const {
    const LaneFacts& lane = member.facts;
    Key key{.ready_at = waiting.since, .since = waiting.since, .lane_id = waiting.lane_id};
    // Stored values only: whatever happened since, a planner that is filled again has the same order.
    if (lane.kind == LaneKind::campaign)
        key.ready_at = std::max(key.ready_at, pace.next_slot_at.value_or(key.ready_at));
    if (lane.kind == LaneKind::batch) key.ready_at = std::max(key.ready_at, lane.next_at.value_or(key.ready_at));
    key.rank = lane.kind == LaneKind::campaign && lane.is_follow_up == pace.prefers_new ? 1 : 0;
    if (lane.kind != LaneKind::stream && pace.gap > Duration{0}) return key;
    // What has no pace of its own goes behind all that was ready when it was served: turns, not a race.
    const LaneEntry& entry = lanes_.at(waiting.lane_id);
    key.ready_at = std::max(key.ready_at, entry.served_at);
    key.turn = entry.turn;
    return key;
}

// The next in line joins its pool's queue; where that pool is blocked the one behind it as well.
void Planner::queue_next(std::uint32_t index) {
    GroupEntry& group = groups_[index];
    while (!group.line.empty()) {
        std::pop_heap(group.line.begin(), group.line.end(), std::greater<>{});
        LaneEntry& entry = lanes_.at(group.line.back().lane_id);
        entry.key = group.line.back();
        group.line.pop_back();
        detach_pool(entry.pool);
        pools_[entry.pool].waiting.insert(entry.key);
        waiting_count_ += 1;
        attach_pool(entry.pool);
        group.queued.push_back(entry.facts.id);
        if (pools_[entry.pool].is_blocked) continue;
        if (!group.line.empty()) pools_[entry.pool].led_groups.push_back(index);
        return;
    }
}

}  // namespace mailer::core
