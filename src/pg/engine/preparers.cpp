// Asking, hearing and ending; see preparers.hpp.
#include "pg/engine/preparers.hpp"

#include <algorithm>
#include <cstring>

#include "pg/bridge/clock.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/server/preparer_main.hpp"
#include "pg/server/worker_signals.hpp"

extern "C" {
#include "storage/ipc.h"
#include "storage/pmsignal.h"
}

namespace mailer::pg {

using core::Duration;
using core::Time;
using worker::RoleLines;
using namespace std::chrono_literals;

namespace {

constexpr Duration slow_after = RoleLines::patience;
constexpr Duration cancel_grace = 500ms;  // from the limit until SIGTERM
constexpr Duration end_grace = 1s;        // from SIGTERM until nobody waits for it any more
constexpr Duration blame_after = 200ms;   // from a process's unexplained end until its function is blamed
constexpr Duration refusal_pause = 1s;
constexpr Duration wish_lasts = 5s;
constexpr Duration quantum = 100ms;       // a process serves its role for this long before another gets its place
constexpr Duration first_within = 250ms;  // while it came up, the mail may have gone back to the queue (RoleLines)
constexpr Duration longest_turn = 50ms;   // of asking, and of hearing; the last question or answer may exceed it

void at_exit(int, Datum) { abandon_all_slots(); }

core::Value value_of(const std::string& octets) {
    static MemoryContext const context =
        call([] { return AllocSetContextCreate(TopMemoryContext, "mailer answer", ALLOCSET_DEFAULT_SIZES); });
    MemoryContext const before = MemoryContextSwitchTo(context);
    struct Reset {
        MemoryContext before;
        ~Reset() {
            MemoryContextReset(context);
            MemoryContextSwitchTo(before);
        }
    } const reset{before};
    char* const copy = call([&] { return static_cast<char*>(palloc(octets.size())); });
    memcpy(copy, octets.data(), octets.size());
    return read_jsonb(PointerGetDatum(copy));
}

// Whether the server goes down, or this process of it.
bool is_leaving() {
    return is_worker_leaving() || !call([] { return PostmasterIsAlive(); });
}

// Whether its process ended before it had a slot.
bool has_failed_to_start(BackgroundWorkerHandle* handle) {
    pid_t pid;
    const BgwHandleStatus status = call([&] { return GetBackgroundWorkerPid(handle, &pid); });
    return status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED;
}

std::string names_of(const Question& q) {
    if (q.condition.empty() || q.loader.empty()) return "function " + q.condition + q.loader;
    return "function " + q.condition + " or " + q.loader;
}

}  // namespace

Preparers::Preparers() {
    static bool is_registered = false;
    if (!is_registered) call([] { before_shmem_exit(at_exit, 0); });
    is_registered = true;
}

Preparers::~Preparers() {
    abandon_all_slots();
    for (const auto& process : processes_)
        if (process->handle != nullptr) pfree(process->handle);
}

void Preparers::configure(int limit, Duration loader_timeout) {
    limit_ = limit;
    timeout_ = loader_timeout;
}

std::optional<Time> Preparers::ask(Token token, std::int64_t message_id, const Caller& caller, Time now) {
    if (auto until = lines_.join(caller.role, token, now)) return until;
    callers_[caller.role] = caller;
    asked_.emplace(token, message_id);
    return std::nullopt;
}

std::optional<Preparers::Answer> Preparers::take_answer(Token token) {
    auto it = answers_.find(token);
    if (it == answers_.end()) return std::nullopt;
    Answer answer = std::move(it->second);
    answers_.erase(it);
    return answer;
}

void Preparers::answer(Token token, Answer answer) {
    answers_[token] = std::move(answer);
    heard_.answered.push_back(token);
}

// Serves each process until longest_turn is over; the next turn begins with those that are left. Large values take
// tenths of a second to read or convert, and all other mail waits meanwhile.
template <class Serve>
void Preparers::serve_in_turn(Time now, Serve serve) {
    const Time until = pg::now() + longest_turn;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
        serve(*processes_[i]);
        if (i + 1 == processes_.size() || pg::now() < until) continue;
        std::rotate(processes_.begin(), processes_.begin() + static_cast<std::ptrdiff_t>(i) + 1, processes_.end());
        again_at_ = now;
        return;
    }
}

