// The statements behind endings.hpp.
#include "pg/engine/endings.hpp"

#include <algorithm>
#include <iterator>
#include <map>

#include "core/outcome/backoff.hpp"
#include "pg/engine/leads.hpp"
#include "pg/server/wake.hpp"
#include "worker/settlement.hpp"

namespace mailer::pg {

using core::Time;
using worker::Settlement;

namespace {

constexpr std::size_t chunk = 5000;  // messages that a statement ends at a time

}  // namespace

// ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────

void AttemptArrays::add(const Settlement& s) {
    const auto& a = s.attempt;
    started.push_back(a ? std::optional(to_pg(a->started_at)) : std::nullopt);
    dot.push_back(a && a->dot_at ? std::optional(to_pg(*a->dot_at)) : std::nullopt);
    finished.push_back(a ? std::optional(to_pg(a->finished_at)) : std::nullopt);
    stage.push_back(a ? std::optional(a->stage) : std::nullopt);
    code.push_back(a && a->reply.code ? std::optional<std::int32_t>(a->reply.code) : std::nullopt);
    enhanced.push_back(a && !a->reply.enhanced.empty() ? std::optional(a->reply.enhanced) : std::nullopt);
    reply.push_back(a && !a->reply.text.empty() ? std::optional(a->reply.text) : std::nullopt);
    outcome.push_back(a ? std::optional(a->outcome) : std::nullopt);
    fingerprint.push_back(a && a->fingerprint ? std::optional(static_cast<std::int64_t>(*a->fingerprint))
                                              : std::nullopt);
}

std::optional<std::int64_t> token_of(const Settlement& s) {
    return s.token == 0 ? std::nullopt : std::optional(static_cast<std::int64_t>(s.token));
}

std::optional<std::int64_t> mailbox_of(const Settlement& s) {
    return s.reservation ? std::optional(s.reservation->mailbox_id) : std::nullopt;
}

std::optional<std::string> not_empty(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

// ── Writing an end ───────────────────────────────────────────────────────────────────────────────────────────────

// Only messages with several recipients have states of their own for them.
void store_recipients(std::span<const Settlement> settlements, const std::set<std::int64_t>& written) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.recipient (message_id, n, state, code, enhanced_code, reply)
            SELECT message_id, n, state::"char", code, enhanced, reply
            FROM unnest($1, $2, $3, $4, $5, $6) AS r(message_id, n, state, code, enhanced, reply)
            ON CONFLICT (message_id, n) DO UPDATE SET state = excluded.state, code = excluded.code,
                enhanced_code = excluded.enhanced_code, reply = excluded.reply)sql",
        {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID});
    std::vector<std::int64_t> ids;
    std::vector<std::int32_t> numbers;
    std::vector<std::string> states;
    std::vector<std::optional<std::int32_t>> codes;
    std::vector<std::optional<std::string>> enhanced, replies;
    for (const Settlement& s : settlements) {
        if (s.row.recipient_count < 2 || !written.contains(s.row.facts.id)) continue;
        for (const worker::RecipientRow& r : s.recipients) {
            ids.push_back(s.row.facts.id);
            numbers.push_back(r.n);
            states.emplace_back(1, r.state);
            codes.push_back(r.reply.code ? std::optional<std::int32_t>(r.reply.code) : std::nullopt);
            enhanced.push_back(not_empty(r.reply.enhanced));
            replies.push_back(not_empty(r.reply.text));
        }
    }
    if (!ids.empty()) {
        statement.run(
            {p_bigints(ids), p_ints(numbers), p_texts(states), p_ints(codes), p_texts(enhanced), p_texts(replies)});
    }
}

