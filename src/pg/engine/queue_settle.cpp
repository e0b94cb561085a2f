// The queue's writing half: settling by token, with outcome, attempt log, recipients and counts; see queue.hpp.
//
// One statement for all that is final and one for all that goes back to pending: unnest() joins the arrays to the
// claimed rows, and what has another token is left alone (a stale owner can't write a result).
#include "pg/bridge/clock.hpp"
#include "pg/engine/queue.hpp"

namespace mailer::pg {

using core::Time;
using worker::Settlement;

namespace {

// A refused address is left alone for this long; then a mail is tried again.
constexpr core::Duration hard_bounce_lasts = std::chrono::hours{24 * 30};

// The attempt's columns as arrays, shared by both statements.
struct AttemptArrays {
    std::vector<std::optional<std::int64_t>> started, dot, finished;
    std::vector<std::optional<std::string>> stage, enhanced, reply, outcome;
    std::vector<std::optional<std::int32_t>> code;

    void add(const Settlement& s) {
        const auto& a = s.attempt;
        started.push_back(a ? std::optional(to_pg(a->started_at)) : std::nullopt);
        dot.push_back(a && a->dot_at ? std::optional(to_pg(*a->dot_at)) : std::nullopt);
        finished.push_back(a ? std::optional(to_pg(a->finished_at)) : std::nullopt);
        stage.push_back(a ? std::optional(a->stage) : std::nullopt);
        code.push_back(a && a->reply.code ? std::optional<std::int32_t>(a->reply.code) : std::nullopt);
        enhanced.push_back(a && !a->reply.enhanced.empty() ? std::optional(a->reply.enhanced) : std::nullopt);
        reply.push_back(a && !a->reply.text.empty() ? std::optional(a->reply.text) : std::nullopt);
        outcome.push_back(a ? std::optional(a->outcome) : std::nullopt);
    }
};

std::optional<std::int64_t> token_of(const Settlement& s) {
    return s.token == 0 ? std::nullopt : std::optional(static_cast<std::int64_t>(s.token));
}

std::optional<std::int64_t> mailbox_of(const Settlement& s) {
    return s.reservation ? std::optional(s.reservation->mailbox_id) : std::nullopt;
}

std::optional<std::string> not_empty(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

std::vector<bool> PgQueue::settle(std::span<const Settlement> settlements, Time now) {
    std::set<std::int64_t> written;
    settle_finals(settlements, now, written);
    settle_returns(settlements, written);
    store_recipients(settlements);
    suppress_bounced(settlements, now);
    store_captured(settlements, now);
    store_deltas(settlements, written);
    std::vector<bool> result;
    for (const Settlement& s : settlements)
        result.push_back(written.contains(s.row.facts.id));
    return result;
}

void PgQueue::settle_finals(std::span<const Settlement> settlements, Time now, std::set<std::int64_t>& written) {
    static Statement statement(
        "WITH gone AS ("
        "  DELETE FROM mailer.queue_entry q"
        "   USING unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) AS s(message_id, "
        "token, state,"
        "         reason, mailbox_id, consumed, code, enhanced, reply, started_at, dot_at, finished_at, stage, a_code, "
        "a_enhanced,"
        "         a_reply, outcome)"
        "   WHERE q.message_id = s.message_id AND q.token IS NOT DISTINCT FROM s.token"
        "  RETURNING s.*, q.attempt_count, q.try_count),"
        " settled AS ("
        "  INSERT INTO mailer.outcome (message_id, state, reason, settled_at, mailbox_id, attempt_count, try_count, "
        "code, enhanced_code, reply)"
        "  SELECT message_id, state::\"char\", reason, $1, mailbox_id, attempt_count + consumed,"
        "         try_count + (started_at IS NOT NULL)::integer, code, enhanced, reply FROM gone "
        "  WHERE (SELECT true FROM mailer.outcome o WHERE o.message_id = gone.message_id) IS NULL),"
        " logged AS ("
        "  INSERT INTO mailer.attempt (message_id, attempt, mailbox_id, started_at, dot_at, finished_at, stage, code, "
        "enhanced_code, reply, outcome)"
        "  SELECT message_id, try_count + 1, mailbox_id, started_at, dot_at, finished_at, stage, a_code, a_enhanced, "
        "a_reply, outcome"
        "    FROM gone WHERE started_at IS NOT NULL)"
        " SELECT message_id FROM gone",
        {TIMESTAMPTZOID, INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT4ARRAYOID,
         INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
         TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID});
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
    if (ids.empty()) return;
    Rows rows = statement.run({p_at(now), p_bigints(ids), p_bigints(tokens), p_texts(states), p_texts(reasons),
                               p_bigints(mailboxes), p_ints(consumed), p_ints(codes), p_texts(enhanced),
                               p_texts(replies), p_times(attempts.started), p_times(attempts.dot),
                               p_times(attempts.finished), p_texts(attempts.stage), p_ints(attempts.code),
                               p_texts(attempts.enhanced), p_texts(attempts.reply), p_texts(attempts.outcome)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        written.insert(rows.bigint(i, 1));
}

void PgQueue::settle_returns(std::span<const Settlement> settlements, std::set<std::int64_t>& written) {
    static Statement statement(
        "WITH back AS ("
        "  UPDATE mailer.queue_entry q SET state = 'p', token = NULL, mailbox_id = NULL, claimed_at = NULL, "
        "reserved_day = NULL,"
        "         campaign_day = NULL, due_at = s.due_at, attempt_count = q.attempt_count + s.consumed,"
        "         try_count = q.try_count + (s.started_at IS NOT NULL)::integer, crash_count = q.crash_count + "
        "s.crashed,"
        "         priority = CASE WHEN s.is_retry = 1 THEN greatest(q.priority, 3) ELSE q.priority END"
        "    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) AS s(message_id, token, "
        "due_at, mailbox_id, consumed, crashed,"
        "         is_retry, started_at, dot_at, finished_at, stage, a_code, a_enhanced, a_reply, outcome)"
        "   WHERE q.message_id = s.message_id AND q.token IS NOT DISTINCT FROM s.token"
        "  RETURNING s.*, q.try_count),"
        " logged AS ("
        "  INSERT INTO mailer.attempt (message_id, attempt, mailbox_id, started_at, dot_at, finished_at, stage, code, "
        "enhanced_code, reply, outcome)"
        "  SELECT message_id, try_count, mailbox_id, started_at, dot_at, finished_at, stage, a_code, a_enhanced, "
        "a_reply, outcome"
        "    FROM back WHERE started_at IS NOT NULL)"
        " SELECT message_id FROM back",
        {INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
         TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
         TEXTARRAYOID, TEXTARRAYOID});
    std::vector<std::int64_t> ids, due;
    std::vector<std::optional<std::int64_t>> tokens, mailboxes;
    std::vector<std::int32_t> consumed, crashed, retries;
    AttemptArrays attempts;
    for (const Settlement& s : settlements) {
        if (s.is_final) continue;
        ids.push_back(s.row.facts.id);
        tokens.push_back(token_of(s));
        due.push_back(to_pg(s.due_at.value_or(s.row.facts.due_at)));
        mailboxes.push_back(mailbox_of(s));
        consumed.push_back(s.consumes_attempt ? 1 : 0);
        crashed.push_back(s.counts_crash ? 1 : 0);
        retries.push_back(s.row.campaign_id && s.attempt ? 1 : 0);
        attempts.add(s);
    }
    if (ids.empty()) return;
    Rows rows = statement.run({p_bigints(ids), p_bigints(tokens), p_times(due), p_bigints(mailboxes), p_ints(consumed),
                               p_ints(crashed), p_ints(retries), p_times(attempts.started), p_times(attempts.dot),
                               p_times(attempts.finished), p_texts(attempts.stage), p_ints(attempts.code),
                               p_texts(attempts.enhanced), p_texts(attempts.reply), p_texts(attempts.outcome)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        written.insert(rows.bigint(i, 1));
}

// Only messages with several recipients have states of their own for them.
void PgQueue::store_recipients(std::span<const Settlement> settlements) {
    static Statement statement(
        "INSERT INTO mailer.recipient (message_id, n, state, code, enhanced_code, reply)"
        " SELECT message_id, n, state::\"char\", code, enhanced, reply FROM unnest($1, $2, $3, $4, $5, $6)"
        "     AS r(message_id, n, state, code, enhanced, reply)"
        " ON CONFLICT (message_id, n) DO UPDATE SET state = excluded.state, code = excluded.code,"
        "     enhanced_code = excluded.enhanced_code, reply = excluded.reply",
        {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID});
    std::vector<std::int64_t> ids;
    std::vector<std::int32_t> numbers;
    std::vector<std::string> states;
    std::vector<std::optional<std::int32_t>> codes;
    std::vector<std::optional<std::string>> enhanced, replies;
    for (const Settlement& s : settlements) {
        if (s.row.recipient_count < 2) continue;
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
    stop_recipients(settlements);
}

// Whoever still waits when the message is settled for good gets no other try: not accepted, whatever became of the
// others.
void PgQueue::stop_recipients(std::span<const Settlement> settlements) {
    static Statement statement(
        "UPDATE mailer.recipient r SET state = s.state::\"char\" FROM unnest($1, $2) AS s(message_id, state)"
        " WHERE r.message_id = s.message_id AND r.state = 'p'",
        {INT8ARRAYOID, TEXTARRAYOID});
    std::vector<std::int64_t> ids;
    std::vector<std::string> states;
    for (const Settlement& s : settlements) {
        if (!s.is_final || s.row.recipient_count < 2) continue;
        ids.push_back(s.row.facts.id);
        states.emplace_back(1, s.state == 'c' ? 'c' : 'f');
    }
    if (!ids.empty()) statement.run({p_bigints(ids), p_texts(states)});
}

void PgQueue::suppress_bounced(std::span<const Settlement> settlements, Time now) {
    static Statement statement(
        "WITH bounced AS (SELECT DISTINCT ON (mailer._address_key(m.addresses[b.n])) m.message_id, m.addresses[b.n] AS "
        "address,"
        "         mailer._address_key(m.addresses[b.n]) AS key"
        "    FROM unnest($1, $2) AS b(message_id, n) JOIN mailer.message m ON m.message_id = b.message_id),"
        " added AS (INSERT INTO mailer.suppression (address_key, scope, address, reason, expires_at, created_at, "
        "created_by)"
        "  SELECT key, 'all', address, 'hard_bounce', $4, $3, 'mailer' FROM bounced"
        "  ON CONFLICT (address_key, scope) DO UPDATE SET expires_at = excluded.expires_at"
        "   WHERE suppression.reason = 'hard_bounce' RETURNING address_key)"
        " INSERT INTO mailer.event (at, kind, message_id, by_role, detail)"
        "  SELECT $3, 'address_suppressed', message_id, 'mailer', jsonb_build_object('address', address, 'reason', "
        "'hard_bounce')"
        "    FROM bounced WHERE key IN (SELECT address_key FROM added)",
        {INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID});
    std::vector<std::int64_t> ids;
    std::vector<std::int32_t> numbers;
    for (const Settlement& s : settlements) {
        for (const worker::RecipientRow& r : s.recipients) {
            if (!r.is_hard_bounce) continue;
            ids.push_back(s.row.facts.id);
            numbers.push_back(r.n);
        }
    }
    if (!ids.empty()) statement.run({p_bigints(ids), p_ints(numbers), p_at(now), p_at(now + hard_bounce_lasts)});
}

void PgQueue::store_captured(std::span<const Settlement> settlements, Time now) {
    static Statement statement(
        "INSERT INTO mailer.captured_mail (message_id, attempt, captured_at, mailbox_id, envelope_from, envelope_to, "
        "source)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        {INT8OID, INT4OID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTARRAYOID, BYTEAOID});
    for (const Settlement& s : settlements) {
        if (!s.captured) continue;
        statement.run({p_bigint(s.row.facts.id), p_int(s.row.try_count + 1), p_at(now),
                       p_bigint(s.reservation->mailbox_id), p_text(s.captured->sender), p_texts(s.captured->recipients),
                       p_bytea(*s.captured->body)});
    }
}

void PgQueue::store_deltas(std::span<const Settlement> settlements, const std::set<std::int64_t>& written) {
    static Statement statement(
        "INSERT INTO mailer.tally_delta (campaign_id, batch_id, queued, sent, failed, cancelled, unconfirmed)"
        " SELECT campaign_id, batch_id, -(sent + failed + cancelled + unconfirmed), sent, failed, cancelled, "
        "unconfirmed"
        "   FROM unnest($1, $2, $3, $4, $5, $6) AS d(campaign_id, batch_id, sent, failed, cancelled, unconfirmed)",
        {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID});
    struct Counts {
        std::int64_t sent = 0, failed = 0, cancelled = 0, unconfirmed = 0;
    };
    std::map<std::pair<std::optional<std::int64_t>, std::optional<std::int64_t>>, Counts> by_owner;
    for (const Settlement& s : settlements) {
        if (!s.is_final || !written.contains(s.row.facts.id)) continue;
        Counts& counts = by_owner[{s.row.campaign_id, s.row.batch_id}];
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

}  // namespace mailer::pg
