// Waiting, leaving and reporting for the engine; see engine.hpp.
//
// SIGTERM in a worker doesn't end it on the spot, as `die` would: mails whose final dot is on the wire would become
// unconfirmed. It raises a flag that should_stop() shows, and cancels the statement of a user's function if one runs.
// Only who is asked again after the grace is over dies like any backend. A session in CALL mailer.run does the same,
// for as long as it lasts; `die` has its way when all is settled.
#include "pg/worker_signals.hpp"

#include <climits>
#include <ctime>

#include "pg/engine.hpp"
#include "pg/settings.hpp"
#include "pg/shared.hpp"

extern "C" {
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#endif
}

namespace mailer::pg {

namespace {

// DDL must take less than a second with the worker busy, so for it dots in flight get less than usual.
constexpr core::Duration grace_for_ddl = std::chrono::milliseconds{400};
constexpr int second_ask_kills_after_s = 2;
constexpr long look_again_ms = 200;
constexpr core::Duration longest_sleep = std::chrono::minutes{10};

volatile sig_atomic_t is_leaving = 0;
volatile sig_atomic_t is_interruptible = 0;
volatile time_t leaving_since = 0;
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

void cancel_statement() noexcept {
    QueryCancelPending = true;
    InterruptPending = true;
}

// As `die` does.
void end_session() noexcept {
    ProcDiePending = true;
    InterruptPending = true;
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
    if (MyBackendType != B_BG_WORKER) {
        ereport(
            WARNING,
            (errcode(data->sqlerrcode), errmsg_internal("%s", data->message ? data->message : "unknown error"),
             data->detail ? errdetail_internal("%s", data->detail) : 0, data->hint ? errhint("%s", data->hint) : 0));
        return;
    }
    MemoryContext const context = CurrentMemoryContext;
    PG_TRY();
    { ReThrowError(data); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        EmitErrorReport();
        FlushErrorState();
    }
    PG_END_TRY();
}

std::optional<timer_t> grace_timer;

// The grace is over. Who waits for a standby by then would do so for ever, and hold up the shutdown. It may come while
// the process is at its end, which has no MyProc any more.
void on_grace_over(int signal) {
    int const saved_errno = errno;
    bool const is_working = is_leaving && !proc_exit_inprogress && MyProc != nullptr;
    if (is_working && MyProc->syncRepState == SYNC_REP_WAITING) die(signal);
    errno = saved_errno;
}

void start_grace_timer() noexcept {
    if (!grace_timer) return;
    long const ms = std::max(1L, to_milliseconds(shutdown_grace()));
    itimerspec spec{};
    spec.it_value = {ms / 1000, ms % 1000 * 1000000};
    spec.it_interval.tv_nsec = look_again_ms * 1000000;
    (void)timer_settime(*grace_timer, 0, &spec, nullptr);
}

}  // namespace

void prepare_to_leave() noexcept {
    if (!grace_timer) {
        sigevent event{};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGUSR2;
        timer_t timer;
        if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) grace_timer = timer;
    }
    pqsignal(SIGUSR2, on_grace_over);
    pqsignal(SIGTERM, on_leave_signal);
}

void on_leave_signal(int) {
    int const saved_errno = errno;
    time_t const now = time(nullptr);
    if (!is_leaving) {
        is_leaving = 1;
        leaving_since = now;
        start_grace_timer();
    } else if (now - leaving_since >= second_ask_kills_after_s) {
        die(SIGTERM);
    }
    if (is_interruptible) cancel_statement();
    SetLatch(MyLatch);
    errno = saved_errno;
}

bool is_worker_leaving() noexcept { return is_leaving != 0 || must_stay_away(); }

bool EngineContext::should_stop() noexcept {
    if (host_ == Host::worker) return is_worker_leaving();
    if (QueryCancelPending || is_statement_cancelled) cancelled_ = true;
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
        if (is_leaving) end_session();
        if (is_cancelled && !ProcDiePending) cancel_statement();
        CHECK_FOR_INTERRUPTS();
    });
}

SessionSignals::SessionSignals() noexcept {
    is_leaving = 0;
    prepare_to_leave();
}

SessionSignals::~SessionSignals() {
    pqsignal(SIGTERM, die);
    if (is_leaving) end_session();
    is_leaving = 0;
    itimerspec const none{};
    if (grace_timer) (void)timer_settime(*grace_timer, 0, &none, nullptr);
    pqsignal(SIGUSR2, SIG_IGN);
}

EngineContext::Interruptible::Interruptible() noexcept {
    is_interruptible = 1;
    if (is_leaving) cancel_statement();  // asked just before
}

EngineContext::Interruptible::~Interruptible() {
    is_interruptible = 0;
    // Meant for the function, not for the settle that follows; a session's user may mean all of it.
    if (is_leaving || MyBackendType == B_BG_WORKER) QueryCancelPending = false;
}

void absorb_error(const PgError& error) noexcept {
    ErrorData* const data = error.data();
    if (MyBackendType != B_BG_WORKER && data->sqlerrcode == ERRCODE_QUERY_CANCELED) is_statement_cancelled = true;
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
        call([=] { ereport(MyBackendType == B_BG_WORKER ? LOG : WARNING, (errmsg_internal("mailer: %s", message))); });
    } catch (...) {
    }
}

}  // namespace mailer::pg
