-- Counts and summaries: status(), batch_status(), campaign_status(), and the views made of them.
--
-- Nothing here counts messages when it needn't: the engine keeps a tally by scope, statements that queue or settle append
-- deltas, and tally plus deltas is the truth at any moment. Where the tally is missing (after a restore, until
-- the engine has recounted) messages are counted one by one. What is sending is read from the few claimed rows.

CREATE FUNCTION _counts(scope "char", only_id bigint DEFAULT NULL)
    RETURNS TABLE (id bigint, queued bigint, sent bigint, failed bigint, cancelled bigint, unconfirmed bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM mailer.tally t WHERE t.scope = 'a') THEN
        RETURN QUERY
        SELECT x.id, sum(x.queued)::bigint, sum(x.sent)::bigint, sum(x.failed)::bigint, sum(x.cancelled)::bigint,
               sum(x.unconfirmed)::bigint
        FROM (
            SELECT t.id, t.queued, t.sent, t.failed, t.cancelled, t.unconfirmed
            FROM mailer.tally t
            WHERE t.scope = _counts.scope AND (_counts.only_id IS NULL OR t.id = _counts.only_id)
            UNION ALL
            SELECT CASE _counts.scope WHEN 'a' THEN 0 WHEN 'c' THEN d.campaign_id ELSE d.batch_id END,
                   d.queued, d.sent, d.failed, d.cancelled, d.unconfirmed
            FROM mailer.tally_delta d
        ) x
        WHERE x.id = COALESCE(_counts.only_id, x.id)
        GROUP BY x.id;
    ELSE
        RETURN QUERY SELECT * FROM mailer._recount(_counts.scope, _counts.only_id);
    END IF;
END;
$$;
COMMENT ON FUNCTION _counts("char", bigint) IS 'Counts by state of the database (scope a, id 0), of campaigns (c) or batches (b): tally plus what isn''t folded yet';