Preparers::Heard Preparers::turn(Time now, bool may_ask, const Writer& write,
                                 const std::function<void(Token)>& on_begin) {
    again_at_.reset();
    if (processes_.empty() && asked_.empty() && wishes_.empty()) return std::exchange(heard_, {});
    serve_in_turn(now, [&](Process& process) { look_at(process, now); });
    std::erase_if(processes_, [](const auto& process) { return process->key.slot < 0; });
    if (may_ask) {
        serve_in_turn(now, [&](Process& process) { ask_next(process, now, write, on_begin); });
        start_processes(now);  // afterwards, since it may ask idle ones to leave
    }
    for (const auto& [token, until] : lines_.tired(now)) {
        asked_.erase(token);
        answer(token, {Answer::Kind::postponed, "", {}, until});
    }
    withdraw_wishes(now);
    if (processes_.empty()) lines_.forget_idle(now);
    return std::exchange(heard_, {});
}

// A wish stays for a while when the line is empty: what was in it comes again.
void Preparers::withdraw_wishes(Time now) {
    for (auto it = wishes_.begin(); it != wishes_.end();) {
        if (lines_.is_waiting(it->first)) it->second = now;
        const bool is_over = now >= it->second + wish_lasts;
        if (is_over) withdraw_wish(it->first);
        it = is_over ? wishes_.erase(it) : std::next(it);
    }
}

// ── Hearing ────────────────────────────────────────────────────────────────────────────────────────────────────

void Preparers::look_at(Process& process, Time now) {
    if (!process.gone_at) {
        const bool was_gone = is_gone(process.key);  // read first, so that its last answer is taken below
        if (!process.is_up && is_ready(process.key)) {
            process.is_up = true;
            process.up_at = now;
        }
        if (!was_gone && !process.is_up && has_failed_to_start(process.handle)) {
            let_go(process.key);
            return bury(process, now);
        }
        hear(process, now);
        if (!was_gone) {
            if (process.is_busy) watch_time(process, now);
            return;
        }
        process.gone_at = now;
        process.is_untouched = process.outgoing || part_of(slot_of(process.key)) == Part::asked;
        let_go(process.key);
    }
    const bool is_blamed = process.is_busy && !process.is_untouched;
    if (!is_blamed || now >= *process.gone_at + blame_after || is_leaving()) bury(process, now);
}

void Preparers::hear(Process& process, Time now) {
    PreparerSlot* const slot = slot_of(process.key);
    if (process.outgoing) {
        if (part_of(slot) != Part::more) return;
        const bool is_last = process.outgoing->put_part(slot);
        pass_on(slot, Part::more, Part::asked);
        wake_preparer(slot);
        if (is_last) process.outgoing.reset();
        return;
    }
    if (!process.is_busy || part_of(slot) != Part::answer) return;
    const bool is_complete = process.incoming.take_part(slot);
    pass_on(slot, Part::answer, is_complete ? Part::idle : Part::more);
    if (!is_complete) return wake_preparer(slot);
    const Reply reply = unpacked_reply(process.incoming.take());
    const std::optional<Token> token = process.token;
    // As the process itself measured it: how long the sender was busy elsewhere is not the function's.
    finish(process, reply.kind == Reply::Kind::overtime ? RoleLines::End::overtime : RoleLines::End::answered,
           Duration(reply.took_us), now);
    if (!token) return;
    Answer said;
    said.kind = reply.kind == Reply::Kind::go   ? Answer::Kind::go
                : reply.kind == Reply::Kind::no ? Answer::Kind::no
                                                : Answer::Kind::fault;
    said.text = reply.octets;
    if (reply.kind == Reply::Kind::overtime)
        said.text = "function " + reply.octets + " took longer than mailer.loader_timeout";
    if (reply.kind == Reply::Kind::go && !reply.octets.empty()) {
        try {
            said.variables = value_of(reply.octets);
        } catch (const std::exception& error) {  // nested too deeply
            said.kind = Answer::Kind::fault;
            said.text = process.functions + ": " + error.what();
        }
    }
    answer(*token, std::move(said));
}

