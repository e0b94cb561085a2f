// How a worker is asked to leave. For worker_main.cpp; the engine sees it as EngineContext::should_stop().
#pragma once

#include "pg/pg.hpp"

namespace mailer::pg {

void on_leave_signal(int signal);   // SIGTERM's handler once the worker is connected
bool is_worker_leaving() noexcept;  // asked by signal, by DDL or for a restart

}  // namespace mailer::pg
