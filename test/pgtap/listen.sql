-- Listening in SQL: settings, states, and that what was read commits with its cursor. What servers do is in test/e2e/listen.test.
BEGIN;
SET client_min_messages = warning;
SELECT no_plan();
UPDATE mailer.arming SET machine = 'other';  -- nobody is connected to in here

SELECT mailer.mailbox_create('desk', 'smtp.example.com', username => 'ada@example.com') AS desk \gset
SELECT is((SELECT listen_state FROM mailer.mailbox_status), 'off', 'nothing is read without imap_host');
SELECT throws_ok($$SELECT mailer.mailbox_alter('desk', '{"imap_tls": "ssl"}')$$, '22023', NULL, 'imap_tls has three values');
SELECT throws_ok($$SELECT mailer.mailbox_alter('desk', '{"imap_port": 0}')$$, '22023', NULL, 'port 0 is no port');
SELECT throws_ok($$SELECT mailer.mailbox_alter('desk', '{"imap_host": "imap://x/"}')$$, '22023', NULL, 'a URL is no host');
SELECT lives_ok($$SELECT mailer.mailbox_alter('desk', '{"imap_host": "imap.example.com"}')$$, 'setting imap_host');
SELECT is((SELECT count(*) FROM mailer._listen_plan()), 0::bigint, 'nothing is listened to without a login');
SELECT is((SELECT listen_state FROM mailer.mailbox_status), 'off', 'which the state says');
SELECT mailer.mailbox_set_password('desk', 'hunter2');
SELECT results_eq('SELECT host, port, tls, folders FROM mailer._listen_plan()', $$VALUES ('imap.example.com'::text, 993, 'implicit'::text, NULL::text[])$$, 'implicit TLS unless told otherwise');
SELECT mailer.mailbox_alter('desk', '{"imap_port": 143, "imap_folders": ["INBOX", "Réponses"]}');
SELECT results_eq('SELECT port, tls, folders FROM mailer._listen_plan()', $$VALUES (143, 'starttls'::text, '{INBOX,Réponses}'::text[])$$, 'port 143 is STARTTLS');
CREATE FUNCTION pg_temp.back(days integer) RETURNS text LANGUAGE sql AS $$ SELECT to_char(now() AT TIME ZONE 'UTC' - days * interval '1 day', 'FMDD-Mon-YYYY') $$;
SELECT is((SELECT since FROM mailer._listen_plan()), pg_temp.back(1), 'a first look goes back by date, as IMAP writes it; a day where nothing was ever sent');
SELECT mailer.enqueue('bob@example.org', 'Hello', 'text') AS mail \gset
UPDATE mailer.message SET created_at = now() - interval '12 days' WHERE message_id = :mail;
SELECT is((SELECT since FROM mailer._listen_plan()), pg_temp.back(13), 'a day farther than the oldest mail');
UPDATE mailer.message SET created_at = now() - interval '40 days' WHERE message_id = :mail;
SELECT is((SELECT since FROM mailer._listen_plan()), pg_temp.back(31), 'a month at the most');
UPDATE mailer.message SET created_at = now() + interval '9 days' WHERE message_id = :mail;
SELECT is((SELECT since FROM mailer._listen_plan()), pg_temp.back(1), 'never into the future');

SELECT mailer._listen_state(:desk, 'connecting', NULL, '', 0, NULL);
SELECT is((SELECT listen_state FROM mailer.mailbox_status), 'connecting', 'connecting');
SELECT mailer._listen_state(:desk, 'listening', NULL, '', 0, '{Junk}');
SELECT ok((SELECT listen_state = 'listening' AND listening_since IS NOT NULL AND last_heard_at IS NOT NULL FROM mailer.mailbox_status), 'listening');
SELECT ok(EXISTS (SELECT FROM mailer.health() WHERE problem = 'folder not found: Junk'), 'health names a folder that is missing');
SELECT lives_ok(format('SELECT mailer._listen_store(%s, ''INBOX'', 7, 11, ''{}'', ''{}'', 3)', :desk), 'a batch of which nothing concerns us');
SELECT results_eq('SELECT uid_validity, last_uid FROM mailer.listen_cursor', $$VALUES (7::bigint, 11::bigint)$$, 'its cursor is stored');
SELECT is((SELECT read_count FROM mailer.mailbox_listen), 3::bigint, 'and it is counted');
SELECT is((SELECT cursors FROM mailer._listen_plan()), '{7 11 INBOX}', 'the next look goes on there');
SELECT mailer._listen_state(:desk, 'in trouble', 'NO [AUTHENTICATIONFAILED] no', '', 1000000, NULL);
SELECT results_eq('SELECT listen_state, listen_error, listening_since, state FROM mailer.mailbox_status', $$VALUES ('in trouble'::text, 'NO [AUTHENTICATIONFAILED] no'::text, NULL::timestamptz, 'ready'::text)$$,
    'trouble of the listening is none of the sending');
UPDATE mailer.mailbox_listen SET failed_since = now() - interval '1 min';
SELECT ok(EXISTS (SELECT FROM mailer.health() WHERE problem LIKE 'its inbox is not read: NO %'), 'health says so');
UPDATE mailer.mailbox_listen SET pid = 2147483647;
SELECT is((SELECT listen_state FROM mailer.mailbox_status), 'off', 'what a process wrote counts while it is there');

SELECT * FROM finish();
ROLLBACK;
