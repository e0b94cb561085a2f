-- Consent: a page that the account's owner opens, and the code that it brings back.
--
-- mailer.oauth_url() makes the page's address with a state that only this database can have signed, and keeps the verifier of PKCE (RFC 7636).
-- mailer.oauth_code() stores the code that comes back; no provider is asked inside the caller's transaction. The sender, or CALL mailer.run(),
-- exchanges the code for a refresh token as soon as it has committed, under the same lease as any other token.
-- mailer.oauth_preview() returns which mailbox a state is for, and how it is by now.
-- mailer.oauth_device() has the provider asked for a code that somebody enters on its page, for applications without a redirect (RFC 8628).

CREATE FUNCTION oauth_url(mailbox text, valid_for interval DEFAULT '7 days') RETURNS text
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint := mailer._mailbox_id(oauth_url.mailbox);
    account record;
    nonce text := mailer._random_text();
    verifier text := mailer._random_text() || mailer._random_text();
    until timestamptz := clock_timestamp() + oauth_url.valid_for;
    content bytea;
    url text;
BEGIN
    IF oauth_url.valid_for IS NULL OR oauth_url.valid_for <= interval '0' OR oauth_url.valid_for > interval '366 days' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'valid_for must be longer than nothing and at most a year',
            DETAIL = format('It is %s.', COALESCE(oauth_url.valid_for::text, 'NULL')), HINT = 'Pass an interval such as ''7 days'', which is the default.';
    END IF;
    SELECT a.*, b.username INTO account FROM mailer._oauth_accounts() a JOIN mailer.mailbox b ON b.mailbox_id = a.mailbox_id WHERE a.mailbox_id = box_id;
    IF account.mailbox_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('mailbox "%s" is not connected to OAuth2', oauth_url.mailbox),
            HINT = 'Connect it with mailer.oauth_set().';
    ELSIF account.grant_type <> 'refresh_token' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('mailbox "%s" needs no consent', oauth_url.mailbox),
            DETAIL = format('Its grant is %s.', account.grant_type);
    ELSIF account.auth_url IS NULL OR account.client_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('mailbox "%s" has no page of consent', oauth_url.mailbox),
            DETAIL = 'Its application needs a client_id, and a provider or an auth_url.', HINT = 'Set them with mailer.oauth_app_set() or mailer.oauth_set().';
    END IF;
    DELETE FROM mailer.oauth_consent c WHERE c.expires_at < clock_timestamp();
    INSERT INTO mailer.oauth_consent (nonce, mailbox_id, code_verifier, expires_at) VALUES (nonce, box_id, verifier, until);
    content := convert_to(format('%s %s %s', box_id, nonce, (extract(epoch FROM until) * 1000)::bigint), 'UTF8');
    url := account.auth_url || CASE WHEN strpos(account.auth_url, '?') > 0 THEN '&' ELSE '?' END || 'response_type=code'
        || '&client_id=' || mailer._url_encoded(account.client_id) || '&redirect_uri=' || mailer._url_encoded(account.redirect_uri)
        || COALESCE('&scope=' || mailer._url_encoded(account.consent_scope), '')
        || (SELECT '&state=' || mailer._base64url(content) || '.' || mailer._base64url(mailer._hmac_sha256(k.key, 'oauth ' || content)) FROM mailer.signing_key k)
        || '&code_challenge=' || mailer._base64url(sha256(convert_to(verifier, 'UTF8'))) || '&code_challenge_method=S256'
        || COALESCE('&login_hint=' || mailer._url_encoded(COALESCE(account.login, account.username)), '')
        || CASE account.provider WHEN 'google' THEN '&access_type=offline&prompt=consent' ELSE '' END;
    RETURN url;
END;
$$;
COMMENT ON FUNCTION oauth_url(text, interval) IS
'Returns the address of the page on which the owner of the mailbox''s account gives consent: authorization code with PKCE and a signed state, valid for valid_for.
You can mail it to that person. The page redirects to the application''s redirect_uri; pass what arrives there to mailer.oauth_code().
Errors: 42704 no such mailbox, 55000 it isn''t connected to OAuth2, needs no consent, or its application is incomplete.';

