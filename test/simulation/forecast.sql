-- Forecasts that come true, and what the plan is made of; after gates.sql, whose scene it uses.
\set QUIET 1
SET client_min_messages = error;
SET timezone = 'Europe/Warsaw';
SELECT no_plan();

CREATE OR REPLACE FUNCTION simulation.furthest_off() RETURNS numeric LANGUAGE sql AS $$
    SELECT round(max(abs(extract(epoch FROM f.slot_at - d.claimed_at))), 3) FROM simulation.foretold f JOIN simulation.delivered d USING (message_id)
$$;

-- Three campaigns in a chain: the first and the third have no mailbox in common, but the second has with both.
SELECT simulation.scene() \g /dev/null
SELECT mailer.mailbox_create('two', 'smtp.example.com', from_address => 'two@example.com') \g /dev/null
SELECT mailer.mailbox_alter(b, '{"gap": "10 min"}') FROM unnest('{one,two}'::text[]) b \g /dev/null
SELECT mailer.campaign_create('both', 'hello', '{one,two}', timezone => 'Europe/Warsaw', gap => '60 s') \g /dev/null
SELECT mailer.campaign_create('other', 'hello', '{two}', timezone => 'Europe/Warsaw', gap => '60 s') \g /dev/null
SELECT mailer.campaign_add_many(i, ARRAY(SELECT n || '@example.com' FROM generate_series(1, 15) n)), mailer.campaign_start(i) FROM generate_series(2, 3) i \g /dev/null
SELECT simulation.foretell() \g /dev/null
CALL simulation.run('2027-03-05 17:00+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 33::bigint, 'a chain of campaigns: all went');
SELECT is((SELECT count(*) FROM simulation.foretold f JOIN simulation.delivered d USING (message_id) JOIN mailer.mailbox b USING (mailbox_id)
           WHERE f.slot_at = d.claimed_at AND f.mailbox = b.name), 33::bigint, 'and as foretold, to the microsecond and the mailbox');

-- Who is suppressed in another campaign takes nothing of the day that both share.
SELECT simulation.scene() \g /dev/null
SELECT mailer.mailbox_alter('one', '{"daily_limit": 4}') \g /dev/null
SELECT mailer.campaign_create('other', 'hello', '{one}', timezone => 'Europe/Warsaw', gap => '10 s') \g /dev/null
SELECT mailer.campaign_add_many(2, '{d@example.com,e@example.com}'), mailer.campaign_start(2), mailer.suppress('d@example.com') \g /dev/null
SELECT simulation.foretell() \g /dev/null
CALL simulation.run('2027-03-03 17:00+01', 1, '{"new": true}');
SELECT is((SELECT string_agg(m.addresses[1], ' ' ORDER BY claimed_at) FROM simulation.delivered JOIN mailer.message m USING (message_id)),
    'a@example.com e@example.com b@example.com c@example.com', 'a suppressed lead of another campaign: all others go on the first day');
SELECT is(simulation.furthest_off(), 0.000, 'and as foretold');

-- A mailbox's gap runs from the reply: how long mails take is part of the plan.
SELECT simulation.scene() \g /dev/null
SELECT mailer.campaign_alter(1, '{"gap": "1 s"}'), mailer.mailbox_alter('one', '{"gap": "10 s"}') \g /dev/null
SELECT mailer.campaign_add_many(1, ARRAY(SELECT n || '@example.com' FROM generate_series(1, 200) n)) \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true, "least_transit_us": 2000000, "most_transit_us": 2000000}');
SELECT simulation.foretell() \g /dev/null
CALL simulation.run('2027-03-01 12:00+01', 1, '{"least_transit_us": 2000000, "most_transit_us": 2000000}');
SELECT is(simulation.sent(), 203::bigint, 'a mailbox''s gap: all went');
SELECT cmp_ok(simulation.furthest_off(), '<', 1.0, 'and the last of two hundred within a second of the forecast');

-- What if: the answer is what really happens when it is done.
SELECT simulation.scene() \g /dev/null
SELECT mailer.mailbox_create('two', 'smtp.example.com', from_address => 'two@example.com') \g /dev/null
SELECT mailer.campaign_add_many(1, ARRAY(SELECT n || '@example.com' FROM generate_series(1, 40) n)) \g /dev/null
CREATE TEMPORARY TABLE change AS SELECT '{"gap": "7 min", "jitter": 0.5, "max_per_day": 9, "window_start": "22:00", "window_end": "02:00",
    "allowed_days": ["TUE", "SAT"], "timezone": "America/New_York", "mailboxes": ["two"]}'::jsonb AS settings;
CREATE TEMPORARY TABLE before AS SELECT * FROM mailer.campaign_forecast(1);
CREATE TEMPORARY TABLE what_if AS SELECT f.* FROM change, mailer.campaign_forecast(1, settings) f;
SELECT results_eq('SELECT * FROM mailer.campaign_forecast(1)', 'SELECT * FROM before', 'asking what if changes nothing');
SELECT mailer.campaign_alter(1, settings) FROM change \g /dev/null
CALL simulation.run('2027-04-30 10:00+02', 1, '{"new": true}');
SELECT is((SELECT count(*) FROM what_if f JOIN simulation.delivered d USING (message_id) JOIN mailer.mailbox b USING (mailbox_id)
           WHERE f.slot_at = d.claimed_at AND f.mailbox = b.name), 43::bigint, 'another window, gap, cap, zone and mailbox: as the what-if said');

-- What is cancelled by hand while it waits is noticed too.
SELECT simulation.scene() \g /dev/null
CALL simulation.run('2027-03-01 10:00+01', 1, '{"new": true}');
SELECT mailer.cancel(2), mailer.cancel(3) \g /dev/null
CALL simulation.run('2027-03-01 10:00:01+01', 1, '{}');
SELECT is((SELECT state FROM mailer.campaign_status(1)), 'completed', 'a campaign whose waiting mails were all cancelled completes');

-- What failed in a campaign that was cancelled since stays failed.
SELECT simulation.scene() \g /dev/null
CALL simulation.run('2027-03-01 10:00+01', 1, '{"new": true, "refused": 1}');
SELECT mailer.campaign_cancel(1, 'enough') \g /dev/null
SELECT is(mailer.retry(1), false, 'nothing is retried in a cancelled campaign');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'and every invariant holds');

-- The sender dies with a mail on its way, and its journal with it.
SELECT simulation.scene() \g /dev/null
CALL simulation.run('2027-03-01 10:00:05+01', 1, '{"new": true, "least_transit_us": 20000000, "most_transit_us": 20000000}');
SET mailer.virtual_now = '2027-03-01 10:00:30+01';
CALL simulation.run('2027-03-01 10:00:31+01', 1, '{"restart": true, "lost_journal_one_in": 1}');
SELECT is((SELECT outcome || ' ' || started_at::time FROM mailer.attempt), 'unconfirmed 10:00:00', 'a try that was cut off started at its claim');
CALL simulation.run('2027-03-01 10:00:59.9+01', 1, '{}');
SELECT is((SELECT count(*) FROM mailer.attempt), 1::bigint, 'and the gap runs from there');
CALL simulation.run('2027-03-01 10:10+01', 1, '{}');
SELECT is((SELECT string_agg(state, ' ' ORDER BY message_id) FROM mailer.message_status), 'unconfirmed sent sent', 'nothing unconfirmed is sent again');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'every invariant holds');
SELECT * FROM finish();
