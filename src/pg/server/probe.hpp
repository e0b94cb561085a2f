// Looks once whether a database has the extension: a background worker of a few milliseconds, for the launcher.
//
// The launcher itself is connected to no database and must not be, or it would stand in the way of dropping that one.
// One probe at a time; the launcher names the database in shared memory and reads the answer there when the probe is
// gone.
#pragma once

#include "pg/bridge/extension.hpp"

extern "C" {
#include "postmaster/bgworker.h"
}

namespace mailer::pg {

// Starts the probe, null when there is no worker process left. May ereport.
BackgroundWorkerHandle* start_probe(Oid database);

// What it found, once it has stopped; unknown when it couldn't connect.
Fit take_probe_result() noexcept;

}  // namespace mailer::pg
