// One call of a user's function (`loader`, `send_if`) in the open transaction: what a preparer and CALL mailer.run()
// share.
//
// Two ways of having the right rights. A session of the role that queued needs nothing. Anywhere else the function runs
// in a security-restricted operation as that role: no RESET ROLE, no temporary tables, no LISTEN, nothing deferred.
#pragma once

#include "core/pace/time.hpp"
#include "pg/bridge/guard.hpp"

namespace mailer::pg {

struct LateCall {
    const std::string& function;  // the qualified name as enqueue stored it
    std::int64_t message_id = 0;
    const std::string& variables;  // jsonb text
    Oid role = InvalidOid;         // run as; InvalidOid: as the session is
};

struct LateValue {
    Datum value;
    bool is_null;
    Oid type;
};

// Requires a transaction, an SPI connection and a snapshot; the value lives in SPI's memory. Starts the statement
// timeout; the caller stops it. Throws PgError; what was changed (role, settings) goes with the transaction.
LateValue call_late_bound(const LateCall& late, core::Duration limit);

// What a condition said (nothing: NULL), and the jsonb that a loader returned. Throw a Refusal for anything else.
std::optional<bool> condition_of(const LateValue& value);
Datum variables_of(const LateValue& value);

}  // namespace mailer::pg