void Preparers::watch_time(Process& process, Time now) {
    if (process.token && !process.is_told_slow && now >= process.asked_at + slow_after) {
        process.is_told_slow = true;
        heard_.slow.push_back(*process.token);
    }
    if (!process.is_ended && now >= process.deadline) {
        process.is_ended = true;
        end_process(process.key);
    } else if (process.is_ended && now >= process.deadline + end_grace) {
        const std::optional<Token> token = process.token;
        let_go(process.key);
        const std::string text =
            process.functions + " took longer than mailer.loader_timeout, and its process won't end";
        finish(process, RoleLines::End::overtime, now - process.asked_at, now);
        if (token) answer(*token, {Answer::Kind::died, text, {}, {}});
        process.key.slot = -1;
        if (process.handle != nullptr) pfree(std::exchange(process.handle, nullptr));
        count_processes(process.role);
    }
}

// The process is gone, by itself or on request. It isn't blamed when the sender is asked to leave as well, or when it
// never took up its question: the message waits again. A shutdown may reach a process a moment before it reaches the
// sender (blame_after).
void Preparers::bury(Process& process, Time now) {
    if (is_leaving() || (process.is_busy && process.is_untouched)) {
        if (process.token) answer(*process.token, {Answer::Kind::postponed, "", {}, now});
        if (process.is_busy) lines_.ended(process.role, RoleLines::End::called_off, Duration{0}, now);
    } else if (process.is_busy) {
        const std::optional<Token> token = process.token;
        const bool is_overtime = process.is_ended;
        const std::string text =
            is_overtime ? process.functions + " took longer than mailer.loader_timeout and could not be cancelled"
                        : process.functions + " ended the process that ran it";
        finish(process, is_overtime ? RoleLines::End::overtime : RoleLines::End::died, now - process.asked_at, now);
        if (token) answer(*token, {Answer::Kind::died, text, {}, {}});
    } else if (!process.is_up) {
        lines_.began(process.role);
        lines_.ended(process.role, RoleLines::End::died, Duration{0}, now);  // it can't connect: that is the role's
    }
    process.key.slot = -1;
    if (process.handle != nullptr) pfree(std::exchange(process.handle, nullptr));
    count_processes(process.role);
}

void Preparers::finish(Process& process, RoleLines::End how, Duration took, Time now) {
    if (!process.gone_at) note_question(process.key, 0);
    lines_.ended(process.role, process.token ? how : RoleLines::End::called_off, took, now);
    process.is_busy = false;
    process.token.reset();
    process.outgoing.reset();
    process.incoming = {};
}

// ── Asking ─────────────────────────────────────────────────────────────────────────────────────────────────────

bool Preparers::has_had_its_turn(const Process& process, Time now) const {
    if (!process.first_asked_at) return now >= process.up_at + first_within;
    return now >= *process.first_asked_at + quantum || !lines_.is_waiting(process.role);
}

void Preparers::ask_next(Process& process, Time now, const Writer& write, const std::function<void(Token)>& on_begin) {
    if (!process.is_up || process.is_busy) return;
    PreparerSlot* const slot = slot_of(process.key);
    if (part_of(slot) != Part::idle) return;
    if (is_asked_to_yield(process.key) && has_had_its_turn(process, now)) {
        if (pass_on(slot, Part::idle, Part::leaving)) wake_preparer(slot);
        return;
    }
    if (!lines_.is_waiting(process.role) || !pass_on(slot, Part::idle, Part::writing)) return;
    const auto token = lines_.next(process.role, now);
    if (!token) {
        pass_on(slot, Part::writing, Part::idle);
        return;
    }
    core::Result<Question> written = write(asked_.extract(*token).mapped());
    if (!written.ok()) {
        pass_on(slot, Part::writing, Part::idle);
        return answer(*token, {Answer::Kind::fault, written.error().text(), {}, {}});
    }
    Question& question = *written;
    question.limit_us = timeout_.count();
    on_begin(*token);
    const Time at = pg::now();  // to read it may have taken a while
    const int functions = (question.condition.empty() ? 0 : 1) + (question.loader.empty() ? 0 : 1);
    process.is_busy = true;
    process.token = token;
    process.functions = names_of(question);
    process.asked_at = at;
    if (!process.first_asked_at) process.first_asked_at = at;
    process.deadline = at + timeout_ * functions + cancel_grace;
    process.is_told_slow = process.is_ended = false;
    process.incoming = {};
    process.outgoing.emplace(packed(question));
    note_question(process.key, question.message_id);
    lines_.began(process.role);
    const bool is_last = process.outgoing->put_part(slot);
    pass_on(slot, Part::writing, Part::asked);
    wake_preparer(slot);
    if (is_last) process.outgoing.reset();
}

