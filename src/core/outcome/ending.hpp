// The one place that decides how a message ends: from what its recipients have got so far and the cause of the end to
// the final state, the reason that people read, and what becomes of the recipients that still wait.
//
// Everything that settles a message asks here: the verdict on a reply, a fault while preparing, expiry, suppression, a
// crash, and every statement that cancels (SQL through mailer._end). A new cause is one line of the table in
// ending.cpp, and one in doc/states.md.
//
//  E1. A message that reached somebody is `sent`, whatever ends it: the mail of those recipients can't be taken back.
//      The reason then says how many got nothing, and why.
//  E2. After the end no recipient waits.
//  E3. A message sent up to the final dot and not answered is `unconfirmed`, even if an earlier try reached somebody:
//      a person or later evidence decides.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/outcome/state.hpp"

namespace mailer::core {

enum class Cause {
    answered,  // every recipient has a definite answer
    attempts_exhausted,
    too_old,
    expired,
    invalid_address,
    render_error,
    quarantined,

    by_user,
    campaign_cancelled,
    suppressed,
    send_if,
    duplicate,
    replied,
    bounced,
    complained,
    unsubscribed,
    stopped,
    campaign_ended,
    contact_gone,
    gathered,

    reply_lost,
    server_crash,
    promoted,

    resolved,   // a person says that the unconfirmed mail has arrived
    confirmed,  // evidence says so
};

// What is known of the recipients when the end comes; their sum is the number of addresses.
struct RecipientCounts {
    int accepted = 0;
    int refused = 0;  // or cancelled by an earlier try
    int waiting = 0;
};

struct Outcome {
    MessageState state = MessageState::failed;
    std::string reason;                        // empty when there is nothing to add to the state
    MessageState rest = MessageState::failed;  // what becomes of the recipients that wait
};

// With `resolved` and `confirmed`, the recipients that were unconfirmed count as accepted.
Outcome end_of(const RecipientCounts& counts, Cause cause);

std::string_view to_text(Cause cause);                 // the reason's word
std::optional<Cause> cause_of(std::string_view word);  // its inverse
bool ends_unconfirmed(Cause cause);                    // resolved, confirmed: the end of an unconfirmed message

}  // namespace mailer::core
