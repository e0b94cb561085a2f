// When a campaign's next mail is due, and how a claim, its release and its end change the counters.
//
// Slots belong to the pace, so these functions take the main lane of a campaign, whichever of its lanes is served.
//
// A slot is stored when the one before it is claimed: previous slot + gap × (1 + jitter × u), u ∈ [-1, 1] drawn from
// (campaign, ordinal): the same on every platform, in claim and forecast. Outside the window, or on a day whose cap is
// used up, it moves to the next opening, spread over the first gap.
// Invariants:
//   S1  no catching up: a slot later than one gap is missed and counted, and the next gap counts from the claim.
//   S2  two claims of a campaign are at least gap × (1 - jitter) apart, less slot_tolerance(gap).
//   S3  what is released goes back to the days it was taken from, and a slot that only the cap had moved comes back.
//   S4  the gaps of a batch and of a mailbox run from the previous final reply; with a gap, one is in flight at a time.
//       A mailbox's rate runs from claim to claim, whatever is in flight.
//   S5  no gap holds anything for longer than itself: a stored next_at is at most now + gap, a campaign's gap_from at
//   most
//       now. What is later was written before the clock was set back, or before the gap was shortened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/pace/facts.hpp"
#include "core/pace/gate.hpp"

namespace mailer::core {

// gap × (1 + jitter × u) for the slot with this ordinal.
Duration jittered_gap(const LaneFacts& lane, std::int64_t ordinal);

// How late a claim may be without pushing the plan back: claims come milliseconds after their slot, and a plan that
// slid with each of them would not be the one that was forecast. At most 50 ms, for so near to its least gap a campaign
// keeps any two mails; a mail that its mailbox made wait for longer pushes the next one where it must.
Duration slot_tolerance(Duration gap);

// The slot at `t`, or where the window and the day cap move it to.
Time placed_slot(const LaneFacts& lane, Time t);

// The slot that a campaign waits for at `now`: the stored one, unless the lane was idle then or the slot was missed.
struct CurrentSlot {
    Time at;
    std::optional<Time> missed_from = {};  // the slot that nobody took
};
CurrentSlot current_slot(const LaneFacts& lane, Time now);

// Puts the slot where settings and counters now want it: at the start, after campaign_alter, after a release. A slot
// that is late already stays, so that it can be counted as missed. True when next_slot_at changed (store it, log why).
bool replan_slot(LaneFacts& lane, Time now);

// Of a mailbox as it is stored: its rate counts from the last claim, or from `now` where the clock was set back since.
void place_rate(MailboxFacts& mailbox, Time now);

// S5: brings what is stored back within one gap of `now`. The instant that was stored; none when it was within.
std::optional<Time> hold_gap(MailboxFacts& mailbox, Time now);
std::optional<Time> hold_gap(LaneFacts& lane, Time now);

// Slots [from, to] of a campaign that were not used: at most what window, nominal gap and cap left room for.
struct MissedSlots {
    Time from;
    Time to;
    std::int64_t count = 0;
    std::optional<Gate> reason = {};  // the gate that was shut; none: nobody was there to send
};
std::string missed_reason_text(const std::optional<Gate>& reason);

// What a claim took, and what it has to store beside the claim itself, in the same transaction.
struct Reservation {
    std::int64_t lane_id = 0;
    std::int64_t mailbox_id = 0;
    std::int64_t message_id = 0;
    Time at = {};           // also the mailbox's last_used_at
    Date mailbox_day = {};  // mailbox use +1 on this day
    bool is_warmup = false;
    std::optional<Date> campaign_day = {};  // campaign use +1 on this day
    bool is_new = false;                    // a first mail: it counts among the day's new ones too
    std::int64_t ordinal = 0;               // of the slot that was used; 0 for lanes without slots
    std::optional<Time> slot_at = {};       // that slot; where it was missed, the claim that took its place
    std::optional<Time> next_slot_at = {};  // store with gap_from and next_ordinal
    std::optional<Time> gap_from = {};
    std::int64_t next_ordinal = 0;
    std::optional<MissedSlots> missed = {};
};

// Requires that decide() said go for this lane and mailbox at `now`. `why_late` names the reason of missed slots.
// `pace` is the main lane of the lane's campaign; the lane itself where it carries its pace, and for all other kinds.
Reservation reserve(LaneFacts& pace, LaneFacts& lane, MailboxFacts& mailbox, const MessageFacts& message, Time now,
                    std::optional<Gate> why_late = std::nullopt);
inline Reservation reserve(LaneFacts& lane, MailboxFacts& mailbox, const MessageFacts& message, Time now,
                           std::optional<Gate> why_late = std::nullopt) {
    return reserve(lane, lane, mailbox, message, now, why_late);
}

// The message got its final reply (or none and is unconfirmed: then the moment that was known): it counts as sent.
void finish(LaneFacts& lane, MailboxFacts& mailbox, const Reservation& reservation, Time replied_at);

// Nothing was sent: gives back what was reserved. `replied_at` when the server answered nonetheless (a refusal): gaps
// run from it. True when the pace's next_slot_at changed.
bool release(LaneFacts& pace, LaneFacts& lane, MailboxFacts& mailbox, const Reservation& reservation, Time now,
             std::optional<Time> replied_at = std::nullopt);
inline bool release(LaneFacts& lane, MailboxFacts& mailbox, const Reservation& reservation, Time now,
                    std::optional<Time> replied_at = std::nullopt) {
    return release(lane, lane, mailbox, reservation, now, replied_at);
}

}  // namespace mailer::core
