-- metrics(): the database's mail in numbers, for Prometheus and others that read its text format.
--
-- One function a topic, and each is one query of etc/postgres_exporter.yaml too: columns of text are labels, columns of
-- numbers are metrics, named by the topic's prefix and the column. So both ways tell the same under the same names.
-- It must stay cheap at any depth of the queue and be safe to ask every few seconds: counts come from the tally, ages from
-- hops through the index from lane to lane, recent attempts from the end of the log. Nothing here scans messages.

CREATE FUNCTION _metric_messages() RETURNS TABLE (state text, messages bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT v.state, v.messages
    FROM (SELECT mailer._sending('a', 0) AS sending) s
    LEFT JOIN mailer._counts('a', 0) c ON true
    CROSS JOIN LATERAL (VALUES ('pending', COALESCE(c.queued, 0) - s.sending), ('sending', s.sending), ('sent', COALESCE(c.sent, 0)),
        ('failed', COALESCE(c.failed, 0)), ('cancelled', COALESCE(c.cancelled, 0)), ('unconfirmed', COALESCE(c.unconfirmed, 0))
    ) v(state, messages)
$$;
COMMENT ON FUNCTION _metric_messages() IS 'Metrics mailer_messages: how many messages are in each state';

-- Hops from lane to lane through the index, as _next_due_at() does: a lane's length doesn't matter.
CREATE FUNCTION _metric_queue() RETURNS TABLE (lane text, messages bigint, lanes bigint, oldest_due_age_seconds numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    WITH RECURSIVE hop (lane_id) AS (
        (SELECT q.lane_id FROM mailer.queue_entry q WHERE q.state = 'p' ORDER BY q.lane_id LIMIT 1)
        UNION ALL
        SELECT (SELECT q.lane_id FROM mailer.queue_entry q WHERE q.state = 'p' AND q.lane_id > h.lane_id ORDER BY q.lane_id LIMIT 1)
        FROM hop h WHERE h.lane_id IS NOT NULL
    ), waiting AS MATERIALIZED (
        SELECT l.kind, l.batch_id,
               CASE WHEN l.kind <> 'c' OR c.state = 'r' THEN GREATEST(d.due_at, s.next_at) END AS due_at
        FROM hop h
        JOIN mailer.lane l ON l.lane_id = h.lane_id
        LEFT JOIN mailer.campaign c ON c.campaign_id = l.campaign_id
        LEFT JOIN mailer.lane_state s ON s.lane_id = l.lane_id
        CROSS JOIN LATERAL (
            SELECT min(x.due_at) AS due_at
            FROM generate_series(0, 4) p(priority)
            CROSS JOIN LATERAL (SELECT q.due_at FROM mailer.queue_entry q
                WHERE q.lane_id = h.lane_id AND q.priority = p.priority AND q.state = 'p' ORDER BY q.due_at LIMIT 1) x
        ) d
    ), batches AS (
        SELECT COALESCE(sum(t.queued), 0) AS queued
        FROM (
            SELECT t.queued FROM waiting w JOIN mailer.tally t ON t.scope = 'b' AND t.id = w.batch_id
            UNION ALL
            SELECT d.queued FROM mailer.tally_delta d WHERE d.batch_id IN (SELECT w.batch_id FROM waiting w WHERE w.kind = 'b')
        ) t
    ), total AS (
        SELECT (SELECT COALESCE(sum(c.queued), 0) FROM mailer._counts('a', 0) c) AS everything,
               (SELECT COALESCE(sum(c.queued), 0) FROM mailer._counts('c') c) AS campaigns
    )
    SELECT k.lane,
           CASE k.kind WHEN 'c' THEN t.campaigns WHEN 'b' THEN b.queued ELSE GREATEST(t.everything - t.campaigns - b.queued, 0) END::bigint,
           count(w.kind),
           round(COALESCE(GREATEST(extract(epoch FROM mailer._now() - LEAST(GREATEST(min(w.due_at), CASE WHEN count(w.due_at) > 0 THEN timestamptz '1970-01-01' END), CASE WHEN count(w.due_at) > 0 THEN timestamptz '9999-12-31' END)), 0), 0)::numeric, 3)
    FROM (VALUES ('campaign', 'c'::"char"), ('batch', 'b'), ('stream', 's')) k(lane, kind)
    CROSS JOIN batches b
    CROSS JOIN total t
    LEFT JOIN waiting w ON w.kind = k.kind
    GROUP BY k.lane, k.kind, t.everything, t.campaigns, b.queued
$$;
COMMENT ON FUNCTION _metric_queue() IS 'Metrics mailer_queue_*: what waits or is on its way, how many lanes wait, and how late the latest of them is, by kind of lane';

CREATE FUNCTION _metric_mailbox() RETURNS TABLE (mailbox text, used_today integer, limit_today integer, sending integer,
    breaker_open integer, breaker_failures integer, paused integer, token_valid integer, listening integer, heard_age_seconds numeric,
    bounce_rate numeric, shield_shut integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT b.mailbox, b.used_today, b.limit_today, b.sending, COALESCE(b.breaker_until > mailer._now(), false)::integer, b.breaker_failures,
           (b.paused_at IS NOT NULL)::integer,
           CASE WHEN b.token_state <> 'none' THEN (b.token_expires_at > clock_timestamp())::integer END,
           CASE WHEN b.listen_state <> 'off' THEN (b.listen_state = 'listening')::integer END,
           CASE WHEN b.listen_state <> 'off' THEN round(extract(epoch FROM clock_timestamp() - b.last_heard_at)::numeric, 3) END,
           b.bounce_rate::numeric,
           CASE WHEN b.shield IS NOT NULL THEN (b.shield LIKE 'shut%')::integer END
    FROM mailer.mailbox_status b
$$;
COMMENT ON FUNCTION _metric_mailbox() IS 'Metrics mailer_mailbox_*: use and limit of today, breaker and pause, token, listening, bounces and shield of every mailbox';

-- The log's end is found by its BRIN index. A table that was just loaded looks small to the planner, hence the setting.
CREATE FUNCTION _metric_attempts() RETURNS TABLE ("window" text, outcome text, recent bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET enable_seqscan = off
AS $$
    SELECT w.name, o.outcome, count(a.finished_at) FILTER (WHERE a.finished_at > w.since)
    FROM (VALUES ('1m', clock_timestamp() - interval '1 min'), ('5m', clock_timestamp() - interval '5 min')) w(name, since)
    CROSS JOIN (VALUES ('sent'), ('failed'), ('unconfirmed'), ('retry'), ('requeued')) o(outcome)
    LEFT JOIN (
        SELECT t.outcome, t.finished_at FROM mailer.attempt t WHERE t.finished_at > now() - interval '5 min' AND t.finished_at <= clock_timestamp()
    ) a ON a.outcome = o.outcome
    GROUP BY w.name, o.outcome
$$;
COMMENT ON FUNCTION _metric_attempts() IS 'Metrics mailer_attempts_recent: how the tries of the last 1 and 5 minutes ended';

CREATE FUNCTION _metric_feedback() RETURNS TABLE ("window" text, kind text, recent bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET enable_seqscan = off
AS $$
    SELECT w.name, k.kind, count(f.at) FILTER (WHERE f.at > w.since)
    FROM (VALUES ('5m', clock_timestamp() - interval '5 min'), ('1h', clock_timestamp() - interval '1 hour')) w(name, since)
    CROSS JOIN (VALUES ('hard_bounce'), ('soft_bounce'), ('delay'), ('delivered'), ('complaint'), ('reply'), ('auto_reply'), ('unsubscribe')) k(kind)
    LEFT JOIN (
        SELECT b.at, CASE WHEN b.kind <> 'bounce' THEN b.kind WHEN b.is_hard THEN 'hard_bounce' ELSE 'soft_bounce' END AS kind
        FROM mailer.feedback b WHERE b.at > now() - interval '1 hour' AND b.at <= clock_timestamp()
    ) f ON f.kind = k.kind
    GROUP BY w.name, k.kind
$$;
COMMENT ON FUNCTION _metric_feedback() IS 'Metrics mailer_feedback_recent: what came back in the last 5 minutes and hour, by kind';

CREATE FUNCTION _metric_unmatched() RETURNS TABLE (source text, kind text, seen_total bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT u.source, u.kind, u.seen FROM mailer.unmatched_feedback u
$$;
COMMENT ON FUNCTION _metric_unmatched() IS 'Metrics mailer_unmatched_seen_total: feedback that belonged to no message, by how it came and kind';

CREATE FUNCTION _metric_worker() RETURNS TABLE (up integer, heartbeat_age_seconds numeric, ticks_total bigint, starts_total bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT w.is_running::integer, round(extract(epoch FROM clock_timestamp() - w.heartbeat_at)::numeric, 3),
           w.tick_count::bigint, w.start_count::bigint
    FROM mailer.worker_status w
$$;
COMMENT ON FUNCTION _metric_worker() IS 'Metrics mailer_worker_*: whether anybody sends, and how long ago it last came round';

CREATE FUNCTION _metric_sending() RETURNS TABLE (paused integer, held integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT (EXISTS (SELECT FROM mailer.control))::integer, (mailer._held_because() IS NOT NULL)::integer
$$;
COMMENT ON FUNCTION _metric_sending() IS 'Metrics mailer_sending_*: whether all mail is paused, or held because this is a copy';

-- Campaigns that were over a day ago say nothing new, and every name is a permanent time series.
CREATE FUNCTION _metric_campaign() RETURNS TABLE (campaign text, state text, messages bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT a.name, v.state, v.messages
    FROM mailer.campaign a
    LEFT JOIN mailer._counts('c') c ON c.id = a.campaign_id
    CROSS JOIN LATERAL (SELECT mailer._sending('c', a.campaign_id) AS sending) s
    CROSS JOIN LATERAL (VALUES ('pending', COALESCE(c.queued, 0) - s.sending), ('sending', s.sending), ('sent', COALESCE(c.sent, 0)),
        ('failed', COALESCE(c.failed, 0)), ('cancelled', COALESCE(c.cancelled, 0)), ('unconfirmed', COALESCE(c.unconfirmed, 0))
    ) v(state, messages)
    WHERE a.state IN ('d', 'r', 'p') OR a.completed_at > mailer._now() - interval '1 day'
$$;
COMMENT ON FUNCTION _metric_campaign() IS 'Metrics mailer_campaign_messages: messages by state of every campaign that isn''t over for a day';

CREATE FUNCTION _metric_campaign_state() RETURNS TABLE (campaign text, running integer, missed_slots bigint, replied bigint,
    bounced bigint, complained bigint, unsubscribed bigint, shield_shut integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT a.name, (a.state = 'r')::integer, COALESCE((SELECT sum(m.slot_count) FROM mailer.missed_slot_log m WHERE m.campaign_id = a.campaign_id), 0)::bigint,
           f.replied, f.bounced, f.complained, f.unsubscribed,
           CASE WHEN a.shield IS NOT NULL THEN (EXISTS (SELECT FROM mailer.shield s WHERE s.scope = 'c' AND s.id = a.campaign_id AND s.shut_at IS NOT NULL))::integer END
    FROM mailer.campaign a
    CROSS JOIN LATERAL (
        SELECT count(b.replied_at) AS replied, count(b.bounced_at) AS bounced, count(b.complained_at) AS complained, count(b.unsubscribed_at) AS unsubscribed
        FROM mailer.message_feedback b WHERE b.campaign_id = a.campaign_id) f
    WHERE a.state IN ('d', 'r', 'p') OR a.completed_at > mailer._now() - interval '1 day'
$$;
COMMENT ON FUNCTION _metric_campaign_state() IS 'Metrics mailer_campaign_state_*: whether a campaign runs, the slots it missed, what came back, and its shield';

CREATE FUNCTION _metric_health() RETURNS TABLE (severity text, alerts bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT s.severity, count(h.severity)
    FROM (VALUES ('critical'), ('warning'), ('info')) s(severity) LEFT JOIN mailer.health() h ON h.severity = s.severity
    GROUP BY s.severity
$$;
COMMENT ON FUNCTION _metric_health() IS 'Metrics mailer_health_alerts: rows of mailer.health() by severity';

CREATE FUNCTION _metric_tenant() RETURNS TABLE (tenant text, waiting bigint, max_pending bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT t.tenant, t.waiting, t.max_pending FROM mailer.tenant_status t
$$;
COMMENT ON FUNCTION _metric_tenant() IS 'Metrics mailer_tenant_*: what waits of each tenant, counted to 10,000 at most, and how many may';

CREATE FUNCTION _metric_family() RETURNS TABLE (place bigint, name text, type text, help text)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT row_number() OVER (), f.name, f.type, f.help
    FROM (VALUES
        ('mailer_messages', 'gauge', 'Messages by state.'),
        ('mailer_queue_messages', 'gauge', 'Messages that wait or are on their way, by kind of lane.'),
        ('mailer_queue_lanes', 'gauge', 'Lanes in which something waits, by kind.'),
        ('mailer_queue_oldest_due_age_seconds', 'gauge',
         'How long ago the first of what waits could have gone by its due time and stored slot. A stream has no excuse; windows, gaps and caps are one for the others.'),
        ('mailer_mailbox_used_today', 'gauge', 'Mails of the mailbox''s local day, those on their way included.'),
        ('mailer_mailbox_limit_today', 'gauge', 'Limit of the mailbox''s local day, ramp applied. Absent where there is none.'),
        ('mailer_mailbox_sending', 'gauge', 'Mails of the mailbox that are on their way.'),
        ('mailer_mailbox_breaker_open', 'gauge', '1 while the mailbox rests because its server or login failed.'),
        ('mailer_mailbox_breaker_failures', 'gauge', 'Failures in a row of the mailbox''s server or login.'),
        ('mailer_mailbox_paused', 'gauge', '1 while the mailbox is paused.'),
        ('mailer_mailbox_token_valid', 'gauge', '1 while the mailbox has an OAuth2 token that is valid. Absent where it uses none.'),
        ('mailer_mailbox_listening', 'gauge', '1 while the mailbox is listened to, 0 while that fails. Absent where it isn''t to be.'),
        ('mailer_mailbox_heard_age_seconds', 'gauge', 'Time since all of the mailbox''s folders were last known to be read.'),
        ('mailer_mailbox_bounce_rate', 'gauge', 'Share of the mailbox''s mails of the last 30 days that bounced hard. Absent where it sent none.'),
        ('mailer_mailbox_shield_shut', 'gauge', '1 while the mailbox''s shield is shut. Absent where it has none.'),
        ('mailer_attempts_recent', 'gauge', 'Tries that ended within the window, by how they ended.'),
        ('mailer_feedback_recent', 'gauge', 'What came back within the window, by kind.'),
        ('mailer_unmatched_seen_total', 'counter', 'Feedback that belonged to no message, by how it came and kind.'),
        ('mailer_worker_up', 'gauge', '1 while a worker or a session in mailer.run sends in this database.'),
        ('mailer_worker_heartbeat_age_seconds', 'gauge', 'Time since the sender last came round.'),
        ('mailer_worker_ticks_total', 'counter', 'How often the sender has come round.'),
        ('mailer_worker_starts_total', 'counter', 'How often a worker was started for this database.'),
        ('mailer_sending_paused', 'gauge', '1 while mailer.pause() is in force.'),
        ('mailer_sending_held', 'gauge', '1 while the clone guard holds this database until mailer.arm().'),
        ('mailer_campaign_messages', 'gauge', 'Messages of a campaign by state.'),
        ('mailer_campaign_state_running', 'gauge', '1 while the campaign runs.'),
        ('mailer_campaign_state_missed_slots', 'gauge', 'Slots of the campaign that passed unused.'),
        ('mailer_campaign_state_replied', 'gauge', 'Mails of the campaign that were answered.'),
        ('mailer_campaign_state_bounced', 'gauge', 'Mails of the campaign that bounced hard.'),
        ('mailer_campaign_state_complained', 'gauge', 'Mails of the campaign that recipients complained about.'),
        ('mailer_campaign_state_unsubscribed', 'gauge', 'Mails of the campaign whose recipient unsubscribed.'),
        ('mailer_campaign_state_shield_shut', 'gauge', '1 while the campaign''s shield is shut. Absent where it has none.'),
        ('mailer_tenant_waiting', 'gauge', 'Messages of a tenant that wait, counted to 10,000 at most.'),
        ('mailer_tenant_max_pending', 'gauge', 'How many messages of a tenant may wait. Absent where there is no limit.'),
        ('mailer_health_alerts', 'gauge', 'Rows of mailer.health() by severity.')
    ) f(name, type, help)
$$;
COMMENT ON FUNCTION _metric_family() IS 'Every metric of mailer.metrics() with its type and what it says';

-- The text format: of a label value, backslash, quote and line feed are escaped, and nothing else.
CREATE FUNCTION _metric_labels(labels jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT COALESCE('{' || string_agg(l.key || '="' || replace(replace(replace(l.value, E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n') || '"', ',' ORDER BY l.key) || '}', '')
    FROM jsonb_each_text(labels) l WHERE jsonb_typeof(labels -> l.key) = 'string'
$$;
COMMENT ON FUNCTION _metric_labels(jsonb) IS 'The text members of an object as labels in the Prometheus text format';

CREATE FUNCTION metrics() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    WITH topic (prefix, fields) AS (
        SELECT 'mailer_', to_jsonb(t) FROM mailer._metric_messages() t UNION ALL
        SELECT 'mailer_queue_', to_jsonb(t) FROM mailer._metric_queue() t UNION ALL
        SELECT 'mailer_mailbox_', to_jsonb(t) FROM mailer._metric_mailbox() t UNION ALL
        SELECT 'mailer_attempts_', to_jsonb(t) FROM mailer._metric_attempts() t UNION ALL
        SELECT 'mailer_feedback_', to_jsonb(t) FROM mailer._metric_feedback() t UNION ALL
        SELECT 'mailer_unmatched_', to_jsonb(t) FROM mailer._metric_unmatched() t UNION ALL
        SELECT 'mailer_worker_', to_jsonb(t) FROM mailer._metric_worker() t UNION ALL
        SELECT 'mailer_sending_', to_jsonb(t) FROM mailer._metric_sending() t UNION ALL
        SELECT 'mailer_campaign_', to_jsonb(t) FROM mailer._metric_campaign() t UNION ALL
        SELECT 'mailer_campaign_state_', to_jsonb(t) FROM mailer._metric_campaign_state() t UNION ALL
        SELECT 'mailer_tenant_', to_jsonb(t) FROM mailer._metric_tenant() t UNION ALL
        SELECT 'mailer_health_', to_jsonb(t) FROM mailer._metric_health() t
    ), sample AS (
        SELECT t.prefix || f.key AS name, mailer._metric_labels(t.fields) AS labels, f.value #>> '{}' AS value
        FROM topic t CROSS JOIN LATERAL jsonb_each(t.fields) f WHERE jsonb_typeof(f.value) = 'number'
    ), family AS (
        SELECT m.place, format(E'# HELP %s %s\n# TYPE %s %s\n', m.name, m.help, m.name, m.type)
               || string_agg(s.name || s.labels || ' ' || s.value || E'\n', '' ORDER BY s.labels) AS lines
        FROM mailer._metric_family() m JOIN sample s ON s.name = m.name
        GROUP BY m.place, m.name, m.type, m.help
    )
    SELECT string_agg(f.lines, '' ORDER BY f.place) FROM family f
$$;
COMMENT ON FUNCTION metrics() IS
'Returns counts, ages, quotas and alerts in the text format of Prometheus: for example for node_exporter''s textfile collector,
psql -XAtc ''SELECT mailer.metrics()''. etc/postgres_exporter.yaml has the same for postgres_exporter. Cheap at any depth of the queue.';
