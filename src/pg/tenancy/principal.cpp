// What roles may do, kept until it changes; see principal.hpp.
#include "pg/tenancy/principal.hpp"

#include <map>

#include "pg/bridge/arguments.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/table/watch.hpp"

extern "C" {
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace mailer::pg {
namespace {

bool are_roles_news = true;

void roles_changed(Datum, int, uint32) { are_roles_news = true; }

class Known {
public:
    const Actor* find(Oid role) {
        forget_what_changed();
        const auto known = actors_.find(role);
        return known == actors_.end() ? nullptr : &known->second;
    }
    void keep(Oid role, const Actor& actor) { actors_[role] = actor; }
    void forget(Oid role) { actors_.erase(role); }

private:
    void forget_what_changed() {
        call([&] {
            if (!is_registered_) {
                CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, roles_changed, Datum{0});
                CacheRegisterSyscacheCallback(AUTHOID, roles_changed, Datum{0});
                is_registered_ = true;
            }
            is_news_ = watch_.is_news();
            if (is_news_) watch_.settle();
        });
        // A transaction that sees an old state of the tables must leave nothing of it behind.
        const bool is_frozen = IsolationUsesXactSnapshot();
        const TimestampTz transaction = GetCurrentTransactionStartTimestamp();
        const bool is_other = (was_frozen_ || is_frozen) && transaction != transaction_;
        if (is_news_ || are_roles_news || is_other) actors_.clear();
        are_roles_news = false;
        was_frozen_ = is_frozen;
        transaction_ = transaction;
    }

    TableWatch watch_{"principal"};
    std::map<Oid, Actor> actors_;
    bool is_registered_ = false;
    bool is_news_ = true;
    bool was_frozen_ = false;
    TimestampTz transaction_ = 0;
};

Known& known() {
    static Known object;
    return object;
}

Param p_oid(Oid oid) { return p_datum(OIDOID, ObjectIdGetDatum(oid)); }

std::string name_of(Oid role) {
    return call([&] { return std::string_view(GetUserNameFromId(role, false)); }).data();
}

Rows resolve(Oid role) {
    static Statement statement(
        R"sql(
            SELECT r.tenant_id, r.lane_id, r.principal_ids, r.is_operator, r.sees_all, r.choices,
                r.max_pending
            FROM mailer._resolve_role($1) r)sql",
        {OIDOID});
    return statement.run({p_oid(role)});
}

}  // namespace

Actor actor_of(Oid role) {
    if (const Actor* found = known().find(role)) return *found;
    const Rows rows = resolve(role);
    const std::vector<std::int64_t> principals =
        rows.is_null(0, "principal_ids") ? std::vector<std::int64_t>() : rows.bigints(0, "principal_ids");
    const Actor actor{rows.bigint(0, "tenant_id"),
                      rows.bigint(0, "lane_id"),
                      principals.empty() ? 0 : principals.front(),
                      principals,
                      rows.bigint(0, "max_pending"),
                      rows.boolean(0, "is_operator"),
                      rows.boolean(0, "sees_all")};
    known().keep(role, actor);
    return actor;
}

Actor actor() { return actor_of(calling_role()); }

void refuse_sender(Oid role) {
    const Rows rows = resolve(role);
    const std::string name = name_of(role);
    if (const auto choices = rows.maybe_text(0, "choices"))
        refuse("role \"" + name + "\" could act for several tenants", "It has the rights of " + *choices + ".",
               "Say for which: mailer.grant_sender('" + name + "', share_with => …), or SET ROLE first.", "42501");
    refuse("role \"" + name + "\" may not queue mail", {},
           "The extension's owner grants it with mailer.grant_sender(). After a restore from another cluster, "
           "mailer.arm() binds what was granted there.",
           "42501");
}

Actor tenant_actor() {
    const Actor found = actor();
    if (found.tenant_id == 0) refuse_sender(calling_role());
    return found;
}

Actor sender() {
    Actor found = tenant_actor();
    if (found.principal_id == 0) found.principal_id = principal_of(calling_role());
    return found;
}

bool is_template_granted(std::int64_t tenant_id, std::string_view name) {
    static Statement find(
        R"sql(
            SELECT
            FROM mailer.template_grant g
            WHERE g.template OPERATOR(pg_catalog.=) $1
                AND g.tenant_id OPERATOR(pg_catalog.=) $2)sql",
        {TEXTOID, INT8OID});
    return tenant_id == operator_tenant || !find.run({p_text(name), p_bigint(tenant_id)}).empty();
}

void refuse_ungranted(std::string_view what, std::string_view name) {
    const std::string kind(what), quoted = "'" + std::string(name) + "'";
    refuse(kind + " \"" + std::string(name) + "\" is not shared", {},
           "The extension's owner lets a role use it with mailer.grant_" + kind + "(role, " + quoted + ").", "42501");
}

std::int64_t principal_of(Oid role) {
    static Statement make("SELECT mailer._principal_of($1)", {OIDOID});
    if (const Actor found = actor_of(role); found.principal_id != 0) return found.principal_id;
    known().forget(role);
    return make.run({p_oid(role)}).bigint(0, 1);
}

void principals_changed() { CacheInvalidateRelcacheByRelid(oid_of_relation("principal")); }

}  // namespace mailer::pg
