// Walsenders as standbys; see standbys.hpp.
#include "pg/server/standbys.hpp"

#include "pg/bridge/clock.hpp"

extern "C" {
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"
}

namespace mailer::pg {

namespace {

bool is_sync_set() noexcept {
    return SyncRepStandbyNames != nullptr && *SyncRepStandbyNames != '\0' && SyncRepConfig != nullptr;
}

struct Seen {
    pid_t pid;
    WalSndState state;
    XLogRecPtr flushed;
    TimestampTz replied_at;
    int sync_priority;
};

// False when the place is empty.
bool see(int i, Seen* seen) noexcept {
    WalSnd* const walsender = &WalSndCtl->walsnds[i];
    if (*static_cast<pid_t const volatile*>(&walsender->pid) == 0) return false;
    SpinLockAcquire(&walsender->mutex);
    *seen = {walsender->pid, walsender->state, walsender->flush, walsender->replyTime,
             walsender->sync_standby_priority};
    SpinLockRelease(&walsender->mutex);
    return seen->pid != 0;
}

bool is_receiving(WalSndState state) {
    return state == WALSNDSTATE_CATCHUP || state == WALSNDSTATE_STREAMING || state == WALSNDSTATE_STOPPING;
}

}  // namespace

bool Standbys::is_any() noexcept {
    if (WalSndCtl == nullptr) return false;
    for (int i = 0; i < max_wal_senders; ++i)
        if (*static_cast<pid_t const volatile*>(&WalSndCtl->walsnds[i].pid) != 0) return true;
    return false;
}

const std::vector<core::Standby>& Standbys::look() {
    standbys_.clear();
    wants_names_ = false;
    if (WalSndCtl == nullptr) return standbys_;
    Seen seen{};
    for (int i = 0; i < max_wal_senders; ++i) {
        if (!see(i, &seen) || !is_receiving(seen.state)) continue;
        const auto known = known_.find(seen.pid);
        if (known == known_.end()) {
            wants_names_ = true;
            continue;
        }
        if (!known->second.is_standby) continue;
        core::Standby standby;
        standby.name = known->second.name;
        standby.flushed = seen.flushed;
        standby.is_streaming = seen.state != WALSNDSTATE_CATCHUP;
        if (seen.replied_at != 0) standby.replied_at = from_pg(seen.replied_at);
        for (core::Standby& other : standbys_) {
            if (other.name == standby.name) other.is_unique = standby.is_unique = false;
        }
        standbys_.push_back(std::move(standby));
    }
    return standbys_;
}

// What PostgreSQL itself would release its waiters for; it knows without anybody waiting.
SyncStandbys Standbys::look_at_sync() {
    SyncStandbys sync;
    sync.is_set = is_sync_set();
    if (!sync.is_set || WalSndCtl == nullptr) return sync;
    int connected = 0;
    Seen seen{};
    for (int i = 0; i < max_wal_senders; ++i) {
        if (see(i, &seen) && seen.sync_priority > 0 && seen.flushed != InvalidXLogRecPtr &&
            (seen.state == WALSNDSTATE_STREAMING || seen.state == WALSNDSTATE_STOPPING))
            ++connected;
    }
    sync.are_connected = connected >= SyncRepConfig->num_sync;
    sync.flushed = call([] {
        LWLockAcquire(SyncRepLock, LW_SHARED);
        XLogRecPtr const lsn = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
        LWLockRelease(SyncRepLock);
        return lsn;
    });
    return sync;
}

void Standbys::read_names() {
    static Statement statement(
        R"sql(
            SELECT a.pid, coalesce(s.slot_name::text, a.application_name) AS name, a.application_name,
                coalesce(s.slot_type, 'physical') AS slot_type
            FROM pg_catalog.pg_stat_activity a
            LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid = a.pid
            WHERE a.backend_type = 'walsender')sql",
        {});
    known_.clear();
    Rows rows = statement.run({}, true);
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        const bool is_standby =
            rows.text(i, "slot_type") == "physical" && !core::is_backup_program(rows.text(i, "application_name"));
        known_[static_cast<pid_t>(rows.bigint(i, "pid"))] = {rows.text(i, "name"), is_standby};
    }
}

}  // namespace mailer::pg
