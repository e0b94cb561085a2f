// mailer.notify, and the private functions of notifications that SQL shares with it.
//
// notify runs as the extension's owner, as SECURITY DEFINER would; a role that may call it may notify anybody.
// The others are called by functions that have the owner's rights already.
#include "pg/bridge/identity.hpp"
#include "pg/notify/notification.hpp"
#include "pg/tenancy/principal.hpp"

namespace mailer::pg {
namespace {

struct MaybeId {
    std::int64_t id;
    bool is_null;
};

MaybeId notify(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    Notification notification;
    notification.user = arguments.text();
    notification.category = arguments.text();
    notification.template_name = arguments.text();
    notification.variables = arguments.raw();
    notification.actor = arguments.text();
    notification.key = arguments.text();
    const AsOwner owner(fcinfo);
    const Spi spi;
    notification.tenant_id = tenant_actor().tenant_id;
    const auto id = notify_user(notification);
    return {id.value_or(0), !id};
}

Datum entered(FunctionCallInfo fcinfo) {
    const MaybeId row = entry([&] { return notify(fcinfo); });
    fcinfo->isnull = row.is_null;
    return Int64GetDatum(row.id);
}

Datum header_to(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const TextValue address = arguments.text();
    return text_value(core::contact_mailbox(address.view, arguments.text().view)).datum;
}

Datum collapsed_one(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const RawValue variables = arguments.raw();
    if (!variables) refuse_null("variables");
    const TextValue actor = arguments.text();
    const TextValue actor_id = arguments.text();
    return variables_of_one(variables, actor, actor_id, arguments.time().value_or(0)).datum;
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_notify) { return mailer::pg::entered(fcinfo); }

MAILER_FUNCTION(mailer_queue_successor) {
    mailer::pg::entry([&] {
        const mailer::pg::Spi spi;
        mailer::pg::queue_successor(PG_GETARG_INT64(0));
    });
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_queue_digest) {
    mailer::pg::entry([&] {
        const mailer::pg::Spi spi;
        mailer::pg::Arguments arguments(fcinfo);
        const mailer::pg::TextValue user = arguments.text();
        const mailer::pg::TextValue category = arguments.text();
        mailer::pg::queue_digest(user, category, arguments.boolean().value_or(false));
    });
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_header_to) {
    return mailer::pg::entry([&] { return mailer::pg::header_to(fcinfo); });
}

MAILER_FUNCTION(mailer_collapsed_one) {
    return mailer::pg::entry([&] { return mailer::pg::collapsed_one(fcinfo); });
}
