-- What the listener stores, and what views and health() say of it.

CREATE FUNCTION _listening() RETURNS TABLE (mailbox_id bigint, mailbox text, listen_state text, listen_error text, listening_since timestamptz,
    last_heard_at timestamptz, failed_since timestamptz, hint text, missing_folders text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT b.mailbox_id, b.name, CASE WHEN p.is_there THEN l.state ELSE 'off' END, CASE WHEN p.is_there THEN l.error END,
           CASE WHEN p.is_there THEN l.listening_since END, l.last_heard_at, CASE WHEN p.is_there THEN l.failed_since END, l.hint, l.missing_folders
    FROM mailer.mailbox b
    LEFT JOIN mailer.mailbox_listen l ON l.mailbox_id = b.mailbox_id
    -- One that takes turns is away between two of them, for 30 seconds and more.
    CROSS JOIN LATERAL (SELECT b.imap_host IS NOT NULL AND (l.pid IS NOT NULL AND EXISTS (SELECT FROM pg_stat_get_activity(l.pid))
        OR l.turn_ended_at BETWEEN clock_timestamp() - interval '5 min' AND clock_timestamp()) AS is_there) p
$$;
COMMENT ON FUNCTION _listening() IS 'How the listening to every mailbox goes: off, connecting, listening or in trouble';

-- What is known already, and how far; nothing for a mailbox that has no server or no login.
CREATE FUNCTION _listen_plan() RETURNS TABLE (mailbox_id bigint, host text, port integer, tls text, folders text[], since text, cursors text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT b.mailbox_id, b.imap_host, COALESCE(b.imap_port, CASE COALESCE(b.imap_tls, 'implicit') WHEN 'implicit' THEN 993 ELSE 143 END),
           COALESCE(b.imap_tls, CASE b.imap_port WHEN 143 THEN 'starttls' ELSE 'implicit' END), b.imap_folders,
           -- A first look need not go back farther than our oldest mail. INTERNALDATE is a day without a zone; a day of margin.
           (SELECT extract(day FROM d) || '-' || (ARRAY['Jan','Feb','Mar','Apr','May','Jun','Jul','Aug','Sep','Oct','Nov','Dec'])[extract(month FROM d)::integer]
                || '-' || extract(year FROM d) FROM (SELECT (GREATEST(clock_timestamp() - interval '30 days', LEAST(clock_timestamp(),
                    (SELECT m.created_at FROM mailer.message m ORDER BY m.message_id LIMIT 1))) AT TIME ZONE 'UTC' - interval '1 day')::date AS d) x),
           (SELECT array_agg(c.uid_validity || ' ' || c.last_uid || ' ' || c.folder) FROM mailer.listen_cursor c WHERE c.mailbox_id = b.mailbox_id)
    FROM mailer.mailbox b
    WHERE b.imap_host IS NOT NULL AND (b.password_file IS NOT NULL
        OR EXISTS (SELECT FROM mailer.mailbox_secret s WHERE s.mailbox_id = b.mailbox_id)
        OR EXISTS (SELECT FROM mailer.oauth_account a WHERE a.mailbox_id = b.mailbox_id))
    ORDER BY b.mailbox_id
$$;
COMMENT ON FUNCTION _listen_plan() IS 'Mailboxes to listen to, with their servers and cursors';

CREATE FUNCTION _has_listening() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$ SELECT EXISTS (SELECT FROM mailer._listen_plan()) $$;
COMMENT ON FUNCTION _has_listening() IS 'Whether there is a mailbox to listen to';

-- Of mails that are no reports: which of them answer a mail of ours, or come from somebody whom we wrote to. Only their text is fetched.
CREATE FUNCTION _listen_concerns(ids text[], sender text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    id text;
BEGIN
    FOREACH id IN ARRAY ids LOOP
        IF mailer._find_message(id) IS NOT NULL THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN sender <> '' AND EXISTS (SELECT FROM mailer.message m WHERE m.address_key = mailer._address_key(sender));
END;
$$;
COMMENT ON FUNCTION _listen_concerns(text[], text) IS 'Whether a mail with these ids in its thread, or from this sender, can be about a mail of ours';

-- Copies in the folder of sent mail: a mail of ours whose reply from the server was lost is there, so it was taken.
-- One whose Message-ID the provider replaced says what it was: then follow-ups refer to the one that recipients see.
CREATE FUNCTION _listen_sent(ids text[], original_ids text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    one record;
    found bigint;
BEGIN
    FOR one IN SELECT u.id, u.original FROM unnest(ids, original_ids) u(id, original) LOOP
        found := mailer._find_message(one.id);
        IF found IS NULL AND one.original <> '' THEN
            found := mailer._find_message(one.original);
            PERFORM mailer._learn_message_id(found, one.id);
        END IF;
        IF EXISTS (SELECT FROM mailer.outcome o WHERE o.message_id = found AND o.state = 'u') THEN
            PERFORM mailer._confirm_message(found, 'sent_copy');
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _listen_sent(text[], text[]) IS
'Confirms unconfirmed mails whose copies, by these Message-IDs, are in the folder of sent mail, and learns the ids that replaced ours. original_ids: what
the copies say that their ids were; empty where they say nothing';

CREATE FUNCTION _listen_store(mailbox_id bigint, folder text, uid_validity bigint, last_uid bigint, mails bytea[], sent_ids text[], seen integer,
    original_ids text[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    raw bytea;
    skipped integer := 0;
BEGIN
    FOREACH raw IN ARRAY mails LOOP
        BEGIN
            PERFORM mailer._ingest(raw, _listen_store.mailbox_id, 'imap');
        EXCEPTION
            WHEN query_canceled OR lock_not_available OR deadlock_detected OR serialization_failure OR out_of_memory OR disk_full OR admin_shutdown THEN
                RAISE;
            WHEN OTHERS THEN
                skipped := skipped + 1;
        END;
    END LOOP;
    PERFORM mailer._listen_sent(sent_ids, original_ids);
    INSERT INTO mailer.listen_cursor AS c (mailbox_id, folder, uid_validity, last_uid)
    VALUES (_listen_store.mailbox_id, _listen_store.folder, _listen_store.uid_validity, _listen_store.last_uid)
    ON CONFLICT (mailbox_id, folder) DO UPDATE SET uid_validity = excluded.uid_validity, last_uid = excluded.last_uid;
    UPDATE mailer.mailbox_listen l
    SET read_count = l.read_count + seen, skipped_count = l.skipped_count + skipped, last_heard_at = clock_timestamp()
    WHERE l.mailbox_id = _listen_store.mailbox_id;
END;
$$;
COMMENT ON FUNCTION _listen_store(bigint, text, bigint, bigint, bytea[], text[], integer, text[]) IS 'Takes in what was read of a folder and moves its cursor, in one transaction. A mail that can''t be taken in is counted and passed';

CREATE FUNCTION _listen_state(mailbox_id bigint, state text, error text, hint text, retry_us bigint, missing_folders text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    now_at timestamptz := clock_timestamp();
BEGIN
    INSERT INTO mailer.mailbox_listen AS l (mailbox_id, pid, state, error, hint, listening_since, last_heard_at, failed_since, retry_at, missing_folders)
    VALUES (_listen_state.mailbox_id, pg_backend_pid(), _listen_state.state, _listen_state.error, NULLIF(_listen_state.hint, ''),
        CASE _listen_state.state WHEN 'listening' THEN now_at END, CASE _listen_state.state WHEN 'listening' THEN now_at END,
        CASE _listen_state.state WHEN 'in trouble' THEN now_at END, now_at + _listen_state.retry_us * interval '1 us', _listen_state.missing_folders)
    ON CONFLICT (mailbox_id) DO UPDATE
    SET pid = excluded.pid, state = excluded.state, error = excluded.error, hint = excluded.hint,
        listening_since = CASE WHEN excluded.state <> 'listening' THEN NULL
                               WHEN l.state = 'listening' AND l.pid = excluded.pid THEN l.listening_since ELSE now_at END,
        last_heard_at = COALESCE(excluded.last_heard_at, l.last_heard_at),
        failed_since = CASE WHEN excluded.state = 'in trouble' THEN COALESCE(l.failed_since, now_at)
                            WHEN excluded.state = 'listening' THEN NULL ELSE l.failed_since END,
        retry_at = excluded.retry_at, missing_folders = COALESCE(excluded.missing_folders, l.missing_folders);
END;
$$;
COMMENT ON FUNCTION _listen_state(bigint, text, text, text, bigint, text[]) IS 'Writes down how the listening to a mailbox goes';

CREATE FUNCTION _listen_turn() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$ UPDATE mailer.mailbox_listen SET turn_ended_at = clock_timestamp() WHERE pid = pg_backend_pid() $$;
COMMENT ON FUNCTION _listen_turn() IS 'The listener leaves until its next turn';

CREATE FUNCTION _health_listening() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT 'warning', 'mailbox ' || l.mailbox, 'its inbox is not read: ' || l.listen_error, l.failed_since,
        COALESCE(l.hint, 'The listener retries automatically; replies and bounces wait in the mailbox meanwhile.')
    FROM mailer._listening() l WHERE l.listen_state = 'in trouble' AND l.failed_since < clock_timestamp() - interval '5 s'
    UNION ALL
    SELECT 'warning', 'mailbox ' || l.mailbox, 'folder not found: ' || array_to_string(l.missing_folders, ', '), NULL::timestamptz,
        'mailer.mailbox_alter(name, ''{"imap_folders": ["INBOX", "…"]}'') names the folders to listen to.'
    FROM mailer._listening() l WHERE l.listen_state = 'listening' AND cardinality(l.missing_folders) > 0
$$;
COMMENT ON FUNCTION _health_listening() IS 'Alerts of mailer.health() about listening';
