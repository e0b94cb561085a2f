// What a settlement says about its mailbox: whose the trouble is, and how long the mailbox rests for it. Part of the
// tick's transaction; what decides is core/outcome/verdict and doubts.hpp.
#include "worker/pump.hpp"
#include "worker/settlement.hpp"

#include <algorithm>

namespace mailer::worker {

// Whose the trouble is. Asked once a settlement: it is written again when its transaction is lost, and its refusal
// counts once.
void Pump::weigh(Settlement& s) {
    if (s.blame || !s.reservation) return;
    const core::LaneFacts* const lane = planner_.lane(s.row.lane_id);
    s.blame = Doubts::Blame::mailbox;
    if (lane == nullptr) return;
    Doubts& doubts = doubts_[s.reservation->mailbox_id];
    if (s.trouble == core::Trouble::none) {
        if (s.proves_mailbox) doubts.proved(lane->tenant_id);
    } else if (s.is_trouble_of_mail) {
        s.blame = doubts.refused(lane->tenant_id);
    }
}

void Pump::note_trouble(Settlement& s, Time now) {
    if (!s.reservation) return;
    const std::int64_t id = s.reservation->mailbox_id;
    if (s.trouble != core::Trouble::none) {
        using Blame = Doubts::Blame;
        if (s.blame == Blame::mailbox) return rest(id, s.is_trouble_lasting, s.trouble_detail, now);
        if (!s.is_final) {
            const core::Duration delay = core::breaker_delay(s.is_trouble_lasting, s.row.facts.tries + 1,
                                                             static_cast<std::uint64_t>(s.row.facts.id));
            put_off(s, std::max(s.due_at.value_or(now), now + delay), settings_.retry.max_age);
        }
        if (s.blame == Blame::moment) rest(id, false, s.trouble_detail, now);
    } else if (s.proves_mailbox) {
        const core::MailboxFacts* known = planner_.mailbox(id);
        if (known == nullptr || (!known->breaker_open_until && queue_.breaker_failures(id) == 0)) return;
        core::MailboxFacts mailbox = *known;
        mailbox.breaker_open_until.reset();
        mailbox.breaker_reason.clear();
        planner_.upsert_mailbox(mailbox);
        queue_.store_breaker(id, 0, std::nullopt, "", now);
    }
}

void Pump::rest(std::int64_t mailbox_id, bool is_lasting, const std::string& why, Time now) {
    const core::MailboxFacts* known = planner_.mailbox(mailbox_id);
    if (known == nullptr) return;
    if (known->breaker_open_until && now < *known->breaker_open_until)
        return;  // one opening for all that failed together
    // Only a fault of the mailbox's own lasts: a moment's rest for one tenant's refusals isn't one (note_trouble).
    if (const auto doubts = doubts_.find(mailbox_id); is_lasting && doubts != doubts_.end())
        doubts->second.forget_served();
    core::MailboxFacts mailbox = *known;
    const int failures = queue_.breaker_failures(mailbox_id) + 1;
    mailbox.breaker_open_until =
        now + core::breaker_delay(is_lasting, failures, static_cast<std::uint64_t>(mailbox_id));
    mailbox.breaker_reason = why;
    planner_.upsert_mailbox(mailbox);
    queue_.store_breaker(mailbox_id, failures, mailbox.breaker_open_until, why, now);
    tick_.has_shut = true;
}

}  // namespace mailer::worker
