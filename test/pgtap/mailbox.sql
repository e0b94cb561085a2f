-- Mailboxes: defaults, checks, changes, and that a password goes in and never comes out.
BEGIN;
SET client_min_messages = warning;
SELECT no_plan();

SELECT mailer.mailbox_create('first', 'smtp.example.com', username => 'ada@Example.COM') AS first \gset
SELECT is((SELECT b.port FROM mailer.mailbox b WHERE b.mailbox_id = :first), 587, 'the port is 587 unless it is said');
SELECT is((SELECT b.tls FROM mailer.mailbox b WHERE b.mailbox_id = :first), 'starttls', 'a connection is secured unless it is said');
SELECT is((SELECT lower(b.from_address) FROM mailer.mailbox b WHERE b.mailbox_id = :first), 'ada@example.com', 'the username is the sender unless one is named');
SELECT ok((SELECT b.is_default FROM mailer.mailbox b WHERE b.mailbox_id = :first), 'the first mailbox is a default one');
SELECT isnt((SELECT b.timezone FROM mailer.mailbox b WHERE b.mailbox_id = :first), '', 'a time zone is stored at create');
SELECT results_eq(format('SELECT kind::text, pool FROM mailer.lane WHERE pool_key = %L', :first),
    format('SELECT ''s''::text, ARRAY[%s::bigint]', :first), 'a mailbox has a stream of its own');

SELECT mailer.mailbox_create('second', 'smtp.example.com', from_address => 'Bob <bob@example.com>', from_name => 'Bob',
    daily_limit => 100, gap => '90 s', max_connections => 3, timezone => 'Europe/Warsaw', ramp_start => 10, ramp_step => 5) AS second \gset
SELECT ok(NOT (SELECT b.is_default FROM mailer.mailbox b WHERE b.mailbox_id = :second), 'a later mailbox is no default one');
SELECT is((SELECT b.from_address FROM mailer.mailbox b WHERE b.mailbox_id = :second), 'bob@example.com', 'of a named address the address is kept');
SELECT is((SELECT b.ramp_from FROM mailer.mailbox b WHERE b.mailbox_id = :second), (now() AT TIME ZONE 'Europe/Warsaw')::date, 'a ramp begins today, in the mailbox''s zone');
SELECT is((SELECT b.limit_today FROM mailer.mailbox_status b WHERE b.mailbox = 'second'), 10, 'on its first day a ramp allows its start');
UPDATE mailer.mailbox SET ramp_from = ramp_from - 30 WHERE mailbox_id = :second;
SELECT is((SELECT b.limit_today FROM mailer.mailbox_status b WHERE b.mailbox = 'second'), 10, 'a mailbox that rested a month is at the start of its ramp');
INSERT INTO mailer.mailbox_day (mailbox_id, day, used) SELECT :second, b.ramp_from + n, u FROM mailer.mailbox b, (VALUES (-1, 9), (0, 1), (3, 4), (9, 0), (20, 2)) d(n, u) WHERE b.mailbox_id = :second;
SELECT is((SELECT b.limit_today FROM mailer.mailbox_status b WHERE b.mailbox = 'second'), 25, 'a ramp grows by its step with each day on which something was sent');
INSERT INTO mailer.mailbox_day (mailbox_id, day, used) SELECT :second, b.ramp_from - n, 1 FROM mailer.mailbox b, generate_series(2, 40) n WHERE b.mailbox_id = :second;
UPDATE mailer.mailbox SET ramp_from = ramp_from - 300 WHERE mailbox_id = :second;
SELECT is((SELECT b.limit_today FROM mailer.mailbox_status b WHERE b.mailbox = 'second'), 100, 'a ramp ends at the daily limit');

