// See procedure.hpp.
#include "pg/bridge/procedure.hpp"

extern "C" {
#include "nodes/parsenodes.h"
}

namespace mailer::pg {

void require_no_transaction_block(FunctionCallInfo fcinfo, const char* name) {
    const bool is_call = fcinfo->context != nullptr && IsA(fcinfo->context, CallContext);
    if (is_call && !castNode(CallContext, fcinfo->context)->atomic) return;
    throw Refusal({"25001", std::string(name) + " cannot run inside a transaction block or a function",
                   "No transaction may be open while it talks to a mail server.",
                   "CALL it as a statement of its own, outside BEGIN … COMMIT."});
}

}  // namespace mailer::pg
