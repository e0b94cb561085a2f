-- verify(): every invariant as a query. All zero, always: at the end of every test and in production.
--
-- It works out limits, days and gaps itself, although the sender has functions for all of them: a rule that is asked of the code which
-- broke it proves nothing. Such a copy is changed on purpose, together with the rule and its test.
--
-- One row an invariant; `violations` counts what breaks it, `sample` names up to three. What foreign keys would prove on
-- the hot path is proved here instead. With `since` only messages queued, settled or tried from then on are looked at:
-- every query then begins at a BRIN index over time, or at the first id of that time, so the work is bounded by what
-- happened since, however much there is. (The tables that enqueue() and notify() write straight into have no such index.) Totals need all of it and are left out then.
-- All queries see one snapshot (the functions are STABLE), so it can run beside a live worker: that commits sound states
-- only. The journal isn't in any snapshot; src/pg/api/journal.cpp takes its own looks.
--
-- Plans are made for the `since` at hand, and without whole tables where there is one: a table that was just loaded
-- looks small to the planner.

-- The samples in one line.
CREATE FUNCTION _sample(things text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.array_to_string(things[1:3], ', ') || CASE WHEN pg_catalog.cardinality(things) > 3 THEN ' …' ELSE '' END
$$;
COMMENT ON FUNCTION _sample(text[]) IS 'The first three of them, in one line';

-- When the settings of each mailbox and campaign last changed: what was sent before may have been under other rules. An event has the
-- time at which its transaction began; until that has committed and the sender has read it, claims follow the settings of before: a minute
-- is given. Of changes long before `since` nobody asks; a day is more than any try takes.
CREATE FUNCTION _rules_since(since timestamptz) RETURNS TABLE (campaign_id bigint, mailbox_id bigint, at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT x.campaign_id, x.mailbox_id, max(x.at)
    FROM (
        SELECT CASE WHEN e.kind LIKE 'campaign%' THEN e.campaign_id END AS campaign_id, CASE WHEN e.kind LIKE 'mailbox%' THEN e.mailbox_id END AS mailbox_id,
               e.at + CASE WHEN e.kind LIKE '%altered' THEN interval '1 min' ELSE interval '0' END AS at
        FROM mailer.event e
        WHERE e.at >= since - interval '1 day' AND e.kind IN ('campaign_altered', 'campaign_created', 'mailbox_altered', 'mailbox_created')
    ) x GROUP BY x.campaign_id, x.mailbox_id
$$;
COMMENT ON FUNCTION _rules_since(timestamptz) IS 'Since when campaigns and mailboxes have had the settings they have, where that is later than a day before since';

-- The lowest id of rows that were made from then on, found by halving: ids are given in the order of time, as nearly as transactions
-- are short. A row has the time at which its transaction began, so the search is for a day earlier; only a mail queued by a
-- transaction that had been open for a day could be passed over. Past all ids when there is none.
CREATE FUNCTION _first_id(of_table regclass, id_column name, since timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    next_row CONSTANT text := format('SELECT t.%1$I, t.created_at FROM %2$s t WHERE t.%1$I >= $1 ORDER BY t.%1$I LIMIT 1', id_column, of_table);
    low bigint;
    high bigint;
    middle bigint;
    found_id bigint;
    found_at timestamptz;
BEGIN
    IF since = '-infinity' THEN
        RETURN -9223372036854775808;
    END IF;
    EXECUTE format('SELECT min(t.%1$I), max(t.%1$I) + 1 FROM %2$s t', id_column, of_table) INTO low, high;
    WHILE low < high LOOP
        middle := low + (high - low) / 2;
        EXECUTE next_row INTO found_id, found_at USING middle;
        IF found_id IS NULL OR found_at >= since - interval '1 day' THEN
            high := middle;
        ELSE
            low := found_id + 1;
        END IF;
    END LOOP;
    RETURN COALESCE(low, 9223372036854775807);
END;
$$;
COMMENT ON FUNCTION _first_id(regclass, name, timestamptz) IS 'The lowest id of rows made since then, or a day earlier: bounds what has no index over time';

CREATE FUNCTION _verify_messages(since timestamptz) RETURNS TABLE (invariant text, violations bigint, sample text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    first_id bigint := mailer._first_id('mailer.message', 'message_id', since);
BEGIN
    RETURN QUERY SELECT 'a message is queued or settled', count(*), mailer._sample(array_agg(m.message_id::text ORDER BY m.message_id))
    FROM mailer.message m
    LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
    LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
    WHERE m.message_id >= first_id AND m.created_at >= since AND q.message_id IS NULL AND o.message_id IS NULL;

    RETURN QUERY SELECT 'no message is both queued and settled', count(*), mailer._sample(array_agg(q.message_id::text ORDER BY q.message_id))
    FROM mailer.outcome o JOIN mailer.queue_entry q ON q.message_id = o.message_id
    WHERE o.settled_at >= since;

    RETURN QUERY SELECT 'what is queued or settled is a message', count(*), mailer._sample(array_agg(x.message_id::text ORDER BY x.message_id))
    FROM (
        SELECT q.message_id FROM mailer.queue_entry q WHERE q.message_id >= first_id UNION ALL
        SELECT o.message_id FROM mailer.outcome o WHERE o.settled_at >= since
    ) x WHERE NOT EXISTS (SELECT FROM mailer.message m WHERE m.message_id = x.message_id);

    RETURN QUERY SELECT 'tries, recipients, attachments and captures are of a message', count(*), mailer._sample(array_agg(x.message_id::text ORDER BY x.message_id))
    FROM (
        SELECT a.message_id FROM mailer.attempt a WHERE a.finished_at >= since UNION ALL
        SELECT r.message_id FROM mailer.recipient r WHERE r.message_id >= first_id UNION ALL
        SELECT t.message_id FROM mailer.message_attachment t WHERE t.message_id >= first_id UNION ALL
        SELECT c.message_id FROM mailer.captured_mail c WHERE c.message_id >= first_id
    ) x WHERE NOT EXISTS (SELECT FROM mailer.message m WHERE m.message_id = x.message_id);

    RETURN QUERY SELECT 'a queued message waits in its own lane, and the lane is there', count(*), mailer._sample(array_agg(q.message_id::text ORDER BY q.message_id))
    FROM mailer.queue_entry q JOIN mailer.message m ON m.message_id = q.message_id
    LEFT JOIN mailer.lane l ON l.lane_id = q.lane_id
    WHERE m.message_id >= first_id AND m.created_at >= since
      AND (l.lane_id IS NULL OR q.lane_id <> m.lane_id OR l.campaign_id IS DISTINCT FROM m.campaign_id
           OR (l.batch_id IS NOT NULL AND l.batch_id IS DISTINCT FROM m.batch_id));

    RETURN QUERY SELECT 'a campaign, a batch and their lane name each other, and a pool''s mailboxes are there', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT 'campaign ' || c.campaign_id AS what FROM mailer.campaign c LEFT JOIN mailer.lane l ON l.lane_id = c.lane_id
        WHERE l.campaign_id IS DISTINCT FROM c.campaign_id
        UNION ALL
        SELECT 'batch ' || b.batch_id FROM mailer.batch_entry b LEFT JOIN mailer.lane l ON l.lane_id = b.lane_id
        WHERE b.created_at >= since AND (l.lane_id IS NULL OR (l.kind = 'b' AND l.batch_id IS DISTINCT FROM b.batch_id))
        UNION ALL
        SELECT DISTINCT 'lane ' || l.lane_id FROM mailer.lane l CROSS JOIN LATERAL unnest(l.pool) p(id)
        LEFT JOIN mailer.mailbox b ON b.mailbox_id = p.id WHERE b.mailbox_id IS NULL
    ) x;

    RETURN QUERY SELECT 'a message waits in a lane of its tenant, and was queued by somebody', count(*), mailer._sample(array_agg(m.message_id::text ORDER BY m.message_id))
    FROM mailer.message m LEFT JOIN mailer.lane l ON l.lane_id = m.lane_id LEFT JOIN mailer.principal p ON p.id = m.principal_id
    WHERE m.message_id >= first_id AND m.created_at >= since AND (l.tenant_id IS DISTINCT FROM m.tenant_id OR p.id IS NULL);

    RETURN QUERY SELECT 'a lead is known by its address', count(*), mailer._sample(array_agg(m.message_id::text ORDER BY m.message_id))
    FROM mailer.message m
    WHERE m.message_id >= first_id AND m.created_at >= since AND num_nonnulls(m.campaign_id, m.batch_id) = 1 AND m.address_key NOT LIKE 'invalid:%'
      AND (SELECT p.address_key FROM mailer._parse_address(m.addresses[1]) p) IS DISTINCT FROM m.address_key;

    RETURN QUERY SELECT 'no lead gets a step twice', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT m.campaign_id || ': ' || m.address_key AS what FROM mailer.message m
        WHERE m.campaign_id IS NOT NULL GROUP BY m.campaign_id, m.address_key, m.step_id HAVING count(*) > 1
    ) x WHERE since = '-infinity';

    RETURN QUERY SELECT 'a lead whose sequence has ended has no mail that waits, and one mail waits at most', count(*),
        mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT l.campaign_id || ': ' || l.address_key AS what
        FROM mailer.queue_entry q JOIN mailer.message m ON m.message_id = q.message_id
        JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
        GROUP BY l.campaign_id, l.address_key, l.ended
        HAVING count(*) > 1 OR l.ended IS NOT NULL AND bool_or(q.state = 'p')
    ) x;

    RETURN QUERY SELECT 'no address is twice in a batch', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT m.batch_id || ': ' || m.address_key AS what FROM mailer.message m
        WHERE m.batch_id IS NOT NULL GROUP BY m.batch_id, m.address_key HAVING count(*) > 1
    ) x WHERE since = '-infinity';

    RETURN QUERY SELECT 'no idempotency key of a tenant stands for two messages', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT m.idempotency_key AS what FROM mailer.message m
        WHERE m.idempotency_key IS NOT NULL GROUP BY m.tenant_id, m.idempotency_key HAVING count(*) > 1
    ) x WHERE since = '-infinity';
