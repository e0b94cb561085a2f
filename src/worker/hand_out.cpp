// From a claim to the courier: what was claimed is composed, as far as there is memory for it.
#include <algorithm>
#include <cassert>

#include "worker/pump.hpp"
#include "worker/settlement.hpp"

namespace mailer::worker {

namespace {

constexpr core::Duration longest_composing = std::chrono::milliseconds{50};  // in one tick, and one mail more
constexpr core::Duration time_for_conversations = std::chrono::milliseconds{20};

}  // namespace

// Composes what was claimed and gives it to the courier, as far as there is memory for bodies: the rest waits, claimed.
// It also waits when this has taken long. The conversations go on then, so that places come free, and others' mail that
// is composed in no time has as much time as was spent. A fault of the message becomes its settlement.
void Pump::hand_out(Time now) {
    int since_turn = 0;
    core::Duration spent{0};
    has_more_to_compose_ = false;
    costs_.forget_old(now);
    hear(now);
    while (const auto token = next_unprepared()) {
        Ticket& ticket = tickets_.at(*token);
        if (spent >= longest_composing || (now < compose_again_at_ && is_costly(ticket))) {
            unprepared_.push_front(*token);
            has_more_to_compose_ = true;
            break;
        }
        try {
            const core::Duration took = prepare(ticket, now);
            spent += took;
            costs_.charge(tenant_of(ticket), took, now);
        } catch (...) {  // not the message's fault: it goes back, and the caller learns why
            settlements_.push_back(unsent(ticket, now));
            throw;
        }
        if (++since_turn == 16) {  // keep the wire busy while a large claim is composed
            since_turn = 0;
            collect(now);
            hear(now);
        }
    }
    if (spent >= longest_composing) {
        const bool is_other_mail = std::any_of(tickets_.begin(), tickets_.end(),
                                               [this](const auto& entry) { return !is_costly(entry.second); });
        compose_again_at_ = now + spent + (is_other_mail ? spent : time_for_conversations);
    }
    hear(now);
}

// The first for whose mailbox there is room, of the tenant whose mails have cost least; those before it wait.
std::optional<std::uint64_t> Pump::next_unprepared() {
    if (!bodies_.has_room_for_any(settings_.max_bytes_in_hand)) return std::nullopt;
    const auto is_next = [this](std::uint64_t token) {
        const auto known = tickets_.find(token);
        return known == tickets_.end() ||
               bodies_.has_room(known->second.reservation.mailbox_id, settings_.max_bytes_in_hand);
    };
    const auto cost_of = [this](std::uint64_t token) {
        const auto known = tickets_.find(token);
        return known == tickets_.end() ? core::Duration{0} : costs_.of(tenant_of(known->second));
    };
    for (;;) {
        auto it = std::find_if(unprepared_.begin(), unprepared_.end(), is_next);
        if (it == unprepared_.end()) return std::nullopt;
        if (costs_.is_any()) {
            for (auto other = std::next(it); other != unprepared_.end(); ++other)
                if (cost_of(*other) < cost_of(*it) && is_next(*other)) it = other;
        }
        const std::uint64_t token = *it;
        unprepared_.erase(it);
        if (tickets_.contains(token)) return token;
    }
}

std::int64_t Pump::tenant_of(const Ticket& ticket) const {
    const core::LaneFacts* const lane = planner_.lane(ticket.row.lane_id);
    return lane == nullptr ? 0 : lane->tenant_id;
}

bool Pump::is_costly(const Ticket& ticket) const { return costs_.of(tenant_of(ticket)) > core::Duration::zero(); }

// Mails whose late-bound functions have answered are composed next; those that wait for a slow one stand aside.
void Pump::hear(Time now) {
    MailRoom::Heard heard = mail_room_.turn(now, bodies_.has_room_for_any(settings_.max_bytes_in_hand),
                                            [this](std::uint64_t token) { journal_.mark(token, Phase::preparing); });
    for (std::uint64_t token : heard.slow) {
        if (auto it = tickets_.find(token); it != tickets_.end()) set_aside(it->second, true);
    }
    for (std::uint64_t token : heard.answered) {
        if (auto it = tickets_.find(token); it != tickets_.end()) set_aside(it->second, false);
        unprepared_.push_front(token);
    }
}

// A mailbox without a gap has room for others while a function of this message runs; the courier never opens more
// connections than it may, whichever message comes back. With a gap, the slot is this message's.
void Pump::set_aside(Ticket& ticket, bool is_aside) {
    if (ticket.is_aside == is_aside) return;
    const core::MailboxFacts* known = planner_.mailbox(ticket.reservation.mailbox_id);
    if (known == nullptr || (is_aside && known->gap > core::Duration::zero())) return;
    core::MailboxFacts mailbox = *known;
    mailbox.in_flight = std::max(0, mailbox.in_flight + (is_aside ? -1 : 1));
    planner_.upsert_mailbox(mailbox);
    ticket.is_aside = is_aside;
}

core::Duration Pump::prepare(Ticket& ticket, Time now) {
    assert(ticket.body_size == 0);  // given to the courier once: a second body would be a second mail
    journal_.mark(ticket.token, Phase::preparing);
    Prepared prepared = mail_room_.prepare(ticket, now);
    const core::Duration took = prepared.took;
    if (prepared.kind == Prepared::Kind::asked) {  // its turn to run comes later: on_begin
        journal_.mark(ticket.token, Phase::claimed);
        return took;
    }
    journal_.mark(ticket.token, Phase::ready);
    ticket.envelope = prepared.envelope;
    ticket.suppressed = prepared.suppressed;
    ticket.untried = prepared.untried;
    ticket.recipient_keys = std::move(prepared.recipient_keys);
    ticket.fingerprint = prepared.fingerprint;
    ticket.loaded_variables = std::move(prepared.loaded_variables);
    ticket.thread_subject = prepared.thread_subject;
    if (prepared.kind != Prepared::Kind::ready || prepared.is_captured) {
        settlements_.push_back(of_prepared(ticket, std::move(prepared), now));
        return took;
    }
    ticket.body_size = prepared.body->size();
    bodies_.add(ticket.reservation.mailbox_id, ticket.body_size);
    if (!courier_.submit(ticket, std::move(prepared))) settlements_.push_back(unsent(ticket, now));
    return took;
}

}  // namespace mailer::worker
