// Who a statement runs as. Users are granted functions, never tables: what a
// function writes it writes as the owner of the extension, and what it runs of
// the user's (loaders' names, recipients functions) it runs as the user.
//
// While an AsOwner lives, search_path is pinned: a user who puts an operator of
// his own before pg_catalog's must not have it run with the owner's rights.
// After an exception the (sub)transaction's abort restores both.
#pragma once

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

class AsOwner {
public:
    // The owner is that of the SQL function that is being called.
    explicit AsOwner(FunctionCallInfo fcinfo);
    ~AsOwner();
    AsOwner(const AsOwner&) = delete;
    AsOwner& operator=(const AsOwner&) = delete;

private:
    Oid saved_user_ = InvalidOid;
    int saved_context_ = 0;
    int guc_level_ = 0;
    int exceptions_ = 0;
};

// The name of the role whose rights are in force: what queued_by and by_role
// say. Ask before an AsOwner is made.
std::string current_role();

}  // namespace mailer::pg
