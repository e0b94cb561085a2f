// See starter.hpp.
#include "pg/listen/starter.hpp"

#include <algorithm>

#include <signal.h>

#include "pg/bridge/bgworker.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/server/shared.hpp"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#endif
}

namespace mailer::pg {

using namespace std::chrono_literals;

namespace {

constexpr core::Duration usual_look = 30s;
constexpr core::Duration calm_after = 60s;
constexpr core::Duration between_turns = 30s;
constexpr core::Duration asks_again = 1s;  // for a turn that is due
constexpr int waits = 60;
constexpr long wait_ms = 50;

}  // namespace

bool ListenerStarter::is_running(pid_t* pid) const {
    if (handle_ == nullptr) return false;
    const BgwHandleStatus status = GetBackgroundWorkerPid(handle_, pid);
    if (status != BGWH_STARTED) *pid = 0;
    return status == BGWH_STARTED || status == BGWH_NOT_YET_STARTED;
}

void ListenerStarter::look(core::Time now) {
    static Statement statement("SELECT mailer._has_listening()", {});
    pid_t pid = 0;
    const bool was_running = is_running(&pid);
    if (handle_ != nullptr && !was_running) {  // it ended
        pfree(handle_);
        handle_ = nullptr;
        if (takes_turns_ = do_listeners_take_turns(); takes_turns_) {
            failures_ = 0;
            next_start_ = now + between_turns;
        } else {
            failures_ = now - started_at_ > calm_after ? 1 : failures_ + 1;
            next_start_ = now + std::min<core::Duration>(1s * (1 << std::min(failures_ - 1, 6)), 60s);
        }
        leave_listener_place(to_pg(next_start_));
    }
    const std::uint64_t generation_now = generation();
    if (!has_looked_ || generation_now != generation_ || now >= next_look_) {
        const bool is_news = has_looked_ && generation_now != generation_;
        next_look_ = now + usual_look;
        transactions_.begin();
        is_wanted_ = statement.run({}).boolean(0, 1);
        transactions_.commit();
        generation_ = generation_now;
        if (!has_looked_) next_start_ = std::max(next_start_, from_pg(next_listener_turn()));
        has_looked_ = true;
        report_listening(is_wanted_);
        takes_turns_ = do_listeners_take_turns();
        if (is_news) next_start_ = std::min(next_start_, now);
        if (is_news && pid != 0) (void)kill(pid, SIGHUP);
    }
    if (!is_wanted_ || handle_ != nullptr) return;
    if (now < next_start_) {
        next_look_ = std::min(next_look_, next_start_);
        return;
    }
    if (!take_listener_place()) {
        next_look_ = std::min(next_look_, now + asks_again);
        return;
    }
    handle_ = call([] { return start_in_background("mailer listener", "mailer_listener_main", MyDatabaseId); });
    started_at_ = now;
    if (handle_ == nullptr) {  // max_worker_processes is used up
        next_start_ = now + 30s;
        leave_listener_place(to_pg(next_start_));
    }
}

bool ListenerStarter::keeps_sender(core::Time now) const {
    return is_wanted_ && (!takes_turns_ || handle_ != nullptr || now >= next_start_);
}

std::optional<core::Time> ListenerStarter::next_turn() const {
    if (!is_wanted_) return std::nullopt;
    return next_start_;
}

void ListenerStarter::ask_to_stop() noexcept {
    if (handle_ != nullptr) TerminateBackgroundWorker(handle_);
}

void ListenerStarter::wait_until_stopped() {
    pid_t pid = 0;
    ask_to_stop();
    for (int i = 0; i < waits && is_running(&pid); ++i) {
        call([] {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
        });
    }
}

}  // namespace mailer::pg
