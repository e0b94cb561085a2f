-- How a token is fetched, as far as the tables go: whose turn it is, the lease, and what is stored of an answer.
--
-- The engine calls these in short transactions of its own; between the lease and the answer none is open. The lease commits
-- synchronously before the request leaves, for a provider may replace a refresh token at each use: two processes that ask at once would lock each
-- other out. What comes back is stored only under the lease that it was asked under.

CREATE FUNCTION _token_plan() RETURNS TABLE (app_id bigint, token_mailbox_id bigint, mailbox_id bigint, wait_us bigint, valid_us bigint, fetched_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT a.app_id, a.token_mailbox_id, a.mailbox_id,
           CASE WHEN num_nonnulls(a.device_poll_at, a.renew_at) > 0
                THEN (extract(epoch FROM GREATEST(LEAST(a.device_poll_at, a.renew_at), clock_timestamp()) - clock_timestamp()) * 1000000)::bigint END,
           (extract(epoch FROM a.token_expires_at - clock_timestamp()) * 1000000)::bigint, t.fetched_at
    FROM mailer._oauth_accounts() a
    LEFT JOIN mailer.oauth_token t ON t.app_id = a.app_id AND t.mailbox_id = a.token_mailbox_id
$$;
COMMENT ON FUNCTION _token_plan() IS 'For every mailbox with OAuth2: in how many microseconds its next token is to be fetched (NULL: consent is needed), and how long its token is valid';

CREATE FUNCTION _token_lease(app_id bigint, token_mailbox_id bigint) RETURNS TABLE (lease bigint, failures integer, flow text, token_url text,
    client_id text, client_secret text, certificate text, private_key text, scope text, subject text, refresh_token text, code text,
    code_verifier text, redirect_uri text, device_url text, device_code text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    lease_time CONSTANT interval := interval '60 s';
    t mailer.oauth_token;
    now_at timestamptz := clock_timestamp();
    due record;
BEGIN
    DELETE FROM mailer.oauth_device d WHERE d.expires_at <= now_at;
    INSERT INTO mailer.oauth_token (app_id, mailbox_id) VALUES (_token_lease.app_id, _token_lease.token_mailbox_id) ON CONFLICT DO NOTHING;
    SELECT o.* INTO t FROM mailer.oauth_token o
    WHERE o.app_id = _token_lease.app_id AND o.mailbox_id = _token_lease.token_mailbox_id FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Read under the lock: another process may have asked a moment ago, and the provider wants a pause between two questions.
    -- While a person has a device code to enter, which may take 15 minutes, the older token is renewed as before, and first: its mail waits.
    SELECT LEAST(a.device_poll_at, a.renew_at) AS at,
           CASE WHEN a.renew_at <= now_at AND a.has_code AND a.grant_type = 'refresh_token' THEN 'authorization_code'
                WHEN a.renew_at <= now_at THEN a.grant_type
                WHEN a.user_code IS NULL THEN 'device_authorization' ELSE 'device_code' END AS flow
    INTO due FROM mailer._oauth_accounts() a
    WHERE a.app_id = _token_lease.app_id AND a.token_mailbox_id = _token_lease.token_mailbox_id
    ORDER BY a.mailbox_id LIMIT 1;
    IF due.at IS NULL OR due.at > now_at OR t.lease_until > now_at AND t.lease_pid <> pg_backend_pid()
        AND EXISTS (SELECT FROM pg_stat_get_activity(t.lease_pid) b WHERE COALESCE(b.backend_start = t.lease_start, true)) THEN
        RETURN;
    END IF;
    UPDATE mailer.oauth_token o
    SET lease_count = o.lease_count + 1, lease_pid = pg_backend_pid(), lease_until = now_at + lease_time, lease_flow = due.flow,
        lease_start = (SELECT b.backend_start FROM pg_stat_get_activity(pg_backend_pid()) b)
    WHERE o.app_id = t.app_id AND o.mailbox_id = t.mailbox_id;
    RETURN QUERY
    SELECT t.lease_count + 1, CASE WHEN t.failure_flow = due.flow THEN t.failures ELSE 0 END, due.flow,
           a.token_url, a.client_id, x.client_secret, x.certificate, x.private_key,
           CASE WHEN due.flow IN ('device_authorization', 'device_code', 'authorization_code') THEN a.consent_scope ELSE a.scope END,
           a.subject, s.refresh_token, s.code,
           s.code_verifier, COALESCE(s.redirect_uri, a.redirect_uri), a.device_url, d.device_code
    FROM mailer._oauth_accounts() a
    LEFT JOIN mailer.oauth_app_secret x ON x.app_id = a.app_id
    LEFT JOIN mailer.oauth_account_secret s ON s.mailbox_id = a.token_mailbox_id
    LEFT JOIN mailer.oauth_device d ON d.mailbox_id = a.token_mailbox_id
    WHERE a.app_id = t.app_id AND a.token_mailbox_id = t.mailbox_id
    ORDER BY a.mailbox_id LIMIT 1;
END;
$$;
COMMENT ON FUNCTION _token_lease(bigint, bigint) IS 'Takes the lease on a token that is due and gives what the request is made of; no row: not due, or another process fetches it';

-- The mailboxes that wait for a token rest like those whose login fails: one breaker, opened and closed here too.
CREATE FUNCTION _token_breaker(app_id bigint, token_mailbox_id bigint, until timestamptz, reason text, is_forced boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint;
BEGIN
    FOR box_id IN SELECT a.mailbox_id FROM mailer._oauth_accounts() a
        WHERE a.app_id = _token_breaker.app_id AND a.token_mailbox_id = _token_breaker.token_mailbox_id ORDER BY 1
    LOOP
        IF until IS NOT NULL THEN
            IF NOT EXISTS (SELECT FROM mailer.mailbox_state s WHERE s.mailbox_id = box_id AND s.breaker_until IS NOT NULL) THEN
                PERFORM mailer._log_event('breaker_opened', jsonb_build_object('text', reason), mailbox_id => box_id);
            END IF;
            INSERT INTO mailer.mailbox_state AS s (mailbox_id, breaker_failures, breaker_until, breaker_since, breaker_reason)
            VALUES (box_id, 1, until, clock_timestamp(), reason)
            ON CONFLICT (mailbox_id) DO UPDATE SET breaker_failures = s.breaker_failures + 1, breaker_until = excluded.breaker_until,
                breaker_since = COALESCE(s.breaker_since, excluded.breaker_since), breaker_reason = excluded.breaker_reason;
        ELSE
            UPDATE mailer.mailbox_state s SET breaker_until = NULL, breaker_since = NULL, breaker_reason = NULL,
                -- A refused login counts on until one works: the next refusal is not the first.
                breaker_failures = CASE WHEN s.breaker_reason LIKE 'login: OAuth2:%' THEN 0 ELSE s.breaker_failures END
            WHERE s.mailbox_id = box_id AND (s.breaker_reason LIKE 'login: OAuth2:%' OR is_forced AND s.breaker_reason LIKE 'login:%');
            IF FOUND THEN
                PERFORM mailer._log_event('breaker_closed', '{"text": "it has a new token"}', mailbox_id => box_id);
            END IF;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _token_breaker(bigint, bigint, timestamptz, text, boolean) IS 'Opens the login breakers of the mailboxes that use this token, or (until NULL) closes those that waited for it; is_forced: and those that a refused login opened';

CREATE FUNCTION _token_store(app_id bigint, token_mailbox_id bigint, lease bigint, access_token text, life_us bigint, refresh_token text,
    used_refresh_token text, account text[] DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    renewed_at CONSTANT double precision := 0.8;
    life interval := _token_store.life_us * interval '1 us';
    t mailer.oauth_token;
    now_at timestamptz;
    is_forced boolean;
    is_by_device boolean;
BEGIN
    SELECT o.* INTO t FROM mailer.oauth_token o
    WHERE o.app_id = _token_store.app_id AND o.mailbox_id = _token_store.token_mailbox_id FOR UPDATE;
    now_at := clock_timestamp();
    IF t.lease_count IS DISTINCT FROM _token_store.lease THEN
        -- Too late. But where the refresh token that was sent is still ours, the provider has just replaced it.
        UPDATE mailer.oauth_account_secret s SET refresh_token = _token_store.refresh_token
        WHERE s.mailbox_id = _token_store.token_mailbox_id AND s.refresh_token = _token_store.used_refresh_token
          AND _token_store.refresh_token IS NOT NULL;
        RETURN false;
    END IF;
    is_forced := COALESCE(t.refresh_at < t.fetched_at + renewed_at * (t.expires_at - t.fetched_at) - interval '1 ms', false);
    UPDATE mailer.oauth_token o
    SET access_token = _token_store.access_token, fetched_at = now_at, expires_at = now_at + life, refresh_at = now_at + renewed_at * life,
        lease_pid = NULL, lease_start = NULL, lease_until = NULL, failures = 0, failure_kind = NULL, failure_flow = NULL,
        failure_code = NULL, failure_words = NULL, failure_hint = NULL, failed_at = NULL, retry_at = NULL
    WHERE o.app_id = t.app_id AND o.mailbox_id = t.mailbox_id;
    IF t.mailbox_id <> 0 THEN
        is_by_device := t.lease_flow = 'device_code';
        IF is_by_device THEN
            DELETE FROM mailer.oauth_device d WHERE d.mailbox_id = t.mailbox_id;
        END IF;
        INSERT INTO mailer.oauth_account_secret AS s (mailbox_id, refresh_token, consented_at, consented_by)
        VALUES (t.mailbox_id, _token_store.refresh_token, CASE WHEN is_by_device THEN now_at END, _token_store.account)
        ON CONFLICT (mailbox_id) DO UPDATE SET refresh_token = COALESCE(excluded.refresh_token, s.refresh_token), code = NULL,
            code_verifier = NULL, redirect_uri = NULL,
            consented_at = CASE WHEN is_by_device OR s.code IS NOT NULL THEN now_at ELSE s.consented_at END,
            consented_by = CASE WHEN is_by_device OR s.code IS NOT NULL THEN excluded.consented_by ELSE COALESCE(excluded.consented_by, s.consented_by) END;
        IF is_by_device THEN
            PERFORM mailer._log_event('oauth_consent', '{}', mailbox_id => t.mailbox_id);
        END IF;
    END IF;
    PERFORM mailer._token_breaker(t.app_id, t.mailbox_id, NULL, NULL, is_forced);
    PERFORM mailer._changed();
    RETURN true;
END;
$$;
COMMENT ON FUNCTION _token_store(bigint, bigint, bigint, text, bigint, text, text, text[]) IS 'Stores a token under its lease, a refresh token that replaces the one that was sent, and who gave consent; false: the lease was lost';

-- What the provider answers about a consent mends what failed at a consent. A renewal that failed waits until its own time.
CREATE FUNCTION _token_answered(app_id bigint, token_mailbox_id bigint, lease bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE mailer.oauth_token o SET lease_pid = NULL, lease_start = NULL, lease_until = NULL
    WHERE o.app_id = _token_answered.app_id AND o.mailbox_id = _token_answered.token_mailbox_id AND o.lease_count = _token_answered.lease;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE mailer.oauth_token o
    SET failures = 0, failure_kind = NULL, failure_flow = NULL, failure_code = NULL, failure_words = NULL, failure_hint = NULL,
        failed_at = NULL, retry_at = NULL
    WHERE o.app_id = _token_answered.app_id AND o.mailbox_id = _token_answered.token_mailbox_id AND o.failure_flow IS DISTINCT FROM 'refresh_token';
    RETURN true;
END;
$$;
COMMENT ON FUNCTION _token_answered(bigint, bigint, bigint) IS 'The provider answered about a consent: ends its lease and forgets what failed at a consent; false: the lease was lost';

CREATE FUNCTION _token_fail(app_id bigint, token_mailbox_id bigint, lease bigint, kind text, code text, words text, hint text, wait_us bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    code_life CONSTANT interval := interval '10 min';
    is_device boolean;
    is_consent boolean;
    t mailer.oauth_token;
    now_at timestamptz;
    again_at timestamptz;
BEGIN
    SELECT o.* INTO t FROM mailer.oauth_token o
    WHERE o.app_id = _token_fail.app_id AND o.mailbox_id = _token_fail.token_mailbox_id AND o.lease_count = _token_fail.lease FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    now_at := clock_timestamp();
    again_at := now_at + _token_fail.wait_us * interval '1 us';
    is_device := t.lease_flow IN ('device_authorization', 'device_code');
    is_consent := is_device OR t.lease_flow = 'authorization_code';
    -- A consent that comes to nothing takes nothing away from a mailbox that has an older one; nor does one at which the provider itself keeps
    -- failing, as the older one's token isn't renewed before a code is exchanged.
    IF is_consent AND EXISTS (SELECT FROM mailer.oauth_account_secret s WHERE s.mailbox_id = t.mailbox_id AND s.refresh_token IS NOT NULL)
        AND (_token_fail.kind = 'grant' OR t.failure_flow = t.lease_flow AND t.failed_at < now_at - code_life) THEN
        IF is_device THEN
            DELETE FROM mailer.oauth_device d WHERE d.mailbox_id = t.mailbox_id;
        ELSE
            UPDATE mailer.oauth_account_secret s SET code = NULL, code_verifier = NULL, redirect_uri = NULL WHERE s.mailbox_id = t.mailbox_id;
        END IF;
        PERFORM mailer._token_answered(t.app_id, t.mailbox_id, t.lease_count);
        PERFORM mailer._log_event('oauth_consent_refused', jsonb_build_object('text', concat_ws(': ', _token_fail.code, NULLIF(_token_fail.words, ''))),
            mailbox_id => t.mailbox_id);
        PERFORM mailer._changed();
        RETURN;
    END IF;
    UPDATE mailer.oauth_token o
    SET lease_pid = NULL, lease_start = NULL, lease_until = NULL, failures = o.failures + 1, failure_kind = _token_fail.kind,
        failure_flow = o.lease_flow, failure_code = _token_fail.code, failure_words = _token_fail.words, failure_hint = NULLIF(_token_fail.hint, ''),
        failed_at = CASE WHEN o.failure_kind = _token_fail.kind AND o.failure_flow = o.lease_flow THEN COALESCE(o.failed_at, now_at) ELSE now_at END,
        retry_at = again_at
    WHERE o.app_id = t.app_id AND o.mailbox_id = t.mailbox_id;
    IF _token_fail.kind = 'grant' AND is_consent THEN
        -- A code is good for one exchange.
        UPDATE mailer.oauth_account_secret s SET code = NULL, code_verifier = NULL, redirect_uri = NULL
        WHERE s.mailbox_id = t.mailbox_id AND s.code IS NOT NULL;
        DELETE FROM mailer.oauth_device d WHERE d.mailbox_id = t.mailbox_id;
    ELSIF is_device THEN
        UPDATE mailer.oauth_device d SET poll_at = again_at WHERE d.mailbox_id = t.mailbox_id;
    END IF;
    IF _token_fail.kind = 'grant' OR t.expires_at IS NULL OR t.expires_at <= now_at THEN
        PERFORM mailer._token_breaker(t.app_id, t.mailbox_id, again_at, 'login: OAuth2: ' ||
            CASE _token_fail.kind WHEN 'grant' THEN 'the grant was refused: ' ELSE 'no token from the provider: ' END ||
            concat_ws(': ', _token_fail.code, NULLIF(_token_fail.words, '')) || COALESCE(' (' || NULLIF(_token_fail.hint, '') || ')', ''), false);
    END IF;
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION _token_fail(bigint, bigint, bigint, text, text, text, text, bigint) IS 'Notes that no token came, whose fault that is and when to ask again; a mailbox without a valid token rests until then';

CREATE FUNCTION _token_device(app_id bigint, token_mailbox_id bigint, lease bigint, device_code text, user_code text, verification_uri text,
    life_us bigint, poll_us bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    now_at timestamptz := clock_timestamp();
BEGIN
    IF NOT mailer._token_answered(_token_device.app_id, _token_device.token_mailbox_id, _token_device.lease) THEN
        RETURN;
    END IF;
    UPDATE mailer.oauth_device d
    SET device_code = _token_device.device_code, user_code = _token_device.user_code, verification_uri = _token_device.verification_uri,
        expires_at = now_at + _token_device.life_us * interval '1 us', poll_us = _token_device.poll_us,
        poll_at = now_at + _token_device.poll_us * interval '1 us'
    WHERE d.mailbox_id = _token_device.token_mailbox_id AND d.device_code IS NULL;
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION _token_device(bigint, bigint, bigint, text, text, text, bigint, bigint) IS 'Stores, under its lease, the code that a person is to enter and when to ask whether it was done';

CREATE FUNCTION _token_pending(app_id bigint, token_mailbox_id bigint, lease bigint, slower_us bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF mailer._token_answered(_token_pending.app_id, _token_pending.token_mailbox_id, _token_pending.lease) THEN
        UPDATE mailer.oauth_device d
        SET poll_us = d.poll_us + _token_pending.slower_us, poll_at = clock_timestamp() + (d.poll_us + _token_pending.slower_us) * interval '1 us'
        WHERE d.mailbox_id = _token_pending.token_mailbox_id;
    END IF;
END;
$$;
COMMENT ON FUNCTION _token_pending(bigint, bigint, bigint, bigint) IS 'The code has not been entered yet: when to ask again, from now on more slowly';

-- A login was refused although the token should be good. Renewed at once where that token is older than the refusal; but for the second time in
-- a row only when it has been in use for a while, or two programs would ask for tokens for ever.
CREATE FUNCTION _token_force(mailbox_id bigint, tried_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    old_enough CONSTANT interval := interval '10 min';
BEGIN
    UPDATE mailer.oauth_token t SET refresh_at = clock_timestamp()
    FROM mailer._oauth_accounts() a LEFT JOIN mailer.mailbox_state s ON s.mailbox_id = a.mailbox_id
    WHERE a.mailbox_id = _token_force.mailbox_id AND t.app_id = a.app_id AND t.mailbox_id = a.token_mailbox_id
      AND t.fetched_at < _token_force.tried_at
      AND (COALESCE(s.breaker_failures, 0) <= 1 OR t.fetched_at < clock_timestamp() - old_enough);
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION _token_force(bigint, timestamptz) IS 'After a login was refused: whether the token is to be renewed before its time, which is then noted';
