// The tick and its transaction; see pump.hpp for the invariants. How answers become settlements is in
// settlement.cpp, what is called back in recall.cpp, the claim in claim.cpp, whose a refusal is in trouble.cpp.
#include "worker/pump.hpp"

#include "worker/settlement.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace mailer::worker {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t gathering_from = 32;  // claims in hand
constexpr core::Duration longest_gathering = std::chrono::milliseconds(5);

// Everything is read again for a change of settings, and looked for after hints that didn't fit, which costs time for
// each lane. However often a role has that happen, the sender mustn't do nothing else.
constexpr core::Duration pause_for_each_lane = std::chrono::microseconds(100);
constexpr core::Duration longest_pause = std::chrono::seconds(5);

// Lanes that a tick learns of; the next one goes on, so that nobody's mail waits until ten thousands are known.
constexpr std::size_t most_new_lanes = 500;

}  // namespace

Pump::Pump(Queue& queue, MailRoom& mail_room, Courier& courier, Journal& journal, std::uint64_t first_token)
    : queue_(queue), mail_room_(mail_room), courier_(courier), journal_(journal), next_token_(first_token) {
    assert(first_token != 0);  // which stands for a row that isn't claimed
}

void Pump::tick(Time now) {
    if (now < last_tick_) set_back(now);
    last_tick_ = now;
    listen(now);
    collect(now);
    if (has_business(now)) transact(now);
    hand_out(now);
}

// The clock was set back. The planner's time only runs forward, so it is filled again; what was to happen at an instant
// of the time before happens now.
void Pump::set_back(Time now) {
    has_world_ = false;
    is_swept_ = false;
    answered_at_ = std::min(answered_at_, now);
    reload_at_ = sweep_again_at_ = now;
    compose_again_at_ = now;
    retry_at_.reset();
    if (fold_at_) fold_at_ = now;
}

// ── Outside the transaction ──────────────────────────────────────────────────────────────────────────────────────

void Pump::listen(Time now) {
    Signals signals = queue_.take_signals();
    if (signals.generation != generation_) {
        generation_ = signals.generation;
        is_outdated_ = true;
    }
    if (signals.is_overflown) look_everywhere(now);
    for (const auto& hint : signals.hints) {
        if (hint.lane_id == recheck_lane) {
            is_recheck_due_ = true;
            continue;
        }
        if (hint.lane_id == 0) {
            expiry_at_ = std::min(expiry_at_.value_or(hint.due_at), hint.due_at);
            continue;
        }
        learn(hint.lane_id, hint.due_at, now);
    }
    if (!signals.hints.empty() && !fold_at_) fold_at_ = now + 1s;
}

// Hints were lost. Streams are looked at now, as most mail waits there and they are few; all lanes a little later, if
// that was done just before.
void Pump::look_everywhere(Time now) {
    const Time at = std::max(now, sweep_again_at_);
    sweep_at_ = std::min(sweep_at_.value_or(at), at);
    if (at == now) return;
    for (const std::int64_t id : planner_.lane_ids()) {
        const core::LaneFacts& lane = *planner_.lane(id);
        if (lane.kind != core::LaneKind::stream || (lane.waiting_since && *lane.waiting_since <= now)) continue;
        queue_.lower_mark(id, Time::min() + core::Duration(1));
        planner_.set_pending(id, now);
    }
}

core::Duration Pump::pause_after_reading_all() const {
    return std::min(longest_pause, pause_for_each_lane * static_cast<int>(planner_.lane_ids().size()));
}

void Pump::learn(std::int64_t lane_id, Time due_at, Time now) {
    queue_.lower_mark(lane_id, due_at);
    const core::LaneFacts* lane = planner_.lane(lane_id);
    if (lane == nullptr) {
        unknown_lanes_.insert(lane_id);
        auto [it, is_new] = hinted_.try_emplace(lane_id, due_at);
        if (!is_new) it->second = std::min(it->second, due_at);
        return;
    }
    // An idle lane starts now: its idle time missed no slot.
    Time from = lane->waiting_since ? std::min(*lane->waiting_since, due_at) : std::max(due_at, now);
    if (lane->waiting_since != from) planner_.set_pending(lane_id, from);
}

