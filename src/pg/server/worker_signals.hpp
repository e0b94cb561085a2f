// How a sender is asked to leave, for worker_main.cpp, pg/api/run.cpp and engine_context.cpp. The engine sees it as
// EngineContext::should_stop().
#pragma once

#include <csignal>

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

// Of the worker.
void heed_own_cancels_only() noexcept;  // from its start
void prepare_to_leave() noexcept;       // SIGTERM asks to leave from now on; no standby is waited for after the grace

bool is_in_session() noexcept;         // which may be in a background worker, of pg_cron
bool is_worker_leaving() noexcept;     // asked by signal, by DDL or for a restart
bool is_asked_to_end() noexcept;       // by signal
bool is_session_cancelled() noexcept;  // the command, also when a wait for a standby has used the request up

void cancel_statement() noexcept;  // at the next CHECK_FOR_INTERRUPTS
void end_session() noexcept;       // the same, as `die` does

// While one lives, SIGTERM asks the session's engine to leave, as it does a worker's, and so does a cancel; what dies
// of it dies afterwards.
class SessionSignals {
public:
    SessionSignals() noexcept;
    ~SessionSignals();
    SessionSignals(const SessionSignals&) = delete;
    SessionSignals& operator=(const SessionSignals&) = delete;

private:
    struct sigaction cancel_before_ = {};
    struct sigaction leave_before_ = {};
    struct sigaction grace_before_ = {};
};

}  // namespace mailer::pg