namespace {

// One statement for all: unnest() joins the arrays to the rows, and what has another token is left alone (a stale
// owner can't write a result).
std::set<std::int64_t> write_outcomes(std::span<const Settlement> settlements, Time now,
                                      const std::optional<std::string>& settled_by) {
    static Statement statement(
        R"sql(
            WITH gone AS (
                DELETE FROM mailer.queue_entry q
                USING unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $20) AS s(message_id, token, state, reason, mailbox_id, consumed, code, enhanced, reply,
                started_at, dot_at, finished_at, stage, a_code, a_enhanced, a_reply, outcome, fingerprint)
                WHERE q.message_id = s.message_id
                    AND q.token IS NOT DISTINCT FROM s.token
                RETURNING s.*, q.attempt_count, q.try_count),
            settled AS (
                INSERT INTO mailer.outcome (message_id, state, reason, settled_at, mailbox_id, attempt_count,
                try_count, code, enhanced_code, reply, settled_by)
                SELECT message_id, state::"char", reason, $1, mailbox_id, attempt_count + consumed,
                try_count + (started_at IS NOT NULL)::integer, code, enhanced, reply, $19
                FROM gone
                WHERE (SELECT true FROM mailer.outcome o WHERE o.message_id = gone.message_id) IS NULL),
                logged AS (
                INSERT INTO mailer.attempt (message_id, attempt, mailbox_id, started_at, dot_at, finished_at,
                stage, code, enhanced_code, reply, outcome, fingerprint)
                SELECT message_id, try_count + 1, mailbox_id, started_at, dot_at, finished_at, stage, a_code,
                a_enhanced, a_reply, outcome, fingerprint
                FROM gone
                WHERE started_at IS NOT NULL)
            SELECT message_id
            FROM gone)sql",
        {TIMESTAMPTZOID,      INT8ARRAYOID,        INT8ARRAYOID,        TEXTARRAYOID, TEXTARRAYOID,
         INT8ARRAYOID,        INT4ARRAYOID,        INT4ARRAYOID,        TEXTARRAYOID, TEXTARRAYOID,
         TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
         TEXTARRAYOID,        TEXTARRAYOID,        TEXTARRAYOID,        TEXTOID,      INT8ARRAYOID});
    std::vector<std::int64_t> ids;
    std::vector<std::optional<std::int64_t>> tokens, mailboxes;
    std::vector<std::string> states;
    std::vector<std::optional<std::string>> reasons, enhanced, replies;
    std::vector<std::int32_t> consumed;
    std::vector<std::optional<std::int32_t>> codes;
    AttemptArrays attempts;
    for (const Settlement& s : settlements) {
        if (!s.is_final) continue;
        ids.push_back(s.row.facts.id);
        tokens.push_back(token_of(s));
        states.emplace_back(1, s.state);
        reasons.push_back(not_empty(s.reason));
        mailboxes.push_back(mailbox_of(s));
        consumed.push_back(s.consumes_attempt || s.is_sent ? 1 : 0);
        codes.push_back(s.reply.code ? std::optional<std::int32_t>(s.reply.code) : std::nullopt);
        enhanced.push_back(not_empty(s.reply.enhanced));
        replies.push_back(not_empty(s.reply.text));
        attempts.add(s);
    }
    std::set<std::int64_t> written;
    if (ids.empty()) return written;
    Rows rows = statement.run({p_at(now),
                               p_bigints(ids),
                               p_bigints(tokens),
                               p_texts(states),
                               p_texts(reasons),
                               p_bigints(mailboxes),
                               p_ints(consumed),
                               p_ints(codes),
                               p_texts(enhanced),
                               p_texts(replies),
                               p_times(attempts.started),
                               p_times(attempts.dot),
                               p_times(attempts.finished),
                               p_texts(attempts.stage),
                               p_ints(attempts.code),
                               p_texts(attempts.enhanced),
                               p_texts(attempts.reply),
                               p_texts(attempts.outcome),
                               p_text(settled_by),
                               p_bigints(attempts.fingerprint)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        written.insert(rows.bigint(i, 1));
    return written;
}

// E2: recipients that still wait get no other try.
void stop_recipients(std::span<const Settlement> settlements, const std::set<std::int64_t>& written) {
    static Statement statement(
        R"sql(
            UPDATE mailer.recipient r SET state = s.state::"char"
            FROM unnest($1, $2) AS s(message_id, state)
            WHERE r.message_id = s.message_id AND r.state = 'p')sql",
        {INT8ARRAYOID, TEXTARRAYOID});
    std::vector<std::int64_t> ids;
    std::vector<std::string> states;
    for (const Settlement& s : settlements) {
        if (!s.is_final || s.row.recipient_count < 2 || !written.contains(s.row.facts.id)) continue;
        ids.push_back(s.row.facts.id);
        states.emplace_back(1, s.rest);
    }
    if (!ids.empty()) statement.run({p_bigints(ids), p_texts(states)});
}

