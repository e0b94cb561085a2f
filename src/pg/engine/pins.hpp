// The session settings that every engine transaction relies on, whatever ALTER DATABASE or ALTER ROLE … SET says.
//
// Those leak into background workers: a read-only default, a role, a search_path or a lock_timeout of the application's
// would stop or bend the engine. The worker pins for its whole life; a session in CALL mailer.run pins inside each
// transaction, so that the caller's own settings are as before afterwards.
#pragma once

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

void pin_session();      // the worker, once after connecting. May ereport.
void pin_transaction();  // after StartTransactionCommand, before the first snapshot: until its end. May ereport.

}  // namespace mailer::pg