void Pump::collect(Time now) {
    reports_.clear();
    courier_.turn(now, reports_);
    for (auto& [id, lowered] : courier_.take_lowered())
        lowered_.insert_or_assign(id, lowered);
    if (settlements_.empty()) answered_at_ = now;
    for (const core::Report& report : reports_) {
        auto it = tickets_.find(report.token);
        if (it != tickets_.end()) settlements_.push_back(settlement_of(it->second, report, now));
    }
}

bool Pump::has_business(Time now) const {
    if (retry_at_ && now < *retry_at_) return false;
    if (wants_world(now) || !is_swept_ || !unknown_lanes_.empty() || !lowered_.empty() || is_recheck_due_) return true;
    if (auto at = settle_at(); at && *at <= now) return true;
    auto is_past = [now](const std::optional<Time>& t) { return t && *t <= now; };
    if (is_past(sweep_at_) || is_past(expiry_at_) || is_past(fold_at_) || is_past(put_off_until_)) return true;
    return is_claiming_ && (!claims_left_ || *claims_left_ > 0) && is_past(planner_.wake_at());
}

// Answers are settled at once while few are on their way. Under load they are gathered until half of what is in hand
// has been answered, or for a moment: a commit for each handful would cost more than the mails, and the other half
// keeps the connections busy meanwhile. Nothing is at stake: the journal has every answer.
std::optional<Time> Pump::settle_at() const {
    if (settlements_.empty()) return std::nullopt;
    const bool is_gathering =
        is_claiming_ && tickets_.size() >= gathering_from && settlements_.size() * 2 < tickets_.size();
    return is_gathering ? answered_at_ + longest_gathering : Time::min();
}

std::optional<Time> Pump::wake_at() const {
    const bool is_new = !has_world_ || !is_swept_ || !unknown_lanes_.empty() || !lowered_.empty() || is_recheck_due_;
    if (is_new && !retry_at_) return Time::min();
    std::optional<Time> at = retry_at_ ? retry_at_ : sweep_at_;
    auto consider = [&at](const std::optional<Time>& t) {
        if (t && (!at || *t < *at)) at = t;
    };
    if (has_more_to_compose_) consider(compose_again_at_);
    if (retry_at_) return at;
    if (is_outdated_) consider(reload_at_);
    consider(settle_at());
    consider(put_off_until_);
    consider(expiry_at_);
    consider(fold_at_);
    if (is_claiming_ && (!claims_left_ || *claims_left_ > 0)) consider(planner_.wake_at());
    return at;
}

std::optional<Time> Pump::next_due() const {
    std::optional<Time> at = planner_.wake_at();
    if (expiry_at_ && (!at || *expiry_at_ < *at)) at = expiry_at_;
    return at;
}

// ── The transaction ──────────────────────────────────────────────────────────────────────────────────────────────

void Pump::transact(Time now) {
    tick_ = {};
    try {
        queue_.begin(now);
        refresh(now);
        lower_connections();
        settle(now);
        expire(now);
        if (is_claiming_ && !is_one_by_one_) claim(now);
        store(now);
        queue_.commit();
        for (Ticket& ticket : tick_.claimed)
            ticket.committed_at = queue_.last_commit();
    } catch (...) {
        lose();
        retry_at_ = now + 1s;
        throw;
    }
    finish_tick(now);
}