-- How many connections it has is what the sender says: one more at next_at, then one more each 30 s.
INSERT INTO mailer.mailbox_state (mailbox_id, connections, connections_since, connections_next_at, connections_pause, connections_reason)
VALUES (:second, 1, now(), now() + interval '30 s', '30 s', '421 too many');
CREATE FUNCTION pg_temp.lowered(of_mailbox text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s of %s for %s: %s', b.lowered_connections, b.max_connections, b.lowered_until - now(), b.lowered_reason)
    FROM mailer.mailbox_status b WHERE b.mailbox = of_mailbox AND b.lowered_since IS NOT NULL
$$;
SELECT is(pg_temp.lowered('second'), '1 of 3 for 00:01:00: 421 too many', 'a mailbox has fewer connections until all are tried again');
UPDATE mailer.mailbox SET max_connections = 6 WHERE mailbox_id = :second;
SELECT is(pg_temp.lowered('second'), '1 of 6 for 00:02:30: 421 too many', 'which takes longer where it may have more');
UPDATE mailer.mailbox_state SET connections_next_at = now() - interval '2 min' WHERE mailbox_id = :second;
SELECT is(pg_temp.lowered('second'), NULL, 'until it has all');
UPDATE mailer.mailbox_state SET connections_next_at = now() + interval '1 h' WHERE mailbox_id = :second;
SELECT is(pg_temp.lowered('second'), NULL, 'and where the clock was set back since');
UPDATE mailer.mailbox SET max_connections = 1 WHERE mailbox_id = :second;
UPDATE mailer.mailbox_state SET connections_next_at = now() + interval '30 s' WHERE mailbox_id = :second;
SELECT is(pg_temp.lowered('second'), NULL, 'or it needs no more');
DELETE FROM mailer.mailbox_state;
UPDATE mailer.mailbox SET max_connections = 3 WHERE mailbox_id = :second;

SELECT throws_ok($$SELECT mailer.mailbox_create('first', 'smtp.example.com', from_address => 'a@example.com')$$, '42710', NULL, 'a name is taken once');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'smtp.example.com')$$, '22004', NULL, 'a sender is needed');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'smtp.example.com', username => 'no address')$$, '22004', NULL, 'a username that is no address is no sender');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'smtp.example.com', from_address => E'a@example.com\r\nBcc: b@example.com')$$, '22023', NULL, 'a sender can''t inject a header');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'smtp://example.com/', from_address => 'a@example.com')$$, '22023', NULL, 'a URL is no host');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', NULL, from_address => 'a@example.com')$$, '22023', NULL, 'a host is needed');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'h', from_address => 'a@example.com', timezone => 'Europe/Nowhere')$$, '22023', 'time zone "Europe/Nowhere" is not known', 'a zone must be known');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'h', from_address => 'a@example.com', port => 0)$$, '22023', NULL, 'port 0 is no port');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'h', from_address => 'a@example.com', gap => '-1 s')$$, '22023', NULL, 'a gap is not negative');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'h', from_address => 'a@example.com', tls => 'ssl')$$, '22023', NULL, 'tls is one of four words');
SELECT throws_ok($$SELECT mailer.mailbox_create('x', 'h', from_address => 'a@example.com', ramp_start => 5)$$, '22023', NULL, 'a ramp needs a step');

SELECT set_config('timezone', 'Pacific/Auckland', true) \g /dev/null
SELECT mailer.mailbox_alter('second', '{"timezone": "America/New_York"}') \g /dev/null
SELECT is(current_setting('timezone'), 'Pacific/Auckland', 'checking a zone leaves the session''s alone');

SELECT mailer.mailbox_alter('second', '{"daily_limit": null, "gap": "5 s", "is_default": true, "idle_seconds": 10, "name": "renamed"}') \g /dev/null
SELECT results_eq($$SELECT daily_limit, gap, is_default, idle_seconds FROM mailer.mailbox WHERE name = 'renamed'$$,
    $$VALUES (NULL::integer, '5 s'::interval, true, 10)$$, 'settings are changed by their names, null is none');
