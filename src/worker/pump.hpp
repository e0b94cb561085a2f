// The way of a message: claim → prepare → send → judge → settle, one short transaction a tick.
//
// The pump owns no rule: what may go is the planner's (core/pace/gate), what an answer means is the verdict's
// (core/outcome/verdict), what was in flight at a crash is the journal's. It keeps the order of the steps, and this is
// why nothing is sent twice:
//   W1  a claim has committed, and its journal slot was written before, when the first byte of its message leaves
//   W2  a journal slot is freed only after the settle of its claim has committed
//   W3  the planner's counters are those of the last commit plus what this transaction stores; when a transaction is
//       lost, so is the planner, and the next tick reads it again
//   W4  no transaction is open outside transact()
// One thread; every instant is an argument.
#pragma once

#include <deque>
#include <map>
#include <unordered_map>

#include "worker/costs.hpp"
#include "worker/doubts.hpp"
#include "worker/in_hand.hpp"
#include "worker/ports.hpp"

namespace mailer::worker {

struct PumpSettings {
    core::RetryPolicy retry;
    core::Duration sweep_interval = std::chrono::seconds{60};
    int claims_per_tick = 200;
    std::size_t max_bytes_in_hand = 64u << 20;  // of composed bodies; one is always allowed
};

class Pump {
public:
    Pump(Queue& queue, MailRoom& mail_room, Courier& courier, Journal& journal, std::uint64_t first_token);

    void configure(const PumpSettings& settings) { settings_ = settings; }

    // Before the first tick: every claimed row is an orphan of a sender that is gone; its journal slot says what
    // becomes of it. `reason` of those that can't be known: server_crash or promoted.
    void recover(const std::string& unconfirmed_reason, Time now);

    // One round. Throws what a port throws, after abort; the next tick starts from what is committed.
    void tick(Time now);

    // When tick() must be called next even if neither the transport nor a signal asks for it.
    std::optional<Time> wake_at() const;

    // From now on nothing new is claimed; what is in hand goes on.
    void stop_claiming() { is_claiming_ = false; }
    // No more than this many claims (of CALL mailer.run(max_messages)).
    void limit_claims(std::int64_t n) { claims_left_ = n; }
    // Everything not on the wire comes back; the next tick settles it.
    void hand_back_all(Time now);

    // What forbids all mail from outside the database; asked for each turn, before tick(). Once it is shut, what is not
    // on the wire comes back.
    void note_fences(const core::SenderFence& standbys, const core::SenderFence& lease, Time now);

    void forget_world() { has_world_ = false; }  // settings changed: read everything again
    void sweep_soon() { is_swept_ = false; }
    bool has_claimed_all() const { return claims_left_ && *claims_left_ <= 0; }
    bool is_idle() const { return tickets_.empty() && settlements_.empty() && put_off_.empty(); }
    std::size_t in_hand() const { return tickets_.size(); }
    std::int64_t settled_count() const { return settled_count_; }
    // When something that waits now may be sent; nothing: no known work.
    std::optional<Time> next_work() const { return planner_.wake_at(); }
    // When there is something to do again, for a sender that leaves: a mail that may be sent, or one that runs out.
    std::optional<Time> next_due() const;
    void fold_soon() {  // counts that wait to be summed are, in the next tick
        if (fold_at_) fold_at_ = Time::min();
    }
    const core::Planner& planner() const { return planner_; }

