// The queue over SQL: what the pump claims and settles, in statements that each have one right plan.
//
// Owns the low-water marks: per lane and priority, the last row that this process dealt with. They are hints that keep
// a claim from walking over dead index entries while somebody holds an old snapshot; the sweep, which forgets them, is
// the truth. What makes a row due earlier than a mark lowers it (enqueue's commit, a rolled-back cancel, a retry).
// The statements name tables only through the schema, run as the extension's owner and never wait longer than
// lock_timeout. See worker/ports.hpp for what each method promises.
#pragma once

#include <array>
#include <chrono>

#include "pg/engine/accounts.hpp"
#include "pg/engine/transaction.hpp"
#include "pg/engine/world.hpp"
#include "worker/ports.hpp"

namespace mailer::pg {

class PgQueue : public worker::Queue {
public:
    // What it refers to must outlive the queue. `prefetch`: see world.hpp.
    PgQueue(Transactions& transactions, Accounts& accounts, int prefetch)
        : transactions_(transactions), accounts_(accounts), prefetch_(prefetch) {}

    void configure(const Settings& settings) { settings_ = settings; }
    // True when it is another one than before: the world must be loaded again.
    bool set_prefetch(int prefetch) { return std::exchange(prefetch_, prefetch) != prefetch; }
    // Without shared memory nobody tells what was queued: every call of take_signals() then asks for a sweep.
    worker::Signals take_signals() override;

    void begin(core::Time now) override;
    void commit() override;
    void abort() noexcept override;
    std::uint64_t last_commit() const override { return transactions_.last_commit(); }

    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t> lane_ids,
                                         const worker::InFlight& in_flight, core::Time now) override;
    std::vector<std::int64_t> load_lanes(core::Planner& planner, std::span<const std::int64_t> lane_ids,
                                         const worker::InFlight& in_flight, core::Time now) override;
    Swept sweep() override;
    void lower_mark(std::int64_t lane_id, core::Time due_at) override;

    std::vector<worker::Candidate> pick(std::int64_t lane_id, int limit, core::Time now) override;
    void passed(const worker::Candidate& candidate) override;
    std::optional<core::Time> next_due(std::int64_t lane_id, core::Time now) override;
    std::vector<worker::Candidate> pick_expired(int limit, core::Time now) override;

    void claim(std::span<const worker::Ticket> tickets, core::Time now) override;
    bool is_repeatable(std::int64_t mailbox_id) const override;
    std::vector<ShutShield> take_shut_shields() override;
    HeldMail hold(std::span<const worker::Settlement> settlements) override;
    std::vector<bool> settle(std::span<const worker::Settlement> settlements, core::Time now) override;

    void store_days(std::span<const worker::DayDelta> mailbox_days,
                    std::span<const worker::DayDelta> campaign_days) override;
    void store_lanes(std::span<const core::LaneFacts* const> lanes) override;
    void store_mailboxes(std::span<const core::MailboxFacts* const> mailboxes) override;
    void store_missed(std::int64_t campaign_id, const core::MissedSlots& missed) override;
    void store_lowered(const core::MailboxFacts& mailbox) override;
    void store_breaker(std::int64_t mailbox_id, int failures, std::optional<core::Time> until,
                       const std::string& reason, core::Time now) override;
    int breaker_failures(std::int64_t mailbox_id) override;
    std::vector<std::int64_t> complete_campaigns(std::span<const std::int64_t> lane_ids, core::Time now) override;
    void fold_tally(core::Time now) override;
    void log_event(const std::string& kind, std::optional<std::int64_t> message_id,
                   std::optional<std::int64_t> campaign_id, std::optional<std::int64_t> mailbox_id,
                   const std::string& detail) override;
    std::set<std::int64_t> stopped_among(std::span<const std::int64_t> message_ids) override;
    void end_campaigns(core::Time now) override;
    std::vector<worker::Orphan> orphans() override;

    const ArmingState& arming() const { return arming_; }

private:
    struct Mark {
        core::Time due = core::Time::min();
        std::int64_t id = 0;
    };
    using Marks = std::array<Mark, 5>;  // by priority

    void add_lanes(core::Planner& planner, std::span<const std::int64_t> lane_ids, const worker::InFlight& in_flight,
                   core::Time now, std::vector<std::int64_t>& moved);
    void settle_returns(std::span<const worker::Settlement> settlements, std::set<std::int64_t>& written);
    void suppress_bounced(std::span<const worker::Settlement> settlements);
    void count_for_shields(std::span<const worker::Settlement> settlements, const std::set<std::int64_t>& written);
    void store_provider_ids(std::span<const worker::Settlement> settlements, const std::set<std::int64_t>& written);
    void store_captured(std::span<const worker::Settlement> settlements, core::Time now);
    void store_loaded(std::span<const worker::Settlement> settlements);
    void recount_tally();
    void forget_what_was_mended();

    Transactions& transactions_;
    Accounts& accounts_;
    int prefetch_;
    core::Time now_{};  // of the open transaction
    Settings settings_;
    ArmingState arming_;
    std::map<std::int64_t, Marks> marks_;                                                 // of what is committed
    std::map<std::int64_t, Marks> new_marks_;                                             // of this transaction
    std::unordered_map<std::int64_t, std::chrono::steady_clock::time_point> slow_lanes_;  // until when; see pick()
    std::map<std::int64_t, int> failures_;  // breaker failures by mailbox, as last stored or read
    std::uint64_t polls_ = 0;
    std::vector<ShutShield> shut_shields_;
};

}  // namespace mailer::pg
