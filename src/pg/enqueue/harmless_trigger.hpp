// A trigger that never fails the statement that fired it.
//
// The work runs in a subtransaction. Whatever goes wrong is rolled back, reported as a WARNING and written to event_log
// (notification_failed). A cancelled query and a shutdown are not failures of the work: they end the statement.
#pragma once

#include "pg/bridge/subtransaction.hpp"

extern "C" {
#include "commands/trigger.h"
}

namespace mailer::pg {

using TriggerWork = std::function<void(const TriggerData&)>;

// `usage` is the hint for any other caller of the function. `after_collision`, when given, is tried once when the work
// met another transaction (deadlock, serialisation failure, lock time-out).
Datum run_harmless(FunctionCallInfo fcinfo, const char* name, const char* usage, const TriggerWork& work,
                   const TriggerWork& after_collision = {});

}  // namespace mailer::pg
