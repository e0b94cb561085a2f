-- The reading interface: tables are nobody's but the extension's, these views are for everybody who may look.
--
-- They run with the extension owner's rights and must stay cheap for one row and for a feed: conditions on message_id, id
-- or campaign_id reach an index, so nothing here aggregates over messages. Counts are in 41_status.sql.

CREATE VIEW message_status AS
SELECT m.message_id,
       mailer._message_state(COALESCE(q.state, o.state)) AS state,
       o.reason,
       array_to_string(m.addresses, ', ') AS recipient,
       COALESCE(m.subject, t.subject) AS subject,
       b.name AS mailbox,
       m.campaign_id,
       m.batch_id,
       m.external_id,
       q.due_at,
       COALESCE(q.try_count, o.try_count, 0) AS attempts,
       m.created_at,
       CASE o.state WHEN 'S' THEN o.settled_at END AS sent_at,
       COALESCE(o.code, a.code)::integer AS reply_code,
       COALESCE(o.reply, a.reply) AS reply_text,
       COALESCE(o.enhanced_code, a.enhanced_code) AS enhanced_code,
       o.settled_at,
       o.settled_by,
       COALESCE(q.expires_at, m.expires_at) AS expires_at,
       q.priority::integer AS priority,
       m.template,
       CASE m.kind WHEN 'n' THEN 'normal' WHEN 'w' THEN 'warmup' END AS kind,
       p.name AS queued_by,
       m.idempotency_key,
       m.thread_key,
       m.category,
       m.internet_message_id,
       m.purged_at,
       n.name AS tenant,
       CASE mailer._message_state(COALESCE(q.state, o.state))
           WHEN 'failed' THEN 'refused'
           WHEN 'sent' THEN CASE WHEN f.complained_at IS NOT NULL THEN 'complained' WHEN f.unsubscribed_at IS NOT NULL THEN 'unsubscribed'
                              WHEN f.replied_at IS NOT NULL THEN 'replied' WHEN f.bounced_at IS NOT NULL THEN 'bounced'
                              ELSE 'accepted' END
           ELSE mailer._message_state(COALESCE(q.state, o.state)) END AS result,
       f.bounced_at,
       f.replied_at,
       f.complained_at,
       f.confirmed_by
FROM mailer.message m
LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
LEFT JOIN mailer.attempt a ON a.message_id = q.message_id AND a.attempt = q.try_count
LEFT JOIN mailer.lane l ON l.lane_id = m.lane_id
LEFT JOIN mailer.mailbox b
    ON b.mailbox_id = COALESCE(o.mailbox_id, q.mailbox_id, a.mailbox_id, CASE cardinality(l.pool) WHEN 1 THEN l.pool[1] END)
LEFT JOIN mailer.message_feedback f ON f.message_id = m.message_id
LEFT JOIN mailer.template t ON t.name = m.template
LEFT JOIN mailer.principal p ON p.id = m.principal_id
LEFT JOIN mailer.tenant n ON n.id = m.tenant_id;
COMMENT ON VIEW message_status IS 'Every message with its state, reason, due time, number of tries, and the mail server''s last reply';
COMMENT ON COLUMN message_status.state IS 'pending, sending, sent, failed, cancelled or unconfirmed';
COMMENT ON COLUMN message_status.reason IS 'Why it was not sent to all recipients: rejected, attempts_exhausted, too_old, expired, invalid_address, render_error, quarantined, by_user, campaign_cancelled, suppressed, send_if, unsubscribed, replied, bounced, complained, stopped, campaign_ended, contact_gone, gathered, reply_lost, server_crash or promoted; of a sent one, how many did not get it (1 of 3 refused) or confirmed';
COMMENT ON COLUMN message_status.recipient IS 'Every address of the envelope; recipient_status has a row for each';
COMMENT ON COLUMN message_status.subject IS 'As queued: with a template it is the template''s, not yet rendered';
COMMENT ON COLUMN message_status.mailbox IS 'The mailbox that sent it, tried last, or is the only one that can';
COMMENT ON COLUMN message_status.due_at IS 'Earliest time of the next try; NULL when it is settled';
COMMENT ON COLUMN message_status.attempts IS 'Tries so far; attempt_log has a row for each';
COMMENT ON COLUMN message_status.sent_at IS 'When the mail server accepted it';
COMMENT ON COLUMN message_status.reply_code IS 'The mail server''s last reply (RFC 5321), also of a try that will be repeated';
COMMENT ON COLUMN message_status.settled_by IS 'Role that settled it by a call (cancel, resolve); NULL if the engine did';
COMMENT ON COLUMN message_status.queued_by IS 'Role that queued it; its functions run as this role';
COMMENT ON COLUMN message_status.tenant IS 'The tenant that it belongs to: operator, or the first role of the tenant';
COMMENT ON COLUMN message_status.purged_at IS 'When mailer.purge() deleted its content';
COMMENT ON COLUMN message_status.result IS 'In one word: pending, sending, accepted, refused, bounced, replied, complained, unsubscribed, cancelled or unconfirmed';
COMMENT ON COLUMN message_status.bounced_at IS 'When a hard bounce of it arrived; the state stays sent, because the server accepted it';
COMMENT ON COLUMN message_status.replied_at IS 'When the first answer of a person arrived';
COMMENT ON COLUMN message_status.complained_at IS 'When a recipient reported it as spam';
COMMENT ON COLUMN message_status.confirmed_by IS 'The proof that a mail whose reply was lost had arrived: a kind of feedback_log, or sent_copy; NULL: none was needed';