void count_endings(std::span<const Settlement> settlements, const std::set<std::int64_t>& written) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.tally_delta (campaign_id, batch_id, queued, sent, failed, cancelled,
                unconfirmed)
            SELECT campaign_id, batch_id, -(sent + failed + cancelled + unconfirmed), sent, failed,
                cancelled, unconfirmed
            FROM unnest($1, $2, $3, $4, $5, $6) AS d(campaign_id, batch_id, sent, failed, cancelled,
                unconfirmed))sql",
        {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID});
    struct Counts {
        std::int64_t sent = 0, failed = 0, cancelled = 0, unconfirmed = 0;
    };
    std::map<std::pair<std::optional<std::int64_t>, std::optional<std::int64_t>>, Counts> by_owner;
    for (const Settlement& s : settlements) {
        if (!s.is_final || !written.contains(s.row.facts.id)) continue;
        const bool is_follow_up = s.row.facts.step > 1;
        // A campaign counts leads: one whose first mail was sent is `sent` whatever becomes of its follow-ups.
        if (is_follow_up && s.state != 'S') {
            by_owner[{s.row.campaign_id, {}}].sent += 1;
            by_owner[{std::nullopt, std::nullopt}].sent -= 1;
        }
        Counts& counts = is_follow_up && s.state != 'S' ? by_owner[{std::nullopt, std::nullopt}]
                                                        : by_owner[{s.row.campaign_id, s.row.batch_id}];
        (s.state == 'S'   ? counts.sent
         : s.state == 'f' ? counts.failed
         : s.state == 'c' ? counts.cancelled
                          : counts.unconfirmed) += 1;
    }
    if (by_owner.empty()) return;
    std::vector<std::optional<std::int64_t>> campaigns, batches;
    std::vector<std::int64_t> sent, failed, cancelled, unconfirmed;
    for (const auto& [owner, counts] : by_owner) {
        campaigns.push_back(owner.first);
        batches.push_back(owner.second);
        sent.push_back(counts.sent);
        failed.push_back(counts.failed);
        cancelled.push_back(counts.cancelled);
        unconfirmed.push_back(counts.unconfirmed);
    }
    statement.run({p_bigints(campaigns), p_bigints(batches), p_bigints(sent), p_bigints(failed), p_bigints(cancelled),
                   p_bigints(unconfirmed)});
}

}  // namespace

std::set<std::int64_t> write_endings(std::span<const Settlement> settlements, Time now,
                                     const std::optional<std::string>& settled_by) {
    std::set<std::int64_t> written = write_outcomes(settlements, now, settled_by);
    store_recipients(settlements, written);
    stop_recipients(settlements, written);
    count_endings(settlements, written);
    return written;
}

// ── Ending by a statement ────────────────────────────────────────────────────────────────────────────────────────

