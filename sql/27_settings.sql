-- What a mailbox's and a campaign's settings may be: one look over all of them, for the functions that create and alter.
-- The bounds and their sentences are 05_bounds.sql's.

CREATE FUNCTION _check_mailbox_bounds(box mailer.mailbox) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._check_name('name', box.name);
    PERFORM mailer._need('port', box.port IS NULL), mailer._check_number('port', box.port, 1, 65535);
    PERFORM mailer._check_word('tls', box.tls, ARRAY['starttls', 'implicit', 'opportunistic', 'none']);
    PERFORM mailer._check_word('auth', box.auth, ARRAY['password', 'xoauth2']);
    PERFORM mailer._check_number('daily_limit', box.daily_limit, 0), mailer._check_number('ramp_start', box.ramp_start, 1),
        mailer._check_number('ramp_step', box.ramp_step, 0);
    PERFORM mailer._check_time('ramp_from', CASE WHEN isfinite(box.ramp_from) AND box.ramp_from BETWEEN '1900-01-01' AND '9999-12-31'
        THEN box.ramp_from::timestamp AT TIME ZONE 'UTC' WHEN box.ramp_from IS NOT NULL THEN 'infinity' END);
    PERFORM mailer._need('gap', box.gap IS NULL), mailer._check_span('gap', box.gap);
    PERFORM mailer._need('max_connections', box.max_connections IS NULL), mailer._check_number('max_connections', box.max_connections, 1, 1000);
    PERFORM mailer._need('max_per_connection', box.max_per_connection IS NULL), mailer._check_number('max_per_connection', box.max_per_connection, 1);
    PERFORM mailer._need('idle_seconds', box.idle_seconds IS NULL), mailer._check_number('idle_seconds', box.idle_seconds, 0, 300);
    PERFORM mailer._need('is_default', box.is_default IS NULL);
    PERFORM mailer._check_text('host', box.host, 255), mailer._check_text('username', box.username, 1000),
        mailer._check_text('helo_name', box.helo_name, 255), mailer._check_text('from_name', box.from_name, 65536),
        mailer._check_text('password_file', box.password_file, 4096), mailer._check_text('ca_file', box.ca_file, 4096);
END;
$$;
COMMENT ON FUNCTION _check_mailbox_bounds(mailbox) IS 'Error 22023 or 22004 that says which setting is out of range';

CREATE FUNCTION _reason(reason text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN COALESCE(NULLIF(btrim(mailer._check_text('reason', reason, 10000)), ''), 'no reason given');
END;
$$;
COMMENT ON FUNCTION _reason(text) IS 'A reason given by a user, as it is stored; error 22023 if it is too long';

CREATE FUNCTION _check_pace(name text, window_start time, window_end time, gap interval, jitter numeric, max_per_day integer, starts_at timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._check_name('name', name);
    PERFORM mailer._need('window_start', window_start IS NULL), mailer._need('window_end', window_end IS NULL);
    IF extract(second FROM window_start) <> 0 OR extract(second FROM window_end) <> 0 THEN
        PERFORM mailer._refuse('window_start and window_end must be whole minutes');
    END IF;
    PERFORM mailer._need('gap', gap IS NULL), mailer._check_span('gap', gap);
    PERFORM mailer._need('jitter', jitter IS NULL), mailer._check_jitter(jitter);
    PERFORM mailer._check_number('max_per_day', max_per_day, 1);
    PERFORM mailer._check_time('starts_at', starts_at);
END;
$$;
COMMENT ON FUNCTION _check_pace(text, time, time, interval, numeric, integer, timestamptz) IS 'Error 22023 or 22004 that says which setting of a campaign is out of range';

CREATE FUNCTION _campaign_with(old mailer.campaign, settings jsonb) RETURNS mailer.campaign
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    new_row mailer.campaign;
BEGIN
    new_row := mailer._populated(old, settings - 'mailboxes' - 'allowed_days');
    IF new_row.list IS NOT NULL THEN
        PERFORM mailer._check_name('list', new_row.list);
    END IF;
    RETURN new_row;
END;
$$;
COMMENT ON FUNCTION _campaign_with(campaign, jsonb) IS 'A campaign with other settings, not checked; error 22023 when one can''t be read';
