// The call and the look at what came back; see late_call.hpp.
#include "pg/engine/late_call.hpp"

#include "pg/server/preparer_slots.hpp"

extern "C" {
#include "access/detoast.h"
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

}  // namespace

LateValue call_late_bound(const LateCall& late, core::Duration limit) {
    const std::string sql = "SELECT " + late.function + "($1, $2)";
    Oid caller = InvalidOid;
    int caller_context = 0;
    GetUserIdAndSecContext(&caller, &caller_context);
    const bool is_restricted = OidIsValid(late.role);
    return call([&] {
        LateValue result{};
        require_role(is_restricted ? late.role : GetUserId());
        if (is_restricted) {
            set_user_settings();
            SetUserIdAndSecContext(late.role,
                                   caller_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
        }
        enable_timeout_after(STATEMENT_TIMEOUT,
                             static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(limit).count()));
        Oid types[2] = {INT8OID, JSONBOID};
        Datum values[2] = {Int64GetDatum(late.message_id),
                           DirectFunctionCall1(jsonb_in, CStringGetDatum(late.variables.c_str()))};
        int const rc = SPI_execute_with_args(sql.c_str(), 2, types, values, nullptr, false, 2);
        if (rc != SPI_OK_SELECT || SPI_processed != 1) elog(ERROR, "it did not return one value");
        result.value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &result.is_null);
        result.type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
        // Whatever it deferred happens now, with its own rights, or not at all.
        SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
        if (is_restricted) SetUserIdAndSecContext(caller, caller_context);
        return result;
    });
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
