// The queue's writing half: settling by token, with outcome, attempt log, recipients and counts; see queue.hpp.
//
// What is final is written by write_endings() (endings.cpp); here is what goes back to pending, and what a settlement
// leaves besides: suppressions of bounced addresses and captured mail.
#include "pg/bridge/clock.hpp"
#include "pg/engine/endings.hpp"
#include "pg/engine/leads.hpp"
#include "pg/engine/queue.hpp"

namespace mailer::pg {

using core::Time;
using worker::Settlement;

namespace {

// Who cancels a campaign locks it FOR UPDATE, then ends what waits in it. Of those that mail returns to, and those that
// have a step to follow: the locked ones, and with false those that are cancelled.
std::map<std::int64_t, bool> ending_campaigns(const std::set<std::int64_t>& ids,
                                              const std::set<std::int64_t>& returning) {
    static Statement statement(
        R"sql(
            WITH wanted AS MATERIALIZED (
                SELECT c.campaign_id FROM mailer.campaign c
                WHERE c.campaign_id = ANY ($1)
                    AND (c.campaign_id = ANY ($2)
                         OR EXISTS (SELECT FROM mailer.campaign_step s WHERE s.campaign_id = c.campaign_id))),
            held AS MATERIALIZED (
                SELECT c.campaign_id, c.state FROM mailer.campaign c
                WHERE c.campaign_id IN (SELECT w.campaign_id FROM wanted w)
                FOR KEY SHARE SKIP LOCKED)
            SELECT w.campaign_id, h.state IS NULL AS is_being_ended
            FROM wanted w LEFT JOIN held h ON h.campaign_id = w.campaign_id
            WHERE h.state IS NULL OR h.state = 'x')sql",
        {INT8ARRAYOID, INT8ARRAYOID});
    std::map<std::int64_t, bool> ending;
    if (ids.empty()) return ending;
    const std::vector<std::int64_t> all(ids.begin(), ids.end()), back(returning.begin(), returning.end());
    const Rows rows = statement.run({p_bigints(all), p_bigints(back)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        ending.emplace(rows.bigint(i, "campaign_id"), rows.boolean(i, "is_being_ended"));
    return ending;
}

// Who ends or holds a lead's sequence locks its row, then what waits of it. Taken before leads are written (leads.cpp).
void hold_leads(const std::set<std::int64_t>& message_ids, worker::Queue::HeldMail& held) {
    static Statement lock(
        R"sql(
            SELECT m.message_id, l.ended FROM mailer.message m
            JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
            WHERE m.message_id = ANY ($1)
            FOR NO KEY UPDATE OF l SKIP LOCKED)sql",
        {INT8ARRAYOID});
    static Statement find(
        R"sql(
            SELECT m.message_id FROM mailer.message m
            JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
            WHERE m.message_id = ANY ($1))sql",
        {INT8ARRAYOID});
    std::set<std::int64_t> locked = message_ids;
    if (locked.empty()) return;
    const std::vector<std::int64_t> ids(message_ids.begin(), message_ids.end());
    const Rows rows = lock.run({p_bigints(ids)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        locked.erase(rows.bigint(i, "message_id"));
        if (const auto how = rows.maybe_text(i, "ended"))
            held.ended.emplace(rows.bigint(i, "message_id"), core::cause_of(*how).value_or(core::Cause::stopped));
    }
    if (locked.empty()) return;
    const std::vector<std::int64_t> left(locked.begin(), locked.end());
    const Rows leads = find.run({p_bigints(left)});
    for (std::uint64_t i = 0; i < leads.count(); ++i)
        held.busy.insert(leads.bigint(i, 1));
}

}  // namespace

worker::Queue::HeldMail PgQueue::hold(std::span<const Settlement> settlements) {
    std::set<std::int64_t> campaigns, returned_to, mails;
    const auto is_state = [](const Settlement& s, core::MessageState state) {
        return s.is_final && s.state == core::letter(state);
    };
    for (const Settlement& s : settlements) {
        if (!s.row.campaign_id) continue;
        const bool is_sent = is_state(s, core::MessageState::sent);
        if (!s.is_final || is_sent) campaigns.insert(*s.row.campaign_id);
        if (!s.is_final) returned_to.insert(*s.row.campaign_id);
        if (!s.is_final || is_sent || is_state(s, core::MessageState::unconfirmed)) mails.insert(s.row.facts.id);
    }
    HeldMail held;
    const std::map<std::int64_t, bool> ending = ending_campaigns(campaigns, returned_to);
    hold_leads(mails, held);
    for (const Settlement& s : settlements) {
        const auto campaign = s.row.campaign_id ? ending.find(*s.row.campaign_id) : ending.end();
        if (campaign == ending.end() || !mails.contains(s.row.facts.id)) continue;
        if (campaign->second) {
            held.busy.insert(s.row.facts.id);
        } else {
            held.ended.insert_or_assign(s.row.facts.id, core::Cause::campaign_cancelled);
        }
    }
    return held;
}

std::vector<bool> PgQueue::settle(std::span<const Settlement> settlements, Time now) {
    std::set<std::int64_t> written = write_endings(settlements, now);
    settle_returns(settlements, written);
    advance_leads(settlements, written, now);
    suppress_bounced(settlements);
    store_provider_ids(settlements, written);
    count_for_shields(settlements, written);
    store_captured(settlements, now);
    store_loaded(settlements);
    std::vector<bool> result;
    for (const Settlement& s : settlements)
        result.push_back(written.contains(s.row.facts.id));
    return result;
}

void PgQueue::settle_returns(std::span<const Settlement> settlements, std::set<std::int64_t>& written) {
    static Statement statement(
        R"sql(
            WITH back AS (
                UPDATE mailer.queue_entry q
                SET state = 'p', token = NULL, mailbox_id = NULL, claimed_at = NULL, reserved_day = NULL,
                campaign_day = NULL, due_at = s.due_at, attempt_count = q.attempt_count + s.consumed,
                try_count = q.try_count + (s.started_at IS NOT NULL)::integer,
                crash_count = q.crash_count + s.crashed,
                priority = CASE WHEN s.is_retry = 1 THEN greatest(q.priority, 3) ELSE q.priority END
                FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                $16) AS s(message_id, token, due_at, mailbox_id, consumed, crashed, is_retry, started_at,
                dot_at, finished_at, stage, a_code, a_enhanced, a_reply, outcome, fingerprint)
                WHERE q.message_id = s.message_id
                    AND q.token IS NOT DISTINCT FROM s.token
                RETURNING s.*, q.try_count),
            logged AS (
                INSERT INTO mailer.attempt (message_id, attempt, mailbox_id, started_at, dot_at, finished_at,
                stage, code, enhanced_code, reply, outcome, fingerprint)
                SELECT message_id, try_count, mailbox_id, started_at, dot_at, finished_at, stage, a_code,
                a_enhanced, a_reply, outcome, fingerprint
                FROM back
                WHERE started_at IS NOT NULL)
            SELECT message_id
            FROM back)sql",
        {INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
         TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
         TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID});
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
                               p_texts(attempts.enhanced), p_texts(attempts.reply), p_texts(attempts.outcome),
                               p_bigints(attempts.fingerprint)});
    std::set<std::int64_t> returned;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        returned.insert(rows.bigint(i, 1));
    store_recipients(settlements, returned);
    written.merge(returned);
}

