// mailer.notify, and the private functions of notifications that SQL shares with it.
//
// notify runs as the extension's owner, as SECURITY DEFINER would; whoever has the right to call it may tell anybody.
// The others are called by functions that have the owner's rights already.
#include "pg/bridge/identity.hpp"
#include "pg/notify/notification.hpp"
#include "pg/tenancy/principal.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
#include "utils/uuid.h"
}

namespace mailer::pg {
namespace {

struct MaybeId {
    std::int64_t id;
    bool is_null;
};

using ToText = TextValue (*)(Datum);

TextValue as_text(Datum value) { return detoasted_text(value); }
TextValue integer_as_text(Datum value) { return text_value(std::to_string(DatumGetInt32(value))); }
TextValue bigint_as_text(Datum value) { return text_value(std::to_string(DatumGetInt64(value))); }
TextValue uuid_as_text(Datum value) {
    return text_value(call([&] { return DatumGetCString(DirectFunctionCall1(uuid_out, value)); }));
}

MaybeId notify(FunctionCallInfo fcinfo, ToText to_text) {
    Arguments arguments(fcinfo);
    Notification notification;
    const auto user_id = [&] {
        const RawValue id = arguments.raw();
        return id ? to_text(id.datum) : TextValue{};
    };
    notification.user = user_id();
    notification.category = arguments.text();
    notification.template_name = arguments.text();
    notification.variables = arguments.raw();
    notification.actor = user_id();
    notification.key = arguments.text();
    const AsOwner owner(fcinfo);
    const Spi spi;
    notification.tenant_id = tenant_actor().tenant_id;
    const auto id = notify_user(notification);
    return {id.value_or(0), !id};
}

Datum entered(FunctionCallInfo fcinfo, ToText to_text) {
    const MaybeId row = entry([&] { return notify(fcinfo, to_text); });
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

MAILER_FUNCTION(mailer_notify_text) { return mailer::pg::entered(fcinfo, mailer::pg::as_text); }
MAILER_FUNCTION(mailer_notify_integer) { return mailer::pg::entered(fcinfo, mailer::pg::integer_as_text); }
MAILER_FUNCTION(mailer_notify_bigint) { return mailer::pg::entered(fcinfo, mailer::pg::bigint_as_text); }
MAILER_FUNCTION(mailer_notify_uuid) { return mailer::pg::entered(fcinfo, mailer::pg::uuid_as_text); }

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
