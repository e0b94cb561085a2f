// What campaigns share with enqueue(): the check of headers, the domain of Message-IDs, and mailer._store_leads, for
// campaign_add and campaign_add_many in a campaign that they have locked.
#include "pg/enqueue/lead_store.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace mailer::pg {
namespace {

std::vector<Lead> read_leads(const RawValue& recipients, const RawValue& variables, const RawValue& external_ids) {
    const ArrayElements names = elements_of(recipients.datum, TEXTOID);
    const ArrayElements own = variables ? elements_of(variables.datum, JSONBOID) : ArrayElements{};
    const ArrayElements ids = external_ids ? elements_of(external_ids.datum, TEXTOID) : ArrayElements{};
    std::vector<Lead> leads(static_cast<std::size_t>(names.count));
    for (int i = 0; i < names.count; ++i) {
        Lead& lead = leads[static_cast<std::size_t>(i)];
        if (!names.nulls[i]) lead.recipient = detoasted_text(names.values[i]).view;
        if (i < own.count) lead.variables = {own.nulls[i], own.values[i]};
        if (i < ids.count && !ids.nulls[i]) lead.external_id = detoasted_text(ids.values[i]);
        if (lead.external_id) check_key_length("external_id", lead.external_id.view);
    }
    return leads;
}

// What leads have of their own: arrays beside the recipients, or NULL where none has any.
void read_own(std::vector<Lead>& leads, Arguments& arguments) {
    const RawValue lanes = arguments.raw(), mailboxes = arguments.raw(), zones = arguments.raw();
    const RawValue times = arguments.raw(), priorities = arguments.raw();
    auto each = [&](const RawValue& array, Oid type, auto put) {
        if (!array) return;
        const ArrayElements elements = elements_of(array.datum, type);
        for (int i = 0; i < elements.count && i < static_cast<int>(leads.size()); ++i)
            if (!elements.nulls[i]) put(leads[static_cast<std::size_t>(i)], elements.values[i]);
    };
    each(lanes, INT8OID, [](Lead& lead, Datum d) { lead.lane_id = DatumGetInt64(d); });
    each(mailboxes, INT8OID, [](Lead& lead, Datum d) { lead.mailbox_id = DatumGetInt64(d); });
    each(zones, TEXTOID, [](Lead& lead, Datum d) { lead.timezone = detoasted_text(d); });
    each(times, TIMESTAMPTZOID, [](Lead& lead, Datum d) { lead.not_before = DatumGetTimestampTz(d); });
    each(priorities, INT4OID, [](Lead& lead, Datum d) { lead.priority = DatumGetInt32(d); });
}

std::int64_t known(std::optional<std::int64_t> value, const char* parameter) {
    if (!value) refuse_null(parameter);
    return *value;
}

// Gives {queued, failed, id of the first that is new or 0}.
Datum store(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    Leads leads;
    leads.campaign_id = known(arguments.bigint(), "campaign_id");
    leads.lane_id = known(arguments.bigint(), "lane_id");
    leads.request.by.tenant_id = operator_tenant;  // campaigns are the operators'
    leads.request.by.principal_id = known(arguments.bigint(), "principal_id");
    leads.request.template_name = arguments.text();
    leads.domain = arguments.text().view;
    leads.epoch = known(arguments.bigint(), "epoch");
    leads.request.due_at = known(arguments.time(), "due_at");
    leads.request.now = transaction_now();
    const RawValue recipients = arguments.raw();
    if (!recipients) refuse_null("recipients");
    const RawValue variables = arguments.raw();
    leads.items = read_leads(recipients, variables, arguments.raw());
    read_own(leads.items, arguments);
    const Datum none = call([] { return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")); });
    leads.request.variables = {false, none};
    // The result outlives SPI's memory, which is gone when the Spi is.
    const StoredLeads stored = [&] {
        Spi spi;
        return store_leads(leads);
    }();
    const std::array<std::int64_t, 3> result = {stored.queued, stored.failed, stored.first_id};
    return p_bigints(std::span<const std::int64_t>(result)).value;
}

void check_headers_of(FunctionCallInfo fcinfo) {
    RawValue headers = Arguments(fcinfo).raw();
    if (!headers) refuse_null("headers");
    check_headers(headers, true);
}

Datum message_id_domain(FunctionCallInfo fcinfo) {
    const std::int64_t lane = known(Arguments(fcinfo).bigint(), "lane_id");
    const std::string domain = [&] {
        Spi spi;
        return destination_of_lane(lane, operator_tenant).domain;
    }();
    return text_value(domain).datum;
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_check_headers) {
    mailer::pg::entry([&] { mailer::pg::check_headers_of(fcinfo); });
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_message_id_domain) {
    return mailer::pg::entry([&] { return mailer::pg::message_id_domain(fcinfo); });
}

MAILER_FUNCTION(mailer_store_leads) {
    return mailer::pg::entry([&] { return mailer::pg::store(fcinfo); });
}
