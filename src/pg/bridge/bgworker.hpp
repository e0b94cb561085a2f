// Starting our background workers: the static launcher and the dynamic ones, one way for both.
#pragma once

#include "pg/bridge/pg.hpp"

extern "C" {
#include "postmaster/bgworker.h"
}

namespace mailer::pg {

// `name` is what pg_stat_activity shows as backend_type. The postmaster never restarts it and tells the caller when it
// starts and ends (latch). Null: max_worker_processes is used up. May ereport.
BackgroundWorkerHandle* start_in_background(const char* name, const char* function, Oid database);

}  // namespace mailer::pg
