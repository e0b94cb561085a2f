// The pump's claim: asks the planner which lane may go, takes its next row, and reserves slot and mailbox with it.
//
// Part of the tick's transaction. A row is locked by pick() (FOR UPDATE SKIP LOCKED), judged by core/pace/gate,
// reserved in the planner and written in one statement; its journal slot is on disk before the commit (W1).
#include <algorithm>
#include <cassert>
#include <map>

#include "worker/pump.hpp"
#include "worker/settlement.hpp"

namespace mailer::worker {

namespace {

// Rows that others hold locked are looked for again after this; nobody waits for a lock.
constexpr core::Duration locked_row_pause = std::chrono::milliseconds{50};

struct Line {
    std::vector<Candidate> rows;
    std::size_t next = 0;
    bool is_exhausted = false;
};

}  // namespace

void Pump::claim(Time now) {
    std::map<std::int64_t, Line> lines;
    std::int64_t budget = settings_.claims_per_tick;
    if (claims_left_) budget = std::min(budget, *claims_left_);
    // Rows that turn out to be expired or suppressed cost a look but no claim; a tick bounds both.
    for (std::int64_t looks = 4 * budget; looks > 0 && static_cast<std::int64_t>(tick_.claimed.size()) < budget;
         --looks) {
        auto go = planner_.next(now);
        if (!go) break;
        Line& line = lines[go->lane_id];
        if (line.next == line.rows.size() && !line.is_exhausted) {
            auto limit = static_cast<int>(std::min<std::int64_t>(wanted(*go, now), budget));
            line = Line{queue_.pick(go->lane_id, limit, now)};
            line.is_exhausted = static_cast<int>(line.rows.size()) < limit;
        }
        if (line.next == line.rows.size()) {
            tell_waiting(go->lane_id, now, locked_row_pause);
            continue;
        }
        Candidate& row = line.rows[line.next++];
        queue_.passed(row);
        admit(std::move(row), *go, now);
        // Known now, not only at the next slot: with its last message settled a campaign completes.
        if (planner_.lane(go->lane_id)->kind != core::LaneKind::stream) tell_waiting(go->lane_id, now);
    }
    if (!tick_.claimed.empty()) {
        queue_.claim(tick_.claimed, now);
        mail_room_.fetch(tick_.claimed);
    }
}

// What waits in the lane behind what was picked. With a pause, what is due has just been found locked by others.
void Pump::tell_waiting(std::int64_t lane_id, Time now, core::Duration pause) {
    auto due = queue_.next_due(lane_id, now);
    if (due && *due <= now && pause > core::Duration::zero()) due = now + pause;
    planner_.set_pending(lane_id, due);
    if (!due) tick_.finished_lanes.insert(lane_id);
}

// As many as the mailbox has room for, when nothing paces it: one look at the queue for many claims.
int Pump::wanted(const core::Planner::Go& go, Time now) const {
    const core::LaneFacts* lane = planner_.lane(go.lane_id);
    const core::MailboxFacts* mailbox = planner_.mailbox(go.mailbox_id);
    assert(lane != nullptr && mailbox != nullptr);  // next() named them
    if (lane->kind != core::LaneKind::stream || mailbox->gap > core::Duration::zero() || mailbox->rate) return 1;
    return std::max(1, mailbox->connections(now) * mailbox->claims_per_connection - mailbox->in_flight);
}

void Pump::admit(Candidate row, const core::Planner::Go& go, Time now) {
    core::MessageFate fate = core::judge(row.facts, now);
    if (fate != core::MessageFate::go) {
        tick_.unclaimed.push_back(settlement_of_fate(std::move(row), fate, now));
        return;
    }
    Ticket ticket;
    ticket.token = next_token_++;
    ticket.reservation = planner_.reserve(go.lane_id, go.mailbox_id, row.facts, now);
    assert(ticket.reservation.mailbox_id == go.mailbox_id && planner_.pace(go.lane_id) != nullptr);
    ticket.row = std::move(row);
    count_days(ticket.reservation, +1);
    tick_.dirty_lanes.insert(planner_.pace(go.lane_id)->id);
    tick_.dirty_mailboxes.insert(go.mailbox_id);
    if (ticket.reservation.missed) {
        queue_.store_missed(planner_.pace(go.lane_id)->campaign_id, *ticket.reservation.missed);
    }
    ticket.is_repeatable = queue_.is_repeatable(go.mailbox_id);
    journal_.open_slot(ticket.token);
    tick_.claimed.push_back(std::move(ticket));
}

}  // namespace mailer::worker
