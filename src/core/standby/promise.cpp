// The rules of promise.hpp; the numbers in comments are those there.
#include "core/standby/promise.hpp"

#include <algorithm>

namespace mailer::core {

namespace {

const Standby* find_standby(const std::vector<Standby>& standbys, std::string_view name) {
    const auto found =
        std::find_if(standbys.begin(), standbys.end(), [name](const Standby& s) { return s.name == name; });
    return found == standbys.end() ? nullptr : &*found;
}

// A promise is renewed when a quarter of it has passed.
bool is_old(const Promise& promise, Duration length, Time now) { return promise.until - now <= length * 3 / 4; }

void add_name(std::string& names, const std::string& name) {
    if (!names.empty()) names += ", ";
    names += name;
}

}  // namespace

bool PromiseRules::may_be_promoted(std::string_view name) const {
    return !to || std::find(to->begin(), to->end(), name) != to->end();
}

void PromiseBook::load(std::vector<Promise> rows, Lsn written) {
    promises_ = std::move(rows);
    for (Promise& promise : promises_)
        promise.joined_at = written;
    written_ = 0;
    written_at_ = {};
}

Promise* PromiseBook::find(std::string_view name) {
    const auto found =
        std::find_if(promises_.begin(), promises_.end(), [name](const Promise& p) { return p.name == name; });
    return found == promises_.end() ? nullptr : &*found;
}

// A reply that acknowledges what was written at `written_at_` was made later than that, and by now: so its clock tells
// how far the standby's is off, whenever the reply came in.
bool PromiseBook::is_clock_good(const Standby& standby, Time now) const {
    if (standby.replied_at == Time{}) return true;  // it hasn't said anything yet
    if (standby.replied_at > now + rules_.margin) return false;
    const bool has_acknowledged = written_ > 0 && standby.flushed >= written_;
    return !has_acknowledged || standby.replied_at >= written_at_ - rules_.margin;
}

bool PromiseBook::is_any_bound(Time now) const {
    return std::any_of(promises_.begin(), promises_.end(), [now](const Promise& p) { return p.until > now; });
}

// Whether every name that counts has this much on disk (R3).
bool PromiseBook::has_everybody(Lsn lsn, const std::vector<Standby>& standbys, Time now) const {
    return std::all_of(promises_.begin(), promises_.end(), [&](const Promise& p) {
        if (p.is_joining || p.until <= now) return true;
        const Standby* standby = find_standby(standbys, p.name);
        return standby != nullptr && standby->is_unique && standby->flushed >= lsn;
    });
}

PromiseBook::Change PromiseBook::change(const std::vector<Standby>& standbys, Time now, bool is_busy) {
    Change change;
    bool is_due = false;
    std::vector<Promise> renewed;
    for (const Standby& standby : standbys) {
        if (!is_busy || !is_candidate(standby) || !standby.is_unique || !standby.is_streaming) continue;
        if (!is_clock_good(standby, now)) continue;
        const Promise* known = find(standby.name);
        Promise next{standby.name, now + rules_.length, true, 0};
        if (known == nullptr || known->until <= now) {
            is_due = true;
        } else {
            next.is_joining = known->is_joining;
            next.joined_at = known->joined_at;
            if (next.is_joining && next.joined_at > 0 && standby.flushed >= next.joined_at &&
                has_everybody(next.joined_at, standbys, now)) {
                next.is_joining = false;
                is_due = true;
            }
            next.until = std::max(next.until, known->until);  // R2
            is_due = is_due || is_old(*known, rules_.length, now);
        }
        renewed.push_back(std::move(next));
    }
    if (!is_due) return change;
    change.rows = std::move(renewed);
    for (const Promise& promise : promises_) {
        const bool is_renewed = std::any_of(change.rows.begin(), change.rows.end(),
                                            [&](const Promise& row) { return row.name == promise.name; });
        if (promise.until <= now && !is_renewed) change.gone.push_back(promise.name);
    }
    for (const Promise& row : change.rows) {  // R1: before anybody can see them
        Promise* known = find(row.name);
        if (known == nullptr) {
            promises_.push_back(row);
            promises_.back().until = row.until;
        } else {
            if (known->until <= now) *known = row;
            known->until = std::max(known->until, row.until);
        }
    }
    return change;
}

void PromiseBook::written(const Change& change, Lsn lsn, Time at) {
    written_ = lsn;
    written_at_ = at;
    for (const Promise& row : change.rows) {
        Promise* known = find(row.name);
        known->is_joining = row.is_joining;
        if (known->joined_at == 0) known->joined_at = lsn;
    }
    std::erase_if(promises_, [&](const Promise& p) {
        return std::find(change.gone.begin(), change.gone.end(), p.name) != change.gone.end();
    });
}

void PromiseBook::hold_after_standstill(Time since, Time now) {
    for (Promise& promise : promises_) {
        if (promise.until > since) promise.until = std::max(promise.until, now + rules_.length);
    }
}

StandbyWait PromiseBook::ask(Lsn lsn, const std::vector<Standby>& standbys, Time now) const {
    StandbyWait wait;
    for (const Promise& promise : promises_) {
        if (promise.until <= now) continue;
        const Standby* standby = find_standby(standbys, promise.name);
        // Before anything is claimed, one that has yet to catch up is as good as missing.
        const bool is_there = standby != nullptr && standby->is_unique && (lsn > 0 || standby->is_streaming);
        if (is_there && standby->flushed >= lsn) continue;
        wait.may_send = false;
        wait.is_missing = wait.is_missing || !is_there;
        add_name(wait.for_whom, promise.name);
        if (!is_there) wait.until = std::max(wait.until.value_or(promise.until), promise.until);
    }
    // Connected, and nothing is promised to it yet: that comes first. If nothing can be, what leaves now should not be
    // lost with us all the same.
    for (const Standby& standby : standbys) {
        if (lsn == 0 || !is_candidate(standby) || !standby.is_streaming) continue;
        const bool is_bound = std::any_of(promises_.begin(), promises_.end(),
                                          [&](const Promise& p) { return p.until > now && p.name == standby.name; });
        const bool can_be_bound = standby.is_unique && is_clock_good(standby, now);
        if (is_bound || (!can_be_bound && standby.flushed >= lsn)) continue;
        wait.may_send = false;
        add_name(wait.for_whom, standby.name);
    }
    return wait;
}

std::vector<std::string> PromiseBook::unpromised(const std::vector<Standby>& standbys, Time now) const {
    std::vector<std::string> reasons;
    for (const Standby& standby : standbys) {
        if (!is_candidate(standby) || !standby.is_streaming) continue;
        std::string reason;
        if (!standby.is_unique) reason = "several standbys have this name";
        if (!is_clock_good(standby, now)) reason = "its clock differs by more than mailer can tolerate";
        if (!reason.empty()) reasons.push_back(standby.name + ": " + reason);
    }
    return reasons;
}

bool may_go_on(const std::vector<Promise>& rows, std::string_view name, Duration margin, Time now) {
    return std::any_of(rows.begin(), rows.end(),
                       [&](const Promise& p) { return p.name == name && !p.is_joining && now <= p.until - margin; });
}

std::vector<Promise> inherited(const std::vector<Promise>& rows, std::string_view name, Duration length, Time now) {
    std::vector<Promise> others;
    for (const Promise& row : rows) {
        if (row.name == name) continue;
        others.push_back({row.name, std::max(row.until, now + length), true, 0});
    }
    return others;
}

}  // namespace mailer::core
