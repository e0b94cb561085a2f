-- Writing down who changed what. Every statement of the API that changes a setting or a state calls _log_event once;
-- the engine writes its own rows. Readers have the view event_log.

CREATE FUNCTION _log_event(kind text, detail jsonb DEFAULT '{}', campaign_id bigint DEFAULT NULL,
    mailbox_id bigint DEFAULT NULL, batch_id bigint DEFAULT NULL, message_id bigint DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    INSERT INTO mailer.event (at, kind, message_id, batch_id, campaign_id, mailbox_id, by_role, detail)
    VALUES (mailer._now(), kind, message_id, batch_id, campaign_id, mailbox_id, mailer._caller_name(),
        (SELECT COALESCE(jsonb_object_agg(d.key, d.value), '{}') FROM jsonb_each(detail) d WHERE d.value <> 'null'))
$$;
COMMENT ON FUNCTION _log_event(text, jsonb, bigint, bigint, bigint, bigint) IS 'One row of event_log, in the name of the session''s user; keys of detail that are null are left out, but not those within its values: a setting that was set to null is logged';
