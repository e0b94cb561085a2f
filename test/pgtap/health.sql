-- health(): quiet when all is well, and one row with a hint for each thing that isn't.
BEGIN;
SELECT no_plan();
\ir fixture.psql
DELETE FROM mailer.tally_delta;

CREATE FUNCTION pg_temp.alarm(of_subject text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(h.severity || ' ' || h.problem, '; ' ORDER BY h.problem) FROM mailer.health() h WHERE h.subject = of_subject
      AND h.problem NOT LIKE 'the volume has no serial number%'  -- where the tests run in a container, say
$$;
SELECT is_empty($$SELECT * FROM mailer.health() WHERE subject <> 'worker' AND problem NOT LIKE 'the volume has no serial number%'$$, 'nothing to say about a sound database');
SELECT is_empty($$SELECT * FROM mailer.health() WHERE COALESCE(severity, '') NOT IN ('critical', 'warning', 'info') OR problem IS NULL OR hint IS NULL$$, 'each says how bad and what to do');

SELECT mailer.pause('maintenance') \g /dev/null
SELECT matches(pg_temp.alarm('sending'), '^warning sending is paused: maintenance', 'a pause');
SELECT mailer.resume() \g /dev/null

SELECT mailer.mailbox_pause('two', 'moving') \g /dev/null
SELECT is(pg_temp.alarm('mailbox two'), 'warning paused: moving', 'a paused mailbox');
SELECT mailer.mailbox_resume('two') \g /dev/null
INSERT INTO mailer.mailbox_state (mailbox_id, breaker_failures, breaker_until, breaker_since, breaker_reason)
VALUES (:two, 1, now() + interval '1 h', now(), 'login: 535 5.7.8 authentication failed');
SELECT matches(pg_temp.alarm('mailbox two'), '^critical login refused: 535 5.7.8 authentication failed \(1 times', 'a refused login');
UPDATE mailer.mailbox_state SET breaker_reason = 'unreachable: Connection refused';
SELECT matches(pg_temp.alarm('mailbox two'), '^warning its server can''t be reached: Connection refused', 'a server that is away');
UPDATE mailer.mailbox_state SET breaker_reason = 'could not connect';
SELECT matches(pg_temp.alarm('mailbox two'), '^warning its server fails: could not connect', 'an open breaker');
DELETE FROM mailer.mailbox_state;
SELECT mailer.mailbox_alter('two', '{"daily_limit": 10, "username": "bob"}') \g /dev/null
SELECT matches(pg_temp.alarm('mailbox two'), 'no password', 'a login without a password');
SELECT mailer.mailbox_set_password('two', 'x') \g /dev/null
INSERT INTO mailer.mailbox_day (mailbox_id, day, used, day_limit) SELECT :two, (now() AT TIME ZONE 'Europe/Warsaw')::date, 9, 10;
SELECT is(pg_temp.alarm('mailbox two'), 'info 9 of 10 mails of today are used', 'a quota that is nearly used');
UPDATE mailer.mailbox_day SET used = 10;
SELECT matches(pg_temp.alarm('mailbox two'), '^warning 10 of 10', 'and one that is');

UPDATE mailer.mailbox SET host = 'localhost', tls = 'none' WHERE mailbox_id = :two;
SELECT unalike(pg_temp.alarm('mailbox two'), '%clear text%', 'a login without TLS on this machine crosses no network');
UPDATE mailer.mailbox SET proxy = 'socks5h://proxy.example:1080' WHERE mailbox_id = :two;
SELECT matches(pg_temp.alarm('mailbox two'), 'with tls none its password would cross the network in clear text: it doesn''t log in', 'but does through a proxy');
UPDATE mailer.mailbox SET host = 'smtp.example.org', tls = 'starttls', proxy = NULL WHERE mailbox_id = :two;

SELECT pg_temp.queue_mail('{a@example.com}') AS mail \gset
UPDATE mailer.queue_entry SET due_at = now() - interval '20 min' WHERE message_id = :mail;
SELECT matches(pg_temp.alarm('backlog'), '^warning mail has been due for 00:20', 'a backlog');
UPDATE mailer.queue_entry SET due_at = now() - interval '2 h' WHERE message_id = :mail;
SELECT matches(pg_temp.alarm('backlog'), '^critical', 'an old one is worse');
UPDATE mailer.queue_entry SET due_at = now() + interval '2 h' WHERE message_id = :mail;
SELECT is(pg_temp.alarm('backlog'), NULL, 'what is not due is no backlog');
UPDATE mailer.queue_entry SET due_at = now() - interval '2 days' WHERE lane_id = :lane;
SELECT is(pg_temp.alarm('backlog'), NULL, 'nor is what a campaign paces');

UPDATE mailer.queue_entry SET epoch = -1 WHERE message_id = :mail;
SELECT matches(pg_temp.alarm('clone'), '^critical mails that came', 'mail of a dump that is held');
UPDATE mailer.arming SET machine = 'other';
SELECT matches(pg_temp.alarm('clone'), 'nothing is sent: ', 'a held copy');
SELECT mailer.arm() \g /dev/null
SELECT is(pg_temp.alarm('clone'), NULL, 'arming settles both');

INSERT INTO mailer.outcome (message_id, state, reason, settled_at) VALUES (:mail, 'u', 'reply_lost', now());
SELECT is(pg_temp.alarm('unconfirmed'), 'warning 1 mails may or may not have arrived', 'an unconfirmed mail');
SELECT mailer.campaign_pause(:spring, 'lunch') \g /dev/null
SELECT is(pg_temp.alarm('campaign spring'), 'info paused: lunch', 'a paused campaign');
SELECT mailer.campaign_resume(:spring) \g /dev/null
DELETE FROM mailer.template;
SELECT is(pg_temp.alarm('campaign spring'), 'warning its template is gone', 'a campaign without its template');
UPDATE mailer.mailbox SET is_default = false;
SELECT matches(pg_temp.alarm('mailboxes'), '^critical there is mail, but no default mailbox', 'mail without a mailbox');
INSERT INTO mailer.tally_delta (queued) SELECT 0 FROM generate_series(1, 100001);
SELECT matches(pg_temp.alarm('counts'), '^warning', 'counts that nobody folds');
INSERT INTO mailer.event (at, kind) VALUES (now(), 'notification_failed');
SELECT matches(pg_temp.alarm('notifications'), '^warning 1 times', 'a trigger that failed');
SELECT is((SELECT array_agg(DISTINCT severity) FROM (SELECT severity FROM mailer.health() LIMIT 1) h), '{critical}', 'the worst comes first');

SELECT * FROM finish();
ROLLBACK;