END;
$$;
COMMENT ON FUNCTION _verify_messages(timestamptz) IS 'Invariants of mailer.verify(): that related rows agree, and nothing has a duplicate';

CREATE FUNCTION _verify_results(since timestamptz) RETURNS TABLE (invariant text, violations bigint, sample text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    first_id bigint := mailer._first_id('mailer.message', 'message_id', since);
BEGIN
    RETURN QUERY SELECT 'a mail to one recipient is accepted once at most', count(*), mailer._sample(array_agg(x.message_id::text ORDER BY x.message_id))
    FROM (
        SELECT a.message_id FROM mailer.attempt a JOIN mailer.message m ON m.message_id = a.message_id
        WHERE a.finished_at >= since AND a.outcome = 'sent' AND cardinality(m.addresses) = 1
        GROUP BY a.message_id HAVING count(*) > 1
    ) x;

    RETURN QUERY SELECT 'nothing is tried after it was settled', count(*), mailer._sample(array_agg(a.message_id::text ORDER BY a.message_id))
    FROM mailer.attempt a JOIN mailer.outcome o ON o.message_id = a.message_id
    WHERE a.finished_at >= since AND (a.attempt > o.try_count OR (a.attempt < o.try_count AND a.outcome = 'sent' AND NOT EXISTS (
        SELECT FROM mailer.message m WHERE m.message_id = a.message_id AND cardinality(m.addresses) > 1)));

    RETURN QUERY SELECT 'tries are counted as they are logged', count(*), mailer._sample(array_agg(x.message_id::text ORDER BY x.message_id))
    FROM (
        SELECT q.message_id, q.try_count FROM mailer.queue_entry q WHERE q.message_id >= first_id UNION ALL
        SELECT o.message_id, o.try_count FROM mailer.outcome o WHERE o.message_id >= first_id
    ) x
    JOIN mailer.message m ON m.message_id = x.message_id AND m.purged_at IS NULL
    LEFT JOIN (
        SELECT a.message_id, max(a.attempt) AS tries FROM mailer.attempt a WHERE a.message_id >= first_id GROUP BY a.message_id
    ) t ON t.message_id = x.message_id
    WHERE x.try_count <> COALESCE(t.tries, 0);

    RETURN QUERY SELECT 'what was sent has a try that sent it, or somebody or something that proved it', count(*), mailer._sample(array_agg(o.message_id::text ORDER BY o.message_id))
    FROM mailer.outcome o JOIN mailer.message m ON m.message_id = o.message_id AND m.purged_at IS NULL
    WHERE o.settled_at >= since AND o.state = 'S' AND o.settled_by IS NULL
      AND NOT EXISTS (SELECT FROM mailer.attempt a WHERE a.message_id = o.message_id AND a.outcome IN ('sent', 'unconfirmed', 'retry', 'requeued'))
      AND NOT EXISTS (SELECT FROM mailer.message_feedback f WHERE f.message_id = o.message_id AND f.confirmed_by IS NOT NULL);  -- by the old primary

    RETURN QUERY SELECT 'recipients'' results add up to their message''s', count(*), mailer._sample(array_agg(x.message_id::text ORDER BY x.message_id))
    FROM (
        SELECT o.message_id FROM mailer.outcome o JOIN mailer.recipient r ON r.message_id = o.message_id
        WHERE o.settled_at >= since
        GROUP BY o.message_id, o.state
        HAVING bool_or(r.state = 'p') OR (o.state = 'S') <> bool_or(r.state = 'S') AND o.state IN ('S', 'f', 'c')
    ) x;

    RETURN QUERY SELECT 'a recipient has a place among its message''s addresses', count(*), mailer._sample(array_agg(r.message_id::text ORDER BY r.message_id))
    FROM mailer.recipient r JOIN mailer.message m ON m.message_id = r.message_id
    WHERE m.message_id >= first_id AND m.created_at >= since AND r.n NOT BETWEEN 1 AND cardinality(m.addresses);

    RETURN QUERY SELECT 'a completed campaign has nothing unsettled, a cancelled one nothing pending', count(*), mailer._sample(array_agg(x.campaign_id::text ORDER BY x.campaign_id))
    FROM (
        SELECT c.campaign_id FROM mailer.campaign c
        WHERE (c.state IN ('c', 'x') AND EXISTS (SELECT FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id WHERE l.campaign_id = c.campaign_id AND q.state = 'p'))
           OR (c.state = 'c' AND EXISTS (SELECT FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id WHERE l.campaign_id = c.campaign_id AND q.state = 's'))
    ) x;

    RETURN QUERY SELECT 'a claimed message''s mailbox is one of its lane''s, and counted it', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT 'message ' || q.message_id AS what FROM mailer.queue_entry q
        WHERE q.state = 's' AND NOT EXISTS (SELECT FROM mailer.mailbox b WHERE b.mailbox_id = q.mailbox_id)
        UNION ALL
        SELECT format('mailbox %s on %s', g.mailbox_id, g.reserved_day)
        FROM (SELECT q.mailbox_id, q.reserved_day, count(*) AS claimed FROM mailer.queue_entry q WHERE q.state = 's' GROUP BY 1, 2) g
        LEFT JOIN mailer.mailbox_day d ON d.mailbox_id = g.mailbox_id AND d.day = g.reserved_day
        WHERE COALESCE(d.used, 0) < g.claimed
        UNION ALL
        SELECT format('campaign %s on %s', g.campaign_id, g.campaign_day)
        FROM (SELECT l.campaign_id, q.campaign_day, count(*) AS claimed FROM mailer.queue_entry q JOIN mailer.lane l ON l.lane_id = q.lane_id
              WHERE q.state = 's' AND l.kind = 'c' GROUP BY 1, 2) g
        LEFT JOIN mailer.campaign_day d ON d.campaign_id = g.campaign_id AND d.day = g.campaign_day
        WHERE COALESCE(d.used, 0) < g.claimed
    ) x;

    RETURN QUERY SELECT 'journal and queue agree', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM mailer._journal_disagreements() x;

    IF since = '-infinity' THEN
        RETURN QUERY SELECT 'counts agree with the messages', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
        FROM (
            SELECT CASE s.scope WHEN 'a' THEN 'all' WHEN 'c' THEN 'campaign ' || COALESCE(t.id, r.id) ELSE 'batch ' || COALESCE(t.id, r.id) END AS what
            FROM unnest(ARRAY['a', 'c', 'b']::"char"[]) s(scope)
            CROSS JOIN LATERAL (
                SELECT c.id, c.queued, c.sent, c.failed, c.cancelled, c.unconfirmed, e.id AS real_id, e.queued AS real_queued,
                       e.sent AS real_sent, e.failed AS real_failed, e.cancelled AS real_cancelled, e.unconfirmed AS real_unconfirmed
                FROM mailer._counts(s.scope) c FULL JOIN mailer._recount(s.scope) e ON e.id = c.id
            ) t
            CROSS JOIN LATERAL (SELECT t.real_id AS id) r
            WHERE (COALESCE(t.queued, 0), COALESCE(t.sent, 0), COALESCE(t.failed, 0), COALESCE(t.cancelled, 0), COALESCE(t.unconfirmed, 0))
               <> (COALESCE(t.real_queued, 0), COALESCE(t.real_sent, 0), COALESCE(t.real_failed, 0), COALESCE(t.real_cancelled, 0),
                   COALESCE(t.real_unconfirmed, 0))
        ) x;
    END IF;