void Preparers::start_processes(Time now) {
    if (now < refused_until_) return;
    std::vector<RoleLines::Role> roles = lines_.waiting_roles();
    for (const auto& [role, wanted_at] : wishes_)
        if (!lines_.is_waiting(role)) roles.push_back(role);
    for (RoleLines::Role role : roles) {
        const bool is_coming = std::any_of(processes_.begin(), processes_.end(),
                                           [&](const auto& p) { return p->role == role && !p->is_up; });
        const bool is_wanted =
            lines_.could_use_another(role) || (wishes_.contains(role) && lines_.has_no_process(role));
        if (is_coming || !is_wanted) continue;
        if (!start_process(role, now)) return;
    }
}

// False: the postmaster has no process.
bool Preparers::start_process(Oid role, Time now) {
    const Caller& caller = callers_[role];
    PreparerKey key;
    if (!take_slot(role, caller.may_connect ? role : caller.owner, limit_, lines_.is_troubled(role), &key)) {
        if (lines_.has_no_process(role)) wishes_.emplace(role, now);
        return true;
    }
    wishes_.erase(role);
    BackgroundWorkerHandle* const handle = call([&] { return start_preparer(key); });
    if (handle == nullptr) {
        let_go(key);
        note_refusal();
        refused_until_ = now + refusal_pause;
        return false;
    }
    auto process = std::make_unique<Process>();
    process->key = key;
    process->handle = handle;
    process->role = role;
    processes_.push_back(std::move(process));
    count_processes(role);
    return true;
}

void Preparers::count_processes(Oid role) {
    lines_.processes_of(role, static_cast<int>(std::count_if(processes_.begin(), processes_.end(), [&](const auto& p) {
                            return p->role == role && p->key.slot >= 0;
                        })));
}

// ── Calling off ────────────────────────────────────────────────────────────────────────────────────────────────

std::vector<Preparers::Token> Preparers::take_back(const std::set<Token>& tokens) {
    std::vector<Token> taken;
    for (Token token : tokens) {
        if (asked_.erase(token) > 0) {
            lines_.leave(token);
            taken.push_back(token);
        } else if (answers_.erase(token) > 0 && std::erase(heard_.answered, token) > 0) {
            taken.push_back(token);  // the answer hasn't been passed on yet
        }
    }
    for (auto& process : processes_) {
        if (!process->token || !tokens.contains(*process->token)) continue;
        taken.push_back(*process->token);
        process->token.reset();  // what it says is for nobody
        cancel_process(process->key);
    }
    return taken;
}

std::optional<Time> Preparers::wake_at() const {
    if (again_at_) return again_at_;
    std::optional<Time> at = lines_.next_tired();
    auto consider = [&at](Time t) {
        if (!at || t < *at) at = t;
    };
    for (const auto& process : processes_) {
        if (!process->is_busy) {
            // Others want its place, and its first mail may still come.
            const bool is_wanted = !process->first_asked_at && is_asked_to_yield(process->key);
            if (process->is_up && is_wanted && part_of(slot_of(process->key)) == Part::idle)
                consider(process->up_at + first_within);
            continue;
        }
        if (process->gone_at) {
            consider(*process->gone_at + blame_after);
            continue;
        }
        if (process->token && !process->is_told_slow) consider(process->asked_at + slow_after);
        consider(process->is_ended ? process->deadline + end_grace : process->deadline);
    }
    return at;
}

}  // namespace mailer::pg
