// See bgworker.hpp. C style, like the launcher that calls it: an ereport leaves nothing behind.
#include "pg/bridge/bgworker.hpp"

extern "C" {
#include "miscadmin.h"
#include "utils/memutils.h"
}

namespace mailer::pg {

BackgroundWorkerHandle* start_in_background(const char* name, const char* function, Oid database) {
    BackgroundWorker worker;
    BackgroundWorkerHandle* handle = nullptr;
    memset(&worker, 0, sizeof worker);
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    strlcpy(worker.bgw_library_name, "mailer", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, function, sizeof worker.bgw_function_name);
    strlcpy(worker.bgw_name, name, sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, name, sizeof worker.bgw_type);
    worker.bgw_main_arg = ObjectIdGetDatum(database);
    worker.bgw_notify_pid = MyProcPid;
    MemoryContext const previous = MemoryContextSwitchTo(TopMemoryContext);
    bool const is_started = RegisterDynamicBackgroundWorker(&worker, &handle);
    MemoryContextSwitchTo(previous);
    return is_started ? handle : nullptr;
}

}  // namespace mailer::pg