END;
$$;
COMMENT ON FUNCTION _verify_results(timestamptz) IS 'Invariants of mailer.verify(): that results, tries and counts agree, and nothing is settled twice';

-- What was really sent against the rules of pace. A try counts from the day and second in which it started; the claim came
-- a moment before, so a second of grace is given at the edges; the gap of a campaign is kept by claims, to 50 ms. Only tries under the
-- settings of now are judged.
CREATE FUNCTION _verify_pace(since timestamptz) RETURNS TABLE (invariant text, violations bigint, sample text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    grace CONSTANT interval := interval '1 s';
    slot_tolerance CONSTANT interval := interval '60 ms';
BEGIN
    RETURN QUERY SELECT 'no mailbox''s or campaign''s day goes over its limit', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT format('mailbox %s on %s', d.mailbox_id, d.day) AS what FROM mailer.mailbox_day d
        WHERE d.day >= since::date - 2 AND (d.used > d.day_limit OR d.warmup > d.used)
        UNION ALL
        SELECT format('campaign %s on %s', d.campaign_id, d.day) FROM mailer.campaign_day d
        WHERE d.day >= since::date - 2 AND d.used > d.day_limit
    ) x;

    -- A mail that starts in the first minute of a day may have been counted on the day before.
    RETURN QUERY SELECT 'what a mailbox sent in a day was counted on that day', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        WITH box AS MATERIALIZED (
            SELECT b.mailbox_id, b.timezone, r.at AS rule_since
            FROM mailer.mailbox b LEFT JOIN mailer._rules_since(since) r ON r.mailbox_id = b.mailbox_id
        )
        SELECT format('mailbox %s on %s', s.mailbox_id, s.day) AS what
        FROM (
            SELECT a.mailbox_id, (a.started_at AT TIME ZONE mailer._known_zone(b.timezone))::date AS day, count(*) AS mails
            FROM mailer.attempt a JOIN box b ON b.mailbox_id = a.mailbox_id
            WHERE a.finished_at >= since AND a.outcome IN ('sent', 'unconfirmed')
              AND (a.started_at AT TIME ZONE mailer._known_zone(b.timezone))::time >= '00:01'
              AND (b.rule_since IS NULL OR a.started_at >= b.rule_since)
            GROUP BY 1, 2
        ) s
        LEFT JOIN mailer.mailbox_day d ON d.mailbox_id = s.mailbox_id AND d.day = s.day
        WHERE s.mails > COALESCE(d.used, 0)
    ) x;

    RETURN QUERY SELECT 'a mailbox with one connection sends one mail at a time, at its gap', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT format('message %s (mailbox %s)', t.message_id, t.mailbox_id) AS what
        FROM (
            SELECT a.message_id, a.mailbox_id, a.started_at, b.gap,
                   lag(a.finished_at) OVER w AS previous_finished_at, lag(a.started_at) OVER w AS previous_started_at
            FROM mailer.attempt a
            JOIN (SELECT b.mailbox_id, b.gap, r.at AS rule_since
                  FROM mailer.mailbox b LEFT JOIN mailer._rules_since(since) r ON r.mailbox_id = b.mailbox_id
                  WHERE b.max_connections = 1 OR b.gap > interval '0') b ON b.mailbox_id = a.mailbox_id
            WHERE a.finished_at >= since AND a.outcome IN ('sent', 'unconfirmed')
              AND (b.rule_since IS NULL OR a.started_at >= b.rule_since)
            WINDOW w AS (PARTITION BY a.mailbox_id ORDER BY a.started_at, a.finished_at)
        ) t
        WHERE t.started_at < t.previous_finished_at + CASE WHEN t.gap > grace THEN t.gap - grace ELSE interval '0' END
    ) x;

    RETURN QUERY SELECT 'a campaign''s mails keep its gap', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT format('message %s (campaign %s)', t.message_id, t.campaign_id) AS what
        FROM (
            SELECT a.message_id, c.campaign_id, a.started_at, c.gap, c.jitter, lag(a.started_at) OVER w AS previous_started_at
            FROM mailer.attempt a
            JOIN mailer.message m ON m.message_id = a.message_id
            JOIN mailer.campaign c ON c.campaign_id = m.campaign_id
            LEFT JOIN mailer._rules_since(since) r ON r.campaign_id = c.campaign_id
            WHERE a.finished_at >= since AND a.outcome IN ('sent', 'unconfirmed') AND (r.at IS NULL OR a.started_at >= r.at)
            WINDOW w AS (PARTITION BY c.campaign_id ORDER BY a.started_at, a.message_id)
        ) t
        WHERE t.started_at < t.previous_started_at + t.gap * (1 - t.jitter)::float8 - slot_tolerance
    ) x;

    RETURN QUERY SELECT 'a batch''s mails keep its gap', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT format('message %s (batch %s)', t.message_id, t.batch_id) AS what
        FROM (
            SELECT a.message_id, b.batch_id, a.started_at, b.gap, lag(a.finished_at) OVER w AS previous_finished_at
            FROM mailer.attempt a
            JOIN mailer.message m ON m.message_id = a.message_id
            JOIN mailer.batch_entry b ON b.batch_id = m.batch_id AND b.gap > interval '0'
            WHERE a.finished_at >= since AND a.outcome IN ('sent', 'unconfirmed')
            WINDOW w AS (PARTITION BY b.batch_id ORDER BY a.started_at, a.message_id)
        ) t
        WHERE t.started_at < t.previous_finished_at + t.gap - LEAST(grace, t.gap / 2)
    ) x;

    RETURN QUERY SELECT 'a campaign''s mails start inside its window, on its days', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT format('message %s (campaign %s)', a.message_id, c.campaign_id) AS what
        FROM mailer.attempt a
        JOIN mailer.message m ON m.message_id = a.message_id
        JOIN mailer.campaign c ON c.campaign_id = m.campaign_id
        LEFT JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
        CROSS JOIN LATERAL (SELECT mailer._known_zone(COALESCE(l.timezone, c.timezone)) AS zone) own
        LEFT JOIN mailer._rules_since(since) r ON r.campaign_id = c.campaign_id
        WHERE a.finished_at >= since AND a.dot_at IS NOT NULL AND (r.at IS NULL OR a.started_at >= r.at)
          AND NOT EXISTS (
              SELECT FROM (VALUES (a.started_at), (a.started_at - grace)) t(at)
              CROSS JOIN LATERAL (SELECT (t.at AT TIME ZONE own.zone)::time AS clock) k
              CROSS JOIN LATERAL (SELECT k.clock, (t.at AT TIME ZONE own.zone)::date
                                      - CASE WHEN c.window_end <= c.window_start AND k.clock < c.window_end THEN 1 ELSE 0 END AS day) z
              WHERE c.allowed_days & (1 << extract(isodow FROM z.day)::integer - 1) <> 0 AND NOT z.day = ANY (c.skip_dates)
                AND CASE WHEN c.window_start < c.window_end THEN z.clock >= c.window_start AND z.clock < c.window_end
                         WHEN c.window_start > c.window_end THEN z.clock >= c.window_start OR z.clock < c.window_end
                         ELSE true END)
    ) x;

    RETURN QUERY SELECT 'missed slots of a campaign don''t overlap', count(*), mailer._sample(array_agg(x.what ORDER BY x.what))
    FROM (
        SELECT format('campaign %s from %s', s.campaign_id, s.from_at) AS what
        FROM (SELECT l.campaign_id, l.from_at, lag(l.to_at) OVER (PARTITION BY l.campaign_id ORDER BY l.from_at) AS previous_to
              FROM mailer.missed_slot_log l WHERE l.to_at >= since) s
        WHERE s.from_at < s.previous_to
    ) x;
