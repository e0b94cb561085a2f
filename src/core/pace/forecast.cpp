// The sender's loop without the sending: next, take a message, judge, reserve, finish. Only the clock is virtual.
#include "core/pace/forecast.hpp"

#include "core/bounds.hpp"

#include <algorithm>
#include <functional>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace mailer::core {

namespace {

// What waits in one lane, in the order of a claim: of the due ones the highest priority, then due_at, then id.
class Waiting {
public:
    Waiting() = default;
    explicit Waiting(std::vector<MessageFacts> messages) {
        messages_.reserve(messages.size());
        for (MessageFacts& message : messages)
            add(std::move(message));
    }

    void add(MessageFacts message) {
        const Key key{message.due_at, message.id, messages_.size()};
        messages_.push_back(std::move(message));
        is_gone_.push_back(false);
        later_.push(key);
        oldest_.push(key);
    }

    // The next one of those that needn't wait, if any; pop() takes it away.
    const MessageFacts* front(Time now) {
        for (; !later_.empty() && is_ready(later_.top(), now); later_.pop())
            due_.push({-messages_[later_.top().place].priority, later_.top()});
        return due_.empty() ? nullptr : &messages_[due_.top().second.place];
    }

    void pop() {
        is_gone_[due_.top().second.place] = true;
        due_.pop();
        while (!oldest_.empty() && is_gone_[oldest_.top().place])
            oldest_.pop();
    }

    std::optional<Time> earliest_due() const {
        return oldest_.empty() ? std::nullopt : std::optional{oldest_.top().due_at};
    }

private:
    struct Key {
        Time due_at;
        std::int64_t id;
        std::size_t place;
        auto operator<=>(const Key&) const = default;
    };
    // One that was postponed waits for its time, although a gate of its own still says so: else it would stand before what is due.
    bool is_ready(const Key& key, Time now) const {
        return key.due_at <= now && judge(messages_[key.place], now) != MessageFate::wait;
    }

    template <class T>
    using Earliest = std::priority_queue<T, std::vector<T>, std::greater<>>;

    std::vector<MessageFacts> messages_;
    std::vector<bool> is_gone_;
    Earliest<Key> later_;                // those that still wait
    Earliest<std::pair<int, Key>> due_;  // by -priority first
    Earliest<Key> oldest_;               // all; those that are gone are dropped when they come to the top
};

class Run {
public:
    Run(Planner planner, std::vector<LaneQueue> queues, Time now, const ForecastOptions& options)
        : planner_(std::move(planner)), options_(options), now_(now) {
        for (LaneQueue& queue : queues) {
            waiting_[queue.lane_id] = Waiting{std::move(queue.waiting)};
            ends_.insert(queue.ends.begin(), queue.ends.end());
        }
        for (const SequencePlan& sequence : options_.sequences)
            sequences_[sequence.main_lane_id] = &sequence;
        trust_inboxes();
        for (const SequencePlan& sequence : options_.sequences) {
            for (const MailInFlight& mail : sequence.in_flight)
                plan_next(sequence, {.id = mail.message_id, .recipient = mail.recipient, .step = mail.step},
                          mail.lane_id, mail.mailbox_id, mail.slot_at);
        }
        for (const std::int64_t lane : planner_.lane_ids())
            planner_.set_pending(lane, waiting_[lane].earliest_due());
        land_what_flies();
    }

    // As the sender's ticks: what has landed is settled first, then all that may go is claimed. A mail that takes no
    // time at all still keeps its mailbox from those that are claimed with it.
    Forecast run() {
        for (;;) {
            land(now_);
            while (!is_enough()) {
                const auto go = planner_.next(now_);
                if (!go) break;
                send_one(*go);
            }
            if (is_enough()) break;
            if (has_landed(now_)) continue;
            if (!advance()) break;
        }
        return std::move(forecast_);
    }

private:
    struct Flight {
        Time lands_at;
        std::uint64_t sequence;
        Reservation reservation;
        std::uint64_t recipient;
        bool operator>(const Flight& other) const {
            return std::tie(lands_at, sequence) > std::tie(other.lands_at, other.sequence);
        }
    };