CREATE VIEW recipient_status AS
SELECT m.message_id,
       r.address,
       CASE substr(m.roles, r.n::integer, 1) WHEN 't' THEN 'to' WHEN 'c' THEN 'cc' WHEN 'b' THEN 'bcc' END AS role,
       mailer._message_state(COALESCE(NULLIF(s.state, 'p'), q.state, o.state)) AS state,
       CASE WHEN s.message_id IS NULL THEN COALESCE(o.code, a.code) ELSE s.code END::integer AS reply_code,
       CASE WHEN s.message_id IS NULL THEN COALESCE(o.reply, a.reply) ELSE s.reply END AS reply_text,
       CASE WHEN s.message_id IS NULL THEN COALESCE(o.enhanced_code, a.enhanced_code) ELSE s.enhanced_code END AS enhanced_code
FROM mailer.message m
CROSS JOIN LATERAL unnest(m.addresses) WITH ORDINALITY r(address, n)
LEFT JOIN mailer.recipient s ON s.message_id = m.message_id AND s.n = r.n
LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
LEFT JOIN mailer.attempt a ON a.message_id = q.message_id AND a.attempt = q.try_count;
COMMENT ON VIEW recipient_status IS 'Every recipient of every message with a result of its own';
COMMENT ON COLUMN recipient_status.role IS 'to, cc or bcc';
COMMENT ON COLUMN recipient_status.state IS 'pending, sending, sent, failed, cancelled or unconfirmed';
COMMENT ON COLUMN recipient_status.reply_code IS 'The mail server''s last reply for this recipient, or for the whole message';

CREATE VIEW attempt_log AS
SELECT a.message_id,
       a.attempt,
       b.name AS mailbox,
       a.started_at,
       a.finished_at,
       a.stage,
       a.code::integer AS code,
       a.enhanced_code,
       a.reply,
       a.outcome,
       a.dot_at
FROM mailer.attempt a
LEFT JOIN mailer.mailbox b ON b.mailbox_id = a.mailbox_id;
COMMENT ON VIEW attempt_log IS 'Every try of every message, with the mail server''s reply and the times';
COMMENT ON COLUMN attempt_log.stage IS 'The step of the conversation at which the try ended';
COMMENT ON COLUMN attempt_log.outcome IS 'sent, failed, unconfirmed, retry (an attempt is consumed) or requeued (none is: the mailbox was at fault)';
COMMENT ON COLUMN attempt_log.dot_at IS 'When the final dot was sent; NULL: never, so the server can''t have accepted the mail';

-- Both tables under one order, joined only then: so that id > x ORDER BY id LIMIT n reads two indexes and no more.
CREATE VIEW event_log AS
SELECT e.id,
       e.at,
       e.kind,
       e.message_id,
       COALESCE(e.batch_id, m.batch_id) AS batch_id,
       COALESCE(e.campaign_id, m.campaign_id) AS campaign_id,
       b.name AS mailbox,
       e.detail,
       e.by_role
