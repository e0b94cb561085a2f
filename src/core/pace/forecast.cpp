// The sender's loop without the sending: next, take a message, judge, reserve, finish. Only the clock is virtual.
#include "core/pace/forecast.hpp"

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
    explicit Waiting(std::vector<MessageFacts> messages)
        : messages_(std::move(messages)), is_gone_(messages_.size(), false) {
        std::sort(messages_.begin(), messages_.end(), [](const MessageFacts& a, const MessageFacts& b) {
            return std::tie(a.due_at, a.id) < std::tie(b.due_at, b.id);
        });
    }

    // The next one of those that needn't wait, if any; pop() takes it away.
    const MessageFacts* front(Time now) {
        for (; later_ < messages_.size() && judge(messages_[later_], now) != MessageFate::wait; ++later_) {
            due_.push({-messages_[later_].priority, later_});
        }
        return due_.empty() ? nullptr : &messages_[due_.top().second];
    }

    void pop() {
        is_gone_[due_.top().second] = true;
        due_.pop();
        while (oldest_ < messages_.size() && is_gone_[oldest_])
            ++oldest_;
    }

    std::optional<Time> earliest_due() const {
        return oldest_ < messages_.size() ? std::optional{messages_[oldest_].due_at} : std::nullopt;
    }

private:
    using DueKey = std::pair<int, std::size_t>;  // -priority, then the position, which is the order of due_at and id

    std::vector<MessageFacts> messages_;
    std::vector<bool> is_gone_;
    std::size_t oldest_ = 0;  // the first that isn't gone
    std::size_t later_ = 0;   // the first that still waits
    std::priority_queue<DueKey, std::vector<DueKey>, std::greater<>> due_;
};

class Run {
public:
    Run(Planner planner, std::vector<LaneQueue> queues, Time now, const ForecastOptions& options)
        : planner_(std::move(planner)), options_(options), now_(now) {
        for (LaneQueue& queue : queues) {
            waiting_[queue.lane_id] = Waiting{std::move(queue.waiting)};
            ends_.insert(queue.ends.begin(), queue.ends.end());
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
        bool operator>(const Flight& other) const {
            return std::tie(lands_at, sequence) > std::tie(other.lands_at, other.sequence);
        }
    };

    // Who is in flight from where isn't known: lanes and mailboxes are counted apart, which is all that gates look at.
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

    template <class Facts>
    static std::size_t flying(const Facts* facts) {
        return static_cast<std::size_t>(std::max(0, facts->in_flight));
    }

    void take_off(const Reservation& reservation) {
        flights_.push({now_ + options_.transit, sequence_++, reservation});
    }

    bool has_landed(Time now) const { return !flights_.empty() && flights_.top().lands_at <= now; }

    void land(Time now) {
        while (has_landed(now)) {
            planner_.finish(flights_.top().reservation, flights_.top().lands_at);
            flights_.pop();
        }
    }

    void send_one(const Planner::Go& go) {
        Waiting& lane = waiting_[go.lane_id];
        const MessageFacts* message = lane.front(now_);
        if (message != nullptr) {
            if (judge(*message, now_) == MessageFate::go) {
                const Reservation taken = planner_.reserve(go.lane_id, go.mailbox_id, *message, now_);
                if (!options_.only_lane || *options_.only_lane == go.lane_id) {
                    forecast_.rows.push_back({go.lane_id, taken.ordinal, message->id, go.mailbox_id, now_});
                }
                take_off(taken);
            }
            forecast_.has_run_out = ends_.contains(message->id);
            lane.pop();
        }
        planner_.set_pending(go.lane_id, lane.earliest_due());
    }

    bool is_enough() {
        if (forecast_.has_run_out || forecast_.rows.size() >= options_.max_rows) return true;
        return options_.only_lane && !waiting_[*options_.only_lane].earliest_due();
    }

    bool advance() {
        auto next = planner_.wake_at();
        if (!flights_.empty() && (!next || flights_.top().lands_at < *next)) next = flights_.top().lands_at;
        if (!next || (options_.until && *next > *options_.until)) return false;
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
};

}  // namespace

Forecast forecast(Planner planner, std::vector<LaneQueue> queues, Time now, const ForecastOptions& options) {
    return Run{std::move(planner), std::move(queues), now, options}.run();
}

}  // namespace mailer::core
