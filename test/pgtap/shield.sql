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
SELECT is((SELECT array_agg(mailer._shield_feedback('c', :spring, m, 'bounce')) FROM (SELECT unnest(s.messages[1:6]) AS m FROM mailer.shield s WHERE s.scope = 'c' AND s.id = :spring) x),
    ARRAY[NULL, NULL, NULL, NULL, NULL, '6 of the last 50 mails were refused or bounced (12.0 %)'], 'six of fifty that bounce later shut it');
SELECT mailer._shield_open('c', :spring) \g /dev/null
SELECT is(pg_temp.play(repeat('aaaaaaar', 5)), '40: 5 of the last 40 mails were refused or bounced (12.5 %)', 'five are enough among 40');
SELECT mailer._shield_open('c', :spring) \g /dev/null
SELECT is(pg_temp.play('a' || repeat('aaaaaaar', 5) || repeat('a', 40) || 'r'), '82: 6 of the last 82 mails were refused or bounced (7.3 %)', 'among more it takes six');
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

-- Mails that are settled together count one after the other.
CREATE FUNCTION pg_temp.settle_together(outcomes text) RETURNS text
LANGUAGE sql AS $$
    SELECT reason FROM mailer._shields_settled(
        ARRAY(SELECT pg_temp.sent_mail(ARRAY[format('t%s@%s.example', i, md5(outcomes))]) FROM generate_series(1, length(outcomes)) i),
        array_fill((SELECT campaign_id FROM mailer.campaign WHERE name = 'spring'), ARRAY[length(outcomes)]), array_fill(NULL::bigint, ARRAY[length(outcomes)]),
        ARRAY(SELECT CASE WHEN o = 'r' THEN '550 5.1.1' END FROM unnest(string_to_array(outcomes, NULL)) o))
$$;
SELECT mailer.campaign_alter(:spring, '{"shield": 0.05}'), mailer._shield_open('c', :spring) \g /dev/null
SELECT is(pg_temp.settle_together('arrrrra' || repeat('a', 60)), '5 different recipients in a row were refused with 550 5.1.1', 'an acceptance that comes after five in a row hides nothing');
SELECT is((SELECT count(*) FROM mailer.event_log WHERE kind = 'shield_shut' AND campaign_id = :spring AND detail ->> 'reason' LIKE '5 different%'), 3::bigint, 'each of three rows shut it once');
SELECT mailer._shield_open('c', :spring) \g /dev/null
SELECT is(pg_temp.settle_together(repeat('ra', 5) || repeat('a', 190)), '5 of the last 9 mails were refused or bounced (55.6 %)', 'nor one that comes after a share that was too large');
SELECT mailer._shield_open('c', :spring) \g /dev/null
SELECT is(pg_temp.settle_together(repeat('a', 200) || repeat('aaaar', 10)), NULL, 'ten of the last 200 are 5 %, not more');
SELECT is(pg_temp.settle_together('aaaar'), '11 of the last 200 mails were refused or bounced (5.5 %)', 'and it is the last 200 that count');
SELECT mailer._shield_open('c', :spring) \g /dev/null

-- On the way there: more than 2 % of at least 50.
SELECT pg_temp.play(repeat('a', 49) || 'r') \g /dev/null
SELECT is_empty($$SELECT FROM mailer.health() WHERE subject = 'campaign spring' AND problem LIKE '%were refused or bounced'$$, 'one of 50 is 2 %, not more');
SELECT pg_temp.play('r') \g /dev/null
SELECT results_eq($$SELECT severity, problem FROM mailer.health() WHERE subject = 'campaign spring' AND problem LIKE '%were refused or bounced'$$,
    $$VALUES ('warning', '2 of its last 51 mails were refused or bounced')$$, 'two of 51 are a warning');
SELECT mailer._shield_open('c', :spring) \g /dev/null

-- What it does to lists of 1,000 in which each address is dead with a certain probability. The boundary is the shield's own: the
-- fewest refusals among so many mails at which it shuts. A list shuts it only where another mail is refused, so only those are drawn.
CREATE TEMPORARY TABLE boundary AS
SELECT n, (SELECT min(bad) FROM generate_series(1, 20) bad
           WHERE mailer._shield_verdict(jsonb_populate_record(NULL::mailer.shield, jsonb_build_object('row_messages', ARRAY[]::bigint[],
               'complaints_at', ARRAY[]::bigint[], 'counted', n, 'faults', array_fill(true, ARRAY[bad]) || array_fill(false, ARRAY[n - bad]))), 0.05) IS NOT NULL) AS bad
FROM generate_series(20, 200) n;
CREATE FUNCTION pg_temp.stopped(share double precision, mails integer, lists integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    needed CONSTANT integer[] := array_fill(5, ARRAY[19]) || ARRAY(SELECT b.bad FROM boundary b ORDER BY b.n);
    refused integer[];
    place integer;
    stopped integer := 0;
BEGIN
    PERFORM setseed(0.42);
    FOR list IN 1..lists LOOP
        refused := '{}';
        place := 0;
        LOOP
            place := place + 1 + floor(ln(1 - random()) / ln(1 - share));
            EXIT WHEN place > mails;
            refused := place || refused;
            -- The row of five is part of it: five in a row are five among the last 200.
            IF cardinality(refused) >= 5 AND (refused[5] = place - 4
                OR place - refused[needed[LEAST(place, 200)]] < LEAST(place, 200))
            THEN
                stopped := stopped + 1;
                EXIT;
            END IF;
        END LOOP;
    END LOOP;
    RETURN stopped;
END;
$$;
SELECT cmp_ok(pg_temp.stopped(0.02, 1000, 50000), '<', 4500, 'of lists with a true 2 %, 91 of 100 are not stopped');
SELECT cmp_ok(pg_temp.stopped(0.3, 25, 20000), '>', 18000, 'of lists with 30 %, nine of ten are within 25 mails');
SELECT cmp_ok(pg_temp.stopped(0.3, 50, 20000), '>', 19900, 'and nearly all within 50');

-- The same with the shield itself, a few lists in random order.
SELECT setseed(0.42) \g /dev/null
CREATE FUNCTION pg_temp.is_stopped(dead integer, mails integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    of_list CONSTANT bigint := nextval('mailer.message_id_seq');
    said text;
BEGIN
    SELECT mailer._shield_settled('c', of_list, 0.05, array_agg(-l.i), array_agg(CASE WHEN l.i <= dead THEN '550 5.1.1' END ORDER BY l.place))
    INTO said FROM (SELECT i, row_number() OVER (ORDER BY random()) AS place FROM generate_series(1, 1000) i) l WHERE l.place <= mails;
    RETURN said IS NOT NULL;
END;
$$;
SELECT cmp_ok((SELECT count(*) FROM generate_series(1, 100) WHERE NOT pg_temp.is_stopped(20, 1000)), '>=', 90::bigint, 'a list with a true 2 % is not stopped in 9 of 10 runs');
SELECT cmp_ok((SELECT count(*) FROM generate_series(1, 100) WHERE pg_temp.is_stopped(300, 25)), '>=', 85::bigint, 'one with 30 % is, within 25 mails');
SELECT * FROM finish();
ROLLBACK;
