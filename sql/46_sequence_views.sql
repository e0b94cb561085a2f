-- Leads and steps as people see them, and drafts of a campaign.

CREATE VIEW lead_status AS
SELECT l.campaign_id,
       c.name AS campaign,
       m.address,
       CASE WHEN l.ended IS NOT NULL THEN l.ended
            WHEN l.held_at IS NOT NULL THEN 'held'
            WHEN m.queue_state IS NOT NULL THEN CASE WHEN m.step_id = 0 AND l.last_sent_at IS NULL THEN 'waiting' ELSE 'active' END
            WHEN m.outcome_state IN ('f', 'u') THEN mailer._message_state(m.outcome_state)
            WHEN m.outcome_state = 'c' THEN CASE WHEN m.reason IN ('suppressed', 'unsubscribed') THEN m.reason ELSE 'stopped' END
            ELSE 'active' END AS state,
       CASE WHEN m.step_id = 0 THEN 1 ELSE s.place END AS step,
       b.name AS mailbox,
       COALESCE(m.variant, l.variant) AS variant,
       m.message_id,
       CASE WHEN m.due_at < timestamptz '9000-01-01 00:00+00' THEN m.due_at END AS due_at,
       l.last_sent_at,
       l.held_at,
       l.ended_at,
       COALESCE(l.ended_reason, m.reason) AS reason,
       l.label,
       COALESCE(l.variables, m.variables) AS variables,
       COALESCE(l.timezone, c.timezone) AS timezone,
       l.not_before,
       COALESCE(l.priority, 2) AS priority,
       m.external_id,
       l.address_key
FROM mailer.lead l
JOIN mailer.campaign c ON c.campaign_id = l.campaign_id
CROSS JOIN LATERAL (
    SELECT x.message_id, x.addresses[1] AS address, x.step_id, x.variant, x.variables, x.external_id, q.state AS queue_state, q.due_at,
           o.state AS outcome_state, o.reason
    FROM mailer.message x
    LEFT JOIN mailer.queue_entry q ON q.message_id = x.message_id
    LEFT JOIN mailer.outcome o ON o.message_id = x.message_id
    WHERE x.campaign_id = l.campaign_id AND x.address_key = l.address_key
    ORDER BY x.message_id DESC LIMIT 1) m
LEFT JOIN mailer.campaign_step s ON s.step_id = m.step_id
LEFT JOIN mailer.mailbox b ON b.mailbox_id = l.mailbox_id;
COMMENT ON VIEW lead_status IS 'Every lead of every campaign: the state of its sequence, what comes next and when';
COMMENT ON COLUMN lead_status.state IS 'waiting, active, held, replied, bounced, unsubscribed, complained, suppressed, stopped, left, failed, unconfirmed, finished, campaign_ended or campaign_cancelled';
COMMENT ON COLUMN lead_status.step IS 'Of its last message: the waiting one, or the one sent last';
COMMENT ON COLUMN lead_status.message_id IS 'Its last message';
COMMENT ON COLUMN lead_status.address_key IS 'The identity of the address: with campaign_id it finds a lead by index, and it is the order to page by';
COMMENT ON COLUMN lead_status.reason IS 'Why its sequence ended, or its last message';

CREATE VIEW campaign_step_status AS
SELECT c.campaign_id,
       c.name AS campaign,
       s.place AS step,
       v.variant,
       COALESCE(v.template, s.template) AS template,
       s.subject,
       s.delay,
       s.is_working_days AS working_days,
       v.weight,
       n.total,
       n.pending,
       n.sending,
       n.sent,
       n.failed,
       n.cancelled,
       n.unconfirmed,
       n.replied,
       n.bounced,
       n.complained,
       n.unsubscribed
FROM mailer.campaign c
CROSS JOIN LATERAL (
    SELECT 0::bigint AS step_id, 1 AS place, c.template, NULL::text AS subject, NULL::interval AS delay, false AS is_working_days
    UNION ALL
    SELECT t.step_id, t.place, t.template, t.subject, t.delay, t.is_working_days FROM mailer.campaign_step t WHERE t.campaign_id = c.campaign_id) s
LEFT JOIN LATERAL (
    SELECT w.variant, w.template, w.weight FROM mailer.campaign_variant w WHERE w.campaign_id = c.campaign_id AND w.step_id = s.step_id
    UNION ALL
    SELECT NULL, s.template, NULL WHERE EXISTS (SELECT FROM mailer.campaign_variant w WHERE w.campaign_id = c.campaign_id AND w.step_id = s.step_id)
        AND EXISTS (SELECT FROM mailer.message m WHERE m.campaign_id = c.campaign_id AND m.step_id = s.step_id AND m.variant IS NULL)) v ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE q.state = 'p') AS pending, count(*) FILTER (WHERE q.state = 's') AS sending,
           count(*) FILTER (WHERE o.state = 'S') AS sent, count(*) FILTER (WHERE o.state = 'f') AS failed,
           count(*) FILTER (WHERE o.state = 'c') AS cancelled, count(*) FILTER (WHERE o.state = 'u') AS unconfirmed,
           count(f.replied_at) AS replied, count(f.bounced_at) AS bounced, count(f.complained_at) AS complained,
           count(f.unsubscribed_at) AS unsubscribed
    FROM mailer.message m
    LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
    LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
    LEFT JOIN mailer.message_feedback f ON f.message_id = m.message_id
    WHERE m.campaign_id = c.campaign_id AND m.step_id = s.step_id AND (m.variant IS NOT DISTINCT FROM v.variant)) n;
