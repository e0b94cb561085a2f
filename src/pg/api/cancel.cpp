// mailer.cancel, mailer.retry, mailer.resolve: what people may still do to a message that was queued.
//
// They touch only rows that wait, or outcomes; what is claimed belongs to the engine. A row that the engine is claiming
// just now is waited for (its transactions are short) and then found to be on its way. Each is one row of event_log.
// Every statement runs as the owner, with the role that called in the log.
#include "pg/bridge/identity.hpp"
#include "pg/engine/endings.hpp"
#include "pg/enqueue/request.hpp"
#include "pg/server/wake.hpp"

namespace mailer::pg {
namespace {

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
        R"sql(
            INSERT INTO mailer.event (at, kind, message_id, batch_id, campaign_id, by_role, detail)
            SELECT $1, $2, m.message_id, m.batch_id, m.campaign_id, $4, COALESCE($5, '{}')
            FROM mailer.message m
            WHERE m.message_id = $3)sql",
        {TIMESTAMPTZOID, TEXTOID, INT8OID, TEXTOID, JSONBOID});
    insert.run(
        {p_time(call_.now), p_text(kind), p_bigint(call_.message_id), p_text(std::string_view(call_.role)), detail});
}

// To a caller, messages of others don't exist. What a sender queued into a campaign is the operators', but the role
// that queued it may still take it back.
bool is_theirs(std::int64_t message_id, bool also_queued = false) {
    static Statement find("SELECT m.tenant_id, m.principal_id FROM mailer.message m WHERE m.message_id = $1",
                          {INT8OID});
    const Actor who = actor();
    if (who.is_operator) return true;
    const Rows rows = find.run({p_bigint(message_id)});
    if (rows.empty()) return false;
    return who.owns(rows.bigint(0, "tenant_id")) || (also_queued && who.queued(rows.bigint(0, "principal_id")));
}

// Why nothing was done, for people: a program looks at the result.
bool notice_why(const Call& call_, const char* done) {
    static Statement find(
        R"sql(
            SELECT s.state || coalesce(' (' || s.reason || ')', '') AS words, s.purged_at IS NOT NULL AS is_purged,
                CASE WHEN s.state IN ('failed', 'unconfirmed') THEN l.ended END AS ended
            FROM mailer.message_status s
            JOIN mailer.message m ON m.message_id = s.message_id
            LEFT JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
            WHERE s.message_id = $1)sql",
        {INT8OID});
    std::string why = "there is no such message";
    const Rows rows = find.run({p_bigint(call_.message_id)});
    if (is_theirs(call_.message_id) && !rows.empty()) {
        why = "it is " + rows.text(0, "words");
        if (rows.boolean(0, "is_purged")) why += ", and its content was purged";
        if (const auto ended = rows.maybe_text(0, "ended"))
            why += ", and the sequence of its lead has ended (" + *ended + "); mailer.lead_restore() resumes it";
    }
    const long long id = call_.message_id;
    call([&] { ereport(NOTICE, (errmsg("message %lld is not %s: %s", id, done, why.c_str()))); });
    return false;
}

// ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────────

bool cancel(FunctionCallInfo fcinfo) {
    const Call call_ = read_call(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    if (!is_theirs(call_.message_id, true)) return false;
    if (end_messages(std::span(&call_.message_id, 1), core::Cause::by_user, "", call_.role, from_pg(call_.now)).empty())
        return notice_why(call_, "cancelled");
    log(call_, "message_cancelled", p_null(JSONBOID));
    return true;
}

// ── retry ────────────────────────────────────────────────────────────────────────────────────────────────────────

// A message that waits for its next try after a failure: due now. One that waits for send_at isn't touched.
bool hasten(const Call& call_) {
    static Statement run(
        R"sql(
            UPDATE mailer.queue_entry q SET due_at = $2
            WHERE q.message_id = $1 AND q.state = 'p' AND q.try_count > 0
                AND q.due_at > $2 RETURNING q.lane_id)sql",
        {INT8OID, TIMESTAMPTZOID});
    const Rows rows = run.run({p_bigint(call_.message_id), p_time(call_.now)});
    if (rows.empty()) return false;
    mark_wake(rows.bigint(0, 1), call_.now);
    return true;
}

bool requeue(const Call& call_, core::MessageState state) {
    const std::string why = "message " + std::to_string(call_.message_id) +
                            (state == core::MessageState::unconfirmed ? " is sent again" : " is retried");
    return !put_back(std::span(&call_.message_id, 1), state, why, from_pg(call_.now)).empty();
}

bool retry(FunctionCallInfo fcinfo) {
    const Call call_ = read_call(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    if (!is_theirs(call_.message_id)) return notice_why(call_, "retried");
    if (!requeue(call_, core::MessageState::failed) && !hasten(call_)) return notice_why(call_, "retried");
    log(call_, "message_retried", p_null(JSONBOID));
    return true;
}

// ── resolve ──────────────────────────────────────────────────────────────────────────────────────────────────────

[[noreturn]] void refuse_state(std::int64_t id) {
    static Statement find(
        R"sql(
            SELECT coalesce(o.state, q.state) AS state, l.ended
            FROM mailer.message m
            LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
            LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
            LEFT JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
            WHERE m.message_id = $1)sql",
        {INT8OID});
    const std::string name = "message " + std::to_string(id);
    const Rows rows = find.run({p_bigint(id)});
    if (rows.empty()) refuse(name + " does not exist", {}, {}, "42704");
    const auto state = static_cast<core::MessageState>(rows.letter(0, "state"));
    std::string is(core::to_text(state));
    if (const auto ended = rows.maybe_text(0, "ended"); ended && state == core::MessageState::unconfirmed)
        refuse(name + " is not sent again", "The sequence of its lead has ended (" + *ended + ").",
               "Resume it with mailer.lead_restore() first, or resolve the message as sent.", "55000");
    if (state == core::MessageState::unconfirmed) is += ", but its content was purged or its campaign was cancelled";
    refuse(name + " is not unconfirmed", "It is " + is + ".",
           "Only messages whose last reply never came are resolved; see mailer.message_status.", "55000");
}

bool resolve_as_sent(const Call& call_) {
    return !end_messages(std::span(&call_.message_id, 1), core::Cause::resolved, "", call_.role, from_pg(call_.now))
                .empty();
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
    if (!(is_sent ? resolve_as_sent(call_) : requeue(call_, core::MessageState::unconfirmed)))
        refuse_state(call_.message_id);
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
