// What procedures that commit have in common.
#pragma once

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

// Refusal 25001 unless the procedure was called as a statement of its own: `name` commits, or talks to a mail server,
// which must never happen with the caller's transaction open.
void require_no_transaction_block(FunctionCallInfo fcinfo, const char* name);

}  // namespace mailer::pg
