-- Every gate, shut and opened again: explain names it with limit, use and opening, campaign_status says it in words, the
-- real claim keeps to it (nothing is delivered before, and at its opening it goes), and the forecast reckons with it.
--
-- Not in one transaction: the sender commits. Time is virtual, Monday 1 March 2027, 10:00 in Warsaw, so that every
-- opening is known to the second. Gates of settings that only a reload changes are in gates_of_settings.sql.
\set QUIET 1
SET client_min_messages = error;
SET timezone = 'Europe/Warsaw';
SELECT no_plan();

-- One mailbox, one running campaign of three leads, a mail a minute, nothing sent yet.
CREATE OR REPLACE FUNCTION simulation.scene() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM simulation.reset();
    PERFORM set_config('mailer.virtual_now', '2027-03-01 10:00+01', false);
    PERFORM mailer.mailbox_create('one', 'smtp.example.com', from_address => 'one@example.com', timezone => 'Europe/Warsaw', is_default => true);
    PERFORM mailer.template_set('hello', 'Hello {{name}}', 'Dear {{name}}');
    PERFORM mailer.campaign_create('spring', 'hello', '{one}', timezone => 'Europe/Warsaw', gap => '60 s', jitter => 0);
    PERFORM mailer.campaign_add_many(1, '{a@example.com,b@example.com,c@example.com}');
    PERFORM mailer.campaign_start(1);
