// Flights in virtual time; see simulated.hpp.
#include "simulated.hpp"

#include <algorithm>

#include "core/octets.hpp"

namespace mailer::worker {

using core::Duration;
using core::Time;

namespace {

// Independent draws from a seed and what identifies the try.
class Draws {
public:
    explicit Draws(std::uint64_t state) : state_(state) {}
    bool one_in(int n) { return n > 0 && next() % static_cast<std::uint64_t>(n) == 0; }
    Duration between(Duration low, Duration high) {
        return high <= low ? low
                           : low + Duration{static_cast<std::int64_t>(
                                       next() % static_cast<std::uint64_t>((high - low).count() + 1))};
    }

private:
    std::uint64_t next() { return core::mixed(state_++); }
    std::uint64_t state_;
};

}  // namespace

// ── Journal ──────────────────────────────────────────────────────────────────────────────────────────────────────

bool MemoryJournal::mark(std::uint64_t token, Phase phase) noexcept {
    auto it = records_.find(token);
    if (it == records_.end()) return false;
    it->second.phase = phase;
    return true;
}

std::optional<Recorded> MemoryJournal::recorded(std::uint64_t token) {
    auto it = records_.find(token);
    return it == records_.end() ? std::nullopt : std::optional(it->second);
}

void MemoryJournal::keep_only(const std::set<std::uint64_t>& tokens) {
    std::erase_if(records_, [&](const auto& entry) { return !tokens.contains(entry.first); });
}

void MemoryJournal::answered(const core::Report& report) {
    auto it = records_.find(report.token);
    if (it == records_.end()) return;
    it->second.phase = Phase::reply;
    it->second.report = report;
}

void MemoryJournal::note_envelope(std::uint64_t token, const std::vector<int>& envelope) {
    if (auto it = records_.find(token); it != records_.end()) it->second.envelope = envelope;
}

// ── Courier ──────────────────────────────────────────────────────────────────────────────────────────────────────

bool SimulatedCourier::submit(const Ticket& ticket, Prepared prepared) {
    const auto id = static_cast<std::uint64_t>(ticket.row.facts.id);
    Draws draws((seed_ * 1'000'003U + id) * 1'009U + static_cast<std::uint64_t>(ticket.row.try_count));
    const Time start = ticket.reservation.at;
    const Duration transit = draws.between(odds_.least_transit, odds_.most_transit);
    Flight flight;
    flight.delivery = {ticket.row.facts.id, ticket.reservation.mailbox_id, std::move(prepared.recipients), start,
                       start};
    flight.end = draws.one_in(odds_.trouble)      ? End::trouble
                 : draws.one_in(odds_.refused)    ? End::refused
                 : draws.one_in(odds_.temporary)  ? End::temporary
                 : draws.one_in(odds_.lost_reply) ? (draws.one_in(2) ? End::lost_taken : End::lost_untaken)
                                                  : End::accepted;
    flight.offered_at = start + transit / 4;
    flight.dot_at = start + transit / 2;
    flight.ends_at = start + transit;
    core::Report& report = flight.report;
    report.token = ticket.token;
    report.mailbox_id = ticket.reservation.mailbox_id;
    report.recipient_count = static_cast<int>(flight.delivery.recipients.size());
    report.started_at = start;
    journal_.note_envelope(ticket.token, ticket.envelope);
    flights_.emplace(ticket.token, std::move(flight));
    return true;
}

bool SimulatedCourier::advance(Flight& flight, Time now) {
    core::Report& report = flight.report;
    if (!flight.is_offered && flight.offered_at <= now) {
        flight.is_offered = true;
        if (flight.end == End::trouble) {
            report.ending = core::Ending::failed;
            report.stage = core::Stage::connect;
            report.error_text = "connection refused (simulated)";
            report.finished_at = now;
            return true;
        }
        journal_.mark(report.token, Phase::body);
        const core::Reply reply =
            flight.end == End::refused ? core::Reply{550, "5.7.1", "no (simulated)"} : core::Reply{250, "2.1.5", "OK"};
        for (int i = 0; i < report.recipient_count; ++i)
            report.recipients.push_back({i, reply});
        if (flight.end == End::refused) {
            report.ending = core::Ending::answered;
            report.stage = core::Stage::rcpt;
            report.finished_at = now;
            return true;
        }
    }
    if (flight.is_offered && !flight.is_dotted && flight.dot_at <= now) {
        flight.is_dotted = true;
        report.dot_sent = true;
        report.dot_at = now;
        journal_.mark(report.token, Phase::dot);
        flight.delivery.at = now;
        if (flight.end == End::accepted || flight.end == End::lost_taken) delivered_.push_back(flight.delivery);
    }
    if (!flight.is_dotted || flight.ends_at > now) return false;
    report.stage = core::Stage::dot;
    report.finished_at = now;
    report.ending = core::Ending::answered;
    if (flight.end == End::accepted) report.final_reply = core::Reply{250, "2.0.0", "taken (simulated)"};
    if (flight.end == End::temporary) report.final_reply = core::Reply{451, "4.3.0", "later (simulated)"};
    if (!report.final_reply) report.ending = core::Ending::closed;
    if (flight.end == End::accepted) report.stage = core::Stage::done;
    return true;
}

void SimulatedCourier::turn(Time now, std::vector<core::Report>& finished) {
    for (auto it = flights_.begin(); it != flights_.end();) {
        if (!advance(it->second, now)) {
            ++it;
            continue;
        }
        journal_.answered(it->second.report);
        finished.push_back(std::move(it->second.report));
        it = flights_.erase(it);
    }
}

std::vector<std::uint64_t> SimulatedCourier::take_back(const std::set<std::uint64_t>& tokens) {
    std::vector<std::uint64_t> taken;
    for (std::uint64_t token : tokens) {
        auto it = flights_.find(token);
        if (it == flights_.end() || it->second.is_offered) continue;
        flights_.erase(it);
        taken.push_back(token);
    }
    return taken;
}

std::optional<Time> SimulatedCourier::next_event() const {
    std::optional<Time> at;
    for (const auto& [token, flight] : flights_) {
        const Time next = !flight.is_offered ? flight.offered_at : !flight.is_dotted ? flight.dot_at : flight.ends_at;
        if (!at || next < *at) at = next;
    }
    return at;
}

}  // namespace mailer::worker
