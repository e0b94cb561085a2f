-- OAuth2 as operators see it: applications, mailboxes that use them, and the consent of an account's owner.
--
-- Settings are merged into what is there; null removes. No error, event or view repeats a secret, and none repeats a value that may hold one. What is
-- set here takes effect at commit: tokens got with older settings are dropped, and login breakers close.

CREATE FUNCTION _oauth_endpoint_fault(url text) RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_oauth_endpoint_fault';
COMMENT ON FUNCTION _oauth_endpoint_fault(text) IS 'Why this can''t be the address of a provider''s endpoint; NULL when it can';

CREATE FUNCTION _oauth_hint(words text, grant_type text) RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_oauth_hint';
COMMENT ON FUNCTION _oauth_hint(text, text) IS 'What an operator can do about these words of a provider or a mail server; NULL when nothing is known about them';

CREATE FUNCTION _url_encoded(value text) RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_url_encoded';
COMMENT ON FUNCTION _url_encoded(text) IS 'Percent-encoding of RFC 3986';

CREATE FUNCTION _url_parameter(url text, name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    value text := (regexp_match(url, '[?&]' || name || '=([^&#[:space:]]*)'))[1];
    octets bytea := '';
    part text;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    FOR part IN SELECT m[1] FROM regexp_matches(replace(value, '+', ' '), '(%[0-9A-Fa-f]{2}|.)', 'g') m LOOP
        octets := octets || CASE WHEN part ~ '^%.' THEN decode(substr(part, 2), 'hex') ELSE convert_to(part, 'UTF8') END;
    END LOOP;
    RETURN convert_from(octets, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION _url_parameter(text, text) IS 'A parameter of a URL''s query, decoded; NULL when it isn''t there';

-- An application with new settings, checked. Secrets are the caller's to store.
CREATE FUNCTION _oauth_app_with(app mailer.oauth_app, settings jsonb) RETURNS mailer.oauth_app
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    one text;
    fault text;
    address text[];
BEGIN
    app := mailer._populated(app, settings - ARRAY['app_id', 'name', 'mailbox_id', 'grant', 'grant_type']);
    IF settings ? 'grant' THEN
        app.grant_type := settings ->> 'grant';
    END IF;
    IF app.grant_type NOT IN ('client_credentials', 'refresh_token', 'jwt_bearer') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'grant is not one that mailer knows',
            HINT = 'It is client_credentials, refresh_token or jwt_bearer.';
    END IF;
    IF app.provider NOT IN ('microsoft365', 'google') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'provider is not one that mailer knows',
            HINT = 'It is microsoft365 or google; for any other, leave it out and set token_url and scope.';
    END IF;
    IF app.cloud NOT IN ('global', 'usgov', 'china') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'cloud is not one that mailer knows',
            HINT = 'It is global, usgov or china.';
    END IF;
    IF app.tenant !~ '^[A-Za-z0-9.-]+$' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'tenant is neither an id nor a domain';
    END IF;
    FOREACH one IN ARRAY ARRAY['token_url', 'auth_url', 'device_url'] LOOP
        fault := mailer._oauth_endpoint_fault(to_jsonb(app) ->> one);
        IF fault IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s can''t be an endpoint', one), DETAIL = fault || '.';
        END IF;
        -- The page of consent is opened by a person; what the server itself asks is for mailer.allowed_hosts.
        IF one <> 'auth_url' AND settings ->> one IS NOT NULL THEN
            address := regexp_match(settings ->> one, '^(https?)://(\[[^]]*\]|[^/:?#]*)(?::([0-9]+))?', 'i');
            PERFORM mailer._check_host(address[2], COALESCE(address[3]::integer, CASE lower(address[1]) WHEN 'https' THEN 443 ELSE 80 END));
        END IF;
    END LOOP;
    RETURN app;
END;
$$;
COMMENT ON FUNCTION _oauth_app_with(oauth_app, jsonb) IS 'An application with the settings put over it; error 22023 for a bad value, which isn''t repeated';

CREATE FUNCTION _oauth_check_keys(settings jsonb, known text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    strange text;
BEGIN
    IF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'settings must be a JSON object',
            HINT = 'For example ''{"provider": "microsoft365", "tenant": "…", "client_id": "…"}''.';
    END IF;
    SELECT k INTO strange FROM jsonb_object_keys(settings) k WHERE NOT k = ANY (known) ORDER BY k LIMIT 1;
    IF strange IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('there is no OAuth2 setting "%s"', left(strange, 60)),
            HINT = 'Settings are: ' || array_to_string(known, ', ') || '.';
    END IF;
    SELECT k INTO strange FROM jsonb_each(settings) e(k, v) WHERE jsonb_typeof(v) NOT IN ('string', 'null') ORDER BY k LIMIT 1;
    IF strange IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('OAuth2 setting "%s" must be a text or null', strange);
    END IF;
    IF settings ? 'secret_expires_at' THEN
        BEGIN
            PERFORM (settings ->> 'secret_expires_at')::timestamptz;
        EXCEPTION WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'secret_expires_at is not a time';
        END;
    END IF;
END;
$$;
COMMENT ON FUNCTION _oauth_check_keys(jsonb, text[]) IS 'Error 22023 for settings that are no object, have an unknown key or a value that is no text';

CREATE FUNCTION _oauth_app_keys() RETURNS text[] LANGUAGE sql IMMUTABLE
AS $$ SELECT ARRAY['provider', 'cloud', 'tenant', 'client_id', 'client_secret', 'certificate', 'private_key', 'scope', 'token_url', 'auth_url', 'device_url',
    'redirect_uri', 'grant', 'secret_expires_at'] $$;
COMMENT ON FUNCTION _oauth_app_keys() IS 'Settings of an OAuth2 application';

-- Who gets the secrets of an application, and for what: another one, or another use, must not get them by a change of settings.
CREATE FUNCTION _oauth_trust(app mailer.oauth_app) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT ARRAY[lower(substring(COALESCE(app.token_url, v.token_url) FROM '^[^/]*//[^/?#]*')),
                 lower(substring(COALESCE(app.device_url, v.device_url) FROM '^[^/]*//[^/?#]*')),
                 COALESCE(app.grant_type, 'refresh_token')]
    FROM mailer._mail_provider(COALESCE(app.provider, (SELECT b.provider FROM mailer.mailbox b WHERE b.mailbox_id = app.mailbox_id)), app.cloud, app.tenant) v
$$;
COMMENT ON FUNCTION _oauth_trust(oauth_app) IS 'The servers that an application''s secrets are sent to, and its grant';

CREATE FUNCTION _oauth_drop_app_secrets(app_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint;
    had_any boolean := false;
BEGIN
    DELETE FROM mailer.oauth_app_secret s WHERE s.app_id = _oauth_drop_app_secrets.app_id;
    had_any := FOUND;
    FOR box_id IN SELECT a.mailbox_id FROM mailer.oauth_account a WHERE a.app_id = _oauth_drop_app_secrets.app_id ORDER BY 1 LOOP
        had_any := mailer._oauth_drop_consent(box_id) OR had_any;
    END LOOP;
    RETURN had_any;
END;
$$;
COMMENT ON FUNCTION _oauth_drop_app_secrets(bigint) IS 'Deletes the secrets of an application and what its mailboxes'' owners consented to; whether there was any';

CREATE FUNCTION _oauth_drop_consent(mailbox_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    had_any boolean;
BEGIN
    DELETE FROM mailer.oauth_account_secret s WHERE s.mailbox_id = _oauth_drop_consent.mailbox_id;
    had_any := FOUND;
    DELETE FROM mailer.oauth_consent c WHERE c.mailbox_id = _oauth_drop_consent.mailbox_id;
    DELETE FROM mailer.oauth_device d WHERE d.mailbox_id = _oauth_drop_consent.mailbox_id;
    RETURN had_any;
END;
$$;
COMMENT ON FUNCTION _oauth_drop_consent(bigint) IS 'Deletes the refresh token of a mailbox, and pages and codes of consent that are under way; whether there was a token';

CREATE FUNCTION _oauth_store_app(app mailer.oauth_app, settings jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    stored_id bigint := app.app_id;
    trusted CONSTANT text[] := mailer._oauth_trust(app);
    secret mailer.oauth_app_secret;
BEGIN
    app := mailer._oauth_app_with(app, settings);
    IF mailer._oauth_trust(app) IS DISTINCT FROM trusted AND mailer._oauth_drop_app_secrets(stored_id) THEN
        RAISE NOTICE USING MESSAGE = 'the secrets of this OAuth2 application were for another server or grant, and are dropped',
            HINT = 'Pass them again, with the address they are for; its mailboxes need consent again.';
    END IF;
    IF stored_id IS NULL THEN
        INSERT INTO mailer.oauth_app (name, mailbox_id) VALUES (app.name, app.mailbox_id) RETURNING app_id INTO stored_id;
    END IF;
    UPDATE mailer.oauth_app p
    SET provider = app.provider, cloud = app.cloud, tenant = app.tenant, client_id = app.client_id, scope = app.scope, token_url = app.token_url,
        auth_url = app.auth_url, device_url = app.device_url, redirect_uri = app.redirect_uri, grant_type = app.grant_type, secret_expires_at = app.secret_expires_at
    WHERE p.app_id = stored_id;
    SELECT s.* INTO secret FROM mailer.oauth_app_secret s WHERE s.app_id = stored_id;
    secret := jsonb_populate_record(secret, settings - 'app_id');
    INSERT INTO mailer.oauth_app_secret AS s (app_id, client_secret, certificate, private_key)
    VALUES (stored_id, secret.client_secret, secret.certificate, secret.private_key)
    ON CONFLICT (app_id) DO UPDATE SET client_secret = excluded.client_secret, certificate = excluded.certificate, private_key = excluded.private_key;
    RETURN stored_id;
END;
$$;
COMMENT ON FUNCTION _oauth_store_app(oauth_app, jsonb) IS 'Stores an application with new settings and its secrets, and gives its id';

-- The provider is asked at once, also if it has just refused; an answer that is under way comes too late.
CREATE FUNCTION _oauth_ask_again(app_id bigint, mailbox_id bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE mailer.oauth_token t
    SET lease_count = t.lease_count + 1, lease_pid = NULL, lease_start = NULL, lease_until = NULL, failures = 0, failure_kind = NULL,
        failure_flow = NULL, failure_code = NULL, failure_words = NULL, failure_hint = NULL, failed_at = NULL, retry_at = NULL
    WHERE t.app_id = _oauth_ask_again.app_id
      AND (_oauth_ask_again.mailbox_id IS NULL OR t.mailbox_id IN (0, _oauth_ask_again.mailbox_id));
    UPDATE mailer.mailbox b SET mended_at = clock_timestamp()
    WHERE b.mailbox_id IN (SELECT a.mailbox_id FROM mailer.oauth_account a WHERE a.app_id = _oauth_ask_again.app_id
        AND (_oauth_ask_again.mailbox_id IS NULL OR a.mailbox_id = _oauth_ask_again.mailbox_id));
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION _oauth_ask_again(bigint, bigint) IS 'Forgets what failed for the tokens of an application, or of one of its mailboxes; login breakers close. Tokens stay';

CREATE FUNCTION _oauth_start_over(app_id bigint, mailbox_id bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE mailer.oauth_token t SET access_token = NULL, fetched_at = NULL, expires_at = NULL, refresh_at = NULL
    WHERE t.app_id = _oauth_start_over.app_id
      AND (_oauth_start_over.mailbox_id IS NULL OR t.mailbox_id IN (0, _oauth_start_over.mailbox_id));
    PERFORM mailer._oauth_ask_again(_oauth_start_over.app_id, _oauth_start_over.mailbox_id);
END;
$$;
COMMENT ON FUNCTION _oauth_start_over(bigint, bigint) IS 'Drops the tokens of an application, or of one of its mailboxes, which were obtained with other settings, and has them fetched anew';

CREATE FUNCTION oauth_app_set(name text, settings jsonb) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    app mailer.oauth_app;
    stored_id bigint;
BEGIN
    PERFORM mailer._oauth_check_keys(settings, mailer._oauth_app_keys());
    IF NULLIF(btrim(oauth_app_set.name), '') IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'an application needs a name';
    END IF;
    SELECT p.* INTO app FROM mailer.oauth_app p WHERE p.name = btrim(oauth_app_set.name) FOR UPDATE;
    app.name := btrim(oauth_app_set.name);
    stored_id := mailer._oauth_store_app(app, settings);
    IF settings - 'secret_expires_at' <> '{}' THEN
        PERFORM mailer._oauth_start_over(stored_id);
    END IF;
    PERFORM mailer._log_event('oauth_app_set', jsonb_build_object('app', app.name, 'settings', (SELECT jsonb_agg(k) FROM jsonb_object_keys(settings) k)));
END;
$$;
COMMENT ON FUNCTION oauth_app_set(text, jsonb) IS
'Stores an OAuth2 application that mailboxes can share, or changes it: settings are merged, null removes one.
Settings: provider (microsoft365, google), cloud (global, usgov, china), tenant, client_id, client_secret, or certificate and private_key (PEM), scope,
token_url, auth_url, device_url (https, or http on loopback), redirect_uri, grant (client_credentials, refresh_token, jwt_bearer), secret_expires_at.
With token_url no provider is needed. Another server in token_url or device_url, or another grant, deletes the secrets and its mailboxes'' refresh tokens
(with a NOTICE) unless they are passed again. For jwt_bearer, client_id is the service account and private_key its key. Secrets are stored apart, never shown, never dumped.
Errors: 22023 an unknown setting or a bad value, 42501 mailer.allowed_hosts doesn''t have the server of token_url or device_url.';

-- A token that an application gets for itself opens every mailbox that it may serve, so it goes to no server that an operator has just named.
CREATE FUNCTION _oauth_check_first_use(app_id bigint, mailbox_id bigint) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    app mailer.oauth_app;
    strange text;
BEGIN
    SELECT p.* INTO app FROM mailer.oauth_app p WHERE p.app_id = _oauth_check_first_use.app_id;
    IF app.name IS NULL OR COALESCE(app.grant_type, 'refresh_token') = 'refresh_token'
        OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = mailer._caller()) THEN
        RETURN;
    END IF;
    SELECT h.host INTO strange
    FROM mailer.mailbox b CROSS JOIN LATERAL (VALUES (b.host), (b.imap_host)) h(host)
    WHERE b.mailbox_id = _oauth_check_first_use.mailbox_id AND h.host IS NOT NULL AND NOT EXISTS (
        SELECT FROM mailer._mail_provider(app.provider, app.cloud, app.tenant) v
        WHERE mailer._is_same_house(h.host, v.host) OR mailer._is_same_house(h.host, v.imap_host)
        UNION ALL
        SELECT FROM mailer.oauth_account a JOIN mailer.mailbox o ON o.mailbox_id = a.mailbox_id
        WHERE a.app_id = app.app_id AND lower(h.host) IN (lower(o.host), lower(o.imap_host)))
    LIMIT 1;
    IF strange IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = format('OAuth2 application "%s" isn''t used with server %s', app.name, strange),
            DETAIL = 'Its tokens open every mailbox that it serves, so only a superuser sends them to a server that isn''t the provider''s or one of its mailboxes''.',
            HINT = 'A superuser can connect the first mailbox, or give the mailbox an application of its own.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _oauth_check_first_use(bigint, bigint) IS 'Error 42501 when an operator would have an application''s own token sent to a server that is neither its provider''s nor one that its mailboxes use';

CREATE FUNCTION oauth_set(mailbox text, settings jsonb) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint := mailer._mailbox_id(oauth_set.mailbox);
    account mailer.oauth_account;
    app mailer.oauth_app;
    in_place jsonb;
    trusted text[];
BEGIN
    PERFORM mailer._oauth_check_keys(settings, ARRAY['app', 'refresh_token', 'subject', 'login'] || mailer._oauth_app_keys());
    PERFORM FROM mailer.mailbox b WHERE b.mailbox_id = box_id FOR UPDATE;
    in_place := settings - ARRAY['app', 'refresh_token', 'subject', 'login'];
    SELECT a.* INTO account FROM mailer.oauth_account a WHERE a.mailbox_id = box_id;
    SELECT mailer._oauth_trust(p) INTO trusted FROM mailer.oauth_app p WHERE p.app_id = account.app_id;
    IF settings ->> 'app' IS NOT NULL THEN
        IF in_place <> '{}' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a mailbox has an application by name, or settings of its own',
                HINT = 'Change the application with mailer.oauth_app_set().';
        END IF;
        SELECT p.* INTO app FROM mailer.oauth_app p WHERE p.name = settings ->> 'app';
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('OAuth2 application "%s" does not exist', settings ->> 'app'),
                HINT = 'Make it with mailer.oauth_app_set().';
        END IF;
        PERFORM mailer._oauth_drop_own_app(box_id);
    ELSE
        SELECT p.* INTO app FROM mailer.oauth_app p WHERE p.app_id = account.app_id;
        IF settings ? 'app' AND (app.app_id IS NULL OR app.name IS NOT NULL) THEN
            app := NULL;
        END IF;
        IF app.name IS NOT NULL AND in_place <> '{}' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('mailbox "%s" uses OAuth2 application "%s"', oauth_set.mailbox, app.name),
                HINT = 'Change it with mailer.oauth_app_set(), or pass "app": null beside settings for this mailbox alone.';
        END IF;
        IF app.app_id IS NULL AND in_place = '{}' AND settings ? 'app' THEN
            PERFORM mailer._oauth_forget(box_id);
            RETURN;
        END IF;
        IF app.name IS NULL AND (in_place <> '{}' OR app.app_id IS NULL) THEN
            app.mailbox_id := box_id;
            app.app_id := mailer._oauth_store_app(app, in_place);
        END IF;
    END IF;

    IF account.app_id IS DISTINCT FROM app.app_id THEN
        PERFORM mailer._oauth_check_first_use(app.app_id, box_id);
        -- A refresh token is for the server that gave it.
        IF (SELECT mailer._oauth_trust(p) FROM mailer.oauth_app p WHERE p.app_id = app.app_id) IS DISTINCT FROM trusted
            AND mailer._oauth_drop_consent(box_id) THEN
            RAISE NOTICE USING MESSAGE = format('the refresh token of mailbox "%s" was for another server, and is dropped', oauth_set.mailbox),
                HINT = 'Pass the one for the new server, or ask for consent with mailer.oauth_url().';
        END IF;
    END IF;
    account := jsonb_populate_record(account, settings - ARRAY['app_id', 'mailbox_id']);
    INSERT INTO mailer.oauth_account AS a (mailbox_id, app_id, subject, login) VALUES (box_id, app.app_id, account.subject, account.login)
    ON CONFLICT (mailbox_id) DO UPDATE SET app_id = excluded.app_id, subject = excluded.subject, login = excluded.login;
    IF settings ? 'refresh_token' THEN
        INSERT INTO mailer.oauth_account_secret AS s (mailbox_id, refresh_token) VALUES (box_id, settings ->> 'refresh_token')
        ON CONFLICT (mailbox_id) DO UPDATE SET refresh_token = excluded.refresh_token, code = NULL, code_verifier = NULL, redirect_uri = NULL,
            consented_at = NULL, consented_by = NULL;
        DELETE FROM mailer.oauth_device d WHERE d.mailbox_id = box_id;
    END IF;
    IF settings - ARRAY['login', 'secret_expires_at'] <> '{}' THEN
        PERFORM mailer._oauth_start_over(app.app_id, box_id);
    END IF;
    PERFORM mailer._log_event('mailbox_oauth_set', jsonb_build_object('app', app.name, 'settings', (SELECT jsonb_agg(k) FROM jsonb_object_keys(settings) k)),
        mailbox_id => box_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION oauth_set(text, jsonb) IS
'Connects a mailbox to an OAuth2 application, so that it logs in with tokens that are renewed automatically; settings are merged, null removes one.
app: name of an application of mailer.oauth_app_set(), or all of its settings in place, for this mailbox alone; {"app": null} disconnects.
refresh_token: may be missing until mailer.oauth_code(). subject: the mailbox that a service account acts for. login: account proposed on the page of consent.
The login''s user is the mailbox''s username. Login breakers close at once. Secrets are stored apart, never shown, never dumped.
Another server in token_url deletes what was stored for the old one, as in mailer.oauth_app_set().
Errors: 42704 no such mailbox or application, 22023 an unknown setting or a bad value, 42501 the application''s own tokens (client_credentials, jwt_bearer)
would go to a server that neither its provider nor another of its mailboxes has, and you are not a superuser.';

CREATE FUNCTION _oauth_drop_own_app(mailbox_id bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    DELETE FROM mailer.oauth_app_secret s USING mailer.oauth_app p WHERE p.mailbox_id = $1 AND s.app_id = p.app_id;
    DELETE FROM mailer.oauth_token t USING mailer.oauth_app p WHERE p.mailbox_id = $1 AND t.app_id = p.app_id;
    DELETE FROM mailer.oauth_app p WHERE p.mailbox_id = $1;
$$;
COMMENT ON FUNCTION _oauth_drop_own_app(bigint) IS 'Deletes the application that belongs to this mailbox alone, with its secrets and tokens';

CREATE FUNCTION _oauth_drop_secrets(mailbox_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    had_any boolean;
BEGIN
    had_any := mailer._oauth_drop_consent(_oauth_drop_secrets.mailbox_id);
    DELETE FROM mailer.oauth_token t WHERE t.mailbox_id = _oauth_drop_secrets.mailbox_id;
    had_any := had_any OR FOUND;
    DELETE FROM mailer.oauth_app_secret s USING mailer.oauth_app p WHERE p.mailbox_id = _oauth_drop_secrets.mailbox_id AND s.app_id = p.app_id;
    had_any := had_any OR FOUND;
    -- An application's token opens every mailbox: this one is no longer connected to it.
    DELETE FROM mailer.oauth_account a USING mailer.oauth_app p
    WHERE a.mailbox_id = _oauth_drop_secrets.mailbox_id AND p.app_id = a.app_id AND p.name IS NOT NULL AND p.grant_type IN ('client_credentials', 'jwt_bearer');
    RETURN had_any OR FOUND;
END;
$$;
COMMENT ON FUNCTION _oauth_drop_secrets(bigint) IS 'Deletes the refresh token, tokens and own secrets of a mailbox; whether there was one. A connection to an application that needs no consent ends too';

CREATE FUNCTION _oauth_forget(mailbox_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._oauth_drop_secrets(_oauth_forget.mailbox_id);
    PERFORM mailer._oauth_drop_own_app(_oauth_forget.mailbox_id);
    DELETE FROM mailer.oauth_account a WHERE a.mailbox_id = _oauth_forget.mailbox_id;
    UPDATE mailer.mailbox b SET mended_at = clock_timestamp() WHERE b.mailbox_id = _oauth_forget.mailbox_id;
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION _oauth_forget(bigint) IS 'Disconnects a mailbox from OAuth2 and deletes all that it had for it';
