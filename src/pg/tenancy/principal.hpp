// Who acts, and for whom: the calling role as the principal that rows name, and the tenant whose mail it queues.
//
// What a role may do is asked of the tables (mailer._resolve_role in sql/21_principal.sql) and kept for the session:
// the relcache tells when principals change, the syscache when roles or memberships do. Everything here needs a current
// Spi and runs as the extension's owner.
#pragma once

#include <algorithm>
#include <vector>

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

constexpr std::int64_t operator_tenant = 1;

struct Actor {
    std::int64_t tenant_id = 0;                 // 0: acts for nobody
    std::int64_t lane_id = 0;                   // the tenant's stream of mail that names no mailbox
    std::int64_t principal_id = 0;              // what new mail names; 0: the role has none yet
    std::vector<std::int64_t> principals = {};  // all that stand for the role
    std::int64_t max_pending = 0;               // of the tenant; 0: no limit (pg/tenancy/room.hpp)
    bool is_operator = false;                   // may do what operators may
    bool sees_all = false;                      // the mail of all tenants

    bool owns(std::int64_t tenant) const noexcept { return is_operator || (tenant_id != 0 && tenant == tenant_id); }
    // What it queued itself too: leads of campaigns, which are the operators'.
    bool sees(std::int64_t tenant, std::int64_t principal) const noexcept {
        return sees_all || (tenant_id != 0 && tenant == tenant_id) || queued(principal);
    }
    bool queued(std::int64_t principal) const noexcept {
        return std::ranges::find(principals, principal) != principals.end();
    }
};

// The calling role (calling_role in pg/bridge/identity.hpp). Writes nothing, so a standby can ask too.
Actor actor();
Actor actor_of(Oid role);

// The calling role, which acts for a tenant; and as one that queues mail, it has a principal too. Refuse with 42501.
Actor tenant_actor();
Actor sender();
[[noreturn]] void refuse_sender(Oid role);

// Whether a tenant was granted a mailbox or a template that isn't shared. Operators need no grant.
bool is_template_granted(std::int64_t tenant_id, std::string_view name);
[[noreturn]] void refuse_ungranted(std::string_view what, std::string_view name);

// The principal of a role, made when it has none.
std::int64_t principal_of(Oid role);

// At commit every session asks the tables again. Ereports, so it runs within call().
void principals_changed();

}  // namespace mailer::pg
