// Waiting, leaving and reporting for the engine; see engine.hpp.
#include "pg/server/worker_signals.hpp"

#include "pg/bridge/settings.hpp"
#include "pg/engine/engine.hpp"
#include "pg/server/shared.hpp"

extern "C" {
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#endif
}

namespace mailer::pg {

namespace {

// DDL must take less than a second with the worker busy, so for it dots in flight get less than usual.
constexpr core::Duration grace_for_ddl = std::chrono::milliseconds{400};
constexpr core::Duration longest_sleep = std::chrono::minutes{10};

bool is_statement_cancelled = false;  // in a session: the request was used up by one of our statements

std::uint32_t wait_event() {
#if PG_VERSION_NUM >= 170000
    static std::uint32_t event = 0;
    if (event == 0) event = WaitEventExtensionNew("MailerEngine");
    return event;
#else
    return PG_WAIT_EXTENSION;
#endif
}

long to_milliseconds(core::Duration d) {
    d = std::clamp(d, core::Duration::zero(), longest_sleep);
    return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(d).count());
}

struct Woken {
    bool is_readable;
    bool is_reloaded;
};

void handle_interrupts(bool is_worker) {
    if (is_worker) {
        QueryCancelPending = false;  // there is nothing to cancel between two transactions
        CHECK_FOR_INTERRUPTS();
    } else if (!QueryCancelPending && !ProcDiePending) {
        CHECK_FOR_INTERRUPTS();
    } else if (ProcSignalBarrierPending) {
        // Held back until the engine has settled; but others wait for this even then.
        ProcessProcSignalBarrier();
    }
}

Woken wait_plainly(bool is_worker, int epoll_fd, long timeout_ms) {
    if (is_worker) {
        pgstat_report_activity(STATE_IDLE, nullptr);
        // Without force this sends at most once a second; before a long sleep it must not keep anything back.
        (void)pgstat_report_stat(timeout_ms > 1000);
    }
    int const wanted = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | (epoll_fd >= 0 ? WL_SOCKET_READABLE : 0);
    int const events =
        WaitLatchOrSocket(MyLatch, wanted, epoll_fd >= 0 ? epoll_fd : PGINVALID_SOCKET, timeout_ms, wait_event());
    if (events & WL_LATCH_SET) ResetLatch(MyLatch);
    handle_interrupts(is_worker);
    bool const is_reloaded = ConfigReloadPending;
    if (is_reloaded) {
        ConfigReloadPending = false;
        ProcessConfigFile(PGC_SIGHUP);
    }
    return {(events & WL_SOCKET_READABLE) != 0, is_reloaded};
}

// In a worker the log shows an ERROR with all it has to say; a session's client must not get an error in mid-command.
void log_error(ErrorData* data) {
    if (is_in_session()) {
        ereport(
            WARNING,
            (errcode(data->sqlerrcode), errmsg_internal("%s", data->message ? data->message : "unknown error"),
             data->detail ? errdetail_internal("%s", data->detail) : 0, data->hint ? errhint("%s", data->hint) : 0));
        return;
    }
    MemoryContext const context = CurrentMemoryContext;
    PG_TRY();
    ReThrowError(data);
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        EmitErrorReport();
        FlushErrorState();
    }
    PG_END_TRY();
}

}  // namespace

bool EngineContext::should_stop() noexcept {
    if (host_ == Host::worker) return is_worker_leaving();
    if (QueryCancelPending || is_statement_cancelled || is_session_cancelled()) cancelled_ = true;
    QueryCancelPending = false;  // else it would hit the statements that settle; raise_interrupts has it again
    return cancelled_ || ProcDiePending || is_worker_leaving();
}

core::Duration EngineContext::grace() const noexcept {
    core::Duration const usual = shutdown_grace();
    return must_stay_away() ? std::min(usual, grace_for_ddl) : usual;
}

bool EngineContext::wait(int epoll_fd, core::Duration timeout) {
    bool const is_worker = host_ == Host::worker;
    long const timeout_ms = to_milliseconds(timeout);
    Woken const woken = call([=] { return wait_plainly(is_worker, epoll_fd, timeout_ms); });
    reloaded_ |= woken.is_reloaded;
    return woken.is_readable;
}

void EngineContext::raise_interrupts() {
    bool const is_cancelled = cancelled_;
    is_statement_cancelled = cancelled_ = false;
    call([=] {
        if (is_asked_to_end()) end_session();
        if (is_cancelled && !ProcDiePending) cancel_statement();
        CHECK_FOR_INTERRUPTS();
    });
}

void absorb_error(const PgError& error) noexcept {
    ErrorData* const data = error.data();
    if (is_in_session() && data->sqlerrcode == ERRCODE_QUERY_CANCELED) is_statement_cancelled = true;
    report_error(GetCurrentTimestamp(), error.what());
    try {
        call([=] { log_error(data); });
    } catch (...) {
        // Logging failed; the note in shared memory is there.
    }
}

void absorb_error(const std::exception& error) noexcept {
    if (const auto* pg = dynamic_cast<const PgError*>(&error)) return absorb_error(*pg);
    report_error(GetCurrentTimestamp(), error.what());
    const char* const message = error.what();
    try {
        call([=] { ereport(is_in_session() ? WARNING : LOG, (errmsg_internal("mailer: %s", message))); });
    } catch (...) {
    }
}

}  // namespace mailer::pg
