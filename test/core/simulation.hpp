// A sender with a virtual clock: takes from queues what a Planner lets go, keeps a log, and can be disturbed.
//
// Holds no rule about what may go. The log is what tests hold against the rules, restated by themselves.
#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "core/pace/forecast.hpp"
#include "core/scene.hpp"

namespace mailer::core::test {

class Random {
public:
    explicit Random(unsigned seed) : engine_(seed) {}
    int below(int n) { return static_cast<int>(engine_() % static_cast<unsigned>(n)); }
    int between(int low, int high) { return low + below(high - low + 1); }
    bool one_in(int n) { return below(n) == 0; }
    template <class T>
    const T& of(const std::vector<T>& choices) {
        return choices[static_cast<std::size_t>(below(static_cast<int>(choices.size())))];
    }

private:
    std::mt19937 engine_;
};

struct Sent {
    Reservation taken;
    LaneFacts lane;  // as they were just before the claim
    MailboxFacts mailbox;
    Time replied_at = {};    // when it landed, answered or not
    bool is_counted = true;  // false: released
    bool has_reply = true;
};

class Simulation {
public:
    Planner planner;
    std::map<std::int64_t, std::vector<MessageFacts>> queues;
    std::vector<Sent> log;
    Time now;

    // What happens on the way; all of it nothing for an undisturbed sender.
    Duration max_latency{0};
    Duration transit{0};
    int failure_one_in = 0;  // released, half of them after a reply, and queued again with a delay
    int restart_one_in = 0;  // the planner is filled again from what would be stored

    Simulation(Planner start, const std::vector<LaneQueue>& waiting, Time at, unsigned seed)
        : planner(std::move(start)), now(at), random_(seed) {
        for (const LaneQueue& queue : waiting)
            queues[queue.lane_id] = queue.waiting;
        tell_pending();
    }

    std::size_t waiting() const {
        std::size_t count = flights_.size();
        for (const auto& [lane, messages] : queues)
            count += messages.size();
        return count;
    }

    // False when nothing will ever happen any more, or not before `until`; the clock then stands at `until`.
    bool step(Time until) {
        auto event = planner.wake_at();
        for (const auto& [lands_at, index] : flights_) {
            if (!event || lands_at < *event) event = lands_at;
        }
        if (!event || *event > until) {
            now = std::max(now, until);
            return false;
        }
        now = std::max(now, *event) + latency();
        if (restart_one_in > 0 && random_.one_in(restart_one_in)) restart();
        land();
        while (const auto go = planner.next(now))
            send(*go);
        return true;
    }

    void run(Time until) {
        while (step(until)) {
        }
    }

    // A planner made of what would be read from tables.
    void restart() {
        Planner refilled;
        refilled.set_system(planner.system());
        for (const std::int64_t id : planner.mailbox_ids())
            refilled.upsert_mailbox(*planner.mailbox(id));
        for (const std::int64_t id : planner.lane_ids())
            refilled.upsert_lane(*planner.lane(id), now);
        planner = std::move(refilled);
        tell_pending();
    }

private:
    Duration latency() {
        return max_latency > Duration{0} ? Duration{random_.below(static_cast<int>(max_latency.count()))} : Duration{0};
    }

    void tell_pending() {
        for (const std::int64_t id : planner.lane_ids())
            planner.set_pending(id, earliest(id));
    }
    std::optional<Time> earliest(std::int64_t lane) {
        std::optional<Time> due;
        for (const MessageFacts& message : queues[lane])
            due = std::min(due.value_or(message.due_at), message.due_at);
        return due;
    }

    void send(const Planner::Go& go) {
        auto& queue = queues[go.lane_id];
        auto best = queue.end();
        for (auto it = queue.begin(); it != queue.end(); ++it) {
            const auto rank = [](const MessageFacts& m) { return std::tuple{-m.priority, m.due_at, m.id}; };
            if (it->due_at <= now && (best == queue.end() || rank(*it) < rank(*best))) best = it;
        }
        if (best != queue.end()) {
            const MessageFacts message = *best;
            queue.erase(best);
            if (judge(message, now) == MessageFate::go) claim(go, message);
        }
        planner.set_pending(go.lane_id, earliest(go.lane_id));
    }

    void claim(const Planner::Go& go, const MessageFacts& message) {
        Sent sent{.taken = {}, .lane = *planner.lane(go.lane_id), .mailbox = *planner.mailbox(go.mailbox_id)};
        sent.taken = planner.reserve(go.lane_id, go.mailbox_id, message, now);
        sent.replied_at = now + transit;
        if (failure_one_in > 0 && random_.one_in(failure_one_in)) {
            sent.is_counted = false;
            sent.has_reply = random_.one_in(2);
            retries_[log.size()] = message;
        }
        flights_.emplace_back(sent.replied_at, log.size());
        log.push_back(std::move(sent));
    }

    void land() {
        std::sort(flights_.begin(), flights_.end());
        while (!flights_.empty() && flights_.front().first <= now) {
            const Sent& sent = log[flights_.front().second];
            const auto retry = retries_.find(flights_.front().second);
            flights_.erase(flights_.begin());
            if (sent.is_counted) {
                planner.finish(sent.taken, sent.replied_at);
                continue;
            }
            planner.release(sent.taken, now, sent.has_reply ? std::optional{sent.replied_at} : std::nullopt);
            MessageFacts message = retry->second;
            message.due_at = now + seconds{10};
            queues[sent.taken.lane_id].push_back(message);
            planner.set_pending(sent.taken.lane_id, earliest(sent.taken.lane_id));
        }
    }

    Random random_;
    std::vector<std::pair<Time, std::size_t>> flights_;
    std::map<std::size_t, MessageFacts> retries_;
};

}  // namespace mailer::core::test