namespace {

// A settlement for each of these messages that is pending, locked; `lanes` receives the lane in which each waits.
std::vector<Settlement> pending_of(std::span<const std::int64_t> ids, std::map<std::int64_t, std::int64_t>& lanes) {
    static Statement statement(
        R"sql(
        SELECT q.message_id, q.lane_id, q.due_at, m.campaign_id, m.batch_id, cardinality(m.addresses) AS recipient_count,
               CASE WHEN q.try_count > 0 AND cardinality(m.addresses) > 1 THEN
                   (SELECT count(*) FROM mailer.recipient r WHERE r.message_id = q.message_id AND r.state = 'S') END AS accepted_before,
               CASE WHEN q.try_count > 0 AND cardinality(m.addresses) > 1 THEN
                   (SELECT count(*) FROM mailer.recipient r WHERE r.message_id = q.message_id AND r.state IN ('f', 'c')) END AS refused_before,
               CASE WHEN m.step_id = 0 THEN 1 ELSE 2 END AS step
        FROM (SELECT e.message_id, e.lane_id, e.due_at, e.try_count FROM mailer.queue_entry e
              WHERE e.message_id = ANY ($1) AND e.state = 'p' ORDER BY e.message_id FOR UPDATE) q
        JOIN mailer.message m ON m.message_id = q.message_id
        )sql",
        {INT8ARRAYOID});
    const Rows rows = statement.run({p_bigints(ids)});
    std::vector<Settlement> pending(rows.count());
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        worker::Candidate& row = pending[i].row;
        row.facts.id = rows.bigint(i, "message_id");
        row.lane_id = rows.bigint(i, "lane_id");
        row.campaign_id = rows.maybe_bigint(i, "campaign_id");
        row.batch_id = rows.maybe_bigint(i, "batch_id");
        row.recipient_count = static_cast<int>(rows.bigint(i, "recipient_count"));
        row.accepted_before = static_cast<int>(rows.bigint(i, "accepted_before"));
        row.refused_before = static_cast<int>(rows.bigint(i, "refused_before"));
        row.facts.step = static_cast<int>(rows.bigint(i, "step"));  // a first mail or a later one: what is counted
        const auto [lane, is_new] = lanes.try_emplace(row.lane_id, rows.bigint(i, "due_at"));
        if (!is_new) lane->second = std::min(lane->second, rows.bigint(i, "due_at"));
    }
    return pending;
}

std::vector<std::int64_t> end_pending(std::span<const std::int64_t> ids, core::Cause cause, const std::string& detail,
                                      const std::optional<std::string>& settled_by, Time now) {
    std::vector<std::int64_t> ended;
    std::map<std::int64_t, std::int64_t> lanes;
    for (std::size_t from = 0; from < ids.size(); from += chunk) {
        std::vector<Settlement> settlements = pending_of(ids.subspan(from, std::min(chunk, ids.size() - from)), lanes);
        for (Settlement& s : settlements) {
            worker::end(s, cause);
            s.reply.text = detail;
        }
        const std::set<std::int64_t> written = write_endings(settlements, now, settled_by);
        ended.insert(ended.end(), written.begin(), written.end());
    }
    // Should this roll back, the rows are due again, and the worker may have passed them meanwhile.
    for (const auto& [lane, due_at] : lanes)
        mark_wake(lane, due_at);
    std::sort(ended.begin(), ended.end());
    return ended;
}

