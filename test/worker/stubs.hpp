// The pump's world as stubs that do nothing and keep what they receive; a test overrides what its story needs.
#pragma once

#include "worker/pump.hpp"

namespace mailer::worker {

inline const Time start = core::from_unix_us(1'800'000'000'000'000);

class StubQueue : public Queue {
public:
    Signals take_signals() override { return {{}, false, generation}; }
    void begin(Time) override {}
    void commit() override {}
    void abort() noexcept override {}
    std::vector<std::int64_t> load_world(core::Planner&, std::span<const std::int64_t>, const InFlight&,
                                         Time) override {
        return {};
    }
    std::vector<std::int64_t> load_lanes(core::Planner&, std::span<const std::int64_t>, const InFlight&,
                                         Time) override {
        return {};
    }
    Swept sweep() override { return {}; }
    void lower_mark(std::int64_t, Time) override {}
    std::vector<Candidate> pick(std::int64_t, int, Time) override { return {}; }
    void passed(const Candidate&) override {}
    std::optional<Time> next_due(std::int64_t, Time) override { return {}; }
    std::vector<Candidate> pick_expired(int, Time) override { return {}; }
    void claim(std::span<const Ticket>, Time) override {}
    std::vector<bool> settle(std::span<const Settlement> settlements, Time) override {
        settled.insert(settled.end(), settlements.begin(), settlements.end());
        return std::vector<bool>(settlements.size(), true);
    }
    void store_days(std::span<const DayDelta>, std::span<const DayDelta>) override {}
    void store_lanes(std::span<const core::LaneFacts* const>) override {}
    void store_mailboxes(std::span<const core::MailboxFacts* const>) override {}
    void store_missed(std::int64_t, const core::MissedSlots&) override {}
    void store_breaker(std::int64_t, int, std::optional<Time>, const std::string&, Time) override {}
    int breaker_failures(std::int64_t) override { return 0; }
    std::vector<std::int64_t> complete_campaigns(std::span<const std::int64_t>, Time) override { return {}; }
    void fold_tally(Time) override {}
    void log_event(const std::string&, std::optional<std::int64_t>, std::optional<std::int64_t>,
                   std::optional<std::int64_t>, const std::string&) override {}
    std::set<std::int64_t> stopped_among(std::span<const std::int64_t>) override { return {}; }
    void end_campaigns(Time) override {}
    std::vector<Orphan> orphans() override { return left; }

    std::vector<Orphan> left;
    std::vector<Settlement> settled;

    std::uint64_t generation = 0;  // another one: the settings changed
};

// Mailbox 1, with what the worker says is on its way from it.
inline core::MailboxFacts only_mailbox(const InFlight& in_flight = {}) {
    core::MailboxFacts mailbox;
    mailbox.id = 1;
    if (in_flight.mailboxes.contains(1)) mailbox.in_flight = in_flight.mailboxes.at(1);
    return mailbox;
}

class StubRoom : public MailRoom {
public:
    void fetch(std::span<const Ticket>) override {}
    Prepared prepare(const Ticket&, Time) override { return {}; }
    void forget(std::int64_t) override {}
};

// Has all that is composed ready at once.
class ReadyRoom : public StubRoom {
public:
    Prepared prepare(const Ticket&, Time) override {
        Prepared prepared;
        prepared.body = std::make_shared<const std::string>("text");
        prepared.recipients = {"ada@example.com"};
        prepared.envelope = {1};
        return prepared;
    }
};

class StubCourier : public Courier {
public:
    bool submit(const Ticket&, Prepared) override { return false; }
    void turn(Time, std::vector<core::Report>&) override {}
    std::vector<std::uint64_t> take_back(const std::set<std::uint64_t>&) override { return {}; }
    std::vector<std::uint64_t> take_back_outdated() override { return {}; }
};

class StubJournal : public Journal {
public:
    void open_slot(std::uint64_t) override {}
    bool mark(std::uint64_t, Phase) noexcept override { return true; }
    void close_slot(std::uint64_t token) noexcept override { closed.push_back(token); }
    std::optional<Recorded> recorded(std::uint64_t) override { return found; }
    void keep_only(const std::set<std::uint64_t>&) override {}

    std::optional<Recorded> found;
    std::vector<std::uint64_t> closed;
};

}  // namespace mailer::worker
