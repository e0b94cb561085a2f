// See fence.hpp. The rules are core/standby/promise's; this file looks, writes and waits.
#include "pg/engine/fence.hpp"

#include "pg/bridge/clock.hpp"
#include "pg/server/clone_guard.hpp"

extern "C" {
#include "access/xlog.h"
}

namespace mailer::pg {

using namespace std::chrono_literals;
using core::Time;

namespace {

// How long a mail may stand before its dot. A standby that is away has the mail handed back, so that little is in hand
// should this server die; one that is slow is waited for.
constexpr core::Duration patience_with_missing = 3s;
constexpr core::Duration patience_with_slow = 60s;
constexpr core::Duration names_last = 10s;  // pids are used again
constexpr core::Duration look_again = 250ms;

core::PromiseRules rules_of(const Settings& settings) {
    core::PromiseRules rules;
    rules.length = settings.promise_time;
    rules.margin = settings.promise_margin();
    rules.to = core::parse_promise_to(settings.promise_to);
    return rules;
}

std::string names_of(const std::vector<core::Promise>& promises, Time now) {
    std::string names;
    for (const core::Promise& promise : promises) {
        if (promise.until <= now) continue;
        if (!names.empty()) names += ", ";
        names += promise.name;
    }
    return names;
}

core::SenderFence fence_of(const core::PromiseBook& book, const std::vector<core::Standby>& standbys,
                           const SyncStandbys& sync, Time now) {
    core::SenderFence fence;
    const std::string bound = names_of(book.promises(), now);
    fence.is_set = !bound.empty() || sync.is_set || !standbys.empty();
    if (!fence.is_set) return fence;
    const core::StandbyWait wait = book.ask(0, standbys, now);
    if (!wait.may_send) {
        fence.is_open = false;
        fence.opens_at = wait.until;
        fence.words = "waiting for standby " + wait.for_whom + ", which may be promoted";
        if (wait.until) fence.words += " until " + utc_text(*wait.until);
    } else if (sync.is_set && !sync.are_connected) {
        fence.is_open = false;
        fence.words = "waiting for as many standbys as synchronous_standby_names asks for";
    } else if (!bound.empty()) {
        fence.words = "every mail waits until standby " + bound + " has its claim on disk";
    } else {
        fence.words = "no standby is waited for now";
    }
    return fence;
}

core::Lsn flushed_here() {
#if PG_VERSION_NUM >= 150000
    return call([] { return GetFlushRecPtr(nullptr); });
#else
    return call([] { return GetFlushRecPtr(); });
#endif
}

}  // namespace

void Fence::configure(const Settings& settings) {
    book_.configure(rules_of(settings));
    lease_.configure(settings.sender_lease);
}

void Fence::load() {
    transactions_.begin();
    std::vector<core::Promise> rows = read_promises(true);
    transactions_.commit();
    book_.load(std::move(rows), flushed_here());
}

void Fence::turn(Time now, bool is_busy, core::Duration slept) {
    lease_.turn(now);
    lease_fence_ = lease_.fence(now);
    const bool stood_still = turned_at_ != Time::min() && now - turned_at_ - slept > book_.rules().margin;
    if (stood_still) book_.hold_after_standstill(turned_at_, now);
    turned_at_ = now;

    sync_ = view_.look_at_sync();
    is_alone_ = !Standbys::is_any() && !book_.is_any_bound(now) && !sync_.is_set;
    if (is_alone_) {
        standbys_fence_ = {};
        return;
    }
    (void)view_.look();
    if (view_.wants_names() || (is_busy && now - names_last > names_read_at_)) {
        transactions_.begin();
        view_.read_names();
        transactions_.commit();
        names_read_at_ = now;
    }
    const std::vector<core::Standby>& standbys = view_.look();
    const core::PromiseBook::Change change = book_.change(standbys, now, is_busy);
    if (!change.empty()) write(change, now);
    standbys_fence_ = fence_of(book_, standbys, sync_, now);
}

void Fence::write(const core::PromiseBook::Change& change, Time now) {
    static Statement store(
        R"sql(
            INSERT INTO mailer.promise AS p (name, until, is_joining)
            SELECT *
            FROM unnest($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET until = greatest(p.until, excluded.until),
                is_joining = excluded.is_joining)sql",
        {TEXTARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID});
    static Statement forget("DELETE FROM mailer.promise WHERE name = ANY ($1)", {TEXTARRAYOID});
    std::vector<std::string> names;
    std::vector<std::int64_t> untils;
    std::vector<bool> joining;
    for (const core::Promise& row : change.rows) {
        names.push_back(row.name);
        untils.push_back(to_pg(row.until));
        joining.push_back(row.is_joining);
    }
    transactions_.begin();
    if (!names.empty()) store.run({p_texts(names), p_times(untils), p_bools(joining)});
    if (!change.gone.empty()) forget.run({p_texts(change.gone)});
    transactions_.commit();
    book_.written(change, transactions_.last_commit(), now);
    wrote_at_ = now;
}

smtp::Observer::Dot Fence::may_dot(core::Lsn lsn, Time waiting_since, Time now) noexcept {
    using Dot = smtp::Observer::Dot;
    try {
        core::StandbyWait wait;
        if (!is_alone_) {
            wait = book_.ask(lsn, view_.look(), now);
            if (wait.may_send && sync_.is_set) {
                sync_ = view_.look_at_sync();
                wait.may_send = sync_.flushed >= lsn;
                wait.is_missing = !sync_.are_connected;
            }
        }
        if (wait.may_send && !lease_.is_good(now)) wait = {.may_send = false, .is_missing = true};
        if (wait.may_send) return Dot::go;
        return now - waiting_since >= (wait.is_missing ? patience_with_missing : patience_with_slow) ? Dot::give_up
                                                                                                     : Dot::wait;
    } catch (...) {
        return Dot::wait;
    }
}

std::optional<Time> Fence::wake_at(Time now, std::optional<Time> next_work) const {
    std::optional<Time> at = lease_.wake_at(now);
    const auto consider = [&](Time t) { at = std::min(at.value_or(t), t); };
    if (is_alone_) return at;
    if (is_shut()) consider(now + look_again);
    if (next_work && *next_work - book_.rules().length > now) consider(*next_work - book_.rules().length);
    const bool is_busy = next_work && *next_work - book_.rules().length <= now;
    for (const core::Promise& promise : book_.promises()) {
        if (!is_busy || promise.until <= now) continue;
        consider(std::max(promise.until - book_.rules().length * 3 / 4, now + look_again));
        if (promise.is_joining) consider(now - wrote_at_ < 1s ? now + 10ms : now + look_again);
    }
    return at;
}

core::SenderFence read_standby_fence(const Settings& settings, Time now) {
    core::PromiseBook book;
    book.configure(rules_of(settings));
    book.load(read_promises(true), 0);
    Standbys view;
    const SyncStandbys sync = view.look_at_sync();
    if (Standbys::is_any()) view.read_names();
    return fence_of(book, view.look(), sync, now);
}

std::vector<std::string> read_unpromised(const Settings& settings, Time now) {
    core::PromiseBook book;
    book.configure(rules_of(settings));
    Standbys view;
    if (Standbys::is_any()) view.read_names();
    return book.unpromised(view.look(), now);
}

}  // namespace mailer::pg