SELECT is((SELECT count(*) FROM mailer.event e WHERE e.kind = 'mailbox_altered' AND e.mailbox_id = :second), 2::bigint, 'a change is logged');
SELECT mailer.mailbox_alter('renamed', '{"gap": "5 s"}') \g /dev/null
SELECT is((SELECT count(*) FROM mailer.event e WHERE e.kind = 'mailbox_altered' AND e.mailbox_id = :second), 2::bigint, 'a change that changes nothing is not');
SELECT throws_ok($$SELECT mailer.mailbox_alter('renamed', '{"daily_limt": 5}')$$, '22023', 'a mailbox has no setting "daily_limt"', 'an unknown setting is an error');
SELECT throws_ok($$SELECT mailer.mailbox_alter('renamed', '{"password": "x"}')$$, '22023', NULL, 'a password is no setting');
SELECT throws_ok($$SELECT mailer.mailbox_alter('renamed', '[1]')$$, '22023', NULL, 'settings are an object');
SELECT throws_ok($$SELECT mailer.mailbox_alter('renamed', '{"name": "first"}')$$, '42710', NULL, 'a name can''t be changed to one that is taken');
SELECT throws_ok($$SELECT mailer.mailbox_alter('nobody', '{"gap": "5 s"}')$$, '42704', 'mailbox "nobody" does not exist', 'a mailbox must exist');

SELECT mailer.mailbox_pause('first', 'moving house') \g /dev/null
SELECT results_eq($$SELECT state, reason FROM mailer.mailbox_status WHERE mailbox = 'first'$$, $$VALUES ('paused', 'moving house')$$, 'a pause has a reason');
SELECT mailer.mailbox_resume('first') \g /dev/null
SELECT is((SELECT state FROM mailer.mailbox_status WHERE mailbox = 'first'), 'ready', 'a paused mailbox is resumed');
SELECT mailer.mailbox_resume('first') \g /dev/null
SELECT results_eq(format('SELECT kind, by_role FROM mailer.event WHERE mailbox_id = %s AND kind ~ ''ed$'' AND kind <> ''mailbox_created'' ORDER BY event_id', :first),
    $$VALUES ('mailbox_paused', current_setting('session_authorization')), ('mailbox_resumed', current_setting('session_authorization'))$$, 'pause and resume are logged with who, once');

SELECT mailer.mailbox_set_password('first', 'swordfish') \g /dev/null
SELECT is((SELECT password FROM mailer.mailbox_secret WHERE mailbox_id = :first), 'swordfish', 'a password is stored');
SELECT is_empty($$SELECT 1 FROM mailer.event e WHERE e::text LIKE '%swordfish%' UNION ALL SELECT 1 FROM mailer.mailbox_status b WHERE b::text LIKE '%swordfish%'$$,
    'a password is in no event and no view');
SELECT ok((SELECT has_password FROM mailer.mailbox_status WHERE mailbox = 'first'), 'that there is a password can be seen');
SELECT mailer.mailbox_set_password('first', NULL) \g /dev/null
SELECT ok(NOT (SELECT has_password FROM mailer.mailbox_status WHERE mailbox = 'first'), 'a password is removed by NULL');

SELECT mailer.template_set('t', 'Hi {{name}}', 'text') \g /dev/null
SELECT mailer.template_set('t', 'Hello {{name}}', NULL, '<p>html</p>') \g /dev/null
SELECT results_eq($$SELECT subject, body_text, body_html FROM mailer.template WHERE name = 't'$$, $$VALUES ('Hello {{name}}', NULL::text, '<p>html</p>')$$,
    'setting a template again replaces it');
SELECT throws_ok($$SELECT mailer.template_set('t', 'Hi')$$, '22004', NULL, 'a template needs a body');
SELECT throws_ok($$SELECT mailer.template_set(NULL, 'Hi', 'x')$$, '22004', NULL, 'a template needs a name');
SELECT throws_ok($$SELECT mailer.template_set('t', 'Hi {{name', 'x')$$, '42601', NULL, 'a template must parse');

