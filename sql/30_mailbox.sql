-- Accounts that send: create, alter, pause, resume, password.
--
-- A mailbox is its settings. What the engine remembers of it (gap, breaker, counts a day) is in mailbox_state and
-- mailbox_day, which only the engine writes. Everything here ends in _changed(): the engine reads the settings again
-- when the transaction commits. The password goes into a table that nothing but the engine reads; it is in no
-- event, no view and no dump. What a setting may be is in 29_mailbox_settings.sql.

CREATE FUNCTION _mailbox_id(name text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    found_id bigint;
BEGIN
    SELECT b.mailbox_id INTO found_id FROM mailer.mailbox b WHERE b.name = _mailbox_id.name;
    IF found_id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('mailbox "%s" does not exist', name),
            HINT = COALESCE('There are: ' || (SELECT string_agg(b.name, ', ' ORDER BY b.name) FROM
                (SELECT m.name FROM mailer.mailbox m ORDER BY m.name LIMIT 20) b) || '.', 'Make it with mailer.mailbox_create().');
    END IF;
    RETURN found_id;
END;
$$;
COMMENT ON FUNCTION _mailbox_id(text) IS 'Id of the mailbox of this name; error 42704 when there is none';

CREATE FUNCTION _pool(mailboxes text[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    pool bigint[] := ARRAY[]::bigint[];
    one text;
    one_id bigint;
BEGIN
    IF mailboxes IS NULL THEN
        RETURN NULL;
    END IF;
    FOREACH one IN ARRAY mailboxes LOOP
        one_id := mailer._mailbox_id(one);
        IF NOT one_id = ANY (pool) THEN
            pool := pool || one_id;
        END IF;
    END LOOP;
    IF cardinality(pool) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'an empty list of mailboxes can send nothing',
            HINT = 'Name mailboxes, or pass NULL for the default ones.';
    END IF;
    RETURN pool;
END;
$$;
COMMENT ON FUNCTION _pool(text[]) IS 'Ids of the mailboxes of these names, each once; NULL (the default pool) for NULL; error 42704 for a name that doesn''t exist';

CREATE FUNCTION _mailbox_insert(box mailer.mailbox) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    new_id bigint;
BEGIN
    INSERT INTO mailer.mailbox (name, host, port, tls, username, auth, from_address, from_name, daily_limit, ramp_start,
        ramp_step, ramp_from, gap, max_connections, max_per_connection, idle_seconds, timezone, is_default, created_at, provider, imap_host, imap_port, imap_tls, connection, forward_mailbox)
    VALUES (box.name, box.host, box.port, box.tls, box.username, box.auth, box.from_address, box.from_name, box.daily_limit,
        box.ramp_start, box.ramp_step, box.ramp_from, box.gap, box.max_connections, box.max_per_connection, box.idle_seconds,
        box.timezone, box.is_default, mailer._now(), box.provider, box.imap_host, box.imap_port, box.imap_tls, box.connection, box.forward_mailbox)
    ON CONFLICT (name) DO NOTHING
    RETURNING mailbox_id INTO new_id;
    IF new_id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_object',
            MESSAGE = format('mailbox "%s" already exists', box.name),
            HINT = 'Change it with mailer.mailbox_alter().';
    END IF;
    -- The stream of this mailbox alone: what enqueue(mailbox => name) waits in.
    INSERT INTO mailer.lane (kind, pool, pool_key) VALUES ('s', ARRAY[new_id], new_id::text);
    PERFORM mailer._log_event('mailbox_created', jsonb_build_object('name', box.name, 'host', box.host, 'port', box.port),
        mailbox_id => new_id);
    PERFORM mailer._changed();
    RETURN new_id;
END;
$$;
COMMENT ON FUNCTION _mailbox_insert(mailbox) IS 'Stores a new mailbox with the lane of its own; its id; error 42710 when the name is taken';

-- What mailbox_alter() sets otherwise.
CREATE FUNCTION _new_mailbox() RETURNS mailbox
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    box mailer.mailbox;
BEGIN
    box.auth := 'password';
    box.login_mechanism := 'auto';
    box.is_shared := true;
    box.max_per_connection := 100;
    box.idle_seconds := 25;
    RETURN box;
END;
$$;
COMMENT ON FUNCTION _new_mailbox() IS 'A mailbox with the settings that mailbox_create() has no parameter for';

CREATE FUNCTION mailbox_create(name text, host text DEFAULT NULL, port integer DEFAULT 587, from_address text DEFAULT NULL,
    from_name text DEFAULT NULL, username text DEFAULT NULL, tls text DEFAULT NULL, daily_limit integer DEFAULT NULL,
    gap interval DEFAULT '0', max_connections integer DEFAULT 1, timezone text DEFAULT NULL, is_default boolean DEFAULT NULL,
    ramp_start integer DEFAULT NULL, ramp_step integer DEFAULT NULL, provider text DEFAULT NULL) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    preset record;
BEGIN
    SELECT v.* INTO preset FROM mailer._mail_provider(mailbox_create.provider) v;
    IF COALESCE(mailbox_create.host, preset.host) IS NULL AND mailbox_create.provider IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a mailbox needs a host',
            HINT = 'Name the mail server, or a provider: microsoft365 or google.';
    END IF;
    RETURN mailer._mailbox_insert(mailer._mailbox_with(mailer._new_mailbox(), jsonb_build_object(
        'name', mailbox_create.name, 'host', COALESCE(mailbox_create.host, preset.host, CASE WHEN mailbox_create.provider IS NOT NULL THEN 'unknown' END),
        'port', COALESCE(mailbox_create.port, preset.port, 587),
        'tls', COALESCE(mailbox_create.tls, CASE mailbox_create.port WHEN 465 THEN 'implicit' ELSE 'starttls' END),
        'provider', mailbox_create.provider, 'imap_host', preset.imap_host, 'imap_port', preset.imap_port, 'imap_tls', preset.imap_tls,
        'username', mailbox_create.username, 'from_address', mailbox_create.from_address,
        'from_name', mailbox_create.from_name, 'daily_limit', mailbox_create.daily_limit,
        'ramp_start', mailbox_create.ramp_start, 'ramp_step', mailbox_create.ramp_step, 'gap', mailbox_create.gap,
        'max_connections', mailbox_create.max_connections, 'timezone', mailbox_create.timezone,
        'is_default', COALESCE(mailbox_create.is_default, NOT EXISTS (SELECT FROM mailer.mailbox)))));
END;
$$;
COMMENT ON FUNCTION mailbox_create(text, text, integer, text, text, text, text, integer, interval, integer, text, boolean, integer, integer, text) IS
'Creates an account that mail is sent from and returns its id.
name: identifies the mailbox in all other calls. host, port: the mail server; a provider (microsoft365, google) knows its own, and its IMAP server.
from_address: sender; NULL takes username. from_name: name beside it.
username: for the login; the password is set with mailer.mailbox_set_password(). tls: starttls, implicit (NULL takes it for port 465), opportunistic or none.
daily_limit: most mails in a local calendar day, warm-up included. gap: least time between two mails. max_connections: at once (1).
timezone: its days count for the limits; NULL takes mailer.timezone, which is stored. is_default: serves what names no mailbox; NULL is true for the first mailbox.
ramp_start, ramp_step: day n''s limit is least(daily_limit, ramp_start + n * ramp_step), n being the earlier days on which it sent something.
Errors: 42710 the name is taken, 22023 a bad value or one out of range, 42501 the host is not in mailer.allowed_hosts.
More settings: mailer.mailbox_alter().';

CREATE FUNCTION forwarder_create(name text, connection text, from_address text, mailbox text DEFAULT NULL, from_name text DEFAULT NULL,
    max_connections integer DEFAULT 1, is_default boolean DEFAULT NULL) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF forwarder_create.connection IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a forwarder needs a connection',
            HINT = 'For example ''host=cell2 dbname=app user=relay''.';
    END IF;
    RETURN mailer._mailbox_insert(mailer._mailbox_with(mailer._new_mailbox(), jsonb_build_object(
        'name', forwarder_create.name, 'host', 'localhost', 'port', 5432, 'tls', 'none', 'connection', forwarder_create.connection,
        'forward_mailbox', forwarder_create.mailbox, 'from_address', forwarder_create.from_address, 'from_name', forwarder_create.from_name,
        'max_connections', forwarder_create.max_connections, 'gap', interval '0',
        'is_default', COALESCE(forwarder_create.is_default, NOT EXISTS (SELECT FROM mailer.mailbox)))));
END;
$$;
COMMENT ON FUNCTION forwarder_create(text, text, text, text, text, integer, boolean) IS
'Creates a mailbox that sends nothing itself: mail is queued here, in the caller''s transaction, and the worker forwards it to another database of
mailer, which sends it. A mail that is forwarded twice, after a crash on either side, is sent once: the other database recognises its key.
connection: libpq''s connection string, without a password (mailer.mailbox_set_password() sets one); its user needs mailer.grant_sender() there.
from_address, from_name: the From of its mail; the mailbox in the other database must allow it. mailbox: the one that sends in the other database; NULL is its
default pool. max_connections: at once (1). is_default: serves what names no mailbox; NULL is true for the first mailbox.
mailer.mailbox_alter() changes connection and forward_mailbox, and turns a mailbox into a forwarder: its waiting mail is then forwarded.
Errors: 42501 you are not a superuser, 42710 the name is taken, 22023 a bad value, 22004 a connection of NULL.';

-- A role that may name another server must not get the password of the old one by it.
CREATE FUNCTION _drop_secrets(mailbox_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    had_file boolean;
    had_token boolean;
BEGIN
    UPDATE mailer.mailbox b SET password_file = NULL
    WHERE b.mailbox_id = _drop_secrets.mailbox_id AND b.password_file IS NOT NULL;
    had_file := FOUND;
    had_token := mailer._oauth_drop_secrets(_drop_secrets.mailbox_id);
    DELETE FROM mailer.mailbox_secret s WHERE s.mailbox_id = _drop_secrets.mailbox_id;
    RETURN had_file OR had_token OR FOUND;
END;
$$;
COMMENT ON FUNCTION _drop_secrets(bigint) IS 'Forgets every secret of a mailbox; whether there was one';

CREATE FUNCTION _is_same_house(one text, other text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT
AS $$
    SELECT lower(one) = lower(other)
        OR (mailer._is_loopback(one) AND mailer._is_loopback(other))
        OR (one ~ '[a-z]$' AND COALESCE(lower(substring(one FROM '[^.]+\.[^.]{3,}$')) = lower(substring(other FROM '[^.]+\.[^.]{3,}$'))
                OR lower(substring(one FROM '[^.]+\.[^.]+\.[^.]{2}$')) = lower(substring(other FROM '[^.]+\.[^.]+\.[^.]{2}$')), false)
            -- Beside each other, or one in the other: below the domain of a hosting company everybody's machines have names.
            AND (substring(lower(one) FROM '\.(.*)') = substring(lower(other) FROM '\.(.*)')
                OR lower(one) = substring(lower(other) FROM '\.(.*)') OR lower(other) = substring(lower(one) FROM '\.(.*)')))
$$;
COMMENT ON FUNCTION _is_same_house(text, text) IS 'Whether two servers are one, or of one domain: smtp.example.com and imap.example.com';

-- Of the inbox: another server than the mailbox's (its ports of IMAP are the system's own, others anybody's), or less protected.
CREATE FUNCTION _is_inbox_exposed(old mailer.mailbox, new_box mailer.mailbox) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT new_box.imap_host IS NOT NULL AND (
        (lower(new_box.imap_host) IS DISTINCT FROM lower(old.imap_host) AND NOT mailer._is_same_house(new_box.imap_host, new_box.host))
        OR ((lower(new_box.imap_host) IS DISTINCT FROM lower(old.imap_host) OR new_box.imap_port IS DISTINCT FROM old.imap_port)
            AND new_box.imap_port NOT IN (143, 993))
        OR (new_box.imap_tls = 'none' AND NOT mailer._stays_on_this_machine(new_box.imap_host, new_box.proxy)
            AND (old.imap_tls IS DISTINCT FROM 'none' OR lower(new_box.imap_host) IS DISTINCT FROM lower(old.imap_host))))
$$;
COMMENT ON FUNCTION _is_inbox_exposed(mailbox, mailbox) IS 'Whether other settings would send a mailbox''s secret to another IMAP server, or less protected';

CREATE FUNCTION _is_exposed(old mailer.mailbox, new_box mailer.mailbox) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT old.connection IS DISTINCT FROM new_box.connection OR lower(old.host) <> lower(new_box.host) OR old.port <> new_box.port
        OR COALESCE(array_position(ARRAY['none', 'opportunistic'], new_box.tls), 3)
           < COALESCE(array_position(ARRAY['none', 'opportunistic'], old.tls), 3)
        OR COALESCE(mailer._is_inbox_exposed(old, new_box), false)
        -- Where TLS isn't required, a proxy reads what passes; the listener connects through it, too.
        OR (new_box.proxy IS NOT NULL AND new_box.proxy IS DISTINCT FROM old.proxy
            AND (new_box.tls IN ('none', 'opportunistic') OR (new_box.imap_host IS NOT NULL AND new_box.imap_tls IS NOT DISTINCT FROM 'none')))
$$;
COMMENT ON FUNCTION _is_exposed(mailbox, mailbox) IS 'Whether other settings would send a mailbox''s secret to another server or database (also an IMAP server of another domain or port, or a proxy that could read it), or less protected';

-- What was handed over, and whose answer was lost, must be handed over again to the same database: another way would send it twice.
CREATE FUNCTION _check_forwarder_change(old mailer.mailbox, new_box mailer.mailbox) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF old.connection IS NULL OR (old.connection IS NOT DISTINCT FROM new_box.connection AND old.is_default <= new_box.is_default
                                  AND old.forward_mailbox IS NOT DISTINCT FROM new_box.forward_mailbox) THEN
        RETURN;
    END IF;
    IF old.paused_at IS NULL OR EXISTS (SELECT FROM mailer.queue_entry q WHERE q.mailbox_id = old.mailbox_id) OR EXISTS (
        SELECT FROM mailer.queue_entry q JOIN mailer.lane l ON l.lane_id = q.lane_id
        WHERE q.state = 'p' AND q.try_count > 0 AND CASE WHEN l.pool IS NULL THEN old.is_default ELSE old.mailbox_id = ANY (l.pool) END) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('mailbox "%s" hands its mail to another database, and can''t change to where now', old.name),
            DETAIL = 'It isn''t paused, or mail waits in it that may have been handed over already: by another way it would be sent twice.',
            HINT = 'Wait until nothing that was tried waits in it, call mailer.mailbox_pause(), and repeat this.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_forwarder_change(mailbox, mailbox) IS 'Error 55000 when a forwarder is to hand its mail elsewhere while some may have been handed over already';

CREATE FUNCTION mailbox_alter(name text, settings jsonb) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    old mailer.mailbox;
    box mailer.mailbox;
BEGIN
    SELECT b.* INTO old FROM mailer.mailbox b WHERE b.mailbox_id = mailer._mailbox_id(mailbox_alter.name) FOR UPDATE;
    box := mailer._mailbox_with(old, settings);
    IF to_jsonb(box) = to_jsonb(old) THEN
        RETURN;
    END IF;
    PERFORM mailer._check_forwarder_change(old, box);
    IF mailer._is_exposed(old, box) AND mailer._drop_secrets(old.mailbox_id) THEN
        box.password_file := CASE WHEN settings ? 'password_file' THEN box.password_file END;
        RAISE NOTICE USING MESSAGE = format('the password of mailbox "%s" was for %s:%s with tls %s, and is dropped', old.name, old.host, old.port, old.tls),
            HINT = 'Set the one for the new server with mailer.mailbox_set_password().';
    END IF;
    IF settings ?| ARRAY['password_file', 'ca_file', 'client_cert_file', 'client_key_file'] THEN
        box.files_by := mailer._principal();
    END IF;
    BEGIN
        EXECUTE format('UPDATE mailer.mailbox b SET mended_at = clock_timestamp(), files_by = ($1).files_by, %s WHERE b.mailbox_id = $2',
            (SELECT string_agg(format('%1$I = ($1).%1$I', s), ', ') FROM unnest(mailer._mailbox_settings()) s))
        USING box, old.mailbox_id;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('mailbox "%s" already exists', box.name);
    END;
    PERFORM mailer._log_event('mailbox_altered', jsonb_build_object('name', box.name, 'settings', settings),
        mailbox_id => old.mailbox_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION mailbox_alter(text, jsonb) IS
'Changes settings of a mailbox: a JSON object of column names of table mailbox and values, null for none. Takes effect with the next mail;
mail that is still connecting to the previous server goes to the new one at once; only mail on the wire stays.
Another host or port, a weaker tls or imap_tls, an imap_host of another domain, an imap_port other than 143 and 993, or a proxy where tls is none or
opportunistic, or imap_tls none, deletes password and tokens (with a NOTICE), because they were for the previous server.
Settings: name, host, port, tls, username, auth (password, xoauth2), password_file, ca_file, helo_name, login_mechanism (auto, plain,
login, cram-md5, xoauth2, oauthbearer, external), client_cert_file, client_key_file, min_tls, source_address, proxy, connect_timeout,
pipelining, from_address, from_name, allowed_from, signature_text, signature_html, daily_limit, ramp_start, ramp_step, ramp_from,
gap (from the reply to one mail to the next: one at a time), rate (14/s, 100/min, 1000/h, 5000/d: over all connections, spaced evenly, from start to start;
with both, both hold), max_connections, max_per_connection, idle_seconds, max_recipients, timezone, is_default, is_shared (true; false: only operators and
tenants of mailer.grant_mailbox() send from it), provider, secret_expires_at
(of a password: health() warns 30 days before), imap_host (starts the listener), imap_port, imap_tls (none, starttls, implicit), imap_folders,
shield (the share of refused and bounced mails at which it stops until it is resumed), return_path (the envelope sender; {token} in it names the mail),
dsn (failure; failure,delay; never: the reports requested from a server that offers them; null: none),
connection and forward_mailbox (of a forwarder: see mailer.forwarder_create(); superusers alone set a connection).
Errors: 42704 no such mailbox, 22023 an unknown setting or a bad value, 55000 a forwarder whose mail may already have been forwarded,
42501 the host is not allowed, or a file (password_file, ca_file, client_cert_file, client_key_file) without membership in pg_read_server_files.';

CREATE FUNCTION mailbox_set_password(name text, password text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint := mailer._mailbox_id(mailbox_set_password.name);
BEGIN
    PERFORM mailer._check_text('password', mailbox_set_password.password, 65536);
    IF mailbox_set_password.password IS NULL THEN
        DELETE FROM mailer.mailbox_secret s WHERE s.mailbox_id = box_id;
    ELSE
        INSERT INTO mailer.mailbox_secret (mailbox_id, password, set_at)
        VALUES (box_id, mailbox_set_password.password, mailer._now())
        ON CONFLICT (mailbox_id) DO UPDATE SET password = excluded.password, set_at = excluded.set_at;
    END IF;
    UPDATE mailer.mailbox b SET mended_at = clock_timestamp() WHERE b.mailbox_id = box_id;
    PERFORM mailer._log_event('mailbox_password_set', jsonb_build_object('is_set', mailbox_set_password.password IS NOT NULL),
        mailbox_id => box_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION mailbox_set_password(text, text) IS
'Sets the SMTP password (or OAuth2 token) of a mailbox; NULL removes it. It is stored apart, never shown and never dumped;
but the statement''s text may reach the server''s log (log_statement) like any other: send it as a parameter, or use password_file.
Errors: 42704 no such mailbox.';

CREATE FUNCTION mailbox_pause(name text, reason text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint := mailer._mailbox_id(mailbox_pause.name);
    why text := mailer._reason(mailbox_pause.reason);
BEGIN
    UPDATE mailer.mailbox b SET paused_at = COALESCE(b.paused_at, mailer._now()), pause_reason = why WHERE b.mailbox_id = box_id;
    PERFORM mailer._log_event('mailbox_paused', jsonb_build_object('reason', why), mailbox_id => box_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION mailbox_pause(text, text) IS
'Sends no further mail from this mailbox until mailer.mailbox_resume(); mail at the final dot is finished. Pausing again changes the reason.
Errors: 42704 no such mailbox.';

CREATE FUNCTION mailbox_resume(name text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint := mailer._mailbox_id(mailbox_resume.name);
BEGIN
    UPDATE mailer.mailbox b SET paused_at = NULL, pause_reason = NULL WHERE b.mailbox_id = box_id AND b.paused_at IS NOT NULL;
    IF FOUND OR mailer._shield_open('m', box_id) THEN
        PERFORM mailer._log_event('mailbox_resumed', mailbox_id => box_id);
    END IF;
    UPDATE mailer.mailbox b SET mended_at = clock_timestamp() WHERE b.mailbox_id = box_id;
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION mailbox_resume(text) IS
'Lets a mailbox send again that is paused or whose shield is shut, and lets one whose server or login failed try again at once. Errors: 42704 no such mailbox.';
