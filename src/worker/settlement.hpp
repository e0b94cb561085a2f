// From what happened to a message to the settlement that is written: pure functions of values.
//
// The only rule in here is how a verdict, a fault in the mail room or a crash is put into rows; what an answer means
// was decided by core/outcome/verdict.
#pragma once

#include "worker/ports.hpp"

namespace mailer::worker {

// Of a pending row that may never go: expired, suppressed, or mailed already.
Settlement settlement_of_fate(Candidate row, core::MessageFate fate);

// Of a report, judged.
Settlement settlement_of_verdict(const Ticket& ticket, const core::Report& report, const core::Verdict& verdict,
                                 Time now);

// Pending again at once; nothing was tried, so nothing is logged and no attempt consumed.
Settlement settlement_of_return(const Ticket& ticket, Time now);

core::History history_of(const Ticket& ticket);

}  // namespace mailer::worker
