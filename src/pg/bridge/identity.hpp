// Who a statement runs as. Users are granted functions, never tables: what a
// function writes it writes as the owner of the extension, and what it runs of
// the user's (loaders' names, recipients functions) it runs as the user.
//
// While an AsOwner lives, search_path is pinned: a user who puts an operator of
// his own before pg_catalog's must not have it run with the owner's rights.
// After an exception the (sub)transaction's abort restores both. Meanwhile
// calling_role() still returns the role that called.
#pragma once

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

class AsOwner {
public:
    enum class Path { is_pinned_here, is_set };  // is_set: by the function's own SET clause

    // The owner is that of the SQL function that is being called.
    explicit AsOwner(FunctionCallInfo fcinfo, Path path = Path::is_pinned_here);
    ~AsOwner();
    AsOwner(const AsOwner&) = delete;
    AsOwner& operator=(const AsOwner&) = delete;

private:
    friend Oid calling_role() noexcept;
    static const AsOwner* innermost_;

    const AsOwner* outer_;
    Oid owner_;
    Oid caller_;
    Oid saved_user_ = InvalidOid;
    int saved_context_ = 0;
    int guc_level_ = 0;  // 0: no settings to give back
    int exceptions_ = 0;
};

// The role that called the function of ours that has the owner's rights now; outside of one, the role whose rights are
// in force. Never the session's user: where VACUUM or a sender runs a user's function, that is the superuser.
Oid calling_role() noexcept;
std::string current_role();  // its name: what by_role says

}  // namespace mailer::pg