-- ── A secret is for its server alone (T8) ──────────────────────────────────────────────────────────────────────────
SELECT mailer.mailbox_create('kept', 'smtp.example.com', username => 'kept@example.com') AS kept \gset
CREATE FUNCTION pg_temp.keeps(settings jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mailer.mailbox_set_password('kept', 'secret');
    PERFORM mailer.mailbox_alter('kept', settings);
    RETURN (SELECT has_password FROM mailer.mailbox_status WHERE mailbox = 'kept');
END $$;
SELECT is(pg_temp.keeps(c.settings), c.keeps, 'the password is ' || CASE WHEN c.keeps THEN 'kept' ELSE 'dropped' END || ' with ' || c.settings)
FROM (VALUES ('{"gap": "1 s"}'::jsonb, true), ('{"host": "SMTP.example.com"}', true), ('{"host": "smtp.example.org"}', false), ('{"port": 2525}', false),
    ('{"tls": "implicit"}', true), ('{"tls": "starttls"}', true), ('{"tls": "opportunistic"}', false), ('{"tls": "none"}', false), ('{"tls": "starttls"}', true)) c(settings, keeps);
-- Nor for a machine in between: the inbox is a server, too, and where TLS isn't required a proxy reads along.
SELECT is(pg_temp.keeps(c.settings), c.keeps, 'the password is ' || CASE WHEN c.keeps THEN 'kept' ELSE 'dropped' END || ' with ' || c.settings)
FROM (VALUES ('{"imap_host": "imap.example.org", "imap_tls": "starttls"}'::jsonb, true), ('{"imap_port": 143}', true), ('{"imap_port": 9999}', false),
    ('{"imap_port": 993}', true), ('{"imap_tls": "none"}', false), ('{"imap_tls": "starttls"}', true), ('{"imap_host": "x.customers.example.org"}', false), ('{"imap_host": null}', true),
    ('{"imap_host": "imap.example.org", "imap_port": 9999}', false), ('{"imap_host": null, "imap_port": null}', true),
    ('{"proxy": "socks5h://proxy.example:1080"}', true), ('{"tls": "opportunistic", "proxy": null}', false), ('{"proxy": "http://proxy.example:8080"}', false),
    ('{"proxy": null}', true), ('{"tls": "starttls"}', true),
    ('{"imap_host": "localhost", "imap_tls": "none"}', false), ('{"imap_host": "127.0.0.1"}', false), ('{"host": "localhost"}', false), ('{"imap_host": "localhost"}', true),
    ('{"proxy": "http://proxy.example:8080"}', false), ('{"imap_host": "127.0.0.1"}', false), ('{"imap_host": "localhost", "imap_tls": null}', true),
    ('{"imap_host": null, "proxy": null, "host": "smtp.example.com"}', false)) c(settings, keeps);
SELECT lives_ok($$SELECT mailer.mailbox_alter('kept', '{"password_file": "/tmp/secret"}')$$, 'a file is a secret, too');
SELECT is((SELECT password_file FROM mailer.mailbox WHERE name = 'kept'), '/tmp/secret', 'it is named …');
SELECT mailer.mailbox_alter('kept', '{"host": "smtp.evil.example"}') \g /dev/null
SELECT is((SELECT password_file FROM mailer.mailbox WHERE name = 'kept'), NULL, '… and goes with the server');
SELECT mailer.mailbox_alter('kept', '{"host": "smtp.example.com", "password_file": "/tmp/new"}') \g /dev/null
SELECT is((SELECT password_file FROM mailer.mailbox WHERE name = 'kept'), '/tmp/new', 'but for one that is named for the new server');
-- Files are read in the name of who named them (T7): asked again each time.
CREATE ROLE tap_files;
SELECT mailer.grant_operator('tap_files') \g /dev/null
GRANT pg_read_server_files TO tap_files;
SET ROLE tap_files;
SELECT mailer.mailbox_alter('kept', '{"ca_file": "/etc/ssl/ca.pem"}') \g /dev/null
RESET ROLE;
SELECT ok((SELECT mailer._may_read_files(files_by) FROM mailer.mailbox WHERE name = 'kept'), 'who may read files names one');
REVOKE pg_read_server_files FROM tap_files;
SELECT mailer.template_set('files', 's', 'b') \g /dev/null
SELECT mailer.campaign_create('files', 'files', '{kept}') AS files \gset
SELECT matches((SELECT detail FROM mailer.campaign_explain(:files) WHERE gate = 'mailbox_enabled'), 'may not read the server''s files', 'and who may no more has a mailbox that waits');

SELECT * FROM finish();
ROLLBACK;
