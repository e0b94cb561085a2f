-- Who may call what. Nothing is granted to PUBLIC; three kinds of role get what they need, function by function.
--
--   sender    queues mail, leads of campaigns included, and asks about it by id; sees no other mail, no settings, no views.
--   viewer    sees everything but passwords and content that isn't sent; changes nothing.
--   operator  both, and every setting, campaign and switch.
-- Arming a copy, and granting, stay with the extension's owner, who can do what an operator can besides.
--
-- _privilege is the whole table, by name; a test holds it to the functions there are. Roles are cluster-wide, so the extension
-- makes none: grant to yours. DROP OWNED BY role, or REVOKE, takes it back.

CREATE FUNCTION _privilege() RETURNS TABLE (level text, names text[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    VALUES
    ('sender', ARRAY['enqueue', 'enqueue_batch', 'attach', 'campaign_add', 'campaign_add_many', 'notify', 'notify_trigger', 'community_trigger', 'cancel', 'batch_cancel', 'render',
        'template_preview', 'batch_status', 'inbox', 'inbox_unread', 'inbox_mark_read', 'unsubscribe', 'contact_set', 'preference_set']),
    ('viewer', ARRAY['status', 'batch_status', 'campaign_status', 'campaign_explain', 'campaign_forecast', 'explain', 'verify', 'health',
        'template_preview', 'render', 'metrics', 'report', 'top', 'read_feedback',
        'message_status', 'recipient_status', 'attempt_log', 'event_log', 'queue', 'mailbox_status', 'campaign_progress', 'batch',
        'missed_slot', 'worker_status',
        -- What the views call runs with the rights of whoever looks.
        '_now', '_worker', '_held_because', '_batch_rows', '_campaign_rows', '_campaign_finishes_at', '_weekday_names',
        -- What the queries of etc/postgres_exporter.yaml call.
        '_metric_messages', '_metric_queue', '_metric_mailbox', '_metric_attempts', '_metric_worker', '_metric_sending', '_metric_campaign',
        '_metric_campaign_state', '_metric_health']),
    ('operator', ARRAY['mailbox_create', 'mailbox_alter', 'mailbox_set_password', 'mailbox_pause', 'mailbox_resume', 'mailbox_test',
        'template_set', 'retry', 'resolve', 'message_source', 'category_set', 'suppress', 'unsuppress',
        'campaign_create', 'campaign_alter', 'campaign_start', 'campaign_pause',
        'campaign_resume', 'campaign_cancel', 'campaign_retry_failed', 'pause', 'resume', 'run',
        'purge', '_purge_messages', '_purge_notifications', '_purge_events', '_purge_done', '_now']),
    ('owner', ARRAY['arm', 'grant_sender', 'grant_operator', 'grant_viewer'])
$$;
COMMENT ON FUNCTION _privilege() IS 'Which functions, procedures and views each kind of role may use, by name';

CREATE FUNCTION _grant(role name, levels text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    what text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA mailer TO %I', role);
    FOR what IN
        SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I', p.oid::regprocedure, role)
        FROM pg_proc p JOIN mailer._privilege() g ON p.proname = ANY (g.names)
        WHERE p.pronamespace = 'mailer'::regnamespace AND g.level = ANY (levels)
        UNION
        SELECT format('GRANT SELECT ON %s TO %I', c.oid::regclass, role)
        FROM pg_class c JOIN mailer._privilege() g ON c.relname = ANY (g.names)
        WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'v' AND g.level = ANY (levels)
        UNION
        SELECT format('GRANT USAGE ON TYPE mailer.attachment TO %I', role)
        ORDER BY 1
    LOOP
        EXECUTE what;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _grant(name, text[]) IS 'Grants a role what the levels may use';

CREATE FUNCTION grant_sender(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._grant(role, '{sender}');
    -- A message's status by its id: what an application keeps. All of them at a time is for viewers.
    EXECUTE format('GRANT EXECUTE ON FUNCTION mailer.status(bigint) TO %I', role);
END;
$$;
COMMENT ON FUNCTION grant_sender(name) IS
'Lets a role queue mail, cancel it and ask about it by id: what an application needs. It sees no mail of others in views and no settings.
Call it again after ALTER EXTENSION UPDATE. DROP OWNED BY role takes it back. Errors: 42704 no such role, 42501 you don''t own the extension.';

CREATE FUNCTION grant_viewer(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._grant(role, '{viewer}');
END;
$$;
COMMENT ON FUNCTION grant_viewer(name) IS
'Lets a role look: status, every view, explain, forecast, health and verify; never passwords, and it changes nothing.
Errors: 42704 no such role, 42501 you don''t own the extension.';

CREATE FUNCTION grant_operator(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._grant(role, '{sender,viewer,operator}');
END;
$$;
COMMENT ON FUNCTION grant_operator(name) IS
'Lets a role do everything but arm a copy and grant: mailboxes, passwords (set, not read), templates, campaigns, switches, purge, run.
Errors: 42704 no such role, 42501 you don''t own the extension.';

REVOKE ALL ON ALL TABLES IN SCHEMA mailer FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA mailer FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA mailer FROM PUBLIC;
REVOKE ALL ON TYPE attachment FROM PUBLIC;
REVOKE ALL ON TYPE campaign_summary FROM PUBLIC;
