// See identity.hpp. This is what SECURITY DEFINER and SET search_path do for a
// function in SQL, at the cost of a C function, and after the function has seen
// who called it.
#include "pg/bridge/identity.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "utils/syscache.h"
}

namespace mailer::pg {
namespace {

Oid owner_of_function(Oid function) {
    return call([&] {
        HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
        if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for function %u", function);
        Oid owner = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->proowner;
        ReleaseSysCache(tuple);
        return owner;
    });
}

}  // namespace

const AsOwner* AsOwner::innermost_ = nullptr;

AsOwner::AsOwner(FunctionCallInfo fcinfo, Path path)
    : outer_(innermost_),
      owner_(owner_of_function(fcinfo->flinfo->fn_oid)),
      caller_(calling_role()),
      exceptions_(std::uncaught_exceptions()) {
    GetUserIdAndSecContext(&saved_user_, &saved_context_);
    if (path == Path::is_pinned_here) {
        guc_level_ = NewGUCNestLevel();
        call([] {
            set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                              0, false);
        });
    }
    SetUserIdAndSecContext(owner_, saved_context_ | SECURITY_LOCAL_USERID_CHANGE);
    innermost_ = this;
}

AsOwner::~AsOwner() {
    Assert(innermost_ == this);  // the last to take the owner's rights is the first to give them back
    innermost_ = outer_;
    if (std::uncaught_exceptions() > exceptions_) return;  // the abort that follows restores the rest
    if (guc_level_ != 0) AtEOXact_GUC(true, guc_level_);
    SetUserIdAndSecContext(saved_user_, saved_context_);
}

// With other rights than an AsOwner took, somebody else's function is running inside of it, and that is the caller.
Oid calling_role() noexcept {
    const AsOwner* const innermost = AsOwner::innermost_;
    const Oid user = GetUserId();
    return innermost != nullptr && user == innermost->owner_ ? innermost->caller_ : user;
}

std::string current_role() {
    char* name = call([] { return GetUserNameFromId(calling_role(), false); });
    std::string role(name);
    pfree(name);
    return role;
}

}  // namespace mailer::pg