FROM (
    SELECT o.event_id AS id, o.settled_at AS at,
           mailer._message_state(o.state) AS kind,
           o.message_id, NULL::bigint AS batch_id, NULL::bigint AS campaign_id, o.mailbox_id,
           jsonb_strip_nulls(jsonb_build_object('reason', o.reason, 'attempts', o.try_count, 'code', o.code,
               'enhanced_code', o.enhanced_code, 'reply', o.reply)) AS detail,
           o.settled_by AS by_role
    FROM mailer.outcome o
    UNION ALL
    SELECT v.event_id, v.at, v.kind, v.message_id, v.batch_id, v.campaign_id, v.mailbox_id, v.detail, v.by_role
    FROM mailer.event v
) e
LEFT JOIN mailer.message m ON m.message_id = e.message_id
LEFT JOIN mailer.mailbox b ON b.mailbox_id = e.mailbox_id;
COMMENT ON VIEW event_log IS 'A feed of everything that settled or changed: read on with WHERE id > the last one ORDER BY id LIMIT n. Ids are drawn before commit: rows of a long transaction appear late, among older ids';
COMMENT ON COLUMN event_log.id IS 'Grows; one order over messages'' outcomes and all other events';
COMMENT ON COLUMN event_log.kind IS 'sent, failed, cancelled or unconfirmed for a message; else what changed, such as campaign_paused or mailbox_altered';
COMMENT ON COLUMN event_log.by_role IS 'Role that acted; mailer or NULL is the engine';

CREATE FUNCTION _held_because() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT a.why FROM mailer._arming() a WHERE NOT a.is_armed
$$;
COMMENT ON FUNCTION _held_because() IS 'Why the clone guard holds this database; NULL: it doesn''t';

CREATE VIEW worker_status AS
SELECT CASE
           WHEN w.pid IS NOT NULL THEN format('%s running (pid %s)', w.kind, w.pid) || COALESCE(': ' || NULLIF(w.state, ''), '')
           WHEN pg_is_in_recovery() THEN 'not running: this server is a standby'
           WHEN NOT w.is_preloaded THEN 'not running: mailer is not in shared_preload_libraries; CALL mailer.run() sends'
           WHEN w.is_told_to_stay_away THEN 'not running: another session changes the database or the extension'
           WHEN w.state = 'nothing is due' THEN 'away: nothing is due' || COALESCE(' before ' || to_char(w.next_start_at, 'YYYY-MM-DD HH24:MI:SS'), '')
           WHEN w.next_start_at > clock_timestamp() THEN 'not running: starts again at ' || to_char(w.next_start_at, 'HH24:MI:SS')
           WHEN w.launcher_pid IS NULL THEN 'not running: the launcher, which starts workers, is not running either'
           WHEN w.start_count = 0 THEN 'not running: no worker has been started in this database yet'
           ELSE 'not running' END
       || CASE WHEN w.pid IS NULL AND w.last_error <> '' THEN '; last error: ' || w.last_error ELSE '' END AS worker,
       w.pid IS NOT NULL AS is_running,
       w.kind,
       w.pid,
       w.state,
       w.started_at,
       w.heartbeat_at,
       w.tick_count,
       w.start_count,
       w.is_preloaded,
       w.launcher_pid,
       w.is_told_to_stay_away,
       w.next_start_at,
       w.last_error_at,
       w.last_error,
       r.is_ready,
       CASE WHEN r.is_ready THEN NULL
            WHEN pg_is_in_recovery() THEN 'The primary sends; once promoted this server does.'
            WHEN NOT w.is_preloaded THEN 'Add mailer to shared_preload_libraries and restart, or CALL mailer.run() every minute.'
            WHEN w.is_told_to_stay_away THEN 'It starts again when that session ends its transaction.'
            ELSE 'Look at the server''s log; CALL mailer.run() sends meanwhile.' END AS hint
FROM mailer._worker() w
CROSS JOIN LATERAL (SELECT w.pid IS NOT NULL OR w.state IS NOT DISTINCT FROM 'nothing is due' AND NOT pg_is_in_recovery()
                        AND NOT w.is_told_to_stay_away AS is_ready) r;
COMMENT ON VIEW worker_status IS 'The sender of this database, since when it runs, and its condition: one row';
COMMENT ON COLUMN worker_status.worker IS 'All of it in one line';
COMMENT ON COLUMN worker_status.is_ready IS 'A sender is running, or a worker starts as soon as something is due, whatever mailer.enabled says. The gate sender_running is open if this is true and mailer.enabled is on';
COMMENT ON COLUMN worker_status.hint IS 'What to do when no sender is running';
COMMENT ON COLUMN worker_status.kind IS 'worker (in the background) or run (a session in CALL mailer.run)';
COMMENT ON COLUMN worker_status.heartbeat_at IS 'When it last finished a round; older than a minute means that it hangs';