void PgQueue::store_captured(std::span<const Settlement> settlements, Time now) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.captured_mail (message_id, attempt, captured_at, mailbox_id, envelope_from,
                envelope_to, source)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT DO NOTHING)sql",
        {INT8OID, INT4OID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTARRAYOID, BYTEAOID});
    for (const Settlement& s : settlements) {
        if (!s.captured) continue;
        statement.run({p_bigint(s.row.facts.id), p_int(s.row.try_count + 1), p_at(now),
                       p_bigint(s.reservation->mailbox_id), p_text(s.captured->sender), p_texts(s.captured->recipients),
                       p_bytea(*s.captured->body)});
    }
}

// What a loader gave, so that message_source() can show the mail as it was sent.
void PgQueue::store_loaded(std::span<const Settlement> settlements) {
    static Statement statement(
        R"sql(
            UPDATE mailer.message m SET loaded_variables = l.variables::jsonb
            FROM unnest($1, $2) AS l(message_id, variables)
            WHERE m.message_id = l.message_id)sql",
        {INT8ARRAYOID, TEXTARRAYOID});
    std::vector<std::int64_t> ids;
    std::vector<std::string> variables;
    for (const Settlement& s : settlements) {
        if (s.loaded_variables.empty()) continue;
        ids.push_back(s.row.facts.id);
        variables.push_back(s.loaded_variables);
    }
    if (!ids.empty()) statement.run({p_bigints(ids), p_texts(std::span<const std::string>(variables))});
}

}  // namespace mailer::pg
