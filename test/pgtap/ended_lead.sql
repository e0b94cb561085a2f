-- A failed or unconfirmed mail of a lead whose sequence has ended since is not queued again, neither one by one nor with its campaign: lead_restore first.
BEGIN;
SELECT no_plan();
\ir fixture.psql

CREATE FUNCTION pg_temp.ends(id bigint, how "char") RETURNS void LANGUAGE sql AS $$
    DELETE FROM mailer.queue_entry WHERE message_id = id;
    INSERT INTO mailer.outcome (message_id, state, reason, settled_at, try_count)
    VALUES (id, how, CASE how WHEN 'f' THEN 'rejected' ELSE 'reply_lost' END, now(), 0);
    INSERT INTO mailer.tally_delta (campaign_id, queued, failed, unconfirmed)
    SELECT m.campaign_id, -1, (how = 'f')::integer, (how = 'u')::integer FROM mailer.message m WHERE m.message_id = id;
$$;
CREATE FUNCTION pg_temp.states() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(split_part(s.recipient, '@', 1) || ' ' || s.state, ', ' ORDER BY s.message_id) FROM mailer.message_status s WHERE s.campaign_id IS NOT NULL
$$;
SELECT pg_temp.ends(:ada, 'f'), pg_temp.ends(:bob, 'f'), pg_temp.ends(:cy, 'u') \g /dev/null
SELECT mailer._stop_leads('ada@example.com', 'replied'), mailer.lead_stop(:spring, 'cy@example.com', 'asked by phone') \g /dev/null

SELECT is(mailer.campaign_retry_failed(:spring), 1::bigint, 'failed ones are tried again, but for whom has replied');
SELECT is(pg_temp.states(), 'ada failed, bob pending, cy unconfirmed', 'nothing of the others waits');
SELECT is(mailer.retry(:ada), false, 'nor is a single one');
SELECT throws_ok(format('SELECT mailer.resolve(%s, ''resend'')', :cy), '55000', format('message %s is not sent again', :cy), 'an unconfirmed one of a stopped lead is not sent again');
SELECT throws_matching(format('SELECT mailer.resolve(%s, ''resend'')', :bob), 'is not unconfirmed', 'what waits isn''t either, for another cause');
SELECT is(pg_temp.states(), 'ada failed, bob pending, cy unconfirmed', 'they stay as they were');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');

SELECT mailer.lead_restore(:spring, 'ada@example.com'), mailer.lead_restore(:spring, 'cy@example.com') \g /dev/null
SELECT is(pg_temp.states(), 'ada pending, bob pending, cy unconfirmed', 'a lead that is restored gets its mail');
SELECT mailer.resolve(:cy, 'resend') \g /dev/null
SELECT is(pg_temp.states(), 'ada pending, bob pending, cy pending', 'and what was unconfirmed may be sent again');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');
SELECT * FROM finish();
ROLLBACK;