END;
$$;
COMMENT ON FUNCTION _verify_pace(timestamptz) IS 'Invariants of mailer.verify(): that caps, gaps and windows were kept by what was really sent';

CREATE FUNCTION verify(since timestamptz DEFAULT NULL) RETURNS TABLE (invariant text, violations bigint, sample text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
    SET plan_cache_mode = force_custom_plan SET jit = off SET enable_seqscan = on SET max_parallel_workers_per_gather = 2 SET random_page_cost = 4
AS $$
DECLARE
    from_at timestamptz := COALESCE(since, '-infinity');
BEGIN
    IF since IS NOT NULL THEN
        -- Until this function ends. Single rows are fetched by their keys, and not by reading all of an index.
        PERFORM set_config('enable_seqscan', 'off', true), set_config('random_page_cost', '1', true),
                set_config('max_parallel_workers_per_gather', '0', true);
    END IF;
    RETURN QUERY SELECT * FROM mailer._verify_messages(from_at);
    RETURN QUERY SELECT * FROM mailer._verify_results(from_at);
    RETURN QUERY SELECT * FROM mailer._verify_pace(from_at);
    RETURN QUERY SELECT * FROM mailer._verify_notifications(from_at);
END;
$$;
COMMENT ON FUNCTION verify(timestamptz) IS
'Checks the invariants: one row each, and violations must always be 0. sample has up to three ids of violating rows.
since: check only messages queued, settled or tried since then; NULL checks all, and the totals too.
Any other value than 0 is a bug, or the tables were changed directly.';
