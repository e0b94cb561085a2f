// Who a statement runs as. Users are granted functions, never tables: what a
// function writes it writes as the owner of the extension, and what it runs of
// the user's (loaders' names, recipients functions) it runs as the user.
//
// While an AsOwner lives, names are resolved by a search_path of our own: a user
// who puts an operator of his own before pg_catalog's must not have it run with
// the owner's rights. It is set when the first name may have to be resolved, for
// before PostgreSQL 16 setting it means a walk over all settings, twice, and an
// enqueue resolves none. After an exception the (sub)transaction's abort restores
// both.
#pragma once

#include "pg/guard.hpp"

namespace mailer::pg {

class AsOwner {
public:
    // The owner is that of the SQL function that is being called.
    explicit AsOwner(FunctionCallInfo fcinfo);
    ~AsOwner();
    AsOwner(const AsOwner&) = delete;
    AsOwner& operator=(const AsOwner&) = delete;

private:
    friend void pin_search_path();
    static AsOwner* innermost_;

    AsOwner* outer_ = nullptr;
    Oid saved_user_ = InvalidOid;
    int saved_context_ = 0;
    int guc_level_ = 0;  // 0: search_path is the caller's
    int exceptions_ = 0;
};

// Before anything that may resolve names or run the owner's functions: Statement,
// attempt() and TableWriter say it. Without an AsOwner it does nothing.
void pin_search_path();

// The name of the role whose rights are in force: what queued_by and by_role
// say. Ask before an AsOwner is made.
std::string current_role();

}  // namespace mailer::pg
