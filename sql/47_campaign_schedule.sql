-- The schedule of a campaign on one line: what went and when, and what had been foretold for it.
--
-- A forecast is computed each time and stored nowhere, so what came of it could be compared with nothing. campaign_forecast_keep
-- stores one; for mails that have gone it stays as it was, and a later one replaces the rest.

CREATE TABLE campaign_plan (
    campaign_id bigint NOT NULL,
    address_key text COLLATE "C" NOT NULL,
    step        integer NOT NULL,
    slot_at     timestamptz NOT NULL,
    kept_at     timestamptz NOT NULL,
    PRIMARY KEY (campaign_id, address_key, step)
);
COMMENT ON TABLE campaign_plan IS 'Forecasts that were kept, one slot for each mail: what view campaign_schedule compares with what happened';
COMMENT ON COLUMN campaign_plan.slot_at IS 'When the mail was to go';
COMMENT ON COLUMN campaign_plan.kept_at IS 'When that was foretold';
SELECT pg_catalog.pg_extension_config_dump('mailer.campaign_plan', '');

CREATE VIEW campaign_schedule AS
SELECT m.campaign_id,
       m.message_id,
       o.event_id AS id,
       m.addresses[1] AS recipient,
       m.address_key,
       COALESCE(s.place, 1) AS step,
       b.name AS mailbox,
       mailer._message_state(o.state) AS state,
       o.reason,
       o.settled_at AS at,
       p.slot_at AS foretold_at,
       p.kept_at,
       CASE o.state WHEN 'S' THEN o.settled_at - p.slot_at END AS difference
FROM mailer.message m
JOIN mailer.outcome o ON o.message_id = m.message_id
LEFT JOIN mailer.campaign_step s ON s.step_id = m.step_id
LEFT JOIN mailer.mailbox b ON b.mailbox_id = o.mailbox_id
LEFT JOIN mailer.campaign_plan p ON p.campaign_id = m.campaign_id AND p.address_key = m.address_key AND p.step = COALESCE(s.place, 1)
WHERE m.campaign_id IS NOT NULL;
COMMENT ON VIEW campaign_schedule IS 'Every settled mail of every campaign: when it was sent, and the forecast time. Future mails are in campaign_forecast(), missed slots in missed_slot';
COMMENT ON COLUMN campaign_schedule.id IS 'Grows with the time at which they settled; of the same order as event_log''s ids';
COMMENT ON COLUMN campaign_schedule.at IS 'When the mail server accepted it, or when it ended otherwise';
COMMENT ON COLUMN campaign_schedule.foretold_at IS 'Its slot in the last forecast that was stored before it was sent; NULL: none was stored';
COMMENT ON COLUMN campaign_schedule.difference IS 'From that slot until the mail server accepted it';

CREATE VIEW campaign_list AS
SELECT c.campaign_id,
       c.name,
       mailer._campaign_state(c.state) AS state,
       c.state_reason,
       c.template,
       (SELECT array_agg(b.name ORDER BY b.name) FROM mailer.mailbox b
        WHERE CASE WHEN l.pool IS NULL THEN b.is_default ELSE b.mailbox_id = ANY (l.pool) END) AS mailboxes,
       c.list,
       c.window_start,
       c.window_end,
       mailer._weekday_names(c.allowed_days) AS allowed_days,
       c.gap,
       c.jitter,
       c.max_per_day,
       c.max_new_per_day,
       c.timezone,
       c.starts_at,
       c.ends_at,
       c.prefer,
       c.created_at,
       c.created_by,
       c.started_at,
       c.completed_at
FROM mailer.campaign c
LEFT JOIN mailer.lane l ON l.lane_id = c.lane_id;
COMMENT ON VIEW campaign_list IS 'Every campaign with its settings, without counts: cheap to read however many there are. mailer.campaign_status(campaign_id) counts';
COMMENT ON COLUMN campaign_list.state IS 'draft, running, paused, completed or cancelled';
COMMENT ON COLUMN campaign_list.mailboxes IS 'The mailboxes that serve it, the default ones where it names none';

CREATE FUNCTION campaign_forecast_keep(campaign_id bigint) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    kept bigint;
BEGIN
    PERFORM mailer._campaign_exists(campaign_forecast_keep.campaign_id);
    INSERT INTO mailer.campaign_plan AS p (campaign_id, address_key, step, slot_at, kept_at)
    SELECT campaign_forecast_keep.campaign_id, mailer._address_key(f.recipient), f.step, min(f.slot_at), mailer._now()
    FROM mailer.campaign_forecast(campaign_forecast_keep.campaign_id, max_rows => 20000) f
    WHERE f.slot_at IS NOT NULL AND mailer._address_key(f.recipient) IS NOT NULL
    GROUP BY mailer._address_key(f.recipient), f.step
    ON CONFLICT (campaign_id, address_key, step) DO UPDATE SET slot_at = excluded.slot_at, kept_at = excluded.kept_at;
    GET DIAGNOSTICS kept = ROW_COUNT;
    RETURN kept;
END;
$$;
COMMENT ON FUNCTION campaign_forecast_keep(bigint) IS
'Stores the current forecast of a campaign, for its first 20,000 mails at most, and returns how many. View campaign_schedule shows each sent mail
beside the time in the last stored forecast. mailer-web stores one at each start and resume. Error 42704 no such campaign.';
