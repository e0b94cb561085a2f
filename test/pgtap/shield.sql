-- The shields: what shuts them, what they say, and that only a person opens them again.
SET search_path = pg_catalog, public;
BEGIN;
SELECT no_plan();
\ir fixture.psql
\ir feedback.psql

-- Settles so many mails of a campaign: 'r' refused, 'a' accepted; gives what the shield says when it shuts, and when.
CREATE FUNCTION pg_temp.play(outcomes text, code text DEFAULT '550 5.7.1') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
    said text;
BEGIN
    FOR i IN 1..length(outcomes) LOOP
        id := pg_temp.sent_mail(ARRAY[format('p%s@%s.example', i, md5(outcomes))]);
        SELECT s.reason INTO said FROM mailer._shields_settled(ARRAY[id], ARRAY[(SELECT campaign_id FROM mailer.campaign WHERE name = 'spring')],
            ARRAY[(SELECT mailbox_id FROM mailer.mailbox WHERE name = 'one')], ARRAY[CASE substr(outcomes, i, 1) WHEN 'r' THEN code END]) s LIMIT 1;
        IF said IS NOT NULL THEN
            RETURN i || ': ' || said;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;

SELECT is(pg_temp.play('rrrrr'), '5: 5 different recipients in a row were refused with 550 5.7.1', 'five refusals in a row with one code shut it');
SELECT is((SELECT blocked_by FROM mailer.campaign_status(:spring)),
    'shield is shut until mailer.campaign_resume(): 5 different recipients in a row were refused with 550 5.7.1', 'blocked_by says why');
SELECT is((SELECT state FROM mailer.campaign_status(:spring)), 'running', 'its state stays running');
SELECT results_eq(format($$SELECT is_open, detail FROM mailer.campaign_explain(%s) WHERE gate = 'campaign_shield'$$, :spring),
    $$VALUES (false, 'shield is shut until mailer.campaign_resume(): 5 different recipients in a row were refused with 550 5.7.1')$$, 'explain has the gate');
SELECT is_empty(format('SELECT * FROM mailer.campaign_forecast(%s)', :spring), 'the forecast knows of it');
SELECT is((SELECT severity FROM mailer.health() WHERE problem LIKE '%shield is shut%'), 'critical', 'health() is critical');
SELECT is((SELECT count(*) FROM mailer.event_log WHERE kind = 'shield_shut' AND campaign_id = :spring), 1::bigint, 'an event says so');
SELECT lives_ok(format('SELECT mailer.campaign_resume(%s)', :spring), 'somebody resumes');
SELECT ok((SELECT is_open FROM mailer.campaign_explain(:spring) WHERE gate = 'campaign_shield'), 'and it is open');
SELECT throws_ok(format('SELECT mailer.campaign_resume(%s)', :spring), '55000', NULL, 'a campaign that runs with an open shield is not paused');

SELECT is(pg_temp.play('rrrrarrrr'), '6: 5 of the last 6 mails were refused or bounced (83.3 %)', 'an acceptance in between begins a new row, the share counts on');
SELECT mailer.campaign_resume(:spring) \g /dev/null
SELECT is(pg_temp.play(repeat('a', 95) || 'rrarar'), NULL, 'four of 101 are not enough');
SELECT mailer._shield_open('c', :spring) \g /dev/null
SELECT is(pg_temp.play(repeat('rrrar', 1)), NULL, 'nor are four of five');

-- Refusals of a row suppress nobody: the server refused us.
SELECT mailer._shield_open('c', :spring) \g /dev/null
SELECT array_agg(pg_temp.sent_mail(ARRAY[format('row%s@example.net', i)])) AS row FROM generate_series(1, 5) i \gset
SELECT count(mailer._suppress_bounced(m.message_id, m.addresses[1])) FROM mailer.message m WHERE m.message_id = ANY (:'row') \g /dev/null
SELECT is((SELECT count(*) FROM mailer.suppression WHERE address_key LIKE 'row%@example.net'), 5::bigint, 'five unknown users are suppressed');
SELECT mailer._shields_settled(:'row', array_fill(:spring::bigint, ARRAY[5]), array_fill(NULL::bigint, ARRAY[5]), array_fill('550 5.1.1'::text, ARRAY[5])) \g /dev/null
SELECT is_empty($$SELECT FROM mailer.suppression WHERE address_key LIKE 'row%@example.net'$$, 'but not when they shut the shield in a row');