    // In virtual time there is no other mail that needs a pause after all has been read.
    void skip_pause(Time now) {
        reload_at_ = std::min(reload_at_, now);
        sweep_again_at_ = std::min(sweep_again_at_, now);
    }

private:
    void set_back(Time now);
    void listen(Time now);
    void collect(Time now);
    bool has_business(Time now) const;
    std::optional<Time> settle_at() const;
    void transact(Time now);
    void refresh(Time now);
    void reload_world(Time now);
    bool wants_world(Time now) const;
    void note_mailboxes();
    void load_unknown_lanes(Time now);
    void sweep(Time now);
    void hear_inboxes(Time now);
    void look_everywhere(Time now);
    core::Duration pause_after_reading_all() const;
    void learn(std::int64_t lane_id, Time due_at, Time now);
    void settle(Time now);
    std::map<std::int64_t, core::Cause> hold(Time now);
    void apply(Settlement& settlement, Time now);
    void shut_shields(Time now);
    void weigh(Settlement& settlement);
    void note_trouble(Settlement& settlement, Time now);
    void rest(std::int64_t mailbox_id, bool is_lasting, const std::string& why, Time now);
    void expire(Time now);
    void claim(Time now);
    void admit(Candidate candidate, const core::Planner::Go& go, Time now);
    void tell_waiting(std::int64_t lane_id, Time now, core::Duration pause = {});
    int wanted(const core::Planner::Go& go, Time now) const;
    void lower_connections();
    void store(Time now);
    bool is_pace_idle(std::int64_t main_lane_id) const;
    void finish_tick(Time now);
    void lose() noexcept;
    void hand_out(Time now);
    core::Duration prepare(Ticket& ticket, Time now);
    std::optional<std::uint64_t> next_unprepared();
    std::int64_t tenant_of(const Ticket& ticket) const;
    bool is_costly(const Ticket& ticket) const;
    void hear(Time now);
    void set_aside(Ticket& ticket, bool is_aside);
    void take_back(const std::set<std::uint64_t>& tokens, Time now);
    void take_back_shut(Time now);
    void take_back_outdated(Time now);
    void apply_fences();
    void take_back_stopped(Time now);

    Settlement settlement_of(const Ticket& ticket, const core::Report& report, Time now);
    Settlement unsent(const Ticket& ticket, Time now) const;
    Settlement of_prepared(const Ticket& ticket, Prepared prepared, Time now) const;
    Settlement of_orphan(Ticket& ticket, const std::string& unconfirmed_reason, Time now);
    Settlement of_dot(const Ticket& ticket, core::Report report, const std::string& unconfirmed_reason, Time now);
    void count_days(const core::Reservation& reservation, int sign);
    InFlight in_flight() const;

    Queue& queue_;
    MailRoom& mail_room_;
    Courier& courier_;
    Journal& journal_;
    PumpSettings settings_;
    core::Planner planner_;
    core::SenderFence standbys_, lease_;

    bool has_world_ = false;
    bool is_outdated_ = false;  // settings have changed: it is read again, at reload_at_ at the earliest
    Time reload_at_ = Time::min(), sweep_again_at_ = Time::min();
    bool is_recheck_due_ = false;  // somebody was suppressed: leads may have been stopped
    bool is_claiming_ = true;
    bool is_swept_ = false;
    std::map<std::int64_t, core::Refusal> refusals_;            // the last of each mailbox, until somebody is accepted
    std::map<std::int64_t, Doubts> doubts_;                     // by mailbox
    std::map<std::int64_t, core::LoweredConnections> lowered_;  // news of the courier, until they are stored
    std::uint64_t generation_ = 0;
    std::uint64_t next_token_;
    std::optional<std::int64_t> claims_left_;
    std::int64_t settled_count_ = 0;

    std::unordered_map<std::uint64_t, Ticket> tickets_;  // claimed and committed
    std::deque<std::uint64_t> unprepared_;               // of them, not composed yet
    bool has_more_to_compose_ = false;                   // than was to be done at a time
    Time compose_again_at_ = Time::min();                // what is costly
    Costs costs_;
    InHand bodies_;
    bool is_one_by_one_ = false;            // after a settle that failed
    std::vector<Settlement> settlements_;   // to be written by the next transaction
    std::vector<Settlement> put_off_;       // until others have decided what becomes of them
    std::set<std::int64_t> unknown_lanes_;  // named by a hint, to be loaded
    std::map<std::int64_t, Time> hinted_;   // earliest due by lane, of lanes to be loaded
    std::vector<core::Report> reports_;

    // Of the transaction in hand; kept or dropped as a whole.
    struct Tick {
        std::vector<Ticket> claimed;
        std::vector<Settlement> unclaimed;  // expired, suppressed: settled without a claim
        std::vector<std::uint64_t> closed;  // settled: their journal slots can be freed
        std::vector<std::int64_t> learned;  // of unknown_lanes_
        std::set<std::int64_t> dirty_lanes, dirty_mailboxes, finished_lanes;
        std::map<std::pair<std::int64_t, std::int64_t>, DayDelta> mailbox_days, campaign_days;
        bool has_shut = false;  // a breaker opened or a shield shut
    };
    Tick tick_;

    Time last_tick_ = Time::min();
    Time answered_at_{};  // of the first answer that waits to be settled
    std::optional<Time> sweep_at_, expiry_at_, fold_at_, retry_at_, put_off_until_;
};

}  // namespace mailer::worker
