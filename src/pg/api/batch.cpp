// mailer.enqueue_batch and mailer.batch_cancel: several mails about one event, with one summary.
#include "pg/bridge/identity.hpp"
#include "pg/engine/endings.hpp"
#include "pg/enqueue/attachments.hpp"
#include "pg/enqueue/batch_store.hpp"
#include "pg/server/wake.hpp"

namespace mailer::pg {
namespace {

// One item a recipient, with its variables where some are given.
std::vector<BatchItem> read_items(const RawValue& recipients, const RawValue& variables) {
    if (!recipients) refuse_null("recipients");
    const ArrayElements names = elements_of(recipients.datum, TEXTOID);
    std::vector<BatchItem> items(static_cast<std::size_t>(names.count));
    for (int i = 0; i < names.count; ++i) {
        if (!names.nulls[i]) items[static_cast<std::size_t>(i)].recipient = detoasted_text(names.values[i]).view;
    }
    if (!variables) return items;
    const ArrayElements own = elements_of(variables.datum, JSONBOID);
    if (own.count != names.count)
        refuse("recipients and recipient_variables must be of one length",
               "There are " + std::to_string(names.count) + " recipients and " + std::to_string(own.count) +
                   " recipient_variables.",
               "An element may be NULL.", "2202E");
    for (int i = 0; i < own.count; ++i)
        items[static_cast<std::size_t>(i)].variables = {own.nulls[i], own.values[i]};
    check_items(items);
    return items;
}

// The elements of an array that has one for each recipient; none when it is NULL.
ArrayElements one_each(const RawValue& array, const char* what, std::size_t recipients) {
    if (!array) return {};
    const ArrayElements own = elements_of(array.datum, JSONBOID);
    if (static_cast<std::size_t>(own.count) != recipients)
        refuse("recipients and " + std::string(what) + " must be of one length",
               "There are " + std::to_string(recipients) + " recipients and " + std::to_string(own.count) + " " + what +
                   ".",
               "An element may be NULL.", "2202E");
    return own;
}

void read_headers(Batch& batch, const RawValue& array, bool are_templates) {
    const ArrayElements own = one_each(array, "recipient_headers", batch.items.size());
    for (int i = 0; i < own.count; ++i) {
        RawValue& headers = batch.items[static_cast<std::size_t>(i)].headers;
        headers = {own.nulls[i], own.values[i]};
        check_object("an element of recipient_headers", headers, message_size_limit());
        check_headers(headers, are_templates);
    }
}

void read_own_attachments(Batch& batch, const RawValue& array) {
    const ArrayElements own = one_each(array, "recipient_attachments", batch.items.size());
    for (int i = 0; i < own.count; ++i)
        batch.items[static_cast<std::size_t>(i)].attachments = read_json_attachments(
            {own.nulls[i], own.values[i]}, "attachments of recipient " + std::to_string(i + 1), message_size_limit());
}

std::int64_t enqueue_batch(FunctionCallInfo fcinfo) {
    Arguments rest(fcinfo, 1 + arguments_of_request);
    const RawValue recipient_variables = rest.raw();
    Batch batch;
    batch.gap = checked_gap(rest.raw());
    batch.label = rest.text();
    if (batch.label && batch.label.view.size() > longest_label)
        refuse("label is too long", "It has " + std::to_string(batch.label.view.size()) + " octets; " +
                                        std::to_string(longest_label) + " are allowed.");
    batch.items = read_items(Arguments(fcinfo).raw(), recipient_variables);
    const RawValue recipient_headers = rest.raw();
    const RawValue recipient_attachments = rest.raw();
    batch.request = read_request(fcinfo, rest.raw(), bool{recipient_variables});
    const Request& request = batch.request;
    const bool is_template = request.template_name || request.variables || request.loader || recipient_variables;
    read_headers(batch, recipient_headers, is_template);
    read_own_attachments(batch, recipient_attachments);
    AsOwner owner(fcinfo);
    Spi spi;
    batch.request.by = sender();
    return store_batch(batch);
}

std::int64_t batch_cancel(FunctionCallInfo fcinfo) {
    static Statement find("SELECT b.tenant_id FROM mailer.batch_entry b WHERE b.batch_id = $1", {INT8OID});
    static Statement pending(
        R"sql(
        SELECT q.message_id FROM mailer.message m JOIN mailer.queue_entry q ON q.message_id = m.message_id
        WHERE m.batch_id = $1 AND q.state = 'p'
        )sql",
        {INT8OID});
    static Statement log(
        R"sql(
        INSERT INTO mailer.event (at, kind, batch_id, by_role, detail)
        VALUES ($2, 'batch_cancelled', $1, $3, jsonb_build_object('count', $4))
        )sql",
        {INT8OID, TIMESTAMPTZOID, TEXTOID, INT8OID});
    const std::optional<std::int64_t> id = Arguments(fcinfo).bigint();
    if (!id) refuse_null("batch_id");
    const std::string role = current_role();
    AsOwner owner(fcinfo);
    Spi spi;
    const Rows batch = find.run({p_bigint(*id)});
    if (batch.empty() || !actor().owns(batch.bigint(0, 1)))
        refuse("batch " + std::to_string(*id) + " does not exist", {}, "Batches are listed in mailer.batch.", "42704");
    std::vector<std::int64_t> ids;
    const Rows rows = pending.run({p_bigint(*id)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        ids.push_back(rows.bigint(i, 1));
    const std::int64_t now = transaction_now();
    const auto count =
        static_cast<std::int64_t>(end_messages(ids, core::Cause::by_user, "", role, from_pg(now)).size());
    log.run({p_bigint(*id), p_time(now), p_text(std::string_view(role)), p_bigint(count)});
    return count;
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_enqueue_batch) {
    return mailer::pg::entry([&] { return Int64GetDatum(mailer::pg::enqueue_batch(fcinfo)); });
}

MAILER_FUNCTION(mailer_batch_cancel) {
    return mailer::pg::entry([&] { return Int64GetDatum(mailer::pg::batch_cancel(fcinfo)); });
}