CREATE FUNCTION _recount(scope "char", only_id bigint DEFAULT NULL)
    RETURNS TABLE (id bigint, queued bigint, sent bigint, failed bigint, cancelled bigint, unconfirmed bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF _recount.scope = 'a' THEN
        RETURN QUERY
        SELECT 0::bigint, (SELECT count(*) FROM mailer.queue_entry), count(*) FILTER (WHERE o.state = 'S'),
               count(*) FILTER (WHERE o.state = 'f'), count(*) FILTER (WHERE o.state = 'c'), count(*) FILTER (WHERE o.state = 'u')
        FROM mailer.outcome o;
        RETURN;
    END IF;
    RETURN QUERY
    -- A campaign counts its leads: one that got its first mail is sent, unless a later one waits.
    SELECT l.id, count(*) FILTER (WHERE l.is_queued), count(*) FILTER (WHERE l.is_sent AND NOT l.is_queued),
           count(*) FILTER (WHERE l.is_open AND l.last_state = 'f'), count(*) FILTER (WHERE l.is_open AND l.last_state = 'c'),
           count(*) FILTER (WHERE l.is_open AND l.last_state = 'u')
    FROM (
        SELECT m.campaign_id AS id, bool_or(q.message_id IS NOT NULL) AS is_queued,
               bool_or(o.state IS NOT DISTINCT FROM 'S') AS is_sent,
               NOT bool_or(q.message_id IS NOT NULL OR o.state IS NOT DISTINCT FROM 'S') AS is_open,
               (array_agg(o.state ORDER BY m.message_id DESC))[1] AS last_state
        FROM mailer.message m
        LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
        LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
        WHERE _recount.scope = 'c' AND m.campaign_id IS NOT NULL
          AND (_recount.only_id IS NULL OR m.campaign_id = _recount.only_id)
        GROUP BY m.campaign_id, m.address_key
    ) l
    GROUP BY l.id
    UNION ALL
    SELECT m.id, count(q.message_id), count(*) FILTER (WHERE o.state = 'S'), count(*) FILTER (WHERE o.state = 'f'),
           count(*) FILTER (WHERE o.state = 'c'), count(*) FILTER (WHERE o.state = 'u')
    FROM (
        SELECT b.batch_id AS id, b.message_id FROM mailer.message b
        WHERE _recount.scope = 'b' AND b.batch_id IS NOT NULL AND (_recount.only_id IS NULL OR b.batch_id = _recount.only_id)
    ) m
    LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
    LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
    GROUP BY m.id;
END;
$$;
COMMENT ON FUNCTION _recount("char", bigint) IS 'The same counts as _counts, message by message: where the tally is missing, and to prove it';

CREATE FUNCTION _sending(scope "char", only_id bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT count(*) FROM mailer.queue_entry q
    WHERE q.state = 's'
      AND CASE _sending.scope
          WHEN 'a' THEN true
          WHEN 'c' THEN q.lane_id IN (SELECT l.lane_id FROM mailer.lane l WHERE l.campaign_id = _sending.only_id)
          ELSE (SELECT m.batch_id FROM mailer.message m WHERE m.message_id = q.message_id) = _sending.only_id END
$$;
COMMENT ON FUNCTION _sending("char", bigint) IS 'How many messages of the database, a campaign or a batch are on their way right now';

-- ── One message, the database ──────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION status(message_id bigint) RETURNS SETOF mailer.message_status
LANGUAGE mailer_plpgsql STABLE ROWS 1 SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.* FROM mailer.message_status s
    WHERE s.message_id = status.message_id
      AND (SELECT mailer._sees(m.tenant_id, m.principal_id) FROM mailer.message m WHERE m.message_id = status.message_id);
END;
$$;
COMMENT ON FUNCTION status(bigint) IS
'The state of this message: its row of message_status. No row if there is no such message, or it is another tenant''s';

CREATE FUNCTION sent_to(address text, max_rows integer DEFAULT 100) RETURNS SETOF mailer.message_status
LANGUAGE plpgsql STABLE ROWS 100 SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    key text := mailer._address_key(mailer._needed_address(sent_to.address));
BEGIN
    -- OFFSET 0: the view joins more tables than join_collapse_limit, so a plain join would build all of it first.
    RETURN QUERY SELECT s.* FROM (SELECT m.message_id FROM mailer.message m WHERE m.address_key = key ORDER BY m.message_id DESC LIMIT GREATEST(sent_to.max_rows, 0)) m
        CROSS JOIN LATERAL (SELECT v.* FROM mailer.message_status v WHERE v.message_id = m.message_id OFFSET 0) s ORDER BY s.message_id DESC;
END;
$$;
COMMENT ON FUNCTION sent_to(text, integer) IS
'Returns the messages queued for an address, newest first: its rows of message_status, by index, however many messages there are. The address is the first
recipient''s; upper and lower case don''t matter. Errors: 22004 address is NULL, 22023 a bad address.';

-- Ids are drawn in the order of time, so halving finds it in some thirty steps, and no index of times is needed.
CREATE FUNCTION message_since(at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    low bigint := COALESCE((SELECT min(m.message_id) FROM mailer.message m), 1);
    high bigint := COALESCE((SELECT max(m.message_id) FROM mailer.message m), 0) + 1;
    middle bigint;
    probe record;
BEGIN
    WHILE low < high LOOP
        middle := low + (high - low) / 2;
        SELECT m.message_id, m.created_at INTO probe FROM mailer.message m WHERE m.message_id >= middle ORDER BY m.message_id LIMIT 1;
        IF probe.created_at < message_since.at THEN
            low := probe.message_id + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END;
$$;
COMMENT ON FUNCTION message_since(timestamptz) IS
'Returns the first id of messages queued at this time or later: WHERE message_id >= mailer.message_since(…) uses an index. Messages of a long
transaction have the time of its beginning and may have a higher id. NULL: the first id there is.';

-- Hops from lane to lane and priority to priority through the index: a lane's length doesn't matter.
CREATE FUNCTION _next_due_at() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    WITH RECURSIVE waiting (lane_id) AS (
        (SELECT q.lane_id FROM mailer.queue_entry q WHERE q.state = 'p' ORDER BY q.lane_id LIMIT 1)
        UNION ALL
        SELECT (SELECT q.lane_id FROM mailer.queue_entry q WHERE q.state = 'p' AND q.lane_id > w.lane_id ORDER BY q.lane_id LIMIT 1)
        FROM waiting w WHERE w.lane_id IS NOT NULL
    )
    SELECT min(GREATEST(d.due_at, s.next_at))
    FROM waiting w
    JOIN mailer.lane l ON l.lane_id = w.lane_id
    LEFT JOIN mailer.campaign c ON c.campaign_id = l.campaign_id
    LEFT JOIN mailer.lane_state s ON s.lane_id = COALESCE(c.lane_id, w.lane_id)
    CROSS JOIN generate_series(0, 4) p(priority)
    CROSS JOIN LATERAL (
        SELECT q.due_at FROM mailer.queue_entry q
        WHERE q.lane_id = w.lane_id AND q.priority = p.priority AND q.state = 'p' ORDER BY q.due_at LIMIT 1
    ) d
    WHERE l.kind <> 'c' OR c.state = 'r'
$$;
COMMENT ON FUNCTION _next_due_at() IS 'When the earliest of what waits may go, by due time and stored slot; what waits in campaigns that don''t run is left out';

CREATE FUNCTION status() RETURNS TABLE (pending bigint, sending bigint, sent bigint, failed bigint, cancelled bigint,
    unconfirmed bigint, next_due_at timestamptz, worker text)
LANGUAGE sql STABLE ROWS 1 SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT COALESCE(c.queued, 0) - s.sending, s.sending, COALESCE(c.sent, 0), COALESCE(c.failed, 0), COALESCE(c.cancelled, 0),
           COALESCE(c.unconfirmed, 0), mailer._next_due_at(),
           (SELECT COALESCE('paused: ' || z.pause_reason || ' (' || w.worker || ')', w.worker) FROM mailer.worker_status w LEFT JOIN mailer.control z ON true)
    FROM (SELECT mailer._sending('a', 0) AS sending) s LEFT JOIN mailer._counts('a', 0) c ON true
$$;
COMMENT ON FUNCTION status() IS 'All messages of the database by state, when the next is due, and whether a sender runs';

-- ── Batches ────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION _batch_rows(only_id bigint DEFAULT NULL) RETURNS TABLE (batch_id bigint, label text, total bigint,
    pending bigint, sending bigint, sent bigint, failed bigint, cancelled bigint, unconfirmed bigint, summary text,
    gap interval, created_at timestamptz, created_by text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT b.batch_id, b.label, t.total, t.queued - t.sending, t.sending, t.sent, t.failed, t.cancelled, t.unconfirmed,
           format('sent %s of %s', t.sent, t.total)
               || COALESCE((SELECT format(', %s bounced', NULLIF(count(*), 0)) FROM mailer.message_feedback f
                            WHERE f.batch_id = b.batch_id AND f.bounced_at IS NOT NULL HAVING count(*) > 0), ''),
           b.gap, b.created_at, p.name
    FROM mailer.batch_entry b
    LEFT JOIN mailer.principal p ON p.id = b.principal_id
    LEFT JOIN mailer._counts('b', _batch_rows.only_id) c ON c.id = b.batch_id
    LEFT JOIN (
        SELECT m.batch_id, count(*) AS sending
        FROM mailer.queue_entry q JOIN mailer.message m ON m.message_id = q.message_id
        WHERE q.state = 's' AND m.batch_id IS NOT NULL GROUP BY m.batch_id
    ) s ON s.batch_id = b.batch_id
    CROSS JOIN LATERAL (
        SELECT COALESCE(c.queued, 0) AS queued, COALESCE(s.sending, 0) AS sending, COALESCE(c.sent, 0) AS sent,
               COALESCE(c.failed, 0) AS failed, COALESCE(c.cancelled, 0) AS cancelled, COALESCE(c.unconfirmed, 0) AS unconfirmed,
               COALESCE(c.queued + c.sent + c.failed + c.cancelled + c.unconfirmed, 0) AS total
    ) t
    WHERE _batch_rows.only_id IS NULL OR b.batch_id = _batch_rows.only_id
$$;
COMMENT ON FUNCTION _batch_rows(bigint) IS 'What view batch shows, of all batches or of one';

CREATE VIEW batch AS SELECT * FROM mailer._batch_rows();
COMMENT ON VIEW batch IS 'Every batch with its counts by state and its summary';
COMMENT ON COLUMN batch.summary IS 'sent 6 of 8, 1 bounced';
COMMENT ON COLUMN batch.gap IS 'Least time between two of its mails';

CREATE FUNCTION batch_status(batch_id bigint) RETURNS SETOF mailer.batch
LANGUAGE mailer_plpgsql STABLE ROWS 1 SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT b.* FROM mailer.batch_entry e CROSS JOIN LATERAL mailer._batch_rows(e.batch_id) b
    WHERE e.batch_id = batch_status.batch_id AND mailer._sees(e.tenant_id, e.principal_id);
END;
$$;
COMMENT ON FUNCTION batch_status(bigint) IS 'Counts and summary (sent 6 of 8) of a batch; no row when there is no such batch, or it is another tenant''s';

CREATE FUNCTION batch_status(label text) RETURNS SETOF mailer.batch
LANGUAGE mailer_plpgsql STABLE ROWS 1 SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT b.*
    FROM (SELECT e.batch_id FROM mailer.batch_entry e
          WHERE (e.label = batch_status.label OR e.batch_id = CASE WHEN batch_status.label ~ '^[0-9]{1,18}$' THEN batch_status.label::bigint END)
            AND mailer._sees(e.tenant_id, e.principal_id) ORDER BY e.label IS DISTINCT FROM batch_status.label, e.batch_id DESC LIMIT 1) e
    CROSS JOIN LATERAL mailer._batch_rows(e.batch_id) b;
END;
$$;
COMMENT ON FUNCTION batch_status(text) IS 'The same of the newest batch with this label; where none has it, digits are a batch''s id. View batch has all of them. Each tenant has labels of its own';

-- ── Campaigns ──────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TYPE campaign_summary AS (campaign_id bigint, name text, state text, total bigint, pending bigint, sending bigint,
    sent bigint, failed bigint, cancelled bigint, unconfirmed bigint, next_at timestamptz, sent_today integer,
    max_per_day integer, is_window_open boolean, missed_slots bigint, blocked_by text, progress text,
    replied bigint, bounced bigint, complained bigint, unsubscribed bigint);
COMMENT ON TYPE campaign_summary IS 'The result of mailer.campaign_status()';

-- A window that ends at or before its start reaches into the next day, which is still the day it started on.
CREATE FUNCTION _campaign_day(c mailer.campaign, at timestamptz) RETURNS date
LANGUAGE sql STABLE
AS $$
    SELECT (at AT TIME ZONE mailer._known_zone(c.timezone))::date
           - CASE WHEN c.window_end <= c.window_start AND (at AT TIME ZONE mailer._known_zone(c.timezone))::time < c.window_end THEN 1 ELSE 0 END
$$;
COMMENT ON FUNCTION _campaign_day(campaign, timestamptz) IS 'The campaign''s day at a time: that on which the window that is open, or opens next, starts';

CREATE FUNCTION _campaign_rows(only_id bigint DEFAULT NULL) RETURNS SETOF mailer.campaign_summary
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    c record;
    gates record;
    answer mailer.campaign_summary;
BEGIN
    FOR c IN
        SELECT a.campaign_id, a.lane_id, a.name, a.state, a.state_reason, a.max_per_day, s.next_at AS slot_at,
               COALESCE(n.queued, 0) AS queued, COALESCE(n.sent, 0) AS sent, COALESCE(n.failed, 0) AS failed,
               COALESCE(n.cancelled, 0) AS cancelled, COALESCE(n.unconfirmed, 0) AS unconfirmed,
               COALESCE(d.used, 0) AS used_today,
               (SELECT COALESCE(sum(m.slot_count), 0)::bigint FROM mailer.missed_slot_log m WHERE m.campaign_id = a.campaign_id) AS missed
        FROM mailer.campaign a
        LEFT JOIN mailer._counts('c', only_id) n ON n.id = a.campaign_id
        LEFT JOIN mailer.lane_state s ON s.lane_id = a.lane_id
        LEFT JOIN mailer.campaign_day d ON d.campaign_id = a.campaign_id AND d.day = mailer._campaign_day(a, mailer._now())
        WHERE only_id IS NULL OR a.campaign_id = only_id
        ORDER BY a.campaign_id
    LOOP
        answer := NULL;
        answer.campaign_id := c.campaign_id;
        answer.name := c.name;
        answer.state := mailer._campaign_state(c.state);
        answer.total := c.queued + c.sent + c.failed + c.cancelled + c.unconfirmed;
        answer.sending := mailer._sending('c', c.campaign_id);
        answer.pending := c.queued - answer.sending;
        answer.sent := c.sent;
        answer.failed := c.failed;
        answer.cancelled := c.cancelled;
        answer.unconfirmed := c.unconfirmed;
        answer.sent_today := c.used_today;
        answer.max_per_day := c.max_per_day;
        answer.missed_slots := c.missed;
        answer.progress := format('%s of %s (%s %%)', c.sent, answer.total, COALESCE(100 * c.sent / NULLIF(answer.total, 0), 0))
            || CASE WHEN c.failed > 0 THEN format(', %s failed', c.failed) ELSE '' END
            || CASE WHEN c.cancelled > 0 THEN format(', %s cancelled', c.cancelled) ELSE '' END
            || CASE WHEN c.unconfirmed > 0 THEN format(', %s unconfirmed', c.unconfirmed) ELSE '' END;
        SELECT count(f.replied_at), count(f.bounced_at), count(f.complained_at), count(f.unsubscribed_at)
        INTO answer.replied, answer.bounced, answer.complained, answer.unsubscribed
        FROM mailer.message_feedback f WHERE f.campaign_id = c.campaign_id;
        answer.progress := answer.progress
            || CASE WHEN answer.replied > 0 THEN format(', %s replied', answer.replied) ELSE '' END
            || CASE WHEN answer.bounced > 0 THEN format(', %s bounced', answer.bounced) ELSE '' END
            || CASE WHEN answer.complained > 0 THEN format(', %s complained', answer.complained) ELSE '' END
            || CASE WHEN answer.unsubscribed > 0 THEN format(', %s unsubscribed', answer.unsubscribed) ELSE '' END;
        answer.is_window_open := false;
        IF c.state IN ('c', 'x') THEN
            answer.blocked_by := 'campaign ' || answer.state || COALESCE(': ' || c.state_reason, '');
        ELSE
            -- The gates are the engine's: what it would say now is asked for, never worked out again.
            SELECT bool_and(e.is_open) FILTER (WHERE e.gate = 'window_open') AS is_window_open,
                   (array_agg(e.detail ORDER BY e.place) FILTER (WHERE NOT e.is_open))[1] AS blocked_by,
                   max(e.opens_at) FILTER (WHERE NOT e.is_open) AS opens_at,
                   COALESCE(bool_or(NOT e.is_open AND e.opens_at IS NULL AND e.gate <> 'sender_running'), false) AS is_held
            INTO gates
            FROM mailer.campaign_explain(c.campaign_id) WITH ORDINALITY
                 e(gate, is_open, limit_value, used, opens_at, detail, place)
            WHERE e.gate NOT LIKE '%:%' AND (e.gate <> 'sender_running' OR NOT e.is_open);  -- lines of single mailboxes of a pool block nothing
            answer.is_window_open := gates.is_window_open;
            answer.blocked_by := gates.blocked_by;
            IF answer.pending > 0 AND NOT gates.is_held THEN
                answer.next_at := GREATEST(c.slot_at, gates.opens_at, (
                    SELECT min(q.due_at)
                    FROM mailer.lane l CROSS JOIN generate_series(0, 4) p(priority)
                    CROSS JOIN LATERAL (SELECT w.due_at FROM mailer.queue_entry w
                        WHERE w.lane_id = l.lane_id AND w.priority = p.priority AND w.state = 'p' ORDER BY w.due_at LIMIT 1) q
                    WHERE l.campaign_id = c.campaign_id));
            END IF;
        END IF;
        RETURN NEXT answer;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _campaign_rows(bigint) IS 'The rows of campaign_status, of all campaigns or of one';

CREATE FUNCTION campaign_status(campaign_id bigint) RETURNS SETOF mailer.campaign_summary
LANGUAGE sql STABLE ROWS 1 SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT r.* FROM mailer._campaign_rows(campaign_status.campaign_id) r WHERE campaign_status.campaign_id IS NOT NULL
$$;
COMMENT ON FUNCTION campaign_status(bigint) IS
'Counts of a campaign, when its next mail is sent and what blocks it; no row if there is no such campaign.
It counts leads: one is pending as long as a mail waits for it, also a follow-up, and sent if it got a mail and no other waits. View campaign_step_status
counts the mails of each step.
next_at: the next slot; NULL if nothing waits or it is unknown (paused). sent_today: mails of the window''s day, including those being sent.
missed_slots: view missed_slot has the intervals. replied, bounced, complained, unsubscribed: mails with that feedback; view feedback_log has them. blocked_by: the first shut gate in words; mailer.campaign_explain() has them all.';

CREATE FUNCTION _campaign_finishes_at(campaign_id bigint) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    RETURN (SELECT max(f.slot_at) FROM mailer.campaign_forecast(_campaign_finishes_at.campaign_id) f);
END;
$$;
COMMENT ON FUNCTION _campaign_finishes_at(bigint) IS 'The last slot of the forecast';

CREATE VIEW campaign_progress AS
SELECT r.campaign_id, r.name, r.state, r.total, r.pending, r.sending, r.sent, r.failed, r.cancelled, r.unconfirmed, r.next_at,
       r.sent_today, r.max_per_day, r.is_window_open, r.missed_slots, r.blocked_by, r.progress,
       r.replied, r.bounced, r.complained, r.unsubscribed,
       repeat('█', s.done) || repeat('░', 20 - s.done) AS bar,
       CASE WHEN c.state = 'r' AND r.pending BETWEEN 1 AND 200 THEN mailer._campaign_finishes_at(c.campaign_id) END AS finishes_at,
       c.state_reason,
       c.template,
       c.window_start,
       c.window_end,
       mailer._weekday_names(c.allowed_days) AS allowed_days,
       c.gap,
       c.jitter,
       c.timezone,
       (SELECT array_agg(b.name ORDER BY b.name) FROM mailer.mailbox b
        WHERE CASE WHEN l.pool IS NULL THEN b.is_default ELSE b.mailbox_id = ANY (l.pool) END) AS mailboxes,
       c.starts_at,
       c.created_at,
       c.created_by,
       c.started_at,
       c.completed_at
FROM mailer._campaign_rows() r
JOIN mailer.campaign c ON c.campaign_id = r.campaign_id
LEFT JOIN mailer.lane l ON l.lane_id = c.lane_id
CROSS JOIN LATERAL (SELECT COALESCE(20 * (r.total - r.pending - r.sending) / NULLIF(r.total, 0), 0)::integer AS done) s;
COMMENT ON VIEW campaign_progress IS 'Every campaign: the columns of campaign_status, a progress bar, when it will be done, and its settings';
COMMENT ON COLUMN campaign_progress.bar IS 'Part of all leads that is settled';
COMMENT ON COLUMN campaign_progress.finishes_at IS 'Last slot of the forecast from now; NULL unless it runs and 200 mails at most are left: SELECT max(slot_at) FROM mailer.campaign_forecast(campaign_id) computes it for any number';
COMMENT ON COLUMN campaign_progress.mailboxes IS 'The mailboxes that serve it, the default ones where it names none';
