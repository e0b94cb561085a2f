// Makes the worker leave before DDL that needs the database or the extension for itself. See ddl_hooks.cpp.
#pragma once

namespace mailer::pg {

void install_ddl_hooks();  // from _PG_init while preloading: without workers there is nobody to send away

// From the one xact callback (wake.cpp): what this transaction sent away may come back.
void end_ddl_of_transaction(bool is_committed) noexcept;

}  // namespace mailer::pg
