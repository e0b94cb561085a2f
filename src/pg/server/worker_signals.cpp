// SIGTERM, SIGINT and the grace; see worker_signals.hpp. What is here runs in signal handlers: flags and a latch, no
// more.
//
// SIGTERM in a worker doesn't end it on the spot, as `die` would: mails whose final dot is on the wire would become
// unconfirmed. It raises a flag that should_stop() shows, and cancels the statement of a user's function if one runs.
// Only a second request after the grace ends it like any backend. A session in CALL mailer.run does the same,
// for as long as it lasts; `die` has its way when all is settled.
//
// While a commit waits for a synchronous standby, a cancel makes it count as done, and a claim that no standby knows
// would go on the wire. Nobody cancels a worker, so it heeds time limits only. A session's user may: it is noted here,
// for the wait leaves no trace of it, and nothing that this commit claimed is sent (PgMailRoom::prepare).
#include "pg/server/worker_signals.hpp"

#include <ctime>
#include <type_traits>

#include "pg/bridge/settings.hpp"
#include "pg/engine/engine.hpp"
#include "pg/server/shared.hpp"

extern "C" {
#include "replication/syncrep.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/timeout.h"
}

namespace mailer::pg {

namespace {

constexpr int second_ask_kills_after_s = 2;
constexpr long look_again_ms = 200;

volatile sig_atomic_t is_session = 0;
volatile sig_atomic_t is_leaving = 0;
volatile sig_atomic_t is_cancelled = 0;
volatile sig_atomic_t is_interruptible = 0;
volatile time_t leaving_since = 0;
std::optional<timer_t> grace_timer;

// The grace is over. A process that still waits for a standby would wait forever and block the shutdown. It may come
// while the process is at its end, which has no MyProc any more.
void on_grace_over(int signal) {
    int const saved_errno = errno;
    bool const is_waiting = !proc_exit_inprogress && MyProc != nullptr && MyProc->syncRepState == SYNC_REP_WAITING;
    if (is_waiting && is_leaving) {
        die(signal);
    } else if (is_waiting && is_cancelled) {
        StatementCancelHandler(signal);
    }
    errno = saved_errno;
}

void set_grace_timer(long first_ms, long again_ms) noexcept {
    if (!grace_timer) return;
    itimerspec spec{};
    spec.it_value = {first_ms / 1000, first_ms % 1000 * 1000000};
    spec.it_interval.tv_nsec = again_ms * 1000000;
    (void)timer_settime(*grace_timer, 0, &spec, nullptr);
}

void start_grace() noexcept {
    auto const grace = std::chrono::ceil<std::chrono::milliseconds>(shutdown_grace());
    set_grace_timer(std::max<long>(1, grace.count()), look_again_ms);
}

void on_leave_signal(int) {
    int const saved_errno = errno;
    time_t const now = time(nullptr);
    if (!is_leaving) {
        is_leaving = 1;
        leaving_since = now;
        start_grace();
    } else if (now - leaving_since >= second_ask_kills_after_s) {
        die(SIGTERM);
    }
    if (is_interruptible) cancel_statement();
    SetLatch(MyLatch);
    errno = saved_errno;
}

// Time limits are a SIGINT too, one that the process sends to itself. mailer.loader_timeout ends a function and
// lock_timeout a statement; the session's statement_timeout means all of the command, as its user's cancel does.
void on_cancel_signal(int signal, siginfo_t* info, void*) {
    int const saved_errno = errno;
    bool const is_own = info->si_pid == MyProcPid;
    bool const is_small_limit = is_own && (is_interruptible || get_timeout_indicator(LOCK_TIMEOUT, false));
    if (is_session && !is_small_limit && !is_cancelled) {
        is_cancelled = 1;
        start_grace();
    }
    if (is_session || is_own) StatementCancelHandler(signal);
    errno = saved_errno;
}

// Not by pqsignal(): it doesn't tell who sent, and has no way back to what was there before.
template <class Handler>
void handle(int signal, Handler handler, struct sigaction* before) noexcept {
    struct sigaction action = {};
    action.sa_flags = SA_RESTART;
    if constexpr (std::is_same_v<Handler, decltype(&on_cancel_signal)>) {
        action.sa_sigaction = handler;
        action.sa_flags |= SA_SIGINFO;
    } else {
        action.sa_handler = handler;
    }
    sigemptyset(&action.sa_mask);
    (void)sigaction(signal, &action, before);  // fails for signals that there aren't
}

void make_grace_timer() noexcept {
    if (!grace_timer) {
        sigevent event{};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGUSR2;
        timer_t timer;
        if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) grace_timer = timer;
    }
}

}  // namespace

void heed_own_cancels_only() noexcept { handle(SIGINT, &on_cancel_signal, nullptr); }

void prepare_to_leave() noexcept {
    make_grace_timer();
    handle(SIGUSR2, &on_grace_over, nullptr);
    handle(SIGTERM, &on_leave_signal, nullptr);
}

bool is_in_session() noexcept { return is_session != 0 || MyBackendType != B_BG_WORKER; }
bool is_worker_leaving() noexcept { return is_leaving != 0 || must_stay_away(); }
bool is_asked_to_end() noexcept { return is_leaving != 0; }
bool is_session_cancelled() noexcept { return is_cancelled != 0; }

void cancel_statement() noexcept {
    QueryCancelPending = true;
    InterruptPending = true;
}

void end_session() noexcept {
    ProcDiePending = true;
    InterruptPending = true;
}

SessionSignals::SessionSignals() noexcept {
    is_session = 1;
    is_leaving = 0;
    is_cancelled = 0;
    make_grace_timer();
    handle(SIGUSR2, &on_grace_over, &grace_before_);
    handle(SIGTERM, &on_leave_signal, &leave_before_);
    handle(SIGINT, &on_cancel_signal, &cancel_before_);
}

SessionSignals::~SessionSignals() {
    (void)sigaction(SIGINT, &cancel_before_, nullptr);
    (void)sigaction(SIGTERM, &leave_before_, nullptr);
    set_grace_timer(0, 0);
    (void)sigaction(SIGUSR2, &grace_before_, nullptr);
    if (is_leaving) end_session();
    is_leaving = 0;
    is_cancelled = 0;
    is_session = 0;
}

EngineContext::Interruptible::Interruptible() noexcept {
    is_interruptible = 1;
    if (is_leaving) cancel_statement();  // asked just before
}

EngineContext::Interruptible::~Interruptible() {
    is_interruptible = 0;
    // Meant for the function, not for the settle that follows; a session's user may mean all of it.
    if (is_leaving || !is_in_session()) QueryCancelPending = false;
}

}  // namespace mailer::pg
