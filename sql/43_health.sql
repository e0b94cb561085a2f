-- health(): what an operator should look at, worst first, with what to do about it. Empty when all is well.
--
-- It asks the tables and shared memory and changes nothing; every check is cheap at any depth of the queue. Waiting is no
-- trouble by itself: what waits for a window, a gap or a cap is campaign_explain()'s to tell. Thresholds are written
-- down once, at the top of each function. A table that somebody has locked doesn't stop it: it says so, and tells the rest.

-- What the worker goes by: the database's own setting, which a session that began before doesn't know, else the server's.
CREATE FUNCTION _worker_setting(setting text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT COALESCE(
        (SELECT substr(c.value, length(setting) + 2) FROM pg_db_role_setting r CROSS JOIN LATERAL unnest(r.setconfig) c(value)
         WHERE r.setrole = 0 AND r.setdatabase = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND starts_with(c.value, setting || '=')),
        (SELECT s.setting FROM pg_settings s WHERE s.name = _worker_setting.setting AND s.source NOT IN ('database', 'user', 'database user', 'session', 'client')),
        (SELECT s.boot_val FROM pg_settings s WHERE s.name = _worker_setting.setting))
$$;
COMMENT ON FUNCTION _worker_setting(text) IS 'A setting as a worker of this database has it, whatever this session has';

CREATE FUNCTION _health_worker() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    hung_after CONSTANT interval := interval '2 min';
    has_mail boolean := true;
BEGIN
    IF EXISTS (SELECT FROM mailer.worker_status w WHERE NOT w.is_running) THEN
        BEGIN
            has_mail := EXISTS (SELECT FROM mailer.queue_entry);
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END IF;
    RETURN QUERY SELECT CASE WHEN has_mail THEN 'critical' ELSE 'warning' END, 'worker', w.worker, w.last_error_at,
        w.hint
    FROM mailer.worker_status w WHERE NOT w.is_ready AND NOT pg_is_in_recovery();

    RETURN QUERY SELECT 'critical', 'worker', 'the sender has not come round for ' || date_trunc('second', clock_timestamp() - w.heartbeat_at),
        w.heartbeat_at, format('SELECT pg_terminate_backend(%s); it is started again.', w.pid)
    FROM mailer.worker_status w WHERE w.is_running AND w.heartbeat_at < clock_timestamp() - hung_after;

    RETURN QUERY SELECT 'warning', 'worker', 'the sender met an error: ' || w.last_error, w.last_error_at, 'Look into the server''s log.'
    FROM mailer.worker_status w WHERE w.is_running AND w.last_error <> '' AND w.last_error_at > clock_timestamp() - interval '1 hour';

    RETURN QUERY SELECT 'critical', 'library', format('library %s is loaded, the extension is %s', mailer._library_version(), e.extversion),
        NULL::timestamptz, 'Restart the server after ALTER EXTENSION mailer UPDATE.'
    FROM pg_extension e
    WHERE e.extname = 'mailer' AND split_part(e.extversion, '.', 1) || '.' || split_part(e.extversion, '.', 2)
        <> split_part(mailer._library_version(), '.', 1) || '.' || split_part(mailer._library_version(), '.', 2);

    IF current_setting('mailer.enabled', true) = 'off' THEN
        RETURN QUERY SELECT 'warning', 'sending', 'mailer.enabled is off', NULL::timestamptz, 'Set it on and reload.';
    END IF;
    IF mailer._worker_setting('mailer.delivery') = 'capture' THEN
        RETURN QUERY SELECT 'info', 'sending', 'mails are captured, not sent (mailer.delivery)', NULL::timestamptz,
            'ALTER DATABASE … SET mailer.delivery = smtp.';
    END IF;
    IF mailer._worker_setting('mailer.redirect_to') <> '' THEN
        RETURN QUERY SELECT 'info', 'sending', 'all mail goes to ' || mailer._worker_setting('mailer.redirect_to') || ' (mailer.redirect_to)',
            NULL::timestamptz, 'ALTER DATABASE … RESET mailer.redirect_to.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _health_worker() IS 'Alerts of mailer.health() about who sends and the settings; they can be had whatever tables are locked';

CREATE FUNCTION _health_sending() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT 'warning', 'sending', 'sending is paused: ' || c.pause_reason || ' (by ' || c.paused_by || ')', c.paused_at,
        'mailer.resume() ends it.' FROM mailer.control c;

    RETURN QUERY SELECT 'critical', 'clone', 'nothing is sent: ' || a.why, NULL::timestamptz,
        'Make sure that the original doesn''t send the same mails, then SELECT mailer.arm().'
    FROM mailer._arming() a WHERE NOT a.is_armed;

    -- Rows of an epoch that nobody adopted came with a dump: they lie at the front of their lanes, or nowhere.
    RETURN QUERY SELECT 'critical', 'clone', 'mails that came from a dump or another database are held', NULL::timestamptz,
        'Make sure that the original doesn''t send them, then SELECT mailer.arm().'
    WHERE EXISTS (SELECT FROM (SELECT q.epoch FROM mailer.queue_entry q ORDER BY q.message_id LIMIT 1000) q
                  WHERE NOT EXISTS (SELECT FROM mailer.arming a WHERE q.epoch = ANY (a.adopted))
                    AND NOT EXISTS (SELECT FROM mailer.promotion p WHERE q.epoch = ANY (p.held_epochs)));

    RETURN QUERY SELECT 'warning', 'unconfirmed', format('%s mails may or may not have arrived', count(*)), min(o.settled_at),
        'See message_status WHERE state = ''unconfirmed''; settle each with mailer.resolve(message_id, ''sent'' or ''resend'').'
    FROM mailer.outcome o WHERE o.state = 'u' HAVING count(*) > 0;
END;
$$;
COMMENT ON FUNCTION _health_sending() IS 'Alerts of mailer.health() about what holds all mail, and what is unconfirmed';

CREATE FUNCTION _health_mailboxes() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    near_limit CONSTANT numeric := 0.9;
    warned_before CONSTANT interval := interval '30 days';
BEGIN
    RETURN QUERY SELECT 'critical', 'mailboxes', 'there is mail, but no default mailbox to send it', NULL::timestamptz,
        'Make one with mailer.mailbox_create(), or mailer.mailbox_alter(name, ''{"is_default": true}'').'
    WHERE NOT EXISTS (SELECT FROM mailer.mailbox b WHERE b.is_default)
      AND EXISTS (SELECT FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id WHERE l.pool IS NULL);

    RETURN QUERY SELECT CASE WHEN b.breaker_failures > 3 OR b.reason ~ '^(login|insecure|sender_refused):' THEN 'critical' ELSE 'warning' END,
        'mailbox ' || b.mailbox,
        -- The engine's reason opens with the kind of trouble (core/outcome/verdict).
        COALESCE((SELECT k.said || substr(b.reason, length(k.kind) + 3) FROM (VALUES ('login', 'login refused: '), ('busy', 'its server is busy: '),
                ('unreachable', 'its server can''t be reached: '), ('insecure', 'no secure connection: '), ('sender_refused', 'its server refuses the sender: ')) k(kind, said)
            WHERE starts_with(b.reason, k.kind || ': ')), 'its server fails: ' || b.reason)
            || format(' (%s times, next try %s)', b.breaker_failures, to_char(b.breaker_until, 'HH24:MI:SS')),
        b.breaker_since,
        CASE WHEN b.reason ~ '^login:' AND b.token_state <> 'none' THEN COALESCE(mailer._oauth_hint(b.reason, o.grant_type), 'See oauth_status; CALL mailer.mailbox_test(name) shows which step fails.')
             WHEN b.reason ~ '^login:' THEN 'Set the password with mailer.mailbox_set_password(), then CALL mailer.mailbox_test(name).'
             ELSE 'CALL mailer.mailbox_test(name) shows which step fails.' END
    FROM mailer.mailbox_status b LEFT JOIN mailer._oauth_accounts() o ON o.mailbox_id = b.mailbox_id WHERE b.state = 'in trouble';

    RETURN QUERY SELECT 'warning', 'mailbox ' || b.mailbox, 'paused: ' || b.reason, b.paused_at, 'mailer.mailbox_resume(name) ends it.'
    FROM mailer.mailbox_status b WHERE b.state = 'paused';

    RETURN QUERY SELECT CASE WHEN b.used_today >= b.limit_today THEN 'warning' ELSE 'info' END, 'mailbox ' || b.mailbox,
        format('%s of %s mails of today are used', b.used_today, b.limit_today), NULL::timestamptz,
        'What is over waits for the next local day; more mailboxes or a higher daily_limit make room.'
    FROM mailer.mailbox_status b WHERE b.limit_today > 0 AND b.used_today >= near_limit * b.limit_today;

    RETURN QUERY SELECT 'info', 'mailbox ' || b.mailbox,
        format('its server takes %s of %s connections: %s', b.lowered_connections, b.max_connections, b.lowered_reason), b.lowered_since,
        format('Nothing failed; more are tried one by one. mailer.mailbox_alter(name, ''{"max_connections": %s}'') spares the server that.', b.lowered_connections)
    FROM mailer.mailbox_status b WHERE b.lowered_connections IS NOT NULL;

    RETURN QUERY SELECT 'warning', 'mailbox ' || b.mailbox, 'it has a username and no password', NULL::timestamptz,
        'Set it with mailer.mailbox_set_password(); a dump carries no passwords.'
    FROM mailer.mailbox_status b WHERE b.username IS NOT NULL AND NOT b.has_password AND b.token_state = 'none';

    RETURN QUERY SELECT 'warning', 'mailbox ' || b.mailbox,
        CASE WHEN w.is_allowed THEN format('with tls %s its password may cross the network in clear text (mailer.allow_cleartext_login)', b.tls)
             WHEN b.tls = 'none' THEN 'with tls none its password would cross the network in clear text: it doesn''t log in'
             ELSE 'with tls opportunistic its password goes to any server that answers: no certificate is verified' END, NULL::timestamptz,
        'mailer.mailbox_alter(name, ''{"tls": "starttls"}'') protects it, or "implicit" with port 465.'
    FROM mailer.mailbox_status b JOIN mailer.mailbox m ON m.mailbox_id = b.mailbox_id
    CROSS JOIN (SELECT mailer._worker_setting('mailer.allow_cleartext_login') = 'on' AS is_allowed) w
    WHERE b.kind = 'smtp' AND b.tls IN ('none', 'opportunistic') AND (b.username IS NOT NULL OR b.token_state <> 'none')
      AND NOT mailer._stays_on_this_machine(b.host, m.proxy);

    RETURN QUERY SELECT CASE WHEN b.secret_expires_at <= mailer._now() THEN 'critical' ELSE 'warning' END, 'mailbox ' || b.name,
        CASE WHEN b.secret_expires_at <= mailer._now() THEN 'its password has expired' ELSE 'its password expires on ' || to_char(b.secret_expires_at, 'YYYY-MM-DD') END,
        b.secret_expires_at, 'Set a new one with mailer.mailbox_set_password(), and secret_expires_at with mailer.mailbox_alter().'
    FROM mailer.mailbox b WHERE b.secret_expires_at <= mailer._now() + warned_before;
END;
$$;
COMMENT ON FUNCTION _health_mailboxes() IS 'Alerts of mailer.health() about mailboxes';

-- What keeps vacuum from the queue's dead rows: an old snapshot or transaction of this database, or one that a standby or a
-- replication slot speaks for. Other databases' transactions don't (the queue is no shared table).
CREATE FUNCTION _held_back_by(older_than interval) RETURNS TABLE (who text, what text, since timestamptz, hint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT 'session with pid ' || a.pid, COALESCE(NULLIF(a.application_name, ''), a.backend_type) || ', ' || COALESCE(a.state, 'active'),
           COALESCE(a.xact_start, a.backend_start), format('End that transaction, or SELECT pg_terminate_backend(%s).', a.pid)
    FROM pg_stat_activity a
    WHERE COALESCE(a.backend_xmin, a.backend_xid) IS NOT NULL AND (a.datname = current_database() OR a.datname IS NULL)
      AND COALESCE(a.xact_start, a.backend_start) < clock_timestamp() - older_than
      AND a.backend_type <> 'autovacuum worker' AND a.pid <> pg_backend_pid()
    UNION ALL
    SELECT 'prepared transaction ' || p.gid, 'database ' || p.database, p.prepared, format('COMMIT PREPARED %L or ROLLBACK PREPARED %L in that database.', p.gid, p.gid)
    FROM pg_prepared_xacts p WHERE p.database = current_database() AND p.prepared < clock_timestamp() - older_than
    UNION ALL
    SELECT 'replication slot ' || s.slot_name, 'it is not in use', NULL, format('Connect its standby, or SELECT pg_drop_replication_slot(%L).', s.slot_name)
    FROM pg_replication_slots s WHERE NOT s.active AND s.xmin IS NOT NULL
$$;
COMMENT ON FUNCTION _held_back_by(interval) IS 'Sessions, prepared transactions and slots that keep dead rows of the queue from being removed for longer than this';

CREATE FUNCTION _health_queue() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    late_after CONSTANT interval := interval '5 min';
    very_late_after CONSTANT interval := interval '1 hour';
    old_snapshot CONSTANT interval := interval '10 min';
    many_deltas CONSTANT integer := 100000;
    late_try CONSTANT interval := interval '1 hour';
    now_at CONSTANT timestamptz := mailer._now();
BEGIN
    -- Campaigns wait by design and batches by their gap; a stream that is late has no such excuse.
    RETURN QUERY SELECT CASE WHEN min(d.due_at) < now_at - very_late_after THEN 'critical' ELSE 'warning' END, 'backlog',
        'mail has been due for ' || date_trunc('second', now_at - min(d.due_at)), min(d.due_at),
        'mailer.explain(message_id) says what a mail waits for; see view queue.'
    FROM mailer.lane l
    CROSS JOIN generate_series(0, 4) p(priority)
    CROSS JOIN LATERAL (SELECT GREATEST(q.due_at, '1970-01-01') AS due_at FROM mailer.queue_entry q
        WHERE q.lane_id = l.lane_id AND q.priority = p.priority AND q.state = 'p' ORDER BY q.due_at LIMIT 1) d
    WHERE l.kind = 's'
    HAVING min(d.due_at) < now_at - late_after;

    RETURN QUERY SELECT 'warning', 'campaign ' || c.name,
        CASE WHEN t.name IS NULL THEN 'its template is gone' ELSE 'it has no mailbox to send from' END, NULL::timestamptz,
        CASE WHEN t.name IS NULL THEN 'Store it with mailer.template_set().' ELSE 'mailer.campaign_alter(id, ''{"mailboxes": ["…"]}'').' END
    FROM mailer.campaign c
    JOIN mailer.lane l ON l.lane_id = c.lane_id
    LEFT JOIN mailer.template t ON t.name = c.template
    WHERE c.state = 'r' AND (t.name IS NULL OR NOT EXISTS (
        SELECT FROM mailer.mailbox b WHERE CASE WHEN l.pool IS NULL THEN b.is_default ELSE b.mailbox_id = ANY (l.pool) END));

    -- Loaders, conditions, templates and the roles that they run as: each stops its own mails only, and nobody hears of it else.
    RETURN QUERY SELECT 'warning', 'preparing', format('%s tries in the last hour failed before any mail server was asked; the last, of message %s: %s',
            count(*), (array_agg(a.message_id ORDER BY a.finished_at DESC))[1], (array_agg(a.reply ORDER BY a.finished_at DESC))[1]), min(a.finished_at),
        'See attempt_log WHERE stage = ''prepare''; mend the loader, send_if, template or role, then mailer.retry(message_id).'
    FROM mailer.attempt a WHERE a.stage = 'prepare' AND a.finished_at > clock_timestamp() - late_try HAVING count(*) > 0;

    RETURN QUERY SELECT 'info', 'campaign ' || c.name, 'paused: ' || c.state_reason,
        (SELECT max(e.at) FROM mailer.event e WHERE e.campaign_id = c.campaign_id AND e.kind = 'campaign_paused'),
        format('mailer.campaign_resume(%s) lets it go on.', c.campaign_id)
    FROM mailer.campaign c WHERE c.state = 'p';

    RETURN QUERY SELECT 'warning', 'snapshot', format('%s (%s) holds the queue''s dead rows back: vacuum can''t remove them', x.who, x.what), x.since, x.hint
    FROM mailer._held_back_by(old_snapshot) x;

    RETURN QUERY SELECT 'warning', 'counts', format('%s changes of counts are not folded', count(*)), NULL::timestamptz,
        'The sender folds them; without one status() gets slower.'
    FROM (SELECT FROM mailer.tally_delta LIMIT many_deltas + 1) d HAVING count(*) > many_deltas;

    RETURN QUERY SELECT 'warning', 'notifications', format('%s times in the last day a trigger could not queue its mails', count(*)), min(e.at),
        'See event_log WHERE kind = ''notification_failed''; the application''s statement was not disturbed.'
    FROM (SELECT v.at, v.kind FROM mailer.event v ORDER BY v.event_id DESC LIMIT 10000) e
    WHERE e.kind = 'notification_failed' AND e.at > now_at - interval '1 day' HAVING count(*) > 0;
END;
$$;
COMMENT ON FUNCTION _health_queue() IS 'Alerts of mailer.health() about what waits, and what makes it slow';

-- What keeps the sender's statements, or everybody's, out of a table. Those of autovacuum and of this session aren't meant.
CREATE FUNCTION _health_locks() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT 'warning', 'table ' || c.relname, format('%s has it locked (%s): the sender waits, and so may other sessions', x.who, l.mode), x.since, x.hint
    FROM pg_locks l
    JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'r'
    LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    CROSS JOIN LATERAL (SELECT
        CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE format('session with pid %s', l.pid) END AS who,
        a.xact_start AS since,
        CASE WHEN l.pid IS NULL THEN 'See pg_prepared_xacts; COMMIT PREPARED or ROLLBACK PREPARED ends it.'
             ELSE format('End that transaction, or SELECT pg_terminate_backend(%s).', l.pid) END AS hint) x
    WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      AND l.pid IS DISTINCT FROM pg_backend_pid() AND COALESCE(a.backend_type, '') <> 'autovacuum worker'
$$;
COMMENT ON FUNCTION _health_locks() IS 'Alerts of mailer.health() about locked tables';

CREATE FUNCTION _table_changes() RETURNS TABLE (table_name text, changes text)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_table_changes';
COMMENT ON FUNCTION _table_changes() IS 'Tables whose rows could be written without the executor, but aren''t, because they differ from what was installed; and how';

CREATE FUNCTION _health_tables() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT 'info', 'table ' || t.table_name,
        format('it is not as it was installed (%s): its rows are written by INSERT, and %s is slower', t.changes,
            CASE WHEN starts_with(t.table_name, 'notification') THEN 'notify()' ELSE 'enqueueing' END),
        NULL::timestamptz, 'Nothing is wrong with it otherwise. Undo the change if the time matters.'
    FROM mailer._table_changes() t
$$;
COMMENT ON FUNCTION _health_tables() IS 'Alerts of mailer.health() about tables that somebody altered';

CREATE FUNCTION _health_unseen(part text, why text) RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT 'warning', 'health', format('could not look at %s: %s', part, why), NULL::timestamptz, 'Ask again when no table of mailer is locked.'
$$;
COMMENT ON FUNCTION _health_unseen(text, text) IS 'What mailer.health() says of a part that it can''t look at';

CREATE FUNCTION _health_parts() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET lock_timeout = '200 ms'
AS $$
BEGIN
    RETURN QUERY SELECT * FROM mailer._health_locks();
    RETURN QUERY SELECT * FROM mailer._health_tables();
    RETURN QUERY SELECT * FROM mailer._health_worker();
    RETURN QUERY SELECT * FROM mailer._health_preparers();
    BEGIN
        RETURN QUERY SELECT * FROM mailer._health_sending();
    EXCEPTION WHEN lock_not_available THEN
        RETURN QUERY SELECT * FROM mailer._health_unseen('what holds all mail', SQLERRM);
    END;
    BEGIN
        RETURN QUERY SELECT * FROM mailer._health_failover();
    EXCEPTION WHEN lock_not_available THEN
        RETURN QUERY SELECT * FROM mailer._health_unseen('promises and promotion', SQLERRM);
    END;
    BEGIN
        RETURN QUERY SELECT * FROM mailer._health_mailboxes();
        RETURN QUERY SELECT * FROM mailer._health_oauth();
        RETURN QUERY SELECT * FROM mailer._health_listening();
        RETURN QUERY SELECT * FROM mailer._health_shield();
    EXCEPTION WHEN lock_not_available THEN
        RETURN QUERY SELECT * FROM mailer._health_unseen('mailboxes', SQLERRM);
    END;
    BEGIN
        RETURN QUERY SELECT * FROM mailer._health_queue();
    EXCEPTION WHEN lock_not_available THEN
        RETURN QUERY SELECT * FROM mailer._health_unseen('the queue', SQLERRM);
    END;
END;
$$;
COMMENT ON FUNCTION _health_parts() IS 'All alerts of mailer.health(), unsorted';

CREATE FUNCTION health() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT h.severity, h.subject, h.problem, h.since, h.hint
    FROM mailer._health_parts() h
    ORDER BY array_position(ARRAY['critical', 'warning', 'info'], h.severity), h.since NULLS LAST, h.subject, h.problem
$$;
COMMENT ON FUNCTION health() IS
'Lists what an operator should look at, worst first; no rows if nothing is wrong. severity: critical (mail is not sent that should be),
warning (it will become critical, or a person decided it) or info. hint: what to do.';
