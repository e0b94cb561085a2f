// The door of the language mailer_plpgsql, and what functions behind it ask: see sql/21_principal.sql.
//
// PL/pgSQL looks a function up by its oid alone, so its own handler runs the body; what is added is AsOwner, which
// notes who called before it takes the owner's rights. The functions pin their search_path themselves (SET
// search_path).
#include "pg/bridge/identity.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/tenancy/principal.hpp"

namespace mailer::pg {
namespace {

PGFunction plpgsql_handler() {
    static PGFunction handler = nullptr;
    if (handler == nullptr)
        handler = reinterpret_cast<PGFunction>(
            call([] { return load_external_function("$libdir/plpgsql", "plpgsql_call_handler", true, nullptr); }));
    return handler;
}

// For functions that views and others call too: they read the tables as the owner.
template <class F>
auto as_owner(FunctionCallInfo fcinfo, F question) {
    return entry([&] {
        const AsOwner owner(fcinfo);
        const Spi spi;
        return question();
    });
}

}  // namespace
}  // namespace mailer::pg

using namespace mailer::pg;

MAILER_FUNCTION(mailer_door) {
    return entry([&] {
        PGFunction const handler = plpgsql_handler();
        const AsOwner owner(fcinfo, AsOwner::Path::is_set);
        return call([&] { return handler(fcinfo); });
    });
}

MAILER_FUNCTION(mailer_caller) { PG_RETURN_OID(calling_role()); }

MAILER_FUNCTION(mailer_caller_name) { PG_RETURN_TEXT_P(cstring_to_text(GetUserNameFromId(calling_role(), false))); }

MAILER_FUNCTION(mailer_principal) {
    return as_owner(fcinfo, [] { return Int64GetDatum(principal_of(calling_role())); });
}

MAILER_FUNCTION(mailer_tenant) {
    return as_owner(fcinfo, [] {
        const Actor found = actor();
        if (found.tenant_id == 0) refuse_sender(calling_role());
        return Int64GetDatum(found.tenant_id);
    });
}

MAILER_FUNCTION(mailer_own_tenant) {
    const std::int64_t tenant = as_owner(fcinfo, [] { return actor().tenant_id; });
    if (tenant == 0) PG_RETURN_NULL();
    PG_RETURN_INT64(tenant);
}

MAILER_FUNCTION(mailer_is_operator) {
    return as_owner(fcinfo, [] { return BoolGetDatum(actor().is_operator); });
}

MAILER_FUNCTION(mailer_sees_all) {
    return as_owner(fcinfo, [] { return BoolGetDatum(actor().sees_all); });
}

MAILER_FUNCTION(mailer_sees) {
    const std::int64_t tenant = PG_GETARG_INT64(0), principal = PG_GETARG_INT64(1);
    return as_owner(fcinfo, [=] { return BoolGetDatum(actor().sees(tenant, principal)); });
}

MAILER_FUNCTION(mailer_principals_changed) {
    principals_changed();
    PG_RETURN_VOID();
}
