-- The kinds of role: what each may do, and may not.
BEGIN;
SELECT no_plan();
\ir fixture.psql

CREATE ROLE tap_sender;
CREATE ROLE tap_viewer;
CREATE ROLE tap_operator;
CREATE ROLE tap_gateway;
CREATE ROLE tap_stranger;
SELECT mailer.grant_sender('tap_sender') \g /dev/null
SELECT mailer.grant_viewer('tap_viewer') \g /dev/null
SELECT mailer.grant_operator('tap_operator') \g /dev/null
SELECT mailer.grant_gateway('tap_gateway') \g /dev/null
SELECT throws_ok($$SELECT mailer.grant_viewer('tap_nobody')$$, '42704', NULL, 'a role must exist');

-- What a role may call is exactly what the table says.
SELECT set_eq(format($$SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'mailer'::regnamespace AND has_function_privilege(%L, p.oid, 'EXECUTE')$$, r.role),
    format($$SELECT p.proname::text FROM pg_proc p JOIN mailer._privilege() g ON p.proname = ANY (g.names) WHERE p.pronamespace = 'mailer'::regnamespace AND g.level = ANY (%L)
             UNION SELECT 'status' WHERE %L NOT IN ('tap_stranger', 'tap_gateway')$$, r.levels, r.role), r.role || ' calls what it may, and nothing else')
FROM (VALUES ('tap_sender', '{sender}'), ('tap_viewer', '{viewer}'), ('tap_operator', '{sender,viewer,operator}'), ('tap_gateway', '{gateway}'), ('tap_stranger', '{}')) r(role, levels);
SELECT set_eq(format($$SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind IN ('r', 'v') AND has_table_privilege(%L, c.oid, 'SELECT')$$, r.role),
    format($$SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'v' AND %s$$, r.sees), r.role || ' reads the views it may, and no table')
