// The call and the look at what came back; see late_call.hpp.
#include "pg/engine/late_call.hpp"

#include <map>

#include "pg/server/preparer_slots.hpp"

extern "C" {
#include "access/detoast.h"
#include "commands/trigger.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
}

namespace mailer::pg {

namespace {

// What the function sees of settings in somebody else's session: the defaults of a new one, not the engine's pins.
void set_user_settings() {
    const char* const settings[][2] = {{"search_path", "\"$user\", public"}, {"lock_timeout", "0"}, {"jit", "off"}};
    for (const auto& s : settings)
        (void)set_config_option(s[0], s[1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// By its OID: a role that took the name meanwhile is another one.
void require_role(Oid role) {
    if (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role))) return;
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the role that queued the message does not exist")));
}

// Parsed and planned once for a role and a function, as in any session that prepares its statements; PostgreSQL looks
// by itself whether a plan still fits (a function that was replaced, another search_path, rights that were taken).
class Plans {
public:
    SPIPlanPtr find(Oid role, const std::string& function) const {
        auto it = plans_.find({role, function});
        return it == plans_.end() ? nullptr : it->second;
    }
    // Requires an SPI connection.
    void keep(Oid role, const std::string& function, SPIPlanPtr plan) {
        if (plans_.size() >= most_plans) drop_all();
        plans_.emplace(std::make_pair(role, function), plan);
    }

private:
    static constexpr std::size_t most_plans = 100;
    void drop_all() {
        for (const auto& [key, plan] : plans_)
            call([&] { SPI_freeplan(plan); });
        plans_.clear();
    }
    std::map<std::pair<Oid, std::string>, SPIPlanPtr> plans_;
};

Plans plans;

SPIPlanPtr prepare(const char* function) {
    Oid types[2] = {INT8OID, JSONBOID};
    SPIPlanPtr const plan = SPI_prepare(psprintf("SELECT %s($1, $2)", function), 2, types);
    if (plan == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    return plan;
}

// SET CONSTRAINTS ALL IMMEDIATE.
void run_deferred_triggers() {
    ConstraintsSetStmt* const all = makeNode(ConstraintsSetStmt);
    all->deferred = false;
    AfterTriggerSetState(all);
}

}  // namespace

LateValue call_late_bound(const LateCall& late, core::Duration limit) {
    Oid caller = InvalidOid;
    int caller_context = 0;
    GetUserIdAndSecContext(&caller, &caller_context);
    const bool is_restricted = OidIsValid(late.role);
    const Oid role = is_restricted ? late.role : GetUserId();
    SPIPlanPtr plan = plans.find(role, late.function);
    const bool is_known = plan != nullptr;
    LateValue result{};
    call([&] {
        require_role(role);
        if (is_restricted) {
            set_user_settings();
            SetUserIdAndSecContext(role, caller_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
        }
        enable_timeout_after(STATEMENT_TIMEOUT,
                             static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(limit).count()));
        Datum values[2] = {Int64GetDatum(late.message_id),
                           DirectFunctionCall1(jsonb_in, CStringGetDatum(late.variables.c_str()))};
        if (!is_known) plan = prepare(late.function.c_str());
        int const rc = SPI_execute_plan(plan, values, nullptr, false, 2);
        if (rc != SPI_OK_SELECT || SPI_processed != 1) elog(ERROR, "it did not return one value");
        result.value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &result.is_null);
        result.type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
        // Whatever it deferred happens now, with its own rights, or not at all.
        run_deferred_triggers();
        if (!is_known) SPI_keepplan(plan);  // only now: an error takes the plan along
        if (is_restricted) SetUserIdAndSecContext(caller, caller_context);
    });
    if (!is_known) plans.keep(role, late.function, plan);
    return result;
}

std::optional<bool> condition_of(const LateValue& value) {
    if (value.type != BOOLOID) throw Refusal({"42804", "send_if must return boolean"});
    if (value.is_null) return std::nullopt;
    return DatumGetBool(value.value);
}

Datum variables_of(const LateValue& value) {
    if (value.type != JSONBOID) throw Refusal({"42804", "a loader must return jsonb"});
    if (value.is_null) throw Refusal({"22004", "the loader returned NULL"});
    const std::size_t size = call([&] { return toast_raw_datum_size(value.value); });
    if (size > longest_value) throw Refusal({"54000", "the loader returned more than 16 MB"});
    return value.value;
}

}  // namespace mailer::pg
