// From what happened to a message to the settlement that is written: pure functions of values.
//
// The only rule in here is how a verdict, a fault in the mail room or a crash is put into rows; what an answer means
// was decided by core/outcome/verdict, and how a message ends by core/outcome/ending.
#pragma once

#include "worker/ports.hpp"

namespace mailer::worker {

// Of a pending row that may never go: expired, suppressed, or mailed already.
Settlement settlement_of_fate(Candidate row, core::MessageFate fate, Time now);

// Of a report, judged.
Settlement settlement_of_verdict(const Ticket& ticket, const core::Report& report, const core::Verdict& verdict,
                                 Time now);

// Pending again at once; nothing was tried, so nothing is logged and no attempt consumed.
Settlement settlement_of_return(const Ticket& ticket, Time now);

// Makes it final, with what core/outcome/ending says of this cause.
void end(Settlement& settlement, core::Cause cause);

// Pending again from `due_at`, unless the message would then be older than `max_age`: it ends as too_old.
void put_off(Settlement& settlement, Time due_at, core::Duration max_age);

core::History history_of(const Ticket& ticket);

}  // namespace mailer::worker