CREATE FUNCTION _read_oauth_state(state text, OUT mailbox_id bigint, OUT nonce text, OUT is_expired boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    parts text[] := regexp_match(state, '^([A-Za-z0-9_-]{20,200})\.([A-Za-z0-9_-]{43})$');
    content bytea;
    words text[];
BEGIN
    IF parts IS NULL THEN
        RETURN;
    END IF;
    BEGIN
        content := decode(translate(parts[1], '-_', '+/') || repeat('=', (4 - length(parts[1]) % 4) % 4), 'base64');
    EXCEPTION WHEN invalid_parameter_value THEN
        RETURN;
    END;
    -- Hashed before they are compared, so that the time taken says nothing about the right signature.
    IF NOT EXISTS (SELECT FROM mailer.signing_key k WHERE sha256(convert_to(parts[2], 'UTF8'))
            = sha256(convert_to(mailer._base64url(mailer._hmac_sha256(k.key, 'oauth ' || content)), 'UTF8'))) THEN
        RETURN;
    END IF;
    words := string_to_array(convert_from(content, 'UTF8'), ' ');
    mailbox_id := words[1]::bigint;
    nonce := words[2];
    is_expired := to_timestamp(words[3]::bigint / 1000.0) < clock_timestamp();
END;
$$;
COMMENT ON FUNCTION _read_oauth_state(text) IS 'What a state of mailer.oauth_url() says; NULLs when this database did not sign it';

CREATE FUNCTION oauth_code(state text, code text) RETURNS text
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    the_state text := btrim(oauth_code.state);
    the_code text := btrim(oauth_code.code);
    url text;
    refusal text;
    said record;
    page mailer.oauth_consent;
    account record;
BEGIN
    IF the_code ~ '[?&](code|error)=' OR the_state ~ '[?&](code|error)=' THEN
        url := CASE WHEN the_code ~ '[?&](code|error)=' THEN the_code ELSE the_state END;
        refusal := mailer._url_parameter(url, 'error');
        IF the_state IS NULL OR the_state = '' OR the_state = url THEN
            the_state := mailer._url_parameter(url, 'state');
        END IF;
        the_code := mailer._url_parameter(url, 'code');
    END IF;
    SELECT s.* INTO said FROM mailer._read_oauth_state(the_state) s;
    IF said.mailbox_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this state was not made by this database',
            HINT = 'Pass the state that came with the code, or the whole address that the browser was led to.';
    ELSIF said.is_expired THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this page of consent has expired', HINT = 'Make a new one with mailer.oauth_url().';
    ELSIF refusal IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('consent was not given: %s', left(refusal, 100)),
            DETAIL = left(COALESCE(mailer._url_parameter(url, 'error_description'), ''), 500);
    ELSIF COALESCE(the_code, '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'there is no code';
    ELSIF length(the_code) > 8192 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this is no code of a provider', DETAIL = 'It is longer than 8192 characters.';
    END IF;
    SELECT a.* INTO account FROM mailer._oauth_accounts() a WHERE a.mailbox_id = said.mailbox_id;
    DELETE FROM mailer.oauth_consent c WHERE c.nonce = said.nonce AND c.mailbox_id = said.mailbox_id RETURNING c.* INTO page;
    IF page.nonce IS NULL OR account.mailbox_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this page of consent was used already',
            HINT = 'oauth_status shows whether the mailbox is connected; mailer.oauth_url() makes a new page.';
    END IF;
    INSERT INTO mailer.oauth_account_secret AS s (mailbox_id, code, code_verifier, redirect_uri)
    VALUES (page.mailbox_id, the_code, page.code_verifier, account.redirect_uri)
    ON CONFLICT (mailbox_id) DO UPDATE SET code = excluded.code, code_verifier = excluded.code_verifier, redirect_uri = excluded.redirect_uri;
    DELETE FROM mailer.oauth_device d WHERE d.mailbox_id = page.mailbox_id;
    -- Anybody who has the page's address can pass a bad code: the login that works must keep working.
    PERFORM mailer._oauth_ask_again(account.app_id, page.mailbox_id);
    PERFORM mailer._log_event('oauth_consent', '{}', mailbox_id => page.mailbox_id);
    RETURN account.mailbox;
END;
$$;
COMMENT ON FUNCTION oauth_code(text, text) IS
'Takes the result of the page of mailer.oauth_url() and returns the mailbox''s name. code: the code, or the whole address that the browser was redirected to
(then state may be NULL). After this commits, the sender or CALL mailer.run() asks the provider: see oauth_status. Until then, and if the provider
refuses the code, the mailbox continues with the login that it had.
Errors: 22023 the state is not ours, has expired or was used, consent was not given, or the code is longer than 8192 characters.';

CREATE FUNCTION oauth_preview(state text, OUT mailbox text, OUT mailbox_id bigint, OUT page_state text, OUT expires_at timestamptz, OUT token_state text)
LANGUAGE mailer_plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    said record;
BEGIN
    SELECT s.* INTO said FROM mailer._read_oauth_state(btrim(oauth_preview.state)) s;
    IF said.mailbox_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this state was not made by this database',
            HINT = 'Pass the state that came from the provider''s page.';
    END IF;
    SELECT a.mailbox, a.mailbox_id, a.token_state INTO mailbox, mailbox_id, token_state FROM mailer._oauth_accounts() a WHERE a.mailbox_id = said.mailbox_id;
    SELECT c.expires_at INTO expires_at FROM mailer.oauth_consent c WHERE c.nonce = said.nonce AND c.mailbox_id = said.mailbox_id;
    page_state := CASE WHEN said.is_expired THEN 'expired' WHEN expires_at IS NULL OR mailbox IS NULL THEN 'used' ELSE 'open' END;
END;
$$;
COMMENT ON FUNCTION oauth_preview(text) IS
'Returns which mailbox a state of mailer.oauth_url() is for, and the mailbox''s token_state; changes nothing. For the page to which the provider redirects.
page_state: open (until expires_at), used (also when the mailbox''s settings were changed meanwhile) or expired.
mailbox is NULL if it is no longer connected to OAuth2.
Errors: 22023 the state is not ours.';

CREATE FUNCTION oauth_device(mailbox text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint := mailer._mailbox_id(oauth_device.mailbox);
    account record;
BEGIN
    SELECT a.* INTO account FROM mailer._oauth_accounts() a WHERE a.mailbox_id = box_id;
    IF account.mailbox_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('mailbox "%s" is not connected to OAuth2', oauth_device.mailbox),
            HINT = 'Connect it with mailer.oauth_set().';
    ELSIF account.grant_type <> 'refresh_token' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('mailbox "%s" needs no consent', oauth_device.mailbox),
            DETAIL = format('Its grant is %s.', account.grant_type);
    ELSIF account.device_url IS NULL OR account.client_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('mailbox "%s" has no consent by device code', oauth_device.mailbox),
            DETAIL = 'Its application needs a client_id, and provider microsoft365 or a device_url. Google gives no access to mail by device code.',
            HINT = 'Set them with mailer.oauth_app_set() or mailer.oauth_set(), or use mailer.oauth_url().';
    END IF;
    INSERT INTO mailer.oauth_device AS d (mailbox_id, poll_at) VALUES (box_id, clock_timestamp())
    ON CONFLICT (mailbox_id) DO UPDATE SET device_code = NULL, user_code = NULL, verification_uri = NULL, expires_at = NULL,
        poll_us = 5000000, poll_at = excluded.poll_at;
    UPDATE mailer.oauth_token t SET lease_count = t.lease_count + 1, lease_pid = NULL, lease_start = NULL, lease_until = NULL
    WHERE t.app_id = account.app_id AND t.mailbox_id = box_id;
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION oauth_device(text) IS
'Begins a consent by device code (RFC 8628): after this commits, the sender or CALL mailer.run() asks the provider, and oauth_status then
shows user_code, which the owner of the mailbox''s account enters at verification_uri until consent_until. No redirect is needed; at Microsoft the
application must allow public client flows. Until then the mailbox keeps its current login. A second call starts again.
Errors: 42704 no such mailbox, 55000 it isn''t connected to OAuth2, needs no consent, or its application has no device_url.';

CREATE FUNCTION _random_text() RETURNS text
LANGUAGE sql VOLATILE
AS $$ SELECT mailer._base64url(pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    || pg_catalog.uuid_send(pg_catalog.gen_random_uuid()))) $$;
COMMENT ON FUNCTION _random_text() IS '43 random characters of base64url, made of 366 random bits';

CREATE VIEW oauth_status AS
SELECT a.mailbox,
       a.token_state,
       a.token_expires_at,
       a.app,
       a.provider,
       a.grant_type,
       a.login,
       a.subject,
       a.has_refresh_token,
       a.has_code AS is_exchanging,
       a.failure_code,
       a.failure_words,
       a.failure_hint,
       a.failed_at,
       a.failures,
       a.retry_at,
       a.refresh_at,
       a.secret_expires_at,
       a.token_url,
       a.scope,
       a.client_id,
       a.user_code,
       a.verification_uri,
       a.device_expires_at AS consent_until,
       a.consented_at,
       array_to_string(a.consented_by, ', ') AS consented_by,
       a.is_other_account
FROM mailer._oauth_accounts() a;
COMMENT ON VIEW oauth_status IS 'Every mailbox that logs in with OAuth2: whether it is connected, waits for consent or was refused, and its provider''s message';
COMMENT ON COLUMN oauth_status.token_state IS 'valid, refreshing, provider_unreachable, refused (see failure_hint) or consent_needed (mailer.oauth_url())';
COMMENT ON COLUMN oauth_status.is_exchanging IS 'A code of a consent waits to be exchanged for a refresh token';
COMMENT ON COLUMN oauth_status.user_code IS 'After mailer.oauth_device(): what the account''s owner enters at verification_uri until consent_until';
COMMENT ON COLUMN oauth_status.refresh_at IS 'When the next token is fetched';
COMMENT ON COLUMN oauth_status.consented_by IS 'The account that gave consent, by the names that the provider tells with the token; NULL: it tells none';
COMMENT ON COLUMN oauth_status.is_other_account IS 'consented_by is neither login nor the mailbox''s username or from_address. That is right for a shared mailbox';
COMMENT ON COLUMN oauth_status.retry_at IS 'When the provider is asked again after a failure';

CREATE FUNCTION _device_hint(user_code text, verification_uri text, expires_at timestamptz) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN user_code IS NOT NULL THEN
        format('The owner of the account enters %s at %s, until %s.', user_code, verification_uri, to_char(expires_at, 'HH24:MI')) END
$$;
COMMENT ON FUNCTION _device_hint(text, text, timestamptz) IS 'What is left to do for a consent by device code; NULL: none is under way';

CREATE FUNCTION _health_oauth() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    warned_before CONSTANT interval := interval '30 days';
    questioned_for CONSTANT interval := interval '7 days';
    now_at CONSTANT timestamptz := mailer._now();
BEGIN
    RETURN QUERY SELECT 'warning', 'mailbox ' || a.mailbox, 'OAuth2: consent has not been given yet', NULL::timestamptz,
        COALESCE(mailer._device_hint(a.user_code, a.verification_uri, a.device_expires_at),
            'mailer.oauth_url(mailbox) returns a page for the owner of the account; pass its result to mailer.oauth_code().')
    FROM mailer._oauth_accounts() a WHERE a.token_state = 'consent_needed';

    RETURN QUERY SELECT CASE WHEN a.failure_kind = 'grant' THEN 'critical' ELSE 'warning' END, 'mailbox ' || a.mailbox,
        CASE WHEN a.failure_kind = 'grant' THEN 'OAuth2: the grant was refused: ' ELSE 'OAuth2: no answer from the provider: ' END
            || concat_ws(': ', a.failure_code, NULLIF(a.failure_words, '')), a.failed_at,
        COALESCE(CASE WHEN a.failure_kind = 'grant' THEN mailer._device_hint(a.user_code, a.verification_uri, a.device_expires_at) END,
            a.failure_hint, CASE WHEN a.failure_kind = 'grant' THEN 'See oauth_status; mailer.oauth_set() and mailer.oauth_url() connect it again.'
            ELSE 'The request is repeated automatically; the last token is valid until ' || COALESCE(to_char(a.token_expires_at, 'HH24:MI:SS'), 'never') || '.' END)
    FROM mailer._oauth_accounts() a WHERE a.failure_kind IS NOT NULL;

    -- A shared mailbox is opened by somebody else's account: so no longer than it takes to see whether that was meant, or while the login fails.
    RETURN QUERY SELECT 'warning', 'mailbox ' || a.mailbox, format('OAuth2: %s gave consent, not %s', array_to_string(a.consented_by, ', '),
            COALESCE(a.login, b.username, b.from_address)), a.consented_at,
        'Right where this account may use the mailbox, as with a shared one; else have the owner open a new page of mailer.oauth_url().'
    FROM mailer._oauth_accounts() a JOIN mailer.mailbox b ON b.mailbox_id = a.mailbox_id LEFT JOIN mailer.mailbox_state s ON s.mailbox_id = a.mailbox_id
    WHERE a.is_other_account AND (a.consented_at > now_at - questioned_for OR s.breaker_reason LIKE 'login:%');

    RETURN QUERY SELECT CASE WHEN p.secret_expires_at <= now_at THEN 'critical' ELSE 'warning' END,
        CASE WHEN p.name IS NULL THEN 'mailbox ' || b.name ELSE 'OAuth2 application ' || p.name END,
        CASE WHEN p.secret_expires_at <= now_at THEN 'its secret has expired' ELSE 'its secret expires on ' || to_char(p.secret_expires_at, 'YYYY-MM-DD') END,
        p.secret_expires_at, 'Make a new secret at the provider, then set it with its secret_expires_at.'
    FROM mailer.oauth_app p LEFT JOIN mailer.mailbox b ON b.mailbox_id = p.mailbox_id
    WHERE p.secret_expires_at <= now_at + warned_before;
END;
$$;
COMMENT ON FUNCTION _health_oauth() IS 'Alerts of mailer.health() about OAuth2: consent, by whom, failures, secrets that expire within 30 days';