// The planner as of now: read again after a change of settings or a lost transaction, with lanes that hints named.
void Pump::refresh(Time now) {
    if (wants_world(now)) {
        reload_world(now);
    } else if (!unknown_lanes_.empty()) {
        load_unknown_lanes(now);
    }
    if (!is_swept_ || (sweep_at_ && *sweep_at_ <= now)) sweep(now);
    if (is_recheck_due_) take_back_stopped(now);
    is_recheck_due_ = false;
    has_world_ = true;
    is_swept_ = true;
}

// Reads everything again, and adds what was known of waiting mail: hints, lanes, what is in hand.
void Pump::reload_world(Time now) {
    std::map<std::int64_t, Time> waiting = hinted_;
    std::vector<std::int64_t> lanes(unknown_lanes_.begin(), unknown_lanes_.end());
    tick_.learned = lanes;
    for (std::int64_t id : planner_.lane_ids()) {
        lanes.push_back(id);
        if (auto since = planner_.lane(id)->waiting_since) waiting.emplace(id, *since);
    }
    for (const auto& [token, ticket] : tickets_)
        lanes.push_back(ticket.row.lane_id);
    const core::Planner before = std::exchange(planner_, core::Planner());
    for (std::int64_t id : queue_.load_world(planner_, lanes, in_flight(), now))
        tick_.dirty_lanes.insert(id);
    for (const auto& [id, since] : waiting) {
        if (planner_.lane(id) != nullptr) planner_.set_pending(id, since);
    }
    planner_.remember(before);
    note_mailboxes();
    apply_fences();
    take_back_shut(now);
    take_back_outdated(now);
    take_back_stopped(now);
    is_outdated_ = false;
    reload_at_ = now + pause_after_reading_all();
}

bool Pump::wants_world(Time now) const { return !has_world_ || (is_outdated_ && reload_at_ <= now); }

void Pump::load_unknown_lanes(Time now) {
    const auto count = static_cast<std::ptrdiff_t>(std::min(most_new_lanes, unknown_lanes_.size()));
    tick_.learned.assign(unknown_lanes_.begin(), std::next(unknown_lanes_.begin(), count));
    for (std::int64_t id : queue_.load_lanes(planner_, tick_.learned, in_flight(), now))
        tick_.dirty_lanes.insert(id);
    for (const std::int64_t id : tick_.learned) {
        const auto hint = hinted_.find(id);
        if (hint != hinted_.end() && planner_.lane(id) != nullptr) planner_.set_pending(id, hint->second);
    }
}

// What no hint announced: rows that came back by statements, deadlines, lanes that are through.
void Pump::sweep(Time now) {
    Queue::Swept swept = queue_.sweep();
    std::vector<std::int64_t> missing;
    for (const auto& hint : swept.lanes) {
        if (planner_.lane(hint.lane_id) != nullptr) continue;
        if (missing.size() < most_new_lanes) {
            missing.push_back(hint.lane_id);
        } else {
            unknown_lanes_.insert(hint.lane_id);
            hinted_[hint.lane_id] = hint.due_at;
        }
    }
    if (!missing.empty()) {
        for (std::int64_t id : queue_.load_lanes(planner_, missing, in_flight(), now))
            tick_.dirty_lanes.insert(id);
    }
    std::set<std::int64_t> waiting;
    for (const auto& hint : swept.lanes) {
        waiting.insert(hint.lane_id);
        if (planner_.lane(hint.lane_id) != nullptr) planner_.set_pending(hint.lane_id, hint.due_at);
    }
    for (std::int64_t id : planner_.lane_ids()) {  // what was cancelled by statements waits no more
        if (waiting.contains(id) || !planner_.lane(id)->waiting_since) continue;
        planner_.set_pending(id, std::nullopt);
        tick_.finished_lanes.insert(id);
    }
    // Of a campaign whose last mail a statement ended while no sender ran, no lane has ever been seen to wait.
    for (std::int64_t id : planner_.lane_ids())
        if (planner_.lane(id)->kind == core::LaneKind::campaign && planner_.lane(id)->pace_id == 0)
            tick_.finished_lanes.insert(id);
    hear_inboxes(now);
    expiry_at_ = swept.expiry;
    sweep_at_ = now + settings_.sweep_interval;
    sweep_again_at_ = now + pause_after_reading_all();
}

