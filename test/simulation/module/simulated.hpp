// A courier without mail servers and a journal without a disk, for simulations in virtual time: the queue, the claim
// and the settle around them are the real ones.
//
// Every mail takes a drawn time and is answered as the odds say; drawn from the seed, the message and its try, so
// that a run can be repeated. What a mail server really took is kept apart from what the sender learns of it
// (delivered()): that is what a test holds against "never twice". Nothing here decides what may go or what an
// answer means.
#pragma once

#include <map>
#include <vector>

#include "worker/ports.hpp"

namespace mailer::worker {

// One in so many mails, drawn again for each try; 0 is never.
struct Odds {
    int temporary = 0;   // 451 to the dot
    int refused = 0;     // 550 to the recipient: permanent
    int trouble = 0;     // the connection fails before any mail is offered
    int lost_reply = 0;  // the connection is lost behind the dot; every other one of these mails was taken
    core::Duration least_transit{0};
    core::Duration most_transit{0};
};

class MemoryJournal final : public Journal {
public:
    void open_slot(std::uint64_t token) override { records_[token] = {}; }
    bool mark(std::uint64_t token, Phase phase) noexcept override;
    void close_slot(std::uint64_t token) noexcept override { records_.erase(token); }
    std::optional<Recorded> recorded(std::uint64_t token) override;
    void keep_only(const std::set<std::uint64_t>& tokens) override;

    void answered(const core::Report& report);
    void note_envelope(std::uint64_t token, const std::vector<int>& envelope);
    void lose_everything() { records_.clear(); }

private:
    std::map<std::uint64_t, Recorded> records_;
};

class SimulatedCourier final : public Courier {
public:
    struct Delivery {
        std::int64_t message_id;
        std::int64_t mailbox_id;
        std::vector<std::string> recipients;
        core::Time claimed_at;
        core::Time at;
    };

    SimulatedCourier(MemoryJournal& journal, std::uint64_t seed) : journal_(journal), seed_(seed) {}

    void set_odds(const Odds& odds) { odds_ = odds; }
    bool submit(const Ticket& ticket, Prepared prepared) override;
    void turn(core::Time now, std::vector<core::Report>& finished) override;
    std::vector<std::uint64_t> take_back(const std::set<std::uint64_t>& tokens) override;
    std::vector<std::uint64_t> take_back_outdated() override { return {}; }  // it knows no servers

    // When a mail on its way gets further; nothing flies: none.
    std::optional<core::Time> next_event() const;
    // The sender dies: what was on its way is known to the journal alone.
    void crash() { flights_.clear(); }
    std::vector<Delivery> take_delivered() { return std::exchange(delivered_, {}); }

private:
    enum class End { accepted, temporary, refused, trouble, lost_taken, lost_untaken };
    struct Flight {
        Delivery delivery;
        core::Report report;
        End end;
        core::Time offered_at, dot_at, ends_at;
        bool is_offered = false;
        bool is_dotted = false;
    };
    bool advance(Flight& flight, core::Time now);  // true: it has ended

    MemoryJournal& journal_;
    std::uint64_t seed_;
    Odds odds_;
    std::map<std::uint64_t, Flight> flights_;  // by token
    std::vector<Delivery> delivered_;
};

}  // namespace mailer::worker