-- Later bounces and complaints count for the mails that they belong to.
SELECT mailer._shield_open('c', :spring) \g /dev/null
SELECT is(mailer._shield_feedback('c', :spring, 1, 'complaint'), NULL, 'one complaint is borne');
SELECT is(mailer._shield_feedback('c', :spring, 2, 'complaint'), '2 complaints among the last 1000 mails', 'the second one shuts it');
SELECT mailer._shield_open('c', :spring) \g /dev/null
SELECT pg_temp.play(repeat('a', 50)) \g /dev/null
SELECT is((SELECT array_agg(mailer._shield_feedback('c', :spring, m, 'bounce')) FROM (SELECT unnest(s.messages[1:5]) AS m FROM mailer.shield s WHERE s.scope = 'c' AND s.id = :spring) x),
    ARRAY[NULL, NULL, NULL, NULL, '5 of the last 50 mails were refused or bounced (10.0 %)'], 'five of fifty that bounce later shut it');
SELECT mailer._shield_open('c', :spring) \g /dev/null

-- Off, for campaigns by NULL, for mailboxes by default.
SELECT mailer.campaign_alter(:spring, '{"shield": null}') \g /dev/null
SELECT is(pg_temp.play('rrrrrrrr'), NULL, 'with NULL it is off');
SELECT is((SELECT shield FROM mailer.mailbox_status WHERE mailbox = 'one'), NULL, 'a mailbox has none by default');
SELECT mailer.mailbox_alter('one', '{"shield": 0.1}') \g /dev/null
SELECT is(pg_temp.play('rrrrrrr'), '5: 5 different recipients in a row were refused with 550 5.7.1', 'set, it works for a mailbox');
SELECT is((SELECT shield FROM mailer.mailbox_status WHERE mailbox = 'one'), 'shut: 5 different recipients in a row were refused with 550 5.7.1', 'mailbox_status shows it');
SELECT ok(NOT (SELECT is_open FROM mailer.campaign_explain(:spring) WHERE gate LIKE 'mailbox_shield%one'), 'explain has the gate');
SELECT mailer.mailbox_resume('one') \g /dev/null
SELECT is((SELECT shield FROM mailer.mailbox_status WHERE mailbox = 'one'), 'open: 0 of 0 refused or bounced', 'resumed, it counts from zero');

-- What it does to honest and to rotten lists: 1,000 runs of a hundred simulated mails each are too many here; ten runs say enough.
SELECT setseed(0.42) \g /dev/null
CREATE FUNCTION pg_temp.simulate(bad_share float8, mails integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    s mailer.shield := ROW('c', 0, now(), 0, '{}', '{}', NULL, '{}', '{}', NULL, NULL)::mailer.shield;
BEGIN
    FOR i IN 1..mails LOOP
        s.counted := i;
        s.faults := s.faults[GREATEST(1, cardinality(s.faults) - 198):] || (random() < bad_share);
        IF mailer._shield_verdict(s, 0.05) IS NOT NULL THEN
            RETURN i;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;
SELECT cmp_ok((SELECT count(*) FROM generate_series(1, 20) WHERE pg_temp.simulate(0.02, 1000) IS NULL), '>=', 16::bigint, 'a list with a true 2 % is not stopped');
SELECT cmp_ok((SELECT count(*) FROM generate_series(1, 20) WHERE pg_temp.simulate(0.3, 40) <= 25), '>=', 16::bigint, 'one with 30 % is, within 25 mails');
SELECT * FROM finish();
ROLLBACK;
