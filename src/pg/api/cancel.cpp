// mailer.cancel, mailer.retry, mailer.resolve: what people may still do to a message that was queued.
//
// They touch only rows that wait, or outcomes; what is claimed belongs to the engine. A row that the engine is claiming
// just now is waited for (its transactions are short) and then found to be on its way. Each is one row of event_log.
// Every statement runs as the owner, with the role that called in the log.
#include "pg/bridge/identity.hpp"
#include "pg/enqueue/request.hpp"
#include "pg/server/wake.hpp"

namespace mailer::pg {
namespace {

constexpr std::int16_t retry_priority_of_campaigns = 3;  // before new leads; every gate still holds

struct Call {
    std::int64_t message_id;
    std::string role;
    std::int64_t now;
};

Call read_call(FunctionCallInfo fcinfo) {
    const std::optional<std::int64_t> id = Arguments(fcinfo).bigint();
    if (!id) refuse_null("message_id");
    return {*id, current_role(), transaction_now()};
}

void log(const Call& call_, std::string_view kind, const Param& detail) {
    static Statement insert(
        "INSERT INTO mailer.event (at, kind, message_id, batch_id, campaign_id, by_role, detail)"
        " SELECT $1, $2, m.message_id, m.batch_id, m.campaign_id, $4, COALESCE($5, '{}')"
        "   FROM mailer.message m WHERE m.message_id = $3",
        {TIMESTAMPTZOID, TEXTOID, INT8OID, TEXTOID, JSONBOID});
    insert.run(
        {p_time(call_.now), p_text(kind), p_bigint(call_.message_id), p_text(std::string_view(call_.role)), detail});
}

// ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────────

bool cancel(FunctionCallInfo fcinfo) {
    static Statement run(
        "WITH gone AS (DELETE FROM mailer.queue_entry q WHERE q.message_id = $1 AND q.state = 'p'"
        "   RETURNING q.message_id, q.lane_id, q.due_at, q.attempt_count, q.try_count),"
        " settled AS (INSERT INTO mailer.outcome (message_id, state, reason, settled_at, attempt_count, try_count, "
        "settled_by)"
        "   SELECT g.message_id, 'c', 'by_user', $2, g.attempt_count, g.try_count, $3 FROM gone g),"
        " counted AS (INSERT INTO mailer.tally_delta (campaign_id, batch_id, queued, cancelled)"
        "   SELECT m.campaign_id, m.batch_id, -1, 1 FROM gone g JOIN mailer.message m ON m.message_id = g.message_id),"
        " stopped AS (UPDATE mailer.recipient r SET state = 'c' FROM gone g"
        "   WHERE r.message_id = g.message_id AND r.state = 'p')"
        " SELECT g.lane_id, g.due_at FROM gone g",
        {INT8OID, TIMESTAMPTZOID, TEXTOID});
    const Call call_ = read_call(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    const Rows rows = run.run({p_bigint(call_.message_id), p_time(call_.now), p_text(std::string_view(call_.role))});
    if (rows.empty()) return false;
    // Should this roll back, the row is due again, and the worker may have passed it meanwhile.
    mark_wake(rows.bigint(0, 1), rows.bigint(0, 2));
    log(call_, "message_cancelled", p_null(JSONBOID));
    return true;
}

// ── retry ────────────────────────────────────────────────────────────────────────────────────────────────────────

// A message that waits for its next try after a failure: due now. One that waits for send_at isn't touched.
bool hasten(const Call& call_) {
    static Statement run(
        "UPDATE mailer.queue_entry q SET due_at = $2"
        " WHERE q.message_id = $1 AND q.state = 'p' AND q.try_count > 0 AND q.due_at > $2 RETURNING q.lane_id",
        {INT8OID, TIMESTAMPTZOID});
    const Rows rows = run.run({p_bigint(call_.message_id), p_time(call_.now)});
    if (rows.empty()) return false;
    mark_wake(rows.bigint(0, 1), call_.now);
    return true;
}

// Whether the message is of a campaign that was cancelled; if not, it can't be until the transaction ends.
bool is_campaign_cancelled(std::int64_t id) {
    static Statement find(
        "SELECT c.state FROM mailer.campaign c JOIN mailer.message m ON m.campaign_id = c.campaign_id"
        " WHERE m.message_id = $1 FOR KEY SHARE OF c",
        {INT8OID});
    const Rows rows = find.run({p_bigint(id)});
    return !rows.empty() && rows.letter(0, 1) == 'x';
}

// Takes a message with an outcome of this state back into the queue: with fresh attempts, its tries counted on. What
// has no address to go to, no content any more, or whose campaign was cancelled, stays. Who asks for another try
// believes in the address: that its refusal had suppressed it is lifted. Whom the unconfirmed conversation put off
// (4xx) had failed only because there was no next try; now there is one.
bool requeue(const Call& call_, char state) {
    static Statement run(
        "WITH gone AS (DELETE FROM mailer.outcome o USING mailer.message m"
        "   WHERE o.message_id = $1 AND m.message_id = o.message_id AND o.state = $3"
        "     AND o.reason IS DISTINCT FROM 'invalid_address' AND m.purged_at IS NULL"
        "   RETURNING m.message_id, m.lane_id, m.campaign_id, m.batch_id, m.expires_at, o.try_count),"
        " queued AS (INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, expires_at, epoch, "
        "try_count, age_from)"
        "   SELECT g.message_id, g.lane_id, CASE WHEN g.campaign_id IS NOT NULL THEN $4 ELSE 2 END, $2,"
        "          CASE WHEN g.expires_at > $2 THEN g.expires_at END, a.epoch, g.try_count, $2"
        "     FROM gone g CROSS JOIN mailer.arming a),"
        " reset AS (UPDATE mailer.recipient r SET state = 'p', code = NULL, enhanced_code = NULL, reply = NULL"
        "   FROM gone g WHERE r.message_id = g.message_id AND (r.state = $3"
        "     OR $3 = 'u' AND r.state = 'f' AND r.code BETWEEN 400 AND 499)),"
        " lifted AS (DELETE FROM mailer.suppression s USING gone g JOIN mailer.message m ON m.message_id = g.message_id"
        "   WHERE s.reason = 'hard_bounce' AND s.address_key IN (SELECT mailer._address_key(a.a) FROM "
        "unnest(m.addresses) AS a(a))),"
        " counted AS (INSERT INTO mailer.tally_delta (campaign_id, batch_id, queued, failed, unconfirmed)"
        "   SELECT g.campaign_id, g.batch_id, 1, -($3 = 'f')::integer, -($3 = 'u')::integer FROM gone g)"
        " SELECT g.lane_id, g.campaign_id FROM gone g",
        {INT8OID, TIMESTAMPTZOID, CHAROID, INT2OID});
    static Statement reopen("SELECT mailer._campaign_reopen($1, $2)", {INT8OID, TEXTOID});
    if (is_campaign_cancelled(call_.message_id)) return false;
    const Rows rows = run.run({p_bigint(call_.message_id), p_time(call_.now), p_datum(CHAROID, CharGetDatum(state)),
                               p_datum(INT2OID, Int16GetDatum(retry_priority_of_campaigns))});
    if (rows.empty()) return false;
    mark_wake(rows.bigint(0, 1), call_.now);
    if (!rows.is_null(0, 2))
        reopen.run({p_bigint(rows.bigint(0, 2)), p_text("message " + std::to_string(call_.message_id) +
                                                        (state == 'u' ? " is sent again" : " is retried"))});
    return true;
}

bool retry(FunctionCallInfo fcinfo) {
    const Call call_ = read_call(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    if (!requeue(call_, 'f') && !hasten(call_)) return false;
    log(call_, "message_retried", p_null(JSONBOID));
    return true;
}

// ── resolve ──────────────────────────────────────────────────────────────────────────────────────────────────────

[[noreturn]] void refuse_state(std::int64_t id) {
    static Statement find(
        "SELECT o.state, q.state FROM mailer.message m LEFT JOIN mailer.outcome o ON o.message_id = m.message_id"
        " LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id WHERE m.message_id = $1",
        {INT8OID});
    const std::string name = "message " + std::to_string(id);
    const Rows rows = find.run({p_bigint(id)});
    if (rows.empty()) refuse(name + " does not exist", {}, {}, "42704");
    std::string_view state = "pending";
    switch (rows.is_null(0, 1) ? rows.letter(0, 2) : rows.letter(0, 1)) {
        case 's':
            state = "sending";
            break;
        case 'S':
            state = "sent";
            break;
        case 'f':
            state = "failed";
            break;
        case 'c':
            state = "cancelled";
            break;
        case 'u':
            state = "unconfirmed, but its content was purged or its campaign was cancelled";
            break;
        default:
            break;
    }
    refuse(name + " is not unconfirmed", "It is " + std::string(state) + ".",
           "Only messages whose last reply never came are resolved; see mailer.message_status.", "55000");
}

bool resolve_as_sent(const Call& call_) {
    static Statement run(
        "WITH found AS (UPDATE mailer.outcome o SET state = 'S', reason = NULL, settled_by = $2"
        "   WHERE o.message_id = $1 AND o.state = 'u' RETURNING o.message_id),"
        " arrived AS (UPDATE mailer.recipient r SET state = 'S' FROM found f"
        "   WHERE r.message_id = f.message_id AND r.state = 'u'),"
        " counted AS (INSERT INTO mailer.tally_delta (campaign_id, batch_id, sent, unconfirmed)"
        "   SELECT m.campaign_id, m.batch_id, 1, -1 FROM found f JOIN mailer.message m ON m.message_id = f.message_id)"
        " SELECT 1 FROM found",
        {INT8OID, TEXTOID});
    return !run.run({p_bigint(call_.message_id), p_text(std::string_view(call_.role))}).empty();
}

void resolve(FunctionCallInfo fcinfo) {
    static Statement detail("SELECT jsonb_build_object('outcome', $1)", {TEXTOID});
    const Call call_ = read_call(fcinfo);
    const TextValue outcome = Arguments(fcinfo, 1).text();
    if (!outcome) refuse_null("outcome");
    const bool is_sent = outcome.view == "sent";
    if (!is_sent && outcome.view != "resend")
        refuse("invalid outcome: \"" + std::string(outcome.view) + "\"", {},
               "Outcomes are sent (it has arrived) and resend (it has not: queue it again).");
    AsOwner owner(fcinfo);
    Spi spi;
    if (!(is_sent ? resolve_as_sent(call_) : requeue(call_, 'u'))) refuse_state(call_.message_id);
    bool is_null = false;
    const Datum object = detail.run({outcome.param()}).datum(0, 1, &is_null);
    log(call_, "message_resolved", p_datum(JSONBOID, object));
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_cancel) {
    return mailer::pg::entry([&] { return BoolGetDatum(mailer::pg::cancel(fcinfo)); });
}

MAILER_FUNCTION(mailer_retry) {
    return mailer::pg::entry([&] { return BoolGetDatum(mailer::pg::retry(fcinfo)); });
}

MAILER_FUNCTION(mailer_resolve) {
    mailer::pg::entry([&] { mailer::pg::resolve(fcinfo); });
    PG_RETURN_VOID();
}
