// mailer.enqueue_batch and mailer.batch_cancel: several mails about one event, with one summary.
#include "pg/bridge/identity.hpp"
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
    batch.request = read_request(fcinfo, bool{recipient_variables});
    AsOwner owner(fcinfo);
    Spi spi;
    return store_batch(batch);
}

std::int64_t batch_cancel(FunctionCallInfo fcinfo) {
    static Statement find("SELECT b.lane_id FROM mailer.batch_entry b WHERE b.batch_id = $1", {INT8OID});
    static Statement cancel(
        "WITH gone AS (DELETE FROM mailer.queue_entry q USING mailer.message m"
        "   WHERE m.batch_id = $1 AND q.message_id = m.message_id AND q.state = 'p'"
        "   RETURNING q.message_id, q.attempt_count, q.try_count, q.due_at),"
        " settled AS (INSERT INTO mailer.outcome (message_id, state, reason, settled_at, attempt_count, try_count, "
        "settled_by)"
        "   SELECT g.message_id, 'c', 'by_user', $2, g.attempt_count, g.try_count, $3 FROM gone g),"
        " facts AS (SELECT count(*) AS n, min(g.due_at) AS due_at FROM gone g),"
        " counted AS (INSERT INTO mailer.tally_delta (batch_id, queued, cancelled) SELECT $1, -n, n FROM facts WHERE n "
        "> 0),"
        " logged AS (INSERT INTO mailer.event (at, kind, batch_id, by_role, detail)"
        "   SELECT $2, 'batch_cancelled', $1, $3, jsonb_build_object('count', n) FROM facts)"
        " SELECT n, due_at FROM facts",
        {INT8OID, TIMESTAMPTZOID, TEXTOID});
    const std::optional<std::int64_t> id = Arguments(fcinfo).bigint();
    if (!id) refuse_null("batch_id");
    const std::string role = current_role();
    AsOwner owner(fcinfo);
    Spi spi;
    const Rows batch = find.run({p_bigint(*id)});
    if (batch.empty())
        refuse("batch " + std::to_string(*id) + " does not exist", {}, "Batches are listed in mailer.batch.", "42704");
    const std::int64_t lane = batch.bigint(0, 1);
    const Rows rows = cancel.run({p_bigint(*id), p_time(transaction_now()), p_text(std::string_view(role))});
    const std::int64_t count = rows.bigint(0, 1);
    // If this rolls back, what was deleted is due again, and the worker may have passed it meanwhile.
    if (count > 0) mark_wake(lane, rows.bigint(0, 2));
    mark_changed();
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
