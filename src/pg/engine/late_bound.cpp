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
#include "utils/syscache.h"
#include "utils/timeout.h"
}

namespace mailer::pg {

namespace {

// What the function sees of settings: the defaults of a new session, not the engine's pins.
void set_user_settings() {
    const char* const settings[][2] = {{"search_path", "\"$user\", public"}, {"lock_timeout", "0"}, {"jit", "off"}};
    for (const auto& s : settings)
        (void)set_config_option(s[0], s[1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

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
    if (is_session_) {
        XactIsoLevel = XACT_READ_COMMITTED;
        frame_.enter();
    } else {
        SetCurrentStatementStartTimestamp();
        StartTransactionCommand();
        XactIsoLevel = XACT_READ_COMMITTED;
        if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    }
    PushActiveSnapshot(GetTransactionSnapshot());
}

void LateBound::finish() {
    if (ActiveSnapshotSet()) PopActiveSnapshot();
    if (is_session_) {
        frame_.commit();
    } else {
        SPI_finish();
        CommitTransactionCommand();
    }
}

void LateBound::roll_back() {
    if (is_session_)
        frame_.abort();
    else
        AbortCurrentTransaction();
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
        call([this] { roll_back(); });
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
        call([this] { roll_back(); });
    }
    MemoryContextSwitchTo(outer);
    return answer;
}

void LateBound::call_as(Wanted wanted, const std::string& function, std::int64_t message_id,
                        const std::string& variables, Oid role, core::Duration limit, Answer& answer) {
    const std::string sql = "SELECT " + function + "($1, $2)";
    call([this] { start(); });
    // Inside the transaction: one that is lost takes its nest level along.
    const int guc_level = NewGUCNestLevel();
    // By its OID: a role that took the name meanwhile is another one.
    if (!call([&] { return OidIsValid(role) && SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)); }))
        throw Refusal({"42704", "the role that queued the message does not exist"});
    Oid caller = InvalidOid;
    int caller_context = 0;
    GetUserIdAndSecContext(&caller, &caller_context);

    struct {
        bool is_null;
        Datum value;
        Oid type;
    } result{};
    call([&] {
        set_user_settings();
        SetUserIdAndSecContext(role, caller_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
        enable_timeout_after(STATEMENT_TIMEOUT,
                             static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(limit).count()));
        Oid types[2] = {INT8OID, JSONBOID};
        Datum values[2] = {Int64GetDatum(message_id),
                           DirectFunctionCall1(jsonb_in, CStringGetDatum(variables.c_str()))};
        int rc = SPI_execute_with_args(sql.c_str(), 2, types, values, nullptr, false, 2);
        if (rc != SPI_OK_SELECT || SPI_processed != 1) elog(ERROR, "it did not return one value");
        result.value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &result.is_null);
        result.type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
        // Whatever it deferred happens now, with its own rights, or not at all.
        SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
        disable_timeout(STATEMENT_TIMEOUT, false);
        SetUserIdAndSecContext(caller, caller_context);
    });
    if (wanted == Wanted::condition) {
        if (result.type != BOOLOID) throw Refusal({"42804", "send_if must return boolean"});
        if (!result.is_null) answer.condition = DatumGetBool(result.value);
    } else {
        if (result.type != JSONBOID) throw Refusal({"42804", "a loader must return jsonb"});
        if (result.is_null) throw Refusal({"22004", "the loader returned NULL"});
        answer.variables = read_jsonb(result.value);
    }
    call([this, guc_level] {
        AtEOXact_GUC(false, guc_level);
        finish();
    });
}

}  // namespace mailer::pg