-- The cost makes the planner call it after the sort, for the rows that a LIMIT leaves.
CREATE FUNCTION _waits_for(message_id bigint, lane_id bigint, state "char", epoch bigint, due_at timestamptz) RETURNS text
    LANGUAGE c STABLE STRICT COST 1000 AS 'MODULE_PATHNAME', 'mailer_waits_for';
COMMENT ON FUNCTION _waits_for(bigint, bigint, "char", bigint, timestamptz) IS
'Of a row of queue_entry: the first shut gate of explain() and why it is shut. Windows, gaps, caps and switches are read once for each lane in a query';

CREATE VIEW queue AS
SELECT q.message_id,
       CASE l.kind
           WHEN 'c' THEN 'campaign ' || c.name
           WHEN 'b' THEN 'batch ' || l.batch_id
           ELSE CASE WHEN l.pool IS NULL THEN 'default'
                     WHEN cardinality(l.pool) = 1 THEN 'mailbox ' || b.name
                     ELSE 'mailboxes ' || (SELECT string_agg(p.name, ', ' ORDER BY p.name)
                                           FROM mailer.mailbox p WHERE p.mailbox_id = ANY (l.pool)) END END AS lane,
       mailer._message_state(q.state) AS state,
       q.due_at,
       mailer._waits_for(q.message_id, q.lane_id, q.state, q.epoch, q.due_at) AS waits_for,
       q.priority::integer AS priority,
       q.try_count AS attempts,
       q.claimed_at
FROM mailer.queue_entry q
LEFT JOIN mailer.lane l ON l.lane_id = q.lane_id
LEFT JOIN mailer.campaign c ON c.campaign_id = l.campaign_id
LEFT JOIN mailer.mailbox b ON cardinality(l.pool) = 1 AND b.mailbox_id = l.pool[1];
COMMENT ON VIEW queue IS 'Every message that is waiting or being sent, and a short text of what it waits for';
COMMENT ON COLUMN queue.lane IS 'The line it waits in: a campaign, a batch with a gap, or what its mailboxes send otherwise';
COMMENT ON COLUMN queue.waits_for IS 'The first shut gate of mailer.explain(message_id) and why it is shut; or that the message is being sent, or is next. What the rows have in common is evaluated once per query';

CREATE VIEW missed_slot AS
SELECT s.campaign_id, c.name AS campaign, s.from_at, s.to_at, s.slot_count, s.reason
FROM mailer.missed_slot_log s
LEFT JOIN mailer.campaign c ON c.campaign_id = s.campaign_id;
COMMENT ON VIEW missed_slot IS 'Slots of campaigns that passed unused, by interval and reason. They are counted and not made up for';

-- core/pace/connection_limit.hpp decides, as for the sender.
CREATE FUNCTION _lowered_until(configured integer, connections integer, next_at timestamptz, pause interval, at timestamptz) RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_lowered_until';
COMMENT ON FUNCTION _lowered_until(integer, integer, timestamptz, interval, timestamptz) IS
'When a mailbox, whose server took this many connections and may be asked for one more at next_at, has all of its max_connections again; NULL: at this time it has them';
REVOKE ALL ON FUNCTION _lowered_until(integer, integer, timestamptz, interval, timestamptz) FROM PUBLIC;

