// How a sender is asked to leave, for worker_main.cpp and sql_run.cpp. The engine sees it as
// EngineContext::should_stop().
#pragma once

#include "pg/pg.hpp"

namespace mailer::pg {

void on_leave_signal(int signal);   // SIGTERM's handler once the worker is connected
void prepare_to_leave() noexcept;   // makes it that handler, and sees to it that no standby is waited for then
bool is_worker_leaving() noexcept;  // asked by signal, by DDL or for a restart

// While one lives, SIGTERM asks the session's engine to leave, as it does a worker's; what dies of it dies afterwards.
class SessionSignals {
public:
    SessionSignals() noexcept;
    ~SessionSignals();
    SessionSignals(const SessionSignals&) = delete;
    SessionSignals& operator=(const SessionSignals&) = delete;
};

}  // namespace mailer::pg