void Pump::settle(Time now) {
    const std::map<std::int64_t, core::Cause> ended = hold(now);
    if (settlements_.empty()) return;
    const std::span<Settlement> batch(settlements_.data(), is_one_by_one_ ? 1 : settlements_.size());
    for (Settlement& s : batch) {
        const auto cause = ended.find(s.row.facts.id);
        if (!s.is_final && cause != ended.end()) end(s, cause->second);
        apply(s, now);
    }
    std::vector<bool> written = queue_.settle(batch, now);
    assert(written.size() == batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
        tick_.closed.push_back(settlements_[i].token);
        if (!written[i])
            queue_.log_event("stale_claim", settlements_[i].row.facts.id, {}, {}, "the claim was no longer ours");
    }
    shut_shields(now);
}

// Brings the planner and the day counters in line with one settlement, before it is written.
void Pump::apply(Settlement& s, Time now) {
    assert(s.token == 0 || s.reservation);  // the claim was counted, and is counted back here
    assert(s.is_final || s.due_at);
    const core::LaneFacts* lane = planner_.pace(s.row.lane_id);
    if (s.reservation) {
        if (s.is_sent) {
            planner_.finish(*s.reservation, s.replied_at.value_or(now));
        } else {
            planner_.release(*s.reservation, now, s.replied_at);
            count_days(*s.reservation, -1);
        }
        tick_.dirty_mailboxes.insert(s.reservation->mailbox_id);
    }
    tick_.dirty_lanes.insert(lane != nullptr ? lane->id : s.row.lane_id);
    weigh(s);
    note_trouble(s, now);
    if (s.is_final) {
        tick_.finished_lanes.insert(s.row.lane_id);
    } else if (planner_.lane(s.row.lane_id) != nullptr) {
        queue_.lower_mark(s.row.lane_id, *s.due_at);
        auto since = planner_.lane(s.row.lane_id)->waiting_since;
        planner_.set_pending(s.row.lane_id, std::min(since.value_or(*s.due_at), *s.due_at));
    } else {
        is_swept_ = false;  // the planner has let go of the lane: the next sweep finds it
    }
    if (!fold_at_) fold_at_ = now + 1s;
}

// What has expired while it waited is failed, whichever gate holds its lane.
void Pump::expire(Time now) {
    if (!expiry_at_ || *expiry_at_ > now) return;
    queue_.end_campaigns(now);
    std::vector<Candidate> expired = queue_.pick_expired(settings_.claims_per_tick, now);
    for (Candidate& row : expired)
        tick_.unclaimed.push_back(settlement_of_fate(std::move(row), core::MessageFate::expired, now));
    expiry_at_.reset();
    is_swept_ = false;  // a sweep tells when the next one runs out
}