CREATE VIEW mailbox_status AS
SELECT b.name AS mailbox,
       CASE WHEN b.paused_at IS NOT NULL THEN 'paused'
            WHEN s.breaker_until > mailer._now() THEN 'in trouble'
            WHEN d.used >= n.day_limit THEN 'day''s limit reached'
            WHEN s.next_at > mailer._now() THEN 'waiting for its gap'
            ELSE 'ready' END AS state,
       COALESCE(b.pause_reason, s.breaker_reason) AS reason,
       COALESCE(d.used, 0) AS used_today,
       COALESCE(d.warmup, 0) AS warmup_today,
       n.day_limit AS limit_today,
       (SELECT count(*)::integer FROM mailer.queue_entry q WHERE q.state = 's' AND q.mailbox_id = b.mailbox_id) AS sending,
       b.max_connections,
       CASE WHEN w.lowered_until IS NOT NULL THEN s.connections END AS lowered_connections,
       CASE WHEN w.lowered_until IS NOT NULL THEN s.connections_since END AS lowered_since,
       w.lowered_until,
       CASE WHEN w.lowered_until IS NOT NULL THEN s.connections_reason END AS lowered_reason,
       b.gap,
       b.rate,
       s.next_at,
       s.last_used_at,
       s.breaker_since,
       s.breaker_until,
       COALESCE(s.breaker_failures, 0) AS breaker_failures,
       b.host,
       b.port,
       b.tls,
       b.username,
       b.auth,
       EXISTS (SELECT FROM mailer.mailbox_secret x WHERE x.mailbox_id = b.mailbox_id) OR b.password_file IS NOT NULL AS has_password,
       COALESCE(o.token_state, 'none') AS token_state,
       o.token_expires_at,
       i.listen_state,
       i.listen_error,
       i.listening_since,
       i.last_heard_at,
       b.from_address,
       b.from_name,
       b.daily_limit,
       b.ramp_start,
       b.ramp_step,
       b.ramp_from,
       b.timezone,
       b.is_default,
       b.paused_at,
       b.mailbox_id,
       mailer._bounce_rate(b.mailbox_id) AS bounce_rate,
       mailer._shield_text('m', b.mailbox_id, b.shield) AS shield,
       CASE WHEN b.connection IS NULL THEN 'smtp' ELSE 'forward' END AS kind,
       b.connection,
       b.forward_mailbox
FROM mailer.mailbox b
CROSS JOIN LATERAL (SELECT (mailer._now() AT TIME ZONE mailer._known_zone(b.timezone))::date AS today) z
CROSS JOIN LATERAL (
    SELECT mailer._day_limit(b.daily_limit, b.ramp_start, b.ramp_step, CASE WHEN b.ramp_start IS NOT NULL THEN (
        SELECT count(*)::integer FROM mailer.mailbox_day u
        WHERE u.mailbox_id = b.mailbox_id AND u.day >= b.ramp_from AND u.day < z.today AND u.used > 0) END) AS day_limit) n
LEFT JOIN mailer.mailbox_state s ON s.mailbox_id = b.mailbox_id
CROSS JOIN LATERAL (SELECT mailer._lowered_until(b.max_connections, s.connections, s.connections_next_at, s.connections_pause, mailer._now())) w(lowered_until)
LEFT JOIN mailer.mailbox_day d ON d.mailbox_id = b.mailbox_id AND d.day = z.today
LEFT JOIN mailer._oauth_accounts() o ON o.mailbox_id = b.mailbox_id
LEFT JOIN mailer._listening() i ON i.mailbox_id = b.mailbox_id;
COMMENT ON VIEW mailbox_status IS 'Every mailbox: its state and the reason for it, its use of today''s limit, and its settings';
COMMENT ON COLUMN mailbox_status.state IS 'ready, waiting for its gap, day''s limit reached, in trouble (its server or login fails) or paused';
COMMENT ON COLUMN mailbox_status.used_today IS 'Mails of its local day, including those being sent and warm-up';
COMMENT ON COLUMN mailbox_status.limit_today IS 'Limit of its local day after the ramp; NULL is none';
COMMENT ON COLUMN mailbox_status.token_state IS 'Of OAuth2: none, valid, refreshing, provider_unreachable, refused or consent_needed; see oauth_status';
COMMENT ON COLUMN mailbox_status.listen_state IS 'off, connecting, listening or in trouble (see listen_error)';
COMMENT ON COLUMN mailbox_status.last_heard_at IS 'When all folders were last known to be read';
COMMENT ON COLUMN mailbox_status.kind IS 'smtp, or forward: it forwards its mail to another database';
COMMENT ON COLUMN mailbox_status.lowered_connections IS 'How many connections its server accepts, which refused one more (lowered_reason); NULL: it has all of max_connections. One more is tried at a time, and all again from lowered_until on';
COMMENT ON COLUMN mailbox_status.next_at IS 'End of its gap';
COMMENT ON COLUMN mailbox_status.bounce_rate IS 'Share of its mails of the last 30 days that bounced hard; NULL: it sent none';
COMMENT ON COLUMN mailbox_status.shield IS 'Whether its shield is open or shut, and how many of its last 200 mails were refused or bounced; NULL: it is off';
