-- OAuth2 in SQL: what is merged, checked, shown and kept from being shown. What a provider does is in test/e2e/oauth.test.
BEGIN;
SET client_min_messages = warning;
SELECT no_plan();
UPDATE mailer.arming SET machine = 'other';  -- nobody is asked in here

SELECT mailer.mailbox_create('desk', 'smtp.example.com', username => 'ada@example.com') AS desk \gset
SELECT is((SELECT token_state FROM mailer.mailbox_status WHERE mailbox = 'desk'), 'none', 'a mailbox without OAuth2 has no token');

SELECT throws_ok($$SELECT mailer.oauth_set('nobody', '{}')$$, '42704', NULL, 'the mailbox must exist');
SELECT throws_ok($$SELECT mailer.oauth_set('desk', '[]')$$, '22023', NULL, 'settings are an object');
SELECT throws_ok($$SELECT mailer.oauth_set('desk', '{"pasword": "x"}')$$, '22023', NULL, 'an unknown setting is refused');
SELECT throws_ok($$SELECT mailer.oauth_set('desk', '{"client_id": 7}')$$, '22023', NULL, 'a setting is a text');
SELECT throws_ok($$SELECT mailer.oauth_set('desk', '{"app": "none"}')$$, '42704', NULL, 'the application must exist');
SELECT throws_ok($$SELECT mailer.oauth_app_set('a', '{"provider": "aol"}')$$, '22023', NULL, 'an unknown provider is refused');
SELECT throws_ok($$SELECT mailer.oauth_app_set(' ', '{}')$$, '22004', NULL, 'an application needs a name');