FROM (VALUES ('tap_sender', $$EXISTS (SELECT FROM mailer._privilege() g WHERE g.level = 'sender' AND c.relname = ANY (g.names))$$), ('tap_viewer', 'true'), ('tap_operator', 'true'), ('tap_gateway', 'false'), ('tap_stranger', 'false')) r(role, sees);
SELECT is_empty($$SELECT c.relname, r FROM pg_class c, unnest(ARRAY['tap_sender', 'tap_viewer', 'tap_operator', 'tap_gateway']) r
    WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind IN ('r', 'v') AND has_table_privilege(r, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')$$,
    'nobody writes a table by hand');
SELECT ok(NOT has_function_privilege('tap_operator', 'mailer.arm()', 'EXECUTE'), 'an operator can''t arm a copy');
SELECT ok(has_type_privilege('tap_sender', 'mailer.attachment', 'USAGE'), 'a sender can attach');
SELECT ok(NOT has_schema_privilege('tap_stranger', 'mailer', 'USAGE'), 'a stranger can''t see the schema');

-- And it works when they do it.
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA pg_temp TO PUBLIC;
SET ROLE tap_viewer;
SELECT lives_ok('SELECT * FROM mailer.' || v, 'a viewer reads ' || v)
FROM unnest(ARRAY['message_status', 'recipient_status', 'attempt_log', 'event_log', 'queue', 'mailbox_status', 'campaign_progress', 'batch', 'missed_slot', 'worker_status']) v;
SELECT lives_ok('SELECT * FROM mailer.' || f, 'a viewer calls ' || f)
FROM unnest(ARRAY['status()', format('status(%s)', :ada), format('campaign_status(%s)', :spring), 'batch_status(1)', 'verify()', 'health()']) f;
SELECT throws_ok(format('SELECT mailer.campaign_pause(%s, ''x'')', :spring), '42501', NULL, 'a viewer changes nothing');
SELECT throws_ok('SELECT * FROM mailer.mailbox_secret', '42501', NULL, 'a viewer reads no password');
SET ROLE tap_sender;
SELECT mailer.enqueue('own@example.com', 's', 'b') AS own \gset
SELECT is((SELECT state FROM mailer.status(:own)), 'pending', 'a sender asks about a message of its own by its id');
SELECT is_empty(format('SELECT mailer.status(%s)', :ada), 'and not about others''');
SELECT throws_ok('SELECT * FROM mailer.message_status', '42501', NULL, 'a sender doesn''t see all messages');
SELECT throws_ok('SELECT * FROM mailer.message', '42501', NULL, 'nor any table');
SELECT throws_ok($$SELECT mailer.mailbox_alter('one', '{"host": "evil.example.com"}')$$, '42501', NULL, 'a sender changes no mailbox');
SET ROLE tap_operator;
SELECT lives_ok($$SELECT mailer.mailbox_alter('one', '{"gap": "1 s"}')$$, 'an operator changes a mailbox');
SELECT lives_ok(format('SELECT mailer.campaign_pause(%s, ''x'')', :spring), 'an operator pauses a campaign');
SELECT throws_ok('SELECT * FROM mailer.mailbox_secret', '42501', NULL, 'an operator reads no password');
SELECT throws_ok('SELECT mailer.arm()', '42501', NULL, 'an operator doesn''t arm');
SELECT throws_ok($$SELECT mailer.grant_operator('tap_sender')$$, '42501', NULL, 'an operator grants nothing');
RESET ROLE;

-- A function with the owner's rights must not be led astray by the caller's objects.
CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'led astray'; END $$;
SET LOCAL search_path = pg_temp, public, pg_catalog;
SELECT lives_ok($$SELECT mailer.suppress('x@example.com')$$, 'a caller''s search path changes nothing');
RESET search_path;

-- Files of the server are read by the engine: naming one takes the right to read them.
SELECT lives_ok($$SELECT mailer.mailbox_alter('one', '{"ca_file": "/etc/ssl/ca.pem"}')$$, 'a superuser names a file');
SET ROLE tap_operator;
SELECT throws_ok($$SELECT mailer.mailbox_alter('one', '{"password_file": "/etc/shadow"}')$$, '42501', NULL, 'an operator names no file of the server');
RESET ROLE;

-- ── revoke() takes all of it back, and nothing else ────────────────────────────────────────────────────────────────
CREATE TABLE pg_temp.of_sender (x integer);
ALTER TABLE pg_temp.of_sender OWNER TO tap_sender;
SELECT mailer.revoke(r) FROM unnest(ARRAY['tap_sender', 'tap_viewer', 'tap_operator', 'tap_gateway', 'tap_stranger']) r \g /dev/null
SELECT is_empty($$SELECT r, p.oid::regprocedure FROM pg_proc p, unnest(ARRAY['tap_sender', 'tap_viewer', 'tap_operator', 'tap_gateway']) r
    WHERE p.pronamespace = 'mailer'::regnamespace AND has_function_privilege(r, p.oid, 'EXECUTE')$$, 'after revoke() a role may call nothing');
SELECT is_empty($$SELECT r, c.relname FROM pg_class c, unnest(ARRAY['tap_sender', 'tap_viewer', 'tap_operator']) r
    WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'v' AND has_table_privilege(r, c.oid, 'SELECT')$$, 'and see nothing');
SELECT ok(NOT has_schema_privilege('tap_operator', 'mailer', 'USAGE') AND NOT has_type_privilege('tap_sender', 'mailer.attachment', 'USAGE'), 'not even the schema');
SELECT lives_ok('DROP ROLE tap_viewer', 'it can be dropped');
SELECT is((SELECT count(*) FROM pg_class WHERE relname = 'of_sender' AND relowner = 'tap_sender'::regrole), 1::bigint, 'what it owns stays');
SELECT is((SELECT state FROM mailer.message_status WHERE message_id = :own), 'pending', 'and so does its mail');
SELECT throws_ok($$SELECT mailer.revoke('tap_nobody')$$, '42704', NULL, 'a role must exist');
SELECT mailer.grant_sender('tap_sender') \g /dev/null
SET ROLE tap_sender;
SELECT is((SELECT state FROM mailer.status(:own)), 'pending', 'granted again, it is the same tenant');
RESET ROLE;

SELECT throws_ok('SELECT mailer.grant_operator(NULL)', '22004', 'role must not be NULL', 'no role is named as such');
SELECT throws_ok($$SELECT mailer.grant_sender('tap_nobody')$$, '42704', 'role "tap_nobody" does not exist', 'nor is one that isn''t there');
SELECT * FROM finish();
ROLLBACK;
