// Starting the processes that run users' functions; what they do is in preparer_main.cpp.
#pragma once

#include "pg/bridge/bgworker.hpp"
#include "pg/server/preparer_slots.hpp"

namespace mailer::pg {

// For a slot that was taken. Null: max_worker_processes is used up; then the slot must be given back. May ereport.
BackgroundWorkerHandle* start_preparer(PreparerKey key);

}  // namespace mailer::pg