-- No secret in an error, whatever is wrong.
CREATE FUNCTION pg_temp.said(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text; c text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = PG_EXCEPTION_CONTEXT;
    RETURN concat_ws('|', SQLSTATE, m, d, h);
END $$;
SELECT ok(pg_temp.said(format('SELECT mailer.oauth_app_set(%L, %L)', 'a', s || '{"client_secret": "hunter2", "private_key": "hunter2", "certificate": "hunter2"}')) ~ '^22023'
      AND pg_temp.said(format('SELECT mailer.oauth_set(%L, %L)', 'desk', s || '{"client_secret": "hunter2", "refresh_token": "hunter2"}')) !~ 'hunter2|no error',
    'refused without the secrets in it: ' || s::text)
FROM unnest(ARRAY['{"grant": "password"}', '{"token_url": "http://login.example.com/token"}', '{"token_url": "ftp://x"}', '{"auth_url": "http://10.0.0.1/"}',
    '{"token_url": "https://user:hunter2@login.example.com/"}', '{"secret_expires_at": "hunter2"}', '{"tenant": "a/b"}', '{"cloud": "mine"}']::jsonb[]) s;
SELECT ok(pg_temp.said(format('SELECT mailer.oauth_app_set(%L, %L)', 'ok', json_build_object('token_url', url))) = 'no error', 'an endpoint may be ' || url)
FROM unnest(ARRAY['https://login.example.com/token', 'http://127.0.0.1:8080/token', 'http://localhost/t', 'http://[::1]:1/t']) url;

-- Merged; null removes.
SELECT lives_ok($$SELECT mailer.oauth_set('desk', '{"provider": "microsoft365", "tenant": "t1", "client_id": "c1", "client_secret": "hunter2"}')$$, 'settings in place');
SELECT is((SELECT token_state FROM mailer.oauth_status), 'consent_needed', 'without a refresh token somebody must consent');
SELECT is((SELECT token_url FROM mailer.oauth_status), 'https://login.microsoftonline.com/t1/oauth2/v2.0/token', 'the provider''s endpoint');
SELECT lives_ok($$SELECT mailer.oauth_set('desk', '{"refresh_token": "hunter2", "client_id": null, "login": "ada"}')$$, 'merged');
SELECT is((SELECT (tenant, client_id) FROM mailer.oauth_app WHERE name IS NULL), ('t1'::text, NULL::text), 'what isn''t named stays, null removes');
SELECT is((SELECT client_secret FROM mailer.oauth_app_secret s JOIN mailer.oauth_app p USING (app_id) WHERE p.name IS NULL), 'hunter2', 'so do secrets');
SELECT is((SELECT token_state FROM mailer.mailbox_status), 'refreshing', 'with a refresh token a token is on its way');
SELECT throws_ok($$SELECT mailer.oauth_set('desk', '{"app": "ok", "tenant": "x"}')$$, '22023', NULL, 'an application by name, or settings in place');
SELECT lives_ok($$SELECT mailer.oauth_set('desk', '{"app": "ok"}')$$, 'another application');
SELECT is((SELECT count(*) FROM mailer.oauth_app WHERE name IS NULL), 0::bigint, 'the mailbox''s own one is gone');
SELECT throws_ok($$SELECT mailer.oauth_set('desk', '{"tenant": "x"}')$$, '22023', NULL, 'a shared application isn''t changed through a mailbox');
SELECT lives_ok($$SELECT mailer.oauth_set('desk', '{"app": null}')$$, 'disconnected');
SELECT is((SELECT token_state FROM mailer.mailbox_status), 'none', 'and that is all');
SELECT is((SELECT count(*) FROM mailer.oauth_account_secret), 0::bigint, 'its secrets are gone');

-- Consent.
SELECT throws_ok($$SELECT mailer.oauth_url('desk')$$, '55000', NULL, 'no page without an application');
SELECT mailer.oauth_app_set('web', '{"provider": "google", "client_id": "c&1", "client_secret": "s"}');
SELECT mailer.oauth_set('desk', '{"app": "web", "login": "ada@example.com"}');
SELECT throws_ok($$SELECT mailer.oauth_device('desk')$$, '55000', 'mailbox "desk" has no consent by device code', 'Google gives no mail by device code');
SELECT is((SELECT device_url FROM mailer._mail_provider('microsoft365', 'usgov', 'example.com')), 'https://login.microsoftonline.us/example.com/oauth2/v2.0/devicecode',
    'Microsoft does');
SELECT throws_ok($$SELECT mailer.oauth_app_set('web', '{"device_url": "http://login.example.com/device"}')$$, '22023', NULL, 'its address is https');
SELECT lives_ok($$SELECT mailer.oauth_app_set('web', '{"device_url": "https://login.example.com/device"}')$$, 'one of its own');
SELECT lives_ok($$SELECT mailer.oauth_device('desk')$$, 'begins');
SELECT cmp_ok((SELECT wait_us FROM mailer._token_plan()), '<=', 0::bigint, 'and the provider is asked at once');
SELECT lives_ok($$SELECT mailer.oauth_set('desk', '{"refresh_token": "r"}')$$, 'a refresh token by hand');
SELECT is((SELECT count(*) FROM mailer.oauth_device), 0::bigint, 'ends it');
SELECT mailer.oauth_set('desk', '{"refresh_token": null}');
SELECT mailer.oauth_app_set('web', '{"device_url": null}');
CREATE FUNCTION pg_temp.advice(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN detail || ' ' || hint;
END;
$$;
SELECT is(pg_temp.advice($$SELECT mailer.oauth_url('desk', '0')$$), 'It is 00:00:00. Pass an interval such as ''7 days'', which is the default.', 'valid for some time');
SELECT is(pg_temp.advice($$SELECT mailer.oauth_url('desk', NULL)$$), 'It is NULL. Pass an interval such as ''7 days'', which is the default.', 'which is said');
SELECT mailer.oauth_url('desk') AS url \gset
SELECT matches(:'url'::text, '^https://accounts.google.com/o/oauth2/v2/auth\?response_type=code&client_id=c%261&redirect_uri=http%3A%2F%2Flocalhost&scope=https%3A%2F%2Fmail.google.com%2F%20openid%20email&state=[A-Za-z0-9_.-]+&code_challenge=[A-Za-z0-9_-]{43}&code_challenge_method=S256&login_hint=ada%40example.com&access_type=offline&prompt=consent$', 'the page''s address');
SELECT mailer._url_parameter(:'url', 'state') AS state \gset
SELECT throws_ok($$SELECT mailer.oauth_preview('nonsense')$$, '22023', NULL, 'nor is there anything to say about a state that isn''t ours');
SELECT results_eq(format('SELECT mailbox, page_state, expires_at > now(), token_state FROM mailer.oauth_preview(%L)', :'state'),
    $$VALUES ('desk'::text, 'open'::text, true, 'consent_needed'::text)$$, 'a preview says which mailbox it is, and that nobody has consented');
SELECT throws_ok($$SELECT mailer.oauth_code('nonsense', 'c')$$, '22023', NULL, 'a state that isn''t ours');
SELECT throws_ok(format('SELECT mailer.oauth_code(%L, %L)', overlay(:'state' placing 'AAAA' from 1), 'c'), '22023', NULL, 'a state that was changed');
SELECT throws_ok(format('SELECT mailer.oauth_code(%L, %L)', :'state', 'http://localhost/?error=access_denied&error_description=no+thanks'), '22023', 'consent was not given: access_denied', 'a refusal is reported');
SELECT throws_ok(format('SELECT mailer.oauth_code(%L, %L)', :'state', ''), '22004', NULL, 'a code is needed');
SELECT is(mailer.oauth_code(:'state', 'http://localhost/?state=' || :'state' || '&code=4%2F0Ab&scope=x'), 'desk', 'a pasted address');
SELECT is((SELECT code FROM mailer.oauth_account_secret), '4/0Ab', 'its code is kept for the exchange');
SELECT throws_ok(format('SELECT mailer.oauth_code(%L, %L)', :'state', 'c'), '22023', 'this page of consent was used already', 'once');
SELECT results_eq(format('SELECT mailbox, page_state, expires_at, token_state FROM mailer.oauth_preview(%L)', :'state'),
    $$VALUES ('desk'::text, 'used'::text, NULL::timestamptz, 'refreshing'::text)$$, 'which a preview says, too');
SELECT mailer._url_parameter(mailer.oauth_url('desk', '1 ms'), 'state') AS late \gset
DO $$ DECLARE late timestamptz := clock_timestamp() + interval '3 ms'; BEGIN WHILE clock_timestamp() < late LOOP END LOOP; END $$;

SELECT throws_ok(format('SELECT mailer.oauth_code(%L, %L)', :'late', 'c'), '22023', NULL, 'a page that has expired');
SELECT is((SELECT page_state FROM mailer.oauth_preview(:'late')), 'expired', 'is shown as such');

-- The lease: one at a time, fenced.
SELECT app_id AS app FROM mailer.oauth_app WHERE name = 'web' \gset
SELECT is((SELECT flow || ' ' || scope FROM mailer._token_lease(:app, :desk)), 'authorization_code ' || (SELECT scope FROM mailer.oauth_status)
    || ' openid email', 'the first lease exchanges the code, and asks who it was');
UPDATE mailer.oauth_token SET lease_pid = (SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() LIMIT 1), lease_start = NULL;
SELECT is((SELECT count(*) FROM mailer._token_lease(:app, :desk)), 0::bigint, 'nobody else gets it meanwhile');
SELECT is((SELECT token_state FROM mailer.oauth_status), 'refreshing', 'which is shown');
UPDATE mailer.oauth_token SET lease_pid = 2147483647;
SELECT is((SELECT lease FROM mailer._token_lease(:app, :desk)), 2::bigint, 'it is free when its holder is gone');
SELECT ok(NOT mailer._token_store(:app, :desk, 1, 'old', 1000000, NULL, NULL), 'an answer to an older lease is not stored');
SELECT ok(mailer._token_store(:app, :desk, 2, 'new', 3600000000, 'r1', NULL, ARRAY['boss@example.com', 'boss@corp.example']), 'that of the last one is');
SELECT is((SELECT (consented_by, is_other_account) FROM mailer.oauth_status), ('boss@example.com, boss@corp.example'::text, true), 'somebody else gave consent');
SELECT is((SELECT severity || ' ' || problem FROM mailer.health() WHERE problem LIKE 'OAuth2: boss%'),
    'warning OAuth2: boss@example.com, boss@corp.example gave consent, not ada@example.com', 'health asks whether that was meant');
UPDATE mailer.oauth_account_secret SET consented_at = now() - interval '8 days';
SELECT is_empty($$SELECT FROM mailer.health() WHERE problem LIKE 'OAuth2: boss%'$$, 'for a week');
INSERT INTO mailer.mailbox_state (mailbox_id, breaker_failures, breaker_until, breaker_since, breaker_reason)
VALUES (:desk, 1, now() + interval '1 h', now(), 'login: 535 5.7.3') ON CONFLICT (mailbox_id) DO UPDATE SET breaker_failures = 1,
    breaker_until = excluded.breaker_until, breaker_since = excluded.breaker_since, breaker_reason = excluded.breaker_reason;
SELECT isnt_empty($$SELECT FROM mailer.health() WHERE problem LIKE 'OAuth2: boss%'$$, 'and while the login is refused');
UPDATE mailer.mailbox_state SET breaker_failures = 0, breaker_until = NULL, breaker_since = NULL, breaker_reason = NULL;
UPDATE mailer.oauth_account_secret SET consented_by = ARRAY['boss@example.com', 'ada@example.com'];
SELECT ok((SELECT NOT is_other_account FROM mailer.oauth_status), 'one of its names is the mailbox''s');
SELECT is((SELECT (refresh_token, code) FROM mailer.oauth_account_secret), ('r1'::text, NULL::text), 'the code became a refresh token');
SELECT is((SELECT token_state FROM mailer.mailbox_status), 'valid', 'valid');
SELECT ok((SELECT refresh_at - now() BETWEEN interval '47 min' AND interval '49 min' FROM mailer.oauth_token), 'renewed at 80 % of its life');
SELECT is((SELECT count(*) FROM mailer._token_lease(:app, :desk)), 0::bigint, 'and not before');
UPDATE mailer.oauth_token SET refresh_at = now();
SELECT is((SELECT lease || ' ' || scope FROM mailer._token_lease(:app, :desk)), '3 ' || (SELECT scope FROM mailer.oauth_status), 'due; a renewal asks for mail alone');
SELECT mailer._token_fail(:app, :desk, 3, 'provider', 'HTTP 503', '', '', 1500000);
SELECT is((SELECT token_state FROM mailer.mailbox_status), 'provider_unreachable', 'the provider is down');
SELECT is((SELECT state FROM mailer.mailbox_status), 'ready', 'the old token serves while it lives');
UPDATE mailer.oauth_token SET expires_at = now() - interval '1 s', retry_at = NULL;
SELECT mailer._token_fail(:app, :desk, lease, 'provider', 'HTTP 503', '', '', 60000000) FROM mailer._token_lease(:app, :desk);
SELECT matches((SELECT state || ' ' || reason FROM mailer.mailbox_status), '^in trouble login: OAuth2: no token from the provider: HTTP 503', 'and then it rests');
SELECT ok(mailer._token_store(:app, :desk, (SELECT lease_count FROM mailer.oauth_token), 'x', 3600000000, NULL, NULL), 'a token comes');
SELECT is((SELECT state FROM mailer.mailbox_status), 'ready', 'the breaker closes with it');
SELECT ok(NOT mailer._token_store(:app, :desk, 1, 'old', 1, 'r2', 'r1'), 'a late answer that replaced the refresh token');
SELECT is((SELECT refresh_token FROM mailer.oauth_account_secret), 'r2', 'leaves us the new one');

-- Secrets that expire, providers.
SELECT mailer.oauth_app_set('web', jsonb_build_object('secret_expires_at', now() + interval '20 days'));
SELECT is((SELECT severity FROM mailer.health() WHERE subject = 'OAuth2 application web'), 'warning', 'health warns 30 days before a secret expires');
SELECT mailer.oauth_app_set('web', jsonb_build_object('secret_expires_at', now() + interval '30 days 1 hour'));
SELECT is_empty($$SELECT FROM mailer.health() WHERE subject = 'OAuth2 application web'$$, 'and not before');
SELECT mailer.oauth_app_set('web', jsonb_build_object('secret_expires_at', now() + interval '29 days 23 hours'));
SELECT is((SELECT severity FROM mailer.health() WHERE subject = 'OAuth2 application web'), 'warning', 'those 30 days to the hour');
SELECT is((SELECT token_state FROM mailer.mailbox_status), 'valid', 'which costs no token');
SELECT mailer.mailbox_alter('desk', jsonb_build_object('secret_expires_at', now() - interval '1 day'));
SELECT is((SELECT severity FROM mailer.health() WHERE problem = 'its password has expired'), 'critical', 'a password may expire too');
SELECT mailer.mailbox_create('ms', from_address => 'm@example.com', provider => 'microsoft365');
SELECT is((SELECT (host, port, tls, imap_host, imap_port, imap_tls) FROM mailer.mailbox WHERE name = 'ms'),
    ('smtp.office365.com'::text, 587, 'starttls'::text, 'outlook.office365.com'::text, 993, 'implicit'::text), 'a provider knows its servers');
SELECT mailer.mailbox_create('tls', 'smtp.example.com', 465, 't@example.com');
SELECT is((SELECT tls FROM mailer.mailbox WHERE name = 'tls'), 'implicit', 'port 465 is implicit TLS');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', from_address => 'a@example.com', provider => 'aol')$$, '22023', NULL, 'an unknown provider');
SELECT throws_ok($$SELECT mailer.mailbox_alter('ms', '{"imap_tls": "ssl"}')$$, '22023', NULL, 'imap_tls has three values');

-- Another server gets no secret.
SELECT ok(mailer._is_same_house('smtp.gmail.com', 'imap.gmail.com') AND mailer._is_same_house('127.0.0.1', 'localhost')
    AND NOT mailer._is_same_house('smtp.gmail.com', 'imap.evil.com') AND NOT mailer._is_same_house('smtp.a.co.uk', 'imap.b.co.uk')
    AND NOT mailer._is_same_house('10.0.0.1', '10.0.0.2') AND NOT mailer._is_same_house('email-smtp.eu-west-1.amazonaws.com', 'ec2-192-0-2-1.compute-1.amazonaws.com')
    AND NOT mailer._is_same_house('127.0.0.1', '127.evil.com') AND mailer._is_same_house('example.com', 'imap.example.com'), 'servers of one domain');
SELECT mailer.mailbox_alter('desk', '{"imap_host": "imap.example.com"}');
SELECT is((SELECT count(*) FROM mailer.oauth_account_secret), 1::bigint, 'an IMAP server of the same domain gets the same login');
SELECT mailer.mailbox_alter('desk', '{"imap_host": "imap.example.net"}');
SELECT is((SELECT count(*) FROM mailer.oauth_account_secret), 0::bigint, 'one of another domain doesn''t');
SELECT is((SELECT token_state FROM mailer.mailbox_status WHERE mailbox = 'desk'), 'consent_needed', 'and its owner must consent again');

-- Nor does another token server, whichever role names it.
SELECT mailer.oauth_app_set('kept', '{"provider": "microsoft365", "client_id": "c", "client_secret": "hunter2"}');
SELECT mailer.oauth_set('ms', '{"app": "kept", "refresh_token": "hunter2"}');
CREATE FUNCTION pg_temp.secrets() RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM mailer.oauth_app_secret s JOIN mailer.oauth_app p USING (app_id) WHERE p.name = 'kept' AND s.client_secret IS NOT NULL)
         + (SELECT count(*) FROM mailer.oauth_account_secret s JOIN mailer.mailbox b USING (mailbox_id) WHERE b.name = 'ms' AND s.refresh_token IS NOT NULL) $$;
SELECT mailer.oauth_app_set('kept', '{"tenant": "t2", "scope": "mail"}');
SELECT is(pg_temp.secrets(), 2::bigint, 'another tenant or scope leaves the secrets: they go to the same server');
SELECT mailer.oauth_app_set('kept', '{"token_url": "https://login.evil.example/token"}');
SELECT is(pg_temp.secrets(), 0::bigint, 'the secret and the refresh token of an application don''t go to another token_url');
SELECT is((SELECT refresh_token FROM mailer._token_lease((SELECT app_id FROM mailer.oauth_app WHERE name = 'kept'), (SELECT mailbox_id FROM mailer.mailbox WHERE name = 'ms'))), NULL,
    'nothing of them is sent');
SELECT mailer.oauth_app_set('kept', '{"token_url": null, "client_secret": "hunter2"}');
SELECT mailer.oauth_set('ms', '{"refresh_token": "hunter2"}');
SELECT is(pg_temp.secrets(), 2::bigint, 'what is passed for it is stored');
SELECT mailer.oauth_app_set('evil', '{"token_url": "https://login.evil.example/token", "client_id": "c"}');
SELECT mailer.oauth_set('ms', '{"app": "evil"}');
SELECT is(pg_temp.secrets(), 1::bigint, 'a refresh token doesn''t go to another application''s server');
SELECT mailer.oauth_set('ms', '{"app": "kept", "refresh_token": "hunter2"}');
SELECT mailer.oauth_app_set('kept', '{"device_url": "https://login.evil.example/device"}');
SELECT is(pg_temp.secrets(), 0::bigint, 'nor to another device_url');
SELECT mailer.oauth_app_set('kept', '{"device_url": null, "client_secret": "hunter2"}');
SELECT mailer.oauth_app_set('kept', '{"grant": "client_credentials"}');
SELECT is(pg_temp.secrets(), 0::bigint, 'another grant is another use');
SELECT mailer.oauth_app_set('kept', '{"client_secret": "hunter2"}');
CREATE ROLE tap_oauth;
SELECT mailer.grant_operator('tap_oauth');
SELECT mailer.mailbox_create('bait', 'smtp.evil.example', from_address => 'bait@example.com');
SET ROLE tap_oauth;
SELECT throws_ok($$SELECT mailer.oauth_set('bait', '{"app": "kept"}')$$, '42501', 'OAuth2 application "kept" isn''t used with server smtp.evil.example',
    'an application''s own token goes to no server that an operator has named');
SELECT lives_ok($$SELECT mailer.oauth_set('ms', '{"app": "kept"}')$$, 'but to the provider''s');
RESET ROLE;
SELECT lives_ok($$SELECT mailer.oauth_set('bait', '{"app": "kept"}')$$, 'a superuser may');

-- Fifty mailboxes move in one statement, and who hasn't consented is a list.
SELECT mailer.oauth_app_set('house', '{"provider": "microsoft365", "tenant": "example.com", "client_id": "c", "client_secret": "hunter2"}');
SELECT mailer.mailbox_create('m' || i, from_address => format('m%s@example.com', i), username => format('m%s@example.com', i), provider => 'microsoft365') FROM generate_series(1, 50) i;
SELECT mailer.oauth_set(b.mailbox, '{"app": "house"}') FROM mailer.mailbox_status b WHERE b.mailbox ~ '^m[0-9]+$';
SELECT is((SELECT count(*) FROM mailer.oauth_status WHERE app = 'house' AND token_state = 'consent_needed'), 50::bigint, 'fifty are to consent');
SELECT is((SELECT count(DISTINCT mailer.oauth_url(o.mailbox)) FROM mailer.oauth_status o WHERE o.app = 'house'), 50::bigint, 'each by a page of its own');
SELECT mailer.oauth_set('m7', '{"refresh_token": "hunter2"}');
SELECT is((SELECT count(*) FROM mailer.oauth_status WHERE app = 'house' AND token_state = 'consent_needed'), 49::bigint, 'who has isn''t in the list');

-- What is shown and dumped.
SELECT ok(NOT EXISTS (SELECT FROM mailer.oauth_status o, mailer.event_log e WHERE o::text || e::text ~ 'hunter2|"r[12]"'), 'no secret is shown');
SELECT is((SELECT array_agg(c::regclass::text ORDER BY 1) FROM pg_extension e, unnest(e.extconfig) c WHERE e.extname = 'mailer' AND c::regclass::text ~ 'oauth'),
    ARRAY['mailer.oauth_app', 'mailer.oauth_account', 'mailer.oauth_app_app_id_seq'], 'no secret is dumped');

-- A code that the provider refused is gone: nothing is left to ask with until somebody consents again.
SELECT mailer.mailbox_create('refused', 'smtp.example.com', username => 'ada@example.com') AS refused \gset
SELECT mailer.oauth_set('refused', '{"provider": "google", "client_id": "c", "client_secret": "s"}');
SELECT mailer.oauth_code(mailer._url_parameter(mailer.oauth_url('refused'), 'state'), 'c');
SELECT app_id AS refused_app FROM mailer.oauth_account WHERE mailbox_id = :refused \gset
SELECT cmp_ok((SELECT wait_us FROM mailer._token_plan() WHERE mailbox_id = :refused), '<=', 0::bigint, 'a code is exchanged at once');
SELECT mailer._token_fail(:refused_app, :refused, (SELECT lease FROM mailer._token_lease(:refused_app, :refused)), 'grant', 'invalid_client', 'wrong', '', 0);
SELECT is((SELECT wait_us FROM mailer._token_plan() WHERE mailbox_id = :refused), NULL, 'a code that was refused is not asked about again');
SELECT is((SELECT (token_state, failure_code) FROM mailer.oauth_status WHERE mailbox = 'refused'), ('refused'::text, 'invalid_client'::text), 'and why stays to be read');

-- While a device code waits to be entered, the older token is renewed, and what fails of the one changes nothing of the other.
SELECT mailer.mailbox_create('both', 'smtp.example.com', username => 'ada@example.com') AS both \gset
SELECT mailer.oauth_set('both', '{"provider": "microsoft365", "client_id": "c", "refresh_token": "r"}');
SELECT app_id AS both_app FROM mailer.oauth_account WHERE mailbox_id = :both \gset
CREATE FUNCTION pg_temp.lease() RETURNS TABLE (flow text, lease bigint, failures integer)
LANGUAGE sql AS $$ SELECT l.flow, l.lease, l.failures FROM mailer.oauth_account a, mailer.mailbox b, mailer._token_lease(a.app_id, b.mailbox_id) l
    WHERE b.name = 'both' AND a.mailbox_id = b.mailbox_id $$;
CREATE FUNCTION pg_temp.flow() RETURNS text LANGUAGE sql AS $$ SELECT COALESCE(max(flow), 'none') FROM pg_temp.lease() $$;
CREATE FUNCTION pg_temp.last_lease() RETURNS bigint LANGUAGE sql AS $$ SELECT lease_count FROM mailer.oauth_token t JOIN mailer.mailbox b USING (mailbox_id) WHERE b.name = 'both' $$;
SELECT is(pg_temp.flow(), 'refresh_token', 'a first token');
SELECT ok(mailer._token_store(:both_app, :both, pg_temp.last_lease(), 'a', 3600000000, NULL, 'r'), 'comes');
SELECT mailer.oauth_device('both');
SELECT is(pg_temp.flow(), 'device_authorization', 'then a device code');
SELECT mailer._token_device(:both_app, :both, pg_temp.last_lease(), 'd', 'U', 'https://v', 900000000, 5000000);
SELECT is(pg_temp.flow(), 'none', 'which is not asked about at once');
UPDATE mailer.oauth_token SET refresh_at = now() WHERE mailbox_id = :both;
SELECT cmp_ok((SELECT wait_us FROM mailer._token_plan() WHERE mailbox_id = :both), '<=', 0::bigint, 'the older token is due');
SELECT is(pg_temp.flow(), 'refresh_token', 'and renewed');
SELECT mailer._token_fail(:both_app, :both, pg_temp.last_lease(), 'grant', 'invalid_grant', 'expired', '', 3600000000);
UPDATE mailer.oauth_device SET poll_at = now() WHERE mailbox_id = :both;
SELECT is(pg_temp.flow(), 'device_code', 'refused, it leaves the code to be entered');
SELECT mailer._token_pending(:both_app, :both, pg_temp.last_lease(), 0);
SELECT is(pg_temp.flow(), 'none', 'nor is it asked again at each question about the code');
SELECT is((SELECT (token_state, failure_code, user_code) FROM mailer.oauth_status WHERE mailbox = 'both'), ('refused'::text, 'invalid_grant'::text, 'U'::text), 'its failure is still shown');
SELECT matches((SELECT hint FROM mailer.health() WHERE subject = 'mailbox both' AND problem LIKE 'OAuth2: the grant%'), '^The owner of the account enters U at https://v', 'with what mends it');
UPDATE mailer.oauth_device SET poll_at = now() WHERE mailbox_id = :both;
SELECT is((SELECT (flow, failures) FROM pg_temp.lease()), ('device_code'::text, 0), 'the code is asked about');
SELECT mailer._token_fail(:both_app, :both, pg_temp.last_lease(), 'grant', 'access_denied', '', '', 0);
SELECT is((SELECT (token_state, failure_code, user_code) FROM mailer.oauth_status WHERE mailbox = 'both'), ('refused'::text, 'invalid_grant'::text, NULL::text), 'a person who says no changes nothing of it');
UPDATE mailer.oauth_token SET retry_at = now() WHERE mailbox_id = :both;
SELECT mailer.oauth_device('both');
SELECT is((SELECT (flow, failures) FROM pg_temp.lease()), ('refresh_token'::text, 1), 'renewed before a new code is asked for');
SELECT ok(mailer._token_store(:both_app, :both, pg_temp.last_lease(), 'b', 3600000000, NULL, 'r'), 'it works again');
SELECT is((SELECT count(*) FROM mailer.oauth_device WHERE mailbox_id = :both), 1::bigint, 'which is not taken for the consent that somebody is asked for');
SELECT is_empty($$SELECT FROM mailer.event_log WHERE kind = 'oauth_consent' AND mailbox = 'both'$$, 'nor logged as one');
SELECT is(pg_temp.flow(), 'device_authorization', 'whose code comes next');

SELECT * FROM finish();
ROLLBACK;