// Of messages that are unconfirmed: the recipients whose fate was open have got it.
std::vector<std::int64_t> end_unconfirmed(std::span<const std::int64_t> ids, core::Cause cause,
                                          const std::string& detail, const std::optional<std::string>& settled_by,
                                          Time now) {
    static Statement find(
        R"sql(
        SELECT o.message_id, cardinality(m.addresses) AS recipient_count,
               (SELECT count(*) FROM mailer.recipient r WHERE r.message_id = o.message_id AND r.state IN ('f', 'c')) AS refused
        FROM (SELECT u.message_id FROM mailer.outcome u
              WHERE u.message_id = ANY ($1) AND u.state = 'u' ORDER BY u.message_id FOR UPDATE) o
        JOIN mailer.message m ON m.message_id = o.message_id
        )sql",
        {INT8ARRAYOID});
    static Statement write(
        R"sql(
        WITH found AS (
            UPDATE mailer.outcome o
            SET state = 'S', reason = s.reason, settled_by = $3, reply = COALESCE($4, o.reply)
            FROM unnest($1, $2) AS s(message_id, reason)
            WHERE o.message_id = s.message_id AND o.state = 'u'
            RETURNING o.message_id
        ), arrived AS (
            UPDATE mailer.recipient r SET state = 'S'
            FROM found f WHERE r.message_id = f.message_id AND r.state = 'u'
        ), counted AS (
            INSERT INTO mailer.tally_delta (campaign_id, batch_id, sent, unconfirmed)
            SELECT CASE WHEN m.step_id = 0 THEN m.campaign_id END, m.batch_id, count(*), -count(*)
            FROM found f JOIN mailer.message m ON m.message_id = f.message_id
            GROUP BY 1, 2
        )
        SELECT f.message_id FROM found f ORDER BY f.message_id
        )sql",
        {INT8ARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID});
    std::vector<std::int64_t> found;
    std::vector<std::optional<std::string>> reasons;
    const Rows open = find.run({p_bigints(ids)});
    for (std::uint64_t i = 0; i < open.count(); ++i) {
        const int total = static_cast<int>(open.bigint(i, "recipient_count"));
        const int refused = static_cast<int>(open.bigint(i, "refused"));
        found.push_back(open.bigint(i, "message_id"));
        reasons.push_back(not_empty(core::end_of({total - refused, refused, 0}, cause).reason));
    }
    std::vector<std::int64_t> ended;
    if (found.empty()) return ended;
    const Rows rows = write.run({p_bigints(found), p_texts(reasons), p_text(settled_by), p_text(not_empty(detail))});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        ended.push_back(rows.bigint(i, 1));
    queue_next_steps(ended, now);  // known as sent only now
    // Nothing of the campaign may have been unsettled any more.
    static Statement reopen(
        R"sql(
        SELECT mailer._campaign_reopen(c.campaign_id, 'a mail was confirmed')
        FROM (SELECT DISTINCT m.campaign_id FROM mailer.message m WHERE m.message_id = ANY ($1)) c
        WHERE EXISTS (SELECT FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id
                      WHERE l.campaign_id = c.campaign_id AND q.state = 'p')
        )sql",
        {INT8ARRAYOID});
    if (!ended.empty()) reopen.run({p_bigints(ended)});
    return ended;
}

}  // namespace

std::vector<std::int64_t> end_messages(std::span<const std::int64_t> message_ids, core::Cause cause,
                                       const std::string& detail, const std::optional<std::string>& settled_by,
                                       Time now) {
    if (core::ends_unconfirmed(cause)) return end_unconfirmed(message_ids, cause, detail, settled_by, now);
    return end_pending(message_ids, cause, detail, settled_by, now);
}

// ── Putting back ─────────────────────────────────────────────────────────────────────────────────────────────────