void Pump::store(Time now) {
    if (!tick_.unclaimed.empty()) {
        for (Settlement& s : tick_.unclaimed) {
            assert(s.token == 0 && !s.reservation);
            apply(s, now);
        }
        queue_.settle(tick_.unclaimed, now);
    }
    std::vector<DayDelta> mailbox_days, campaign_days;
    for (auto& [key, delta] : tick_.mailbox_days)
        mailbox_days.push_back(delta);
    for (auto& [key, delta] : tick_.campaign_days)
        campaign_days.push_back(delta);
    if (!mailbox_days.empty() || !campaign_days.empty()) queue_.store_days(mailbox_days, campaign_days);

    std::vector<const core::LaneFacts*> lanes;
    for (std::int64_t id : tick_.dirty_lanes) {
        const core::LaneFacts* lane = planner_.lane(id);
        if (lane != nullptr && lane->kind != core::LaneKind::stream) lanes.push_back(lane);
    }
    if (!lanes.empty()) queue_.store_lanes(lanes);
    std::vector<const core::MailboxFacts*> mailboxes;
    for (std::int64_t id : tick_.dirty_mailboxes) {
        if (const core::MailboxFacts* mailbox = planner_.mailbox(id)) mailboxes.push_back(mailbox);
    }
    if (!mailboxes.empty()) queue_.store_mailboxes(mailboxes);

    std::vector<std::int64_t> emptied;
    for (std::int64_t id : tick_.finished_lanes) {
        const core::LaneFacts* pace = planner_.pace(id);
        const bool may_complete =
            pace != nullptr && pace->kind == core::LaneKind::campaign && pace->state == core::LaneState::running;
        if (may_complete && is_pace_idle(pace->id)) emptied.push_back(pace->id);
    }
    if (!emptied.empty() && !queue_.complete_campaigns(emptied, now).empty()) has_world_ = false;
    if (fold_at_ && *fold_at_ <= now) {
        queue_.fold_tally(now);
        fold_at_.reset();
    }
}

// The transaction has committed: what it did becomes what is.
void Pump::finish_tick(Time now) {
    std::set<std::int64_t>
        claimed_again;  // given back and taken in the same transaction: what was fetched is of the new claim
    if (!tick_.closed.empty()) {
        for (const Ticket& ticket : tick_.claimed)
            claimed_again.insert(ticket.row.facts.id);
    }
    for (std::uint64_t token : tick_.closed) {
        journal_.close_slot(token);
        auto it = tickets_.find(token);
        if (it == tickets_.end()) continue;
        if (!claimed_again.contains(it->second.row.facts.id)) mail_room_.forget(it->second.row.facts.id);
        bodies_.remove(it->second.reservation.mailbox_id, it->second.body_size);
        tickets_.erase(it);
    }
    settled_count_ += static_cast<std::int64_t>(tick_.closed.size());
    assert(tick_.closed.size() <= settlements_.size());  // they are the first of them (settle())
    settlements_.erase(settlements_.begin(), settlements_.begin() + static_cast<std::ptrdiff_t>(tick_.closed.size()));
    if (settlements_.empty()) is_one_by_one_ = false;
    for (const Ticket& ticket : tick_.claimed) {
        [[maybe_unused]] const bool is_new = tickets_.emplace(ticket.token, ticket).second;
        assert(is_new);  // two claims with one token would share a journal slot
        unprepared_.push_back(ticket.token);
    }
    if (claims_left_) *claims_left_ -= static_cast<std::int64_t>(tick_.claimed.size());
    for (std::int64_t id : tick_.finished_lanes) {  // a gapped batch that is through needs no more watching
        const core::LaneFacts* lane = planner_.lane(id);
        if (lane != nullptr && lane->kind == core::LaneKind::batch && !lane->waiting_since && lane->in_flight == 0) {
            planner_.remove_lane(id);
        }
    }
    for (const std::int64_t id : tick_.learned) {
        unknown_lanes_.erase(id);
        hinted_.erase(id);
    }
    lowered_.clear();
    retry_at_.reset();
    const bool has_shut = tick_.has_shut;
    tick_ = {};
    if (has_shut) take_back_shut(now);
}

// Nothing of this transaction happened. Settlements stay to be written again, one by one, so that a row that can't be
// written (locked, damaged) keeps nobody else's result back; claims never were.
void Pump::lose() noexcept {
    queue_.abort();
    if (is_one_by_one_ && settlements_.size() > 1)
        std::rotate(settlements_.begin(), settlements_.begin() + 1, settlements_.end());
    is_one_by_one_ = !settlements_.empty();
    for (const Ticket& ticket : tick_.claimed)
        journal_.close_slot(ticket.token);
    tick_ = {};
    has_world_ = false;
    is_swept_ = false;
}

}  // namespace mailer::worker
