// One call of a user's function under guard, rights, settings and a clock; see late_bound.hpp.
#include "pg/late_bound.hpp"

#include "core/backoff.hpp"
#include "pg/jsonb_value.hpp"
#include "pg/pins.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/snapmgr.h"
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

void start(bool is_session) {
    if (is_session) {
        if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT) elog(ERROR, "SPI_connect_ext failed");
    } else {
        SetCurrentStatementStartTimestamp();
        StartTransactionCommand();
        if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    }
    XactIsoLevel = XACT_READ_COMMITTED;
    PushActiveSnapshot(GetTransactionSnapshot());
}

void finish(bool is_session) {
    if (ActiveSnapshotSet()) PopActiveSnapshot();
    if (is_session) {
        SPI_commit();
        SPI_finish();
    } else {
        SPI_finish();
        CommitTransactionCommand();
    }
}

void roll_back(bool is_session) {
    if (is_session) {
        SPI_rollback();
        SPI_finish();
    } else {
        AbortCurrentTransaction();
    }
}

}  // namespace

LateBound::Answer LateBound::ask(const std::string& function, std::int64_t message_id, const std::string& variables,
                                 const std::string& role, core::Duration limit, core::Time now) {
    return run(Wanted::condition, function, message_id, variables, role, limit, now);
}

LateBound::Answer LateBound::load(const std::string& function, std::int64_t message_id, const std::string& variables,
                                  const std::string& role, core::Duration limit, core::Time now) {
    return run(Wanted::variables, function, message_id, variables, role, limit, now);
}

LateBound::Answer LateBound::run(Wanted wanted, const std::string& function, std::int64_t message_id,
                                 const std::string& variables, const std::string& role, core::Duration limit,
                                 core::Time now) {
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
    try {
        EngineContext::Interruptible interruptible;
        call_as(wanted, function, message_id, variables, role, limit, answer);
        answer.is_ok = true;
        breaker.timeouts = 0;
    } catch (const PgError& error) {
        const bool is_cancelled = error.sqlstate() == ERRCODE_QUERY_CANCELED;
        answer.fault = "function " + function + ": " + error.what();
        disable_timeout(STATEMENT_TIMEOUT, false);
        SetUserIdAndSecContext(caller, caller_context);
        call([this] { roll_back(is_session_); });
        answer.is_interrupted = is_cancelled && context_.should_stop();
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
        call([this] { roll_back(is_session_); });
    }
    MemoryContextSwitchTo(outer);
    return answer;
}

void LateBound::call_as(Wanted wanted, const std::string& function, std::int64_t message_id,
                        const std::string& variables, const std::string& role, core::Duration limit, Answer& answer) {
    const std::string sql = "SELECT " + function + "($1, $2)";
    call([this] { start(is_session_); });
    // Inside the transaction: one that is lost takes its nest level along.
    const int guc_level = NewGUCNestLevel();
    Oid user = call([&] { return get_role_oid(role.c_str(), true); });
    if (!OidIsValid(user)) throw Refusal({"42704", "role \"" + role + "\", which queued the message, does not exist"});
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
        SetUserIdAndSecContext(user, caller_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
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
        finish(is_session_);
    });
}

}  // namespace mailer::pg
