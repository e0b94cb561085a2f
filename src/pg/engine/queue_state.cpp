// What the engine stores beside the messages: breakers, missed slots, finished campaigns, counts, events; see
// queue.hpp. What every tick writes is in queue_hot_rows.cpp.
#include "pg/bridge/clock.hpp"
#include "pg/engine/leads.hpp"
#include "pg/engine/queue.hpp"

namespace mailer::pg {

using core::Time;

// ── Breakers, missed slots ─────────────────────────────────────────────────────────────────────────────────

int PgQueue::breaker_failures(std::int64_t mailbox_id) {
    auto it = failures_.find(mailbox_id);
    return it == failures_.end() ? 0 : it->second;
}

void PgQueue::store_breaker(std::int64_t mailbox_id, int failures, std::optional<Time> until, const std::string& reason,
                            Time now) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.mailbox_state AS s (mailbox_id, breaker_failures, breaker_until,
                breaker_since, breaker_reason)
            VALUES ($1, $2, $3, CASE WHEN $3 IS NULL THEN NULL ELSE $5 END, $4)
            ON CONFLICT (mailbox_id) DO UPDATE SET breaker_failures = $2, breaker_until = $3,
                breaker_reason = $4,
                breaker_since = CASE WHEN $3 IS NULL THEN NULL ELSE coalesce(s.breaker_since, $5) END)sql",
        {INT8OID, INT4OID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID});
    statement.run(
        {p_bigint(mailbox_id), p_int(failures), p_at(until), until ? p_text(reason) : p_null(TEXTOID), p_at(now)});
    failures_[mailbox_id] = failures;
    log_event(until ? "breaker_opened" : "breaker_closed", {}, {}, mailbox_id, reason);
}

// Somebody changed the mailbox's settings or resumed it since: what failed then says nothing about now, and what its
// server took may be otherwise.
void PgQueue::forget_what_was_mended() {
    static Statement statement(
        R"sql(
            WITH mended AS (SELECT s.mailbox_id, s.breaker_since < m.mended_at AS is_closed,
                    s.connections_since < m.mended_at AS is_raised
                FROM mailer.mailbox_state s
                JOIN mailer.mailbox m ON m.mailbox_id = s.mailbox_id
                WHERE s.breaker_since < m.mended_at OR s.connections_since < m.mended_at
                FOR UPDATE OF s),
            forgotten AS (UPDATE mailer.mailbox_state s
                SET breaker_failures = CASE WHEN f.is_closed THEN 0 ELSE s.breaker_failures END,
                    breaker_until = CASE WHEN f.is_closed THEN NULL ELSE s.breaker_until END,
                    breaker_since = CASE WHEN f.is_closed THEN NULL ELSE s.breaker_since END,
                    breaker_reason = CASE WHEN f.is_closed THEN NULL ELSE s.breaker_reason END,
                    connections = CASE WHEN f.is_raised THEN NULL ELSE s.connections END,
                    connections_since = CASE WHEN f.is_raised THEN NULL ELSE s.connections_since END,
                    connections_next_at = CASE WHEN f.is_raised THEN NULL ELSE s.connections_next_at END,
                    connections_pause = CASE WHEN f.is_raised THEN NULL ELSE s.connections_pause END,
                    connections_reason = CASE WHEN f.is_raised THEN NULL ELSE s.connections_reason END
                FROM mended f WHERE f.mailbox_id = s.mailbox_id)
            INSERT INTO mailer.event (kind, mailbox_id, by_role, detail)
            SELECT 'breaker_closed', mailbox_id, 'mailer', jsonb_build_object('text',
                'its settings were changed')
            FROM mended WHERE is_closed)sql",
        {});
    statement.run({});
}

void PgQueue::store_lowered(const core::MailboxFacts& mailbox) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.mailbox_state (mailbox_id, connections, connections_since,
                connections_next_at, connections_pause, connections_reason)
            VALUES ($1, $2, $3, $4, $5 * interval '1 us', $6)
            ON CONFLICT (mailbox_id) DO UPDATE SET connections = excluded.connections,
                connections_since = excluded.connections_since,
                connections_next_at = excluded.connections_next_at,
                connections_pause = excluded.connections_pause,
                connections_reason = excluded.connections_reason)sql",
        {INT8OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID});
    const core::LoweredConnections& lowered = *mailbox.lowered;
    statement.run({p_bigint(mailbox.id), p_int(lowered.connections), p_at(lowered.since), p_at(lowered.next_at),
                   p_bigint(lowered.pause.count()), p_text(lowered.reason)});
}

void PgQueue::store_missed(std::int64_t campaign_id, const core::MissedSlots& missed) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.missed_slot_log (campaign_id, from_at, to_at, slot_count, reason)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (campaign_id, from_at) DO UPDATE SET to_at = excluded.to_at,
                slot_count = excluded.slot_count, reason = excluded.reason)sql",
        {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID});
    if (missed.count <= 0) return;
    statement.run({p_bigint(campaign_id), p_at(missed.from), p_at(missed.to), p_bigint(missed.count),
                   p_text(core::missed_reason_text(missed.reason))});
}

// ── Campaigns, counts, events ────────────────────────────────────────────────────────────────────────────────────

