// One call of a user's function under guard, rights, settings and a clock; see late_bound.hpp.
#include "pg/engine/late_bound.hpp"

#include "core/outcome/backoff.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/engine/pins.hpp"

extern "C" {
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
}

namespace mailer::pg {

namespace {

// A session's statement_timeout means all of its command. The function's limit takes its timer meanwhile.
class SessionLimit {
public:
    SessionLimit() noexcept
        : is_set_(get_timeout_active(STATEMENT_TIMEOUT)),
          at_(is_set_ ? get_timeout_finish_time(STATEMENT_TIMEOUT) : DT_NOEND) {}
    ~SessionLimit() {
        if (is_set_) enable_timeout_at(STATEMENT_TIMEOUT, at_);  // at once, if that is over
    }
    SessionLimit(const SessionLimit&) = delete;
    SessionLimit& operator=(const SessionLimit&) = delete;

    bool is_over() const noexcept { return is_set_ && GetCurrentTimestamp() >= at_; }
    core::Duration at_most(core::Duration limit) const noexcept {
        const core::Duration rest{is_set_ ? at_ - GetCurrentTimestamp() : limit.count()};
        return std::clamp(rest, std::min(limit, core::Duration(std::chrono::milliseconds(1))), limit);
    }

private:
    bool is_set_;
    TimestampTz at_;
};

}  // namespace

void LateBound::start() {
    XactIsoLevel = XACT_READ_COMMITTED;
    frame_.enter();
    PushActiveSnapshot(GetTransactionSnapshot());
}

void LateBound::finish() {
    if (ActiveSnapshotSet()) PopActiveSnapshot();
    frame_.commit();
}

LateBound::Answer LateBound::ask(const std::string& function, std::int64_t message_id, const std::string& variables,
                                 Oid role, core::Duration limit, core::Time now) {
    return run(Wanted::condition, function, message_id, variables, role, limit, now);
}

LateBound::Answer LateBound::load(const std::string& function, std::int64_t message_id, const std::string& variables,
                                  Oid role, core::Duration limit, core::Time now) {
    return run(Wanted::variables, function, message_id, variables, role, limit, now);
}

LateBound::Answer LateBound::run(Wanted wanted, const std::string& function, std::int64_t message_id,
                                 const std::string& variables, Oid role, core::Duration limit, core::Time now) {
    Answer answer;
    Breaker& breaker = breakers_[function];
    if (now < breaker.open_until) {
        answer.fault = "function " + function + " timed out before and is left alone for a while";
        return answer;
    }
    Oid caller = InvalidOid;
    int caller_context = 0;
    GetUserIdAndSecContext(&caller, &caller_context);
    MemoryContext const outer = CurrentMemoryContext;
    const SessionLimit of_session;
    try {
        EngineContext::Interruptible interruptible;
        call_as(wanted, function, message_id, variables, role, of_session.at_most(limit), answer);
        answer.is_ok = true;
        breaker.timeouts = 0;
    } catch (const PgError& error) {
        const bool is_cancelled = error.sqlstate() == ERRCODE_QUERY_CANCELED;
        answer.fault = "function " + function + ": " + error.what();
        disable_timeout(STATEMENT_TIMEOUT, false);
        SetUserIdAndSecContext(caller, caller_context);
        call([this] { frame_.abort(); });
        answer.is_interrupted = is_cancelled && (of_session.is_over() || context_.should_stop());
        if (is_cancelled && !answer.is_interrupted) {
            answer.fault = "function " + function + " took longer than mailer.loader_timeout";
            ++breaker.timeouts;
            breaker.open_until =
                now + core::breaker_delay(false, breaker.timeouts, static_cast<std::uint64_t>(message_id));
        }
    } catch (const std::exception& error) {  // what it returned can't be used
        answer.fault = "function " + function + ": " + error.what();
        disable_timeout(STATEMENT_TIMEOUT, false);
        SetUserIdAndSecContext(caller, caller_context);
        call([this] { frame_.abort(); });
    }
    MemoryContextSwitchTo(outer);
    return answer;
}

void LateBound::call_as(Wanted wanted, const std::string& function, std::int64_t message_id,
                        const std::string& variables, Oid role, core::Duration limit, Answer& answer) {
    call([this] { start(); });
    // Inside the transaction: one that is lost takes its nest level along.
    const int guc_level = NewGUCNestLevel();
    const LateValue value = call_late_bound({function, message_id, variables, role}, limit);
    call([] { disable_timeout(STATEMENT_TIMEOUT, false); });
    if (wanted == Wanted::condition) {
        answer.condition = condition_of(value);
    } else {
        answer.variables = read_jsonb(variables_of(value));
    }
    call([this, guc_level] {
        AtEOXact_GUC(false, guc_level);
        finish();
    });
}

}  // namespace mailer::pg
