-- Suppression, the switches, and arming.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT mailer.suppress('Ada <Ada@Example.COM>', 'asked') \g /dev/null
SELECT results_eq('SELECT address_key COLLATE "default", scope, reason FROM mailer.suppression', $$VALUES ('ada@example.com', 'all', 'asked')$$, 'a suppression is of a lead, however it is spelled');
SELECT mailer.suppress('ada@example.com', 'again', now() + interval '1 day') \g /dev/null
SELECT results_eq('SELECT reason, expires_at FROM mailer.suppression', $$VALUES ('again', now() + interval '1 day')$$, 'suppressing again replaces');
SELECT mailer.suppress('ada@example.com', scope => 'campaign:' || :spring) \g /dev/null
SELECT mailer.suppress('ada@example.com', scope => 'category:likes') \g /dev/null
SELECT is((SELECT count(*) FROM mailer.suppression), 3::bigint, 'scopes stand side by side');
SELECT ok(mailer.unsuppress('ADA@example.com'), 'a suppression is taken back');
SELECT ok(NOT mailer.unsuppress('ada@example.com'), 'once');
SELECT is((SELECT count(*) FROM mailer.suppression), 2::bigint, 'in its scope alone');
SELECT throws_ok($$SELECT mailer.suppress('nobody')$$, '22023', NULL, 'an address must be one');
SELECT throws_ok($$SELECT mailer.suppress(NULL)$$, '22004', NULL, 'no address is none');
SELECT throws_ok($$SELECT mailer.unsuppress('nobody')$$, '22023', NULL, 'nor is there anything to take back for what is none');
SELECT throws_ok($$SELECT mailer.suppress('a@example.com', scope => 'everything')$$, '22023', '"everything" is not a scope', 'a scope must be one');
SELECT throws_ok($$SELECT mailer.unsuppress('a@example.com', NULL)$$, '22023', NULL, 'no scope is none');
SELECT is((SELECT state FROM mailer.status(:ada)), 'pending', 'what waits is left to wait: the gate is asked when it is to go');

SELECT mailer.pause('maintenance') \g /dev/null
SELECT results_eq('SELECT paused_by, pause_reason FROM mailer.control', $$VALUES (current_setting('session_authorization'), 'maintenance')$$, 'a pause says who and why');
SELECT mailer.pause('longer') \g /dev/null
SELECT is((SELECT pause_reason FROM mailer.control), 'longer', 'pausing again changes the reason');
SELECT mailer.resume() \g /dev/null
SELECT is_empty('SELECT * FROM mailer.control', 'resuming ends it');
SELECT mailer.resume() \g /dev/null
SELECT is((SELECT string_agg(kind, ' ' ORDER BY event_id) FROM mailer.event WHERE kind IN ('paused', 'resumed')), 'paused paused resumed', 'each is logged when it does something');

SELECT epoch AS old_epoch FROM mailer.arming \gset
UPDATE mailer.queue_entry SET epoch = 12345 WHERE message_id = :bob;
UPDATE mailer.arming SET machine = 'other';
SELECT mailer.arm() \g /dev/null
SELECT ok((SELECT 12345 = ANY (adopted) AND :old_epoch = ANY (adopted) AND epoch = ANY (adopted) FROM mailer.arming), 'arming adopts what waits, and forgets no epoch');
SELECT isnt((SELECT epoch FROM mailer.arming), :old_epoch::bigint, 'what comes next carries a new epoch');
SELECT ok((SELECT a.machine = b.machine AND a.timeline = b.timeline AND a.database_oid = b.database_oid FROM mailer.arming a, mailer._binding() b), 'it binds to this very database');
SELECT is((SELECT detail->>'released' FROM mailer.event WHERE kind = 'armed' ORDER BY event_id DESC LIMIT 1), '1', 'what it released is logged');
DELETE FROM mailer.arming;
SELECT mailer.arm() \g /dev/null
SELECT ok((SELECT 12345 = ANY (adopted) FROM mailer.arming), 'it works where arming was lost');

SELECT * FROM finish();
ROLLBACK;