std::vector<std::int64_t> PgQueue::complete_campaigns(std::span<const std::int64_t> lane_ids, Time now) {
    // Two statements: a transaction that adds leads holds FOR KEY SHARE until commit, so with the lock, a new snapshot
    // sees them.
    static Statement locked(
        "SELECT c.lane_id FROM mailer.campaign c WHERE c.lane_id = ANY ($1) AND c.state = 'r'"
        "   AND EXISTS (SELECT FROM mailer.message m WHERE m.campaign_id = c.campaign_id)"  // started empty it stays
                                                                                            // running
        " FOR UPDATE SKIP LOCKED",
        {INT8ARRAYOID});
    static Statement statement(
        "WITH done AS (UPDATE mailer.campaign c SET state = 'c', completed_at = $2 WHERE c.lane_id = ANY ($1) AND "
        "c.state = 'r'"
        "     AND NOT EXISTS (SELECT 1 FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id AND "
        "q.state = 'p'"
        "       WHERE l.campaign_id = c.campaign_id)"
        "     AND NOT EXISTS (SELECT 1 FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id AND "
        "q.state = 's'"
        "       WHERE l.campaign_id = c.campaign_id)"
        "     RETURNING c.campaign_id, c.lane_id),"
        " logged AS (INSERT INTO mailer.event (at, kind, campaign_id, by_role, detail)"
        "     SELECT $2, 'campaign_completed', campaign_id, 'mailer', '{}' FROM done)"
        " SELECT lane_id FROM done",
        {INT8ARRAYOID, TIMESTAMPTZOID});
    std::vector<std::int64_t> completed;
    std::vector<std::int64_t> ours;
    Rows held = locked.run({p_bigints(lane_ids)});
    for (std::uint64_t i = 0; i < held.count(); ++i)
        ours.push_back(held.bigint(i, 1));
    if (ours.empty()) return completed;
    Rows rows = statement.run({p_bigints(ours), p_at(now)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        completed.push_back(rows.bigint(i, 1));
    return completed;
}

std::set<std::int64_t> PgQueue::stopped_among(std::span<const std::int64_t> message_ids) {
    return pg::stopped_among(message_ids);
}

void PgQueue::end_campaigns(Time now) {
    static Statement statement("SELECT mailer._end_campaigns($1)", {TIMESTAMPTZOID});
    statement.run({p_at(now)});
}

void PgQueue::fold_tally(Time now) {
    static Statement is_counted("SELECT 1 FROM mailer.tally WHERE scope = 'a' AND id = 0", {});
    static Statement statement(
        R"sql(
            WITH gone AS (DELETE FROM mailer.tally_delta
                RETURNING *), sums AS (SELECT 'a'::"char" AS scope, 0::bigint AS id, sum(queued) AS queued,
                sum(sent) AS sent, sum(failed) AS failed, sum(cancelled) AS cancelled,
                sum(unconfirmed) AS unconfirmed
                FROM gone HAVING count(*) > 0 UNION ALL
                SELECT 'c', campaign_id, sum(queued), sum(sent), sum(failed), sum(cancelled), sum(unconfirmed)
                FROM gone WHERE campaign_id IS NOT NULL GROUP BY campaign_id UNION ALL
                SELECT 'b', batch_id, sum(queued), sum(sent), sum(failed), sum(cancelled), sum(unconfirmed)
                FROM gone WHERE batch_id IS NOT NULL
                GROUP BY batch_id), folded AS (INSERT INTO mailer.tally AS t (scope, id, queued, sent,
                failed, cancelled, unconfirmed)
                SELECT * FROM sums
                ON CONFLICT (scope, id) DO UPDATE SET queued = t.queued + excluded.queued,
                sent = t.sent + excluded.sent, failed = t.failed + excluded.failed,
                cancelled = t.cancelled + excluded.cancelled,
                unconfirmed = t.unconfirmed + excluded.unconfirmed
                RETURNING *)
            INSERT INTO mailer.event (at, kind, batch_id, by_role, detail)
            SELECT $1, 'batch_finished', f.id, 'mailer', jsonb_build_object('summary',
                format('sent %s of %s', f.sent, f.sent + f.failed + f.cancelled + f.unconfirmed), 'sent',
                f.sent, 'failed', f.failed, 'cancelled', f.cancelled, 'unconfirmed', f.unconfirmed)
            FROM folded f
            WHERE f.scope = 'b' AND f.queued = 0)sql",
        {TIMESTAMPTZOID});
    if (is_counted.run({}).empty()) recount_tally();
    statement.run({p_at(now)});
}

// After a restore, and once in a new database: counts from what is there. One statement, so that one snapshot decides
// which mails are counted and which deltas are dropped for it; what commits later is in neither.
void PgQueue::recount_tally() {
    static Statement empty("DELETE FROM mailer.tally", {});
    static Statement statement(R"sql(
        WITH counted AS (DELETE FROM mailer.tally_delta)
        INSERT INTO mailer.tally (scope, id, queued, sent, failed, cancelled, unconfirmed)
        SELECT s.scope, r.*
        FROM unnest('{a,c,b}'::"char"[]) s(scope)
        CROSS JOIN LATERAL mailer._recount(s.scope) r)sql",
                               {});
    empty.run({});
    statement.run({});
}

void PgQueue::log_event(const std::string& kind, std::optional<std::int64_t> message_id,
                        std::optional<std::int64_t> campaign_id, std::optional<std::int64_t> mailbox_id,
                        const std::string& detail) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.event (at, kind, message_id, campaign_id, mailbox_id, by_role, detail)
            VALUES ($6, $1, $2, $3, $4, 'mailer',
                CASE WHEN $5 = '' THEN '{}'::jsonb ELSE jsonb_build_object('text', $5) END))sql",
        {TEXTOID, INT8OID, INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID});
    statement.run(
        {p_text(kind), p_bigint(message_id), p_bigint(campaign_id), p_bigint(mailbox_id), p_text(detail), p_at(now_)});
}

}  // namespace mailer::pg