    // Which mailbox sends for which lane isn't known: both are counted apart, which is all that gates look at.
    void land_what_flies() {
        std::vector<std::int64_t> lanes, mailboxes;
        for (const std::int64_t id : planner_.lane_ids())
            lanes.insert(lanes.end(), flying(planner_.lane(id)), id);
        for (const std::int64_t id : planner_.mailbox_ids()) {
            mailboxes.insert(mailboxes.end(), flying(planner_.mailbox(id)), id);
        }
        lanes.resize(std::max(lanes.size(), mailboxes.size()), kNobody);
        mailboxes.resize(lanes.size(), kNobody);
        for (std::size_t i = 0; i < lanes.size(); ++i) {
            take_off({.lane_id = lanes[i], .mailbox_id = mailboxes[i]});
        }
    }

    // An inbox that is read now is taken to be read later too.
    void trust_inboxes() {
        for (const std::int64_t id : planner_.lane_ids()) {
            const LaneFacts* pace = planner_.pace(id);
            LaneFacts lane = *planner_.lane(id);
            if (pace == nullptr || !lane.is_follow_up || !pace->max_silence || !lane.heard_at) continue;
            if (now_ - *lane.heard_at > *pace->max_silence) continue;
            lane.heard_at = Time::max();
            planner_.upsert_lane(lane, now_);
        }
    }

    // Queues the step behind the one that was just sent, as settling it would.
    void plan_next(const SequencePlan& sequence, const MessageFacts& sent, std::int64_t from_lane,
                   std::int64_t mailbox_id, Time slot) {
        const LaneFacts* pace = planner_.lane(sequence.main_lane_id);
        const Step* step = next_step(sequence.steps, sent.step);
        const auto known = sources_.find(sent.id);
        const std::int64_t source = known == sources_.end() ? sent.id : known->second;
        if (pace == nullptr || step == nullptr || is_taken_to_reply(source, sequence.reply_rate_ppm)) return;
        const LaneFacts* from = planner_.lane(from_lane);
        const std::int64_t lane = follow_up_lane(*pace, from == nullptr ? *pace : *from, mailbox_id);
        MessageFacts next;
        next.id = next_id_++;
        next.due_at = step_due(pace->window, slot, *step);
        next.step = step->place;
        next.cooled_until = sent.cooled_until;
        next.recipient = sent.recipient;
        sources_[next.id] = source;
        waiting_[lane].add(next);
        planner_.set_pending(lane, waiting_[lane].earliest_due());
    }

    // A window read on the lead's clock stays on it, also where that is the campaign's.
    std::int64_t follow_up_lane(const LaneFacts& pace, const LaneFacts& from, std::int64_t mailbox_id) {
        for (const std::int64_t id : planner_.lanes_of_pace(pace.id)) {
            const LaneFacts* lane = planner_.lane(id);
            if (lane != nullptr && lane->is_follow_up && lane->pool == std::vector{mailbox_id} &&
                lane->has_own_zone == from.has_own_zone && lane->window.zone.name() == from.window.zone.name())
                return id;
        }
        LaneFacts lane{.id = next_lane_id_++, .kind = LaneKind::campaign, .name = pace.name, .pool = {mailbox_id}};
        lane.tenant_id = pace.tenant_id;
        lane.pace_id = pace.id;
        lane.is_follow_up = true;
        lane.heard_at = Time::max();
        lane.campaign_id = pace.campaign_id;
        lane.window = from.window;
        lane.has_own_zone = from.has_own_zone;
        planner_.upsert_lane(lane, now_);
        return lane.id;
    }

    bool is_asked(std::int64_t lane_id) const {
        if (!options_.only_lane || lane_id == *options_.only_lane) return true;
        const LaneFacts* lane = planner_.lane(lane_id);
        return lane != nullptr && lane->pace_id != 0 && lane->pace_id == *options_.only_lane;
    }

    template <class Facts>
    static std::size_t flying(const Facts* facts) {
        return static_cast<std::size_t>(std::max(0, facts->in_flight));
    }

    void take_off(const Reservation& reservation, std::uint64_t recipient = 0) {
        flights_.push({now_ + options_.transit, sequence_++, reservation, recipient});
    }

    bool has_landed(Time now) const { return !flights_.empty() && flights_.top().lands_at <= now; }

    void land(Time now) {
        while (has_landed(now)) {
            const Flight& flight = flights_.top();
            if (flight.recipient != 0)
                last_slot_[flight.recipient][campaign_of(flight.reservation.lane_id)] =
                    flight.reservation.slot_at.value_or(flight.reservation.at);
            planner_.finish(flight.reservation, flight.lands_at);
            flights_.pop();
        }
    }

    std::int64_t campaign_of(std::int64_t lane_id) const {
        const LaneFacts* lane = planner_.pace(lane_id);
        return lane == nullptr ? 0 : lane->campaign_id;
    }

