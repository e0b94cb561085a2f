-- Who may call what. Nothing is granted to PUBLIC; four kinds of role get what they need, function by function.
--
--   sender    queues mail, leads of campaigns included, and sees what is its tenant's; no other mail, no settings.
--   viewer    sees everything but passwords and content that isn't sent; changes nothing.
--   operator  both, and every setting, campaign and switch.
--   gateway   what public URLs do: unsubscribe, and hand in what others report.
-- Arming a copy, and granting, stay with the extension's owner, who can do what an operator can besides.
--
-- _privilege is the whole table, one name a line; a test holds it to the functions there are. Roles are cluster-wide, so the extension
-- makes none: grant to yours. revoke(role) takes it back (89_tenancy.sql).

CREATE FUNCTION _privilege() RETURNS TABLE (level text, names text[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    VALUES
    ('sender', ARRAY[
        'address',
        'attach',
        'batch_cancel',
        'batch_status',
        'campaign_add',
        'campaign_add_many',
        'cancel',
        'community_trigger',
        'contact_delete',
        'contact_list',
        'contact_set',
        'enqueue',
        'enqueue_batch',
        'enqueue_raw',
        'inbox',
        'inbox_mark_read',
        'inbox_unread',
        'notify',
        'notify_trigger',
        'preference_list',
        'preference_set',
        'render',
        'retry',
        'suppress',
        'suppression_list',
        'template_preview',
        'tenant_status',
        'unsubscribe',
        'unsubscribe_preview',
        'unsuppress',
        '_campaign_id',
        '_json_array',
        '_json_list',
        '_own_tenant',
        '_sees_all',
        '_shown_user',
        '_texts',
        '_user_tenant']),
    ('viewer', ARRAY[
        'address',
        'attempt_log',
        'batch',
        'batch_status',
        'campaign_day_numbers',
        'campaign_explain',
        'campaign_forecast',
        'campaign_list',
        'campaign_progress',
        'campaign_schedule',
        'campaign_status',
        'campaign_step_status',
        'captured_mail_list',
        'category_list',
        'contact_list',
        'event_log',
        'explain',
        'feedback_log',
        'health',
        'lead_status',
        'mailbox_status',
        'message_since',
        'message_status',
        'metrics',
        'missed_slot',
        'oauth_status',
        'preference_list',
        'promotion_state',
        'queue',
        'read_feedback',
        'recipient_status',
        'render',
        'report',
        'sent_to',
        'status',
        'suppression_list',
        'template_list',
        'template_preview',
        'tenant_status',
        'top',
        'verify',
        'worker_status',
        '_bounce_rate',
        '_campaign_id',
        '_campaign_state',
        '_metric_tenant',
        '_shield_text',
        -- What the views call runs with the rights of the role that reads them.
        '_batch_rows',
        '_campaign_finishes_at',
        '_campaign_rows',
        '_day_limit',
        '_held_because',
        '_known_zone',
        '_listening',
        '_lowered_until',
        '_message_state',
        '_now',
        '_oauth_accounts',
        '_own_tenant',
        '_sees_all',
        '_shown_user',
        '_user_tenant',
        '_waits_for',
        '_weekday_names',
        '_worker',
        -- What the queries of etc/postgres_exporter.yaml call.
        '_metric_attempts',
        '_metric_campaign',
        '_metric_campaign_state',
        '_metric_feedback',
        '_metric_health',
        '_metric_mailbox',
        '_metric_messages',
        '_metric_queue',
        '_metric_sending',
        '_metric_unmatched',
        '_metric_worker']),
    ('operator', ARRAY[
        'campaign_alter',
        'campaign_cancel',
        'campaign_copy',
        'campaign_create',
        'campaign_delete',
        'campaign_forecast_keep',
        'campaign_pause',
        'campaign_preview',
        'campaign_resume',
        'campaign_retry_failed',
        'campaign_start',
        'campaign_step_delete',
        'campaign_step_set',
        'campaign_test',
        'campaign_variant_set',
        'category_delete',
        'category_set',
        'feedback_confirm',
        'feedback_take_back',
        'forget',
        'forwarder_create',
        'ingest',
        'ingest_webhook',
        'lead_hold',
        'lead_release',
        'lead_restore',
        'lead_stop',
        'lead_update',
        'listen',
        'mailbox_alter',
        'mailbox_create',
        'mailbox_delete',
        'mailbox_pause',
        'mailbox_resume',
        'mailbox_set_password',
        'mailbox_test',
        'message_source',
        'oauth_app_set',
        'oauth_code',
        'oauth_device',
        'oauth_preview',
        'oauth_set',
        'oauth_url',
        'pause',
        'purge',
        'reply_text',
        'resolve',
        'resolve_held',
        'resume',
        'run',
        'template_delete',
        'template_set',
        'tenant_alter',
        'webhook_has_secret',
        'webhook_set_secret',
        '_now',
        '_purge_cutoff',
        '_purge_done',
        '_purge_events',
        '_purge_ledger',
        '_purge_messages',
        '_purge_notifications']),
    ('gateway', ARRAY[
        'ingest',
        'ingest_webhook',
        'oauth_code',
        'oauth_preview',
        'unsubscribe',
        'unsubscribe_preview',
        'webhook_has_secret']),
    ('owner', ARRAY[
        'arm',
        'grant_gateway',
        'grant_mailbox',
        'grant_operator',
        'grant_sender',
        'grant_template',
        'grant_viewer',
        'revoke'])
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

-- The principal of a role that is to be granted something.
CREATE FUNCTION _grantee(role name) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    found_oid CONSTANT oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = role);
BEGIN
    PERFORM mailer._need('role', role IS NULL);
    IF found_oid IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('role "%s" does not exist', role),
            HINT = format('Create it first: CREATE ROLE %I LOGIN.', role);
    END IF;
    PERFORM mailer._principals_changed();
    RETURN mailer._current_principal_of(found_oid);
END;
$$;
COMMENT ON FUNCTION _grantee(name) IS 'The principal of a role by name; error 42704 when there is none';

CREATE FUNCTION grant_sender(role name, share_with name DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    grantee CONSTANT bigint := mailer._grantee(role);
    tenant CONSTANT bigint := COALESCE(mailer._tenant_of_sender(share_with),
        (SELECT p.tenant_id FROM mailer.principal p WHERE p.id = grantee), mailer._new_tenant(role));
BEGIN
    UPDATE mailer.principal p SET is_sender = true, tenant_id = tenant WHERE p.id = grantee;
    PERFORM mailer._grant(role, '{sender}');
    -- A message's status by its id: what an application keeps. All of them at a time is for viewers.
    EXECUTE format('GRANT EXECUTE ON FUNCTION mailer.status(bigint) TO %I', role);
END;
$$;
COMMENT ON FUNCTION grant_sender(name, name) IS
'Lets a role queue mail, cancel it and query it by id: what an application needs. It makes the role a tenant of its own, which sees
nothing of others'' mail, contacts and suppressions. Roles that have the role''s rights act for the same tenant.
share_with: a role that is a sender already; both are one tenant. Call it again after ALTER EXTENSION UPDATE. mailer.revoke() revokes it.
Errors: 42704 no such role, 55000 share_with is not a sender, 42501 you don''t own the extension.';

CREATE FUNCTION _tenant_of_sender(role name) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    grantee CONSTANT bigint := CASE WHEN role IS NOT NULL THEN mailer._grantee(role) END;
    found_tenant bigint;
BEGIN
    IF role IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT p.tenant_id INTO found_tenant FROM mailer.principal p WHERE p.id = grantee AND p.is_sender;
    IF found_tenant IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('role "%s" is not a sender', role),
            HINT = format('Call mailer.grant_sender(%L) first.', role);
    END IF;
    RETURN found_tenant;
END;
$$;
COMMENT ON FUNCTION _tenant_of_sender(name) IS 'The tenant of a role that grant_sender() was called for; NULL for NULL, error 55000 for another role';

CREATE FUNCTION _new_tenant(role name) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    new_id bigint := nextval('mailer.tenant_id_seq');
    new_lane bigint;
BEGIN
    INSERT INTO mailer.lane (kind, pool_key, tenant_id) VALUES ('s', 'default', new_id) RETURNING lane_id INTO new_lane;
    INSERT INTO mailer.tenant (id, name, lane_id) OVERRIDING SYSTEM VALUE
    VALUES (new_id, CASE WHEN EXISTS (SELECT FROM mailer.tenant t WHERE t.name = role) THEN role || ' ' || new_id ELSE role END, new_lane);
    RETURN new_id;
END;
$$;
COMMENT ON FUNCTION _new_tenant(name) IS 'Makes a tenant, named after its first role';

CREATE FUNCTION grant_viewer(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    grantee CONSTANT bigint := mailer._grantee(role);
BEGIN
    UPDATE mailer.principal p SET is_viewer = true WHERE p.id = grantee;
    PERFORM mailer._grant(role, '{viewer}');
END;
$$;
COMMENT ON FUNCTION grant_viewer(name) IS
'Lets a role read: status, every view, explain, forecast, health and verify; no passwords, and it changes nothing.
Errors: 42704 no such role, 42501 you don''t own the extension.';

CREATE FUNCTION grant_operator(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    grantee CONSTANT bigint := mailer._grantee(role);
BEGIN
    UPDATE mailer.principal p SET is_operator = true WHERE p.id = grantee;
    PERFORM mailer._grant(role, '{sender,viewer,operator}');
END;
$$;
COMMENT ON FUNCTION grant_operator(name) IS
'Lets a role do everything except arm a copy and grant: mailboxes, passwords (set, not read), templates, campaigns, switches, purge, run.
Errors: 42704 no such role, 42501 you don''t own the extension.';

REVOKE ALL ON ALL TABLES IN SCHEMA mailer FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA mailer FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA mailer FROM PUBLIC;
REVOKE ALL ON TYPE attachment FROM PUBLIC;
REVOKE ALL ON TYPE json_list FROM PUBLIC;
REVOKE ALL ON TYPE campaign_summary FROM PUBLIC;