COMMENT ON VIEW campaign_step_status IS 'The steps of every campaign and their variants, with what they send and counts of mails by state';
COMMENT ON COLUMN campaign_step_status.replied IS 'Mails of this step that were answered; bounced, complained and unsubscribed likewise';
COMMENT ON COLUMN campaign_step_status.variant IS 'NULL if the step has no variants, or for mails sent before it had any';

CREATE VIEW campaign_day_numbers AS
SELECT c.campaign_id,
       c.name AS campaign,
       d.day,
       d.new_used AS new,
       d.used - d.new_used AS follow_ups,
       (SELECT count(*) FROM mailer.lead l WHERE l.campaign_id = c.campaign_id AND l.ended = 'replied'
          AND (l.ended_at AT TIME ZONE c.timezone)::date = d.day) AS replied,
       (SELECT count(*) FROM mailer.lead l WHERE l.campaign_id = c.campaign_id AND l.ended = 'bounced'
          AND (l.ended_at AT TIME ZONE c.timezone)::date = d.day) AS bounced
FROM mailer.campaign c JOIN mailer.campaign_day d ON d.campaign_id = c.campaign_id;
COMMENT ON VIEW campaign_day_numbers IS 'Each day of each campaign: first mails and follow-ups that were sent, leads that replied and bounced';

CREATE FUNCTION campaign_copy(campaign_id bigint, name text) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    old mailer.campaign;
    copy mailer.campaign;
BEGIN
    SELECT c.* INTO old FROM mailer.campaign c WHERE c.campaign_id = campaign_copy.campaign_id;
    IF old.campaign_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('campaign %s does not exist', COALESCE(campaign_copy.campaign_id::text, 'NULL')),
            HINT = 'SELECT campaign_id, name, state FROM mailer.campaign_progress lists them.';
    END IF;
    PERFORM mailer._check_name('name', campaign_copy.name);
    IF EXISTS (SELECT FROM mailer.campaign c WHERE c.name = campaign_copy.name AND c.state <> 'x') THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('campaign "%s" already exists', campaign_copy.name);
    END IF;
    copy := old;
    copy.campaign_id := nextval(pg_get_serial_sequence('mailer.campaign', 'campaign_id'));
    copy.name := campaign_copy.name;
    copy.state := 'd';
    copy.state_reason := NULL;
    copy.created_at := mailer._now();
    copy.created_by := mailer._caller_name();
    copy.started_at := NULL;
    copy.completed_at := NULL;
    copy.starts_at := CASE WHEN old.starts_at > mailer._now() THEN old.starts_at END;
    copy.ends_at := CASE WHEN old.ends_at > mailer._now() THEN old.ends_at END;
    INSERT INTO mailer.lane (kind, campaign_id, pool) SELECT 'c', copy.campaign_id, l.pool FROM mailer.lane l WHERE l.lane_id = old.lane_id
    RETURNING lane_id INTO copy.lane_id;
    INSERT INTO mailer.campaign OVERRIDING SYSTEM VALUE SELECT copy.*;
    WITH steps AS (
        INSERT INTO mailer.campaign_step (campaign_id, place, template, subject, delay, is_working_days, created_at)
        SELECT copy.campaign_id, s.place, s.template, s.subject, s.delay, s.is_working_days, mailer._now()
        FROM mailer.campaign_step s WHERE s.campaign_id = old.campaign_id ORDER BY s.place
        RETURNING step_id, place
    )
    INSERT INTO mailer.campaign_variant (campaign_id, step_id, variant, template, weight)
    SELECT copy.campaign_id, COALESCE(n.step_id, 0), v.variant, v.template, v.weight
    FROM mailer.campaign_variant v
    LEFT JOIN mailer.campaign_step s ON s.step_id = v.step_id
    LEFT JOIN steps n ON n.place = s.place
    WHERE v.campaign_id = old.campaign_id;
    PERFORM mailer._log_event('campaign_created', jsonb_build_object('name', copy.name, 'copy_of', old.campaign_id),
        campaign_id => copy.campaign_id);
    PERFORM mailer._changed();
    RETURN copy.campaign_id;
END;
$$;
COMMENT ON FUNCTION campaign_copy(bigint, text) IS
'Creates a draft with the settings, steps and variants of a campaign, without its leads, and returns its id. Times that have passed are left out.
Errors: 42704 no such campaign, 42710 the name is taken.';