END $$;
-- "shut 1/1 until Tue 00:00:00", of a campaign (or, of a message, its gates).
CREATE OR REPLACE FUNCTION simulation.gate(name text, of_campaign bigint DEFAULT 1, of_message bigint DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN g.is_open THEN 'open' ELSE 'shut' END || COALESCE(' ' || g.used || '/' || g.limit_value, ' ' || g.limit_value, '')
           || COALESCE(' until ' || to_char(date_trunc('second', g.opens_at), 'Dy HH24:MI:SS'), '')
    FROM (SELECT * FROM mailer.campaign_explain(of_campaign) WHERE of_message IS NULL
          UNION ALL SELECT * FROM mailer.explain(of_message) WHERE of_message IS NOT NULL) g WHERE g.gate = name
$$;
CREATE OR REPLACE FUNCTION simulation.blocked_by(of_campaign bigint DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT blocked_by FROM mailer.campaign_status(of_campaign)
$$;
CREATE OR REPLACE FUNCTION simulation.sent() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM simulation.delivered';
-- When the next mail goes as the forecast says.
CREATE OR REPLACE FUNCTION simulation.next(of_campaign bigint DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT to_char(date_trunc('second', min(slot_at)), 'Dy HH24:MI:SS') FROM mailer.campaign_forecast(of_campaign)
$$;

-- Everything is paused by hand
SELECT simulation.scene() \g /dev/null
SELECT mailer.pause('moving house') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'sending_not_paused: shut, the sender keeps to it');
SELECT is(simulation.gate('sending_not_paused'), 'shut', 'sending_not_paused: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'all sending is paused: moving house', 'sending_not_paused: said in words');
SELECT is(simulation.next(), NULL, 'sending_not_paused: nothing is foretold while only a change can open it');
SELECT mailer.resume() \g /dev/null
CALL simulation.run(mailer._now(), 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'sending_not_paused: open, it goes');

-- The database is a copy
SELECT simulation.scene() \g /dev/null
UPDATE mailer.arming SET machine = 'other';
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'sending_armed: shut, the sender keeps to it');
SELECT is(simulation.gate('sending_armed'), 'shut', 'sending_armed: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'sending is held until mailer.arm(): this database was copied or restored as files: it sends nothing until mailer.arm() is called', 'sending_armed: said in words');
SELECT is(simulation.next(), NULL, 'sending_armed: nothing is foretold while only a change can open it');
SELECT mailer.arm() \g /dev/null
CALL simulation.run(mailer._now(), 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'sending_armed: open, it goes');

-- The campaign is paused: it is foretold as if it went on now
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_pause(1, 'a break') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'campaign_running: shut, the sender keeps to it');
SELECT is(simulation.gate('campaign_running'), 'shut', 'campaign_running: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'campaign is paused: a break', 'campaign_running: said in words');
SELECT is(simulation.next(), 'Mon 10:02:00', 'campaign_running: the forecast waits for it');
SELECT mailer.campaign_resume(1) \g /dev/null
CALL simulation.run(mailer._now(), 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'campaign_running: open, it goes');

-- Its start lies ahead
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_alter(1, '{"starts_at": "2027-03-02 10:10+01"}') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'campaign_started: shut, the sender keeps to it');
SELECT is(simulation.gate('campaign_started'), 'shut until Tue 10:10:00', 'campaign_started: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'campaign starts at Tue 10:10 Europe/Warsaw', 'campaign_started: said in words');
SELECT is(simulation.next(), 'Tue 10:10:00', 'campaign_started: the forecast waits for it');
CALL simulation.run('2027-03-02 10:10:00+01'::timestamptz - interval '1 ms', 1, '{}');
SELECT is(simulation.sent(), 0::bigint, 'campaign_started: not a moment too early');
CALL simulation.run('2027-03-02 10:10:00+01'::timestamptz + interval '100 ms', 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'campaign_started: open, it goes');

-- Its window is closed; it opens spread over the first gap
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_alter(1, '{"window_start": "11:00", "window_end": "12:00"}') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'window_open: shut, the sender keeps to it');
SELECT is(simulation.gate('window_open'), 'shut until Mon 11:00:00', 'window_open: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'window closed until Mon 11:00 Europe/Warsaw', 'window_open: said in words');
SELECT is(simulation.next(), 'Mon 11:00:42', 'window_open: the forecast waits for it');
CALL simulation.run('2027-03-01 11:00:42.021284+01'::timestamptz - interval '1 ms', 1, '{}');
SELECT is(simulation.sent(), 0::bigint, 'window_open: not a moment too early');
CALL simulation.run('2027-03-01 11:00:42.021284+01'::timestamptz + interval '100 ms', 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'window_open: open, it goes');

-- Its day is full
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_alter(1, '{"max_per_day": 1}') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 1::bigint, 'campaign_day_cap: shut, the sender keeps to it');
SELECT is(simulation.gate('campaign_day_cap'), 'shut 1/1 until Tue 09:00:00', 'campaign_day_cap: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'daily limit of the campaign reached until Tue 09:00 Europe/Warsaw', 'campaign_day_cap: said in words');
SELECT is(simulation.next(), 'Tue 09:00:54', 'campaign_day_cap: the forecast waits for it');
CALL simulation.run('2027-03-02 09:00:54.616554+01'::timestamptz - interval '1 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint, 'campaign_day_cap: not a moment too early');
CALL simulation.run('2027-03-02 09:00:54.616554+01'::timestamptz + interval '100 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint + 1, 'campaign_day_cap: open, it goes');

-- Its gap
SELECT simulation.scene() \g /dev/null
CALL simulation.run('2027-03-01 10:00+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 1::bigint, 'campaign_gap: shut, the sender keeps to it');
SELECT is(simulation.gate('campaign_gap'), 'shut 60 s until Mon 10:01:00', 'campaign_gap: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'next slot at Mon 10:01 Europe/Warsaw', 'campaign_gap: said in words');
SELECT is(simulation.next(), 'Mon 10:01:00', 'campaign_gap: the forecast waits for it');
CALL simulation.run('2027-03-01 10:01:00+01'::timestamptz - interval '1 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint, 'campaign_gap: not a moment too early');
CALL simulation.run('2027-03-01 10:01:00+01'::timestamptz + interval '100 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint + 1, 'campaign_gap: open, it goes');

-- It has no mailbox
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_alter(1, '{"mailboxes": null}') \g /dev/null
SELECT mailer.mailbox_alter('one', '{"is_default": false}') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'pool_not_empty: shut, the sender keeps to it');
SELECT is(simulation.gate('pool_not_empty'), 'shut', 'pool_not_empty: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'no mailbox to send from', 'pool_not_empty: said in words');
SELECT is(simulation.next(), NULL, 'pool_not_empty: nothing is foretold while only a change can open it');
SELECT mailer.mailbox_alter('one', '{"is_default": true}') \g /dev/null
CALL simulation.run(mailer._now(), 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'pool_not_empty: open, it goes');

-- Its mailbox is paused
SELECT simulation.scene() \g /dev/null
SELECT mailer.mailbox_pause('one', 'resting') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'mailbox_enabled: shut, the sender keeps to it');
SELECT is(simulation.gate('mailbox_enabled'), 'shut', 'mailbox_enabled: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'mailbox one is paused: resting', 'mailbox_enabled: said in words');
SELECT is(simulation.next(), NULL, 'mailbox_enabled: nothing is foretold while only a change can open it');
SELECT mailer.mailbox_resume('one') \g /dev/null
CALL simulation.run(mailer._now(), 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'mailbox_enabled: open, it goes');

-- The shield of the campaign is shut
SELECT simulation.scene() \g /dev/null
INSERT INTO mailer.shield (scope, id, since, shut_at, shut_reason) VALUES ('c', 1, mailer._now(), mailer._now(), '9 of the last 60 mails bounced');
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'campaign_shield: shut, the sender keeps to it');
SELECT is(simulation.gate('campaign_shield'), 'shut', 'campaign_shield: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'shield is shut until mailer.campaign_resume(): 9 of the last 60 mails bounced', 'campaign_shield: said in words');
SELECT is(simulation.next(), NULL, 'campaign_shield: nothing is foretold while only a change can open it');
SELECT mailer.campaign_resume(1) \g /dev/null
CALL simulation.run(mailer._now(), 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'campaign_shield: open, it goes');

-- The shield of its mailbox is shut
SELECT simulation.scene() \g /dev/null
SELECT mailer.mailbox_alter('one', '{"shield": 0.05}') \g /dev/null
INSERT INTO mailer.shield (scope, id, since, shut_at, shut_reason) VALUES ('m', 1, mailer._now(), mailer._now(), '9 of the last 60 mails bounced');
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'mailbox_shield: shut, the sender keeps to it');
SELECT is(simulation.gate('mailbox_shield'), 'shut', 'mailbox_shield: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'shield of mailbox one is shut until mailer.mailbox_resume(): 9 of the last 60 mails bounced', 'mailbox_shield: said in words');
SELECT is(simulation.next(), NULL, 'mailbox_shield: nothing is foretold while only a change can open it');
SELECT mailer.mailbox_resume('one') \g /dev/null
CALL simulation.run(mailer._now(), 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'mailbox_shield: open, it goes');

-- Its mailbox can't reach its server
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_alter(1, '{"gap": "1 s"}') \g /dev/null
CALL simulation.run('2027-03-01 10:00:02+01', 1, '{"new": true, "trouble": 1}');
SELECT is(simulation.sent(), 0::bigint, 'mailbox_breaker: shut, the sender keeps to it');
SELECT is(simulation.gate('mailbox_breaker'), 'shut until Mon 10:00:05', 'mailbox_breaker: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'mailbox one is held back after failures until Mon 10:00:06 Europe/Warsaw: unreachable: failed at connect: connection refused (simulated)', 'mailbox_breaker: said in words');
SELECT is(simulation.next(), 'Mon 10:00:05', 'mailbox_breaker: the forecast waits for it');
CALL simulation.run('2027-03-01 10:00:05.526717+01'::timestamptz - interval '1 ms', 1, '{}');
SELECT is(simulation.sent(), 0::bigint, 'mailbox_breaker: not a moment too early');
CALL simulation.run('2027-03-01 10:00:05.526717+01'::timestamptz + interval '100 ms', 1, '{}');
SELECT is(simulation.sent(), 0::bigint + 1, 'mailbox_breaker: open, it goes');

-- Its mailbox's day is full: the next is open from midnight, but not the window
SELECT simulation.scene() \g /dev/null
SELECT mailer.mailbox_alter('one', '{"daily_limit": 1}') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 1::bigint, 'mailbox_day_cap: shut, the sender keeps to it');
SELECT is(simulation.gate('mailbox_day_cap'), 'shut 1/1 until Tue 00:00:00', 'mailbox_day_cap: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'mailbox one has reached its daily limit until Tue 00:00 Europe/Warsaw', 'mailbox_day_cap: said in words');
SELECT is(simulation.next(), 'Tue 09:00:54', 'mailbox_day_cap: the forecast waits for it');
CALL simulation.run('2027-03-02 09:00:54.616554+01'::timestamptz - interval '1 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint, 'mailbox_day_cap: not a moment too early');
CALL simulation.run('2027-03-02 09:00:54.616554+01'::timestamptz + interval '100 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint + 1, 'mailbox_day_cap: open, it goes');

-- Its mailbox's gap
SELECT simulation.scene() \g /dev/null
SELECT mailer.mailbox_alter('one', '{"gap": "10 min"}') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 1::bigint, 'mailbox_gap: shut, the sender keeps to it');
SELECT is(simulation.gate('mailbox_gap'), 'shut 600 s until Mon 10:10:00', 'mailbox_gap: explain shows it shut, with limit, use and opening');
SELECT is(simulation.blocked_by(), 'gap of mailbox one until Mon 10:10 Europe/Warsaw', 'mailbox_gap: said in words');
SELECT is(simulation.next(), 'Mon 10:10:00', 'mailbox_gap: the forecast waits for it');
CALL simulation.run('2027-03-01 10:10:00+01'::timestamptz - interval '1 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint, 'mailbox_gap: not a moment too early');
CALL simulation.run('2027-03-01 10:10:00+01'::timestamptz + interval '100 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint + 1, 'mailbox_gap: open, it goes');

-- Its mailbox's rate
SELECT simulation.scene() \g /dev/null
SELECT mailer.mailbox_alter('one', '{"rate": "6/h", "max_connections": 10}') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 1::bigint, 'mailbox_rate: shut, the sender keeps to it');
SELECT is(simulation.gate('mailbox_rate'), 'shut until Mon 10:10:00', 'mailbox_rate: explain shows it shut, with opening');
SELECT is(simulation.blocked_by(), 'rate of mailbox one (6/h) until Mon 10:10 Europe/Warsaw', 'mailbox_rate: said in words');
SELECT is(simulation.next(), 'Mon 10:10:00', 'mailbox_rate: the forecast waits for it');
CALL simulation.run('2027-03-01 10:10:00+01'::timestamptz - interval '1 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint, 'mailbox_rate: not a moment too early');
CALL simulation.run('2027-03-01 10:10:00+01'::timestamptz + interval '100 ms', 1, '{}');
SELECT is(simulation.sent(), 1::bigint + 1, 'mailbox_rate: open, it goes');

-- Its mailbox's one connection is taken by a mail that takes three minutes
SELECT simulation.scene() \g /dev/null
CALL simulation.run('2027-03-01 10:02:59+01', 1, '{"new": true, "least_transit_us": 180000000, "most_transit_us": 180000000}');
SELECT is((SELECT count(*) FROM mailer.queue WHERE state = 'sending'), 1::bigint, 'mailbox_connection: shut, the sender keeps to it');
SELECT is(simulation.gate('mailbox_connection'), 'shut 1/1', 'mailbox_connection: explain shows it shut, with limit and use');
SELECT is(simulation.blocked_by(), 'mailbox one has no free connection', 'mailbox_connection: said in words');
CALL simulation.run('2027-03-01 10:03:01+01', 1, '{"least_transit_us": 180000000, "most_transit_us": 180000000}');
SELECT is((SELECT count(*) FROM mailer.attempt), 1::bigint, 'mailbox_connection: the first is through');
SELECT is((SELECT count(*) FROM mailer.queue WHERE state = 'sending'), 1::bigint, 'mailbox_connection: open, the next goes');

-- A batch's gap: from the last reply
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_cancel(1, 'not of this') \g /dev/null
SELECT mailer.enqueue_batch('{p@example.com,q@example.com}', 's', 'b', gap => '30 s') \g /dev/null
CALL simulation.run('2027-03-01 10:00+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 1::bigint, 'batch_gap: shut, the sender keeps to it');
SELECT is(simulation.gate('batch_gap', of_message => 5), 'shut 30 s until Mon 10:00:30', 'batch_gap: explain shows it shut, with limit and opening');
SELECT is(simulation.gate('forecast', of_message => 5), 'open until Mon 10:00:30', 'batch_gap: the forecast waits for it');
CALL simulation.run('2027-03-01 10:00:29.999+01', 1, '{}');
SELECT is(simulation.sent(), 1::bigint, 'batch_gap: not a moment too early');
CALL simulation.run('2027-03-01 10:00:30+01', 1, '{}');
SELECT is(simulation.sent(), 2::bigint, 'batch_gap: open, it goes');

-- A recipient is suppressed: cancelled at its turn, without a slot
SELECT simulation.scene() \g /dev/null
SELECT mailer.suppress('a@example.com', 'asked') \g /dev/null
SELECT is(simulation.gate('not_suppressed', of_message => 1), 'shut', 'not_suppressed: explain shows it shut');
SELECT is((SELECT min(message_id) FROM mailer.campaign_forecast(1)), 2::bigint, 'not_suppressed: nothing is foretold for it');
CALL simulation.run('2027-03-01 10:00+01', 1, '{"new": true}');
SELECT is((SELECT array_agg(message_id) FROM simulation.delivered), '{2}', 'not_suppressed: the next one goes instead');
SELECT is((SELECT state || ' ' || reason FROM mailer.status(1)), 'cancelled suppressed', 'not_suppressed: and it is settled');

-- What has an outcome is never claimed, whatever the queue says
SELECT simulation.scene() \g /dev/null
INSERT INTO mailer.outcome (message_id, state, settled_at) VALUES (1, 'S', mailer._now());
SELECT is((SELECT g.is_open FROM mailer.campaign_explain(1) g WHERE g.gate = 'campaign_running'), true, 'not_yet_mailed: the campaign itself runs');
CALL simulation.run('2027-03-01 10:00+01', 1, '{"new": true}');
SELECT is((SELECT count(*) FROM simulation.delivered WHERE message_id = 1), 0::bigint, 'not_yet_mailed: it is not sent again');
SELECT is((SELECT array_agg(message_id) FROM simulation.delivered), '{2}', 'not_yet_mailed: and keeps nobody else from his turn');

-- Due later, and expired
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_cancel(1, 'not of this') \g /dev/null
SELECT mailer.enqueue('x@example.com', 's', 'b', send_at => '2027-03-01 10:30+01') \g /dev/null
CALL simulation.run('2027-03-01 10:29:59.999+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'due: shut, the sender keeps to it');
SELECT is(simulation.gate('due', of_message => 4), 'shut until Mon 10:30:00', 'due: explain shows when it is');
SELECT is(simulation.gate('forecast', of_message => 4), 'open until Mon 10:30:00', 'due: the forecast waits for it');
CALL simulation.run('2027-03-01 10:30+01', 1, '{}');
SELECT is(simulation.sent(), 1::bigint, 'due: open, it goes');
SELECT mailer.mailbox_pause('one', 'resting') \g /dev/null
SELECT mailer.enqueue('y@example.com', 's', 'b', expires_at => '2027-03-01 11:00+01') \g /dev/null
CALL simulation.run('2027-03-01 10:59:59+01', 1, '{}');
SELECT is(simulation.gate('not_expired', of_message => 5), 'open', 'not_expired: explain shows it open');
CALL simulation.run('2027-03-01 11:00:01+01', 1, '{}');
SELECT is((SELECT state || ' ' || reason FROM mailer.status(5)), 'failed expired', 'not_expired: shut, it is settled, whatever else holds it');
SELECT mailer.mailbox_resume('one') \g /dev/null
CALL simulation.run('2027-03-01 11:01+01', 1, '{}');
SELECT is(simulation.sent(), 1::bigint, 'not_expired: and never sent');

-- No catching up: nobody sends from 10:00 to 10:30; what was missed is reported, and the gap is kept
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_alter(1, '{"gap": "10 min"}') \g /dev/null
CALL simulation.run('2027-03-01 10:00+01', 1, '{"new": true}');
SET mailer.virtual_now = '2027-03-01 10:35+01';
CALL simulation.run('2027-03-01 10:35+01', 1, '{"restart": true}');
SELECT is(simulation.sent(), 2::bigint, 'after an outage one goes, not all that were missed');
SELECT is((SELECT sum(slot_count) || ' ' || max(reason) FROM mailer.missed_slot), '2 not_running', 'the missed slots are counted, with the reason');
CALL simulation.run('2027-03-01 10:44:59+01', 1, '{}');
SELECT is(simulation.sent(), 2::bigint, 'and the gap runs from now on');
CALL simulation.run('2027-03-01 10:45+01', 1, '{}');
SELECT is(simulation.sent(), 3::bigint, 'to the second');
SELECT is((SELECT state FROM mailer.campaign_status(1)), 'completed', 'with the last mail the campaign completes');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'every invariant holds');

-- The last mail is stopped while no sender runs: the next one finds that nothing is left, though no lane of the campaign waits
SELECT simulation.scene() \g /dev/null
CALL simulation.run('2027-03-01 10:01+01', 1, '{"new": true}');
SELECT mailer.lead_stop(1, 'c@example.com') \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is((SELECT state || ', sent ' || sent FROM mailer.campaign_status(1)), 'completed, sent 2', 'a campaign whose last mail a statement ended completes');

SELECT * FROM finish();