    // What this plan has sent to the address from other campaigns cools it down as what was sent before does.
    void cool(MessageFacts& message, std::int64_t lane_id) const {
        if (last_slot_.empty()) return;
        const std::int64_t campaign = campaign_of(lane_id);
        const auto cooldown = options_.cooldowns.find(campaign);
        const auto sent = last_slot_.find(message.recipient);
        if (cooldown == options_.cooldowns.end() || sent == last_slot_.end()) return;
        for (const auto& [other, at] : sent->second)
            if (other != campaign)
                message.cooled_until = std::max(message.cooled_until.value_or(at), at + cooldown->second);
    }

    void send_one(const Planner::Go& go) {
        Waiting& lane = waiting_[go.lane_id];
        const MessageFacts* front = lane.front(now_);
        if (front == nullptr) {
            planner_.set_pending(go.lane_id, lane.earliest_due());
            return;
        }
        MessageFacts message = *front;
        cool(message, go.lane_id);
        const MessageFate fate = judge(message, now_);
        lane.pop();
        if (fate == MessageFate::postponed) {
            postpone(lane, message);
        } else if (fate == MessageFate::go) {
            const Reservation taken = planner_.reserve(go.lane_id, go.mailbox_id, message, now_);
            if (is_asked(go.lane_id)) forecast_.rows.push_back(row_of(message, taken));
            take_off(taken, message.recipient);
            const std::int64_t main = planner_.pace(go.lane_id)->id;
            if (const auto sequence = sequences_.find(main); sequence != sequences_.end())
                plan_next(*sequence->second, message, go.lane_id, go.mailbox_id, taken.slot_at.value_or(now_));
        }
        forecast_.has_run_out = ends_.contains(message.id);
        planner_.set_pending(go.lane_id, waiting_[go.lane_id].earliest_due());
    }

    ForecastRow row_of(const MessageFacts& message, const Reservation& taken) const {
        const auto source = sources_.find(message.id);
        const bool is_queued = source == sources_.end();
        return {taken.lane_id,
                taken.ordinal,
                is_queued ? message.id : 0,
                taken.mailbox_id,
                now_,
                message.step,
                is_queued ? message.id : source->second};
    }

    // Back to the queue as the sender puts it; a held lead's mail has no slot.
    void postpone(Waiting& lane, MessageFacts message) {
        message.due_at = postponed_until(message, now_);
        if (message.due_at < kHeldUntil) lane.add(message);
    }

    bool is_enough() {
        if (forecast_.has_run_out || forecast_.rows.size() >= options_.max_rows) return true;
        if (!options_.only_lane) return false;
        const LaneFacts* pace = planner_.lane(*options_.only_lane);  // it knows of the others of its pace
        return pace == nullptr || !(pace->waiting_since || pace->new_waiting_since || pace->follow_ups_waiting_since);
    }

    bool advance() {
        auto next = planner_.wake_at();
        if (!flights_.empty() && (!next || flights_.top().lands_at < *next)) next = flights_.top().lands_at;
        // Where time ends (core/bounds.hpp) there is no slot after the last one.
        if (!next || *next >= latest_time || (options_.until && *next > *options_.until)) return false;
        now_ = std::max(*next, now_ + Duration{1});  // never stands still
        return true;
    }

    static constexpr std::int64_t kNobody = -1;

    Planner planner_;
    const ForecastOptions& options_;
    Time now_;
    std::unordered_map<std::int64_t, Waiting> waiting_;
    std::unordered_set<std::int64_t> ends_;
    Forecast forecast_;
    std::priority_queue<Flight, std::vector<Flight>, std::greater<>> flights_;
    std::uint64_t sequence_ = 0;
    std::unordered_map<std::int64_t, const SequencePlan*> sequences_;            // by main lane
    std::unordered_map<std::uint64_t, std::map<std::int64_t, Time>> last_slot_;  // by recipient and campaign
    std::unordered_map<std::int64_t, std::int64_t> sources_;                     // of steps that aren't queued yet
    std::int64_t next_id_ = std::numeric_limits<std::int64_t>::max() / 2;        // behind all that are queued
    // Lanes that are ready at one time go by their ids: those to come are behind all that are there, in the order in
    // which they are made.
    std::int64_t next_lane_id_ = std::numeric_limits<std::int64_t>::max() / 2;
};

}  // namespace

Forecast forecast(Planner planner, std::vector<LaneQueue> queues, Time now, const ForecastOptions& options) {
    return Run{std::move(planner), std::move(queues), now, options}.run();
}

}  // namespace mailer::core
