// Tells the worker at commit what a transaction queued or changed.
//
// Statements mark their transaction here; one callback, registered once in _PG_init, hands the marks to shared memory
// when it commits, and also when it aborts (a rolled-back cancel makes a message due again that the worker may already
// have passed). A subtransaction's rollback may leave a mark too many, which costs the worker one look. Nothing
// here allocates, so nothing fails after the commit; a transaction that marked nothing pays one comparison.
// There is no NOTIFY: it serialises commits.
#pragma once

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

// Work of a lane may become due at `due_at` when this transaction ends; lane 0 means an expiry.
void mark_wake(std::int64_t lane_id, TimestampTz due_at) noexcept;

// Settings, a pause, a cancel …: what the sender has claimed and not yet put on the wire must be looked at again.
void mark_changed() noexcept;

// CREATE EXTENSION: at commit the launcher starts a worker here.
void mark_created() noexcept;

// The list of databases changes with this transaction.
void mark_databases() noexcept;

// The callback has something to give back at the end of this transaction (ddl_hooks).
void mark_ddl() noexcept;

void register_wake();  // once, from _PG_init

}  // namespace mailer::pg