namespace {

// The campaigns of these messages that aren't cancelled; none of them can be until the transaction ends.
std::vector<std::int64_t> open_campaigns_of(std::span<const std::int64_t> message_ids) {
    static Statement find(
        R"sql(
        SELECT c.campaign_id FROM mailer.campaign c
        WHERE c.campaign_id IN (SELECT m.campaign_id FROM mailer.message m WHERE m.message_id = ANY ($1))
          AND c.state <> 'x'
        ORDER BY c.campaign_id FOR KEY SHARE OF c
        )sql",
        {INT8ARRAYOID});
    std::vector<std::int64_t> ids;
    const Rows rows = find.run({p_bigints(message_ids)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        ids.push_back(rows.bigint(i, 1));
    return ids;
}

}  // namespace

// Whom the unconfirmed conversation put off (4xx) had failed only because there was no next try; now there is one.
std::vector<std::int64_t> put_back(std::span<const std::int64_t> message_ids, core::MessageState state,
                                   const std::string& why, Time now) {
    static Statement statement(
        R"sql(
        WITH gone AS (
            DELETE FROM mailer.outcome o USING mailer.message m
            WHERE o.message_id = ANY ($1) AND m.message_id = o.message_id AND o.state = $3
              AND o.reason IS DISTINCT FROM 'invalid_address' AND m.purged_at IS NULL
              AND (m.campaign_id IS NULL OR m.campaign_id = ANY ($5))
            RETURNING m.message_id, m.lane_id, m.campaign_id, m.step_id, m.batch_id, m.addresses, m.expires_at, o.try_count, m.tenant_id
        ), queued AS (
            INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, expires_at, epoch, try_count, age_from)
            SELECT g.message_id, g.lane_id, CASE WHEN g.campaign_id IS NULL THEN 2 ELSE $4 END, $2,
                   CASE WHEN g.expires_at > $2 THEN g.expires_at END, a.epoch, g.try_count, $2
            FROM gone g CROSS JOIN mailer.arming a ORDER BY g.message_id
        ), reset AS (
            UPDATE mailer.recipient r SET state = 'p', code = NULL, enhanced_code = NULL, reply = NULL
            FROM gone g
            WHERE r.message_id = g.message_id
              AND (r.state = $3 OR $3 = 'u' AND r.state = 'f' AND r.code BETWEEN 400 AND 499)
        ), lifted AS (
            DELETE FROM mailer.suppression s
            WHERE s.reason = 'hard_bounce' AND (s.address_key, s.tenant_id) IN (
                SELECT mailer._address_key(a.address), g.tenant_id
                FROM gone g CROSS JOIN LATERAL unnest(g.addresses) AS a(address))
        ), counted AS (
            INSERT INTO mailer.tally_delta (campaign_id, batch_id, queued, sent, failed, cancelled, unconfirmed)
            SELECT g.campaign_id, g.batch_id, count(*), 0, -(count(*) FILTER (WHERE $3 = 'f')),
                   -(count(*) FILTER (WHERE $3 = 'c')), -(count(*) FILTER (WHERE $3 = 'u'))
            FROM gone g WHERE g.step_id = 0 GROUP BY g.campaign_id, g.batch_id
            UNION ALL  -- a lead whose follow-up waits again was counted as sent
            SELECT g.campaign_id, NULL, count(*), -count(*), 0, 0, 0
            FROM gone g WHERE g.step_id <> 0 GROUP BY g.campaign_id
            UNION ALL
            SELECT NULL, NULL, 0, count(*), -(count(*) FILTER (WHERE $3 = 'f')),
                   -(count(*) FILTER (WHERE $3 = 'c')), -(count(*) FILTER (WHERE $3 = 'u'))
            FROM gone g WHERE g.step_id <> 0 HAVING count(*) > 0
        )
        SELECT g.message_id, g.lane_id, g.campaign_id FROM gone g ORDER BY g.message_id
        )sql",
        {INT8ARRAYOID, TIMESTAMPTZOID, CHAROID, INT2OID, INT8ARRAYOID});
    static Statement reopen("SELECT mailer._campaign_reopen($1, $2)", {INT8OID, TEXTOID});
    const std::vector<std::int64_t> campaigns = open_campaigns_of(message_ids);
    const std::set<std::int64_t> ended = of_ended_leads(message_ids);
    std::vector<std::int64_t> wanted;
    std::copy_if(message_ids.begin(), message_ids.end(), std::back_inserter(wanted),
                 [&ended](std::int64_t id) { return !ended.contains(id); });
    const Rows rows = statement.run({p_bigints(wanted), p_at(now), p_datum(CHAROID, CharGetDatum(core::letter(state))),
                                     p_datum(INT2OID, Int16GetDatum(core::retry_priority)), p_bigints(campaigns)});
    std::vector<std::int64_t> ids;
    std::set<std::int64_t> lanes, reopened;
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        ids.push_back(rows.bigint(i, "message_id"));
        lanes.insert(rows.bigint(i, "lane_id"));
        if (const auto campaign = rows.maybe_bigint(i, "campaign_id")) reopened.insert(*campaign);
    }
    for (const std::int64_t lane : lanes)
        mark_wake(lane, to_pg(now));
    for (const std::int64_t campaign : reopened)
        reopen.run({p_bigint(campaign), p_text(why)});
    return ids;
}

}  // namespace mailer::pg
