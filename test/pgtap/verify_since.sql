-- verify(since) looks at what happened since and not at the rest, however much that is: counted in rows read of each table.
BEGIN;
SELECT no_plan();
SET client_min_messages = warning;
SELECT mailer.mailbox_create('one', 'smtp.example.com', from_address => 'one@example.com') \g /dev/null

-- A mail a minute until two hours ago, and some in the last hour: to two recipients each, with an attachment, all sent. The time
-- indexes are summarised as autovacuum does it.
CREATE FUNCTION pg_temp.mails_until(last timestamptz, how_many integer, gap interval) RETURNS void
LANGUAGE sql AS $$
    WITH ids AS (SELECT nextval('mailer.message_id_seq') AS id, n, last - (how_many - n) * gap AS at FROM generate_series(1, how_many) n),
    mail AS (INSERT INTO mailer.message (message_id, created_at, tenant_id, principal_id, lane_id, addresses, roles, address_key, header_to, internet_message_id, subject, body_text)
        SELECT id, at, 1, 1, 1, ARRAY['u' || n || '@example.com', 'v@example.com'], 'tt', 'u' || n || '@example.com', 'u@example.com', '<x@example.com>', 'S', 'B' FROM ids),
    settled AS (INSERT INTO mailer.outcome (message_id, state, settled_at, mailbox_id, try_count) SELECT id, 'S', at, 1, 1 FROM ids),
    file AS (INSERT INTO mailer.message_attachment (message_id, n, filename, content) SELECT id, 1, 'a', 'x' FROM ids),
    person AS (INSERT INTO mailer.recipient (message_id, n, state) SELECT id, r, 'S' FROM ids CROSS JOIN generate_series(1, 2) r),
    counted AS (INSERT INTO mailer.tally_delta (sent) VALUES (how_many)),
    happened AS (INSERT INTO mailer.event (at, kind) SELECT at, 'other' FROM ids)
    INSERT INTO mailer.attempt (message_id, attempt, mailbox_id, started_at, dot_at, finished_at, stage, outcome)
    SELECT id, 1, b.mailbox_id, at, at, at, 'done', 'sent' FROM ids CROSS JOIN mailer.mailbox b WHERE b.name = 'one'
$$;
SELECT pg_temp.mails_until(now() - interval '2 hours', 100000, '1 min') \g /dev/null
SELECT pg_temp.mails_until(now() - interval '1 min', 50, '1 min') \g /dev/null
SELECT brin_summarize_new_values(c.oid) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'brin' AND c.relnamespace = 'mailer'::regnamespace \g /dev/null

CREATE FUNCTION pg_temp.rows_read() RETURNS TABLE (name text, rows_read bigint)
LANGUAGE sql AS $$
    SELECT c.relname::text, pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid) FROM pg_class c
    WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'r'
$$;
CREATE TEMPORARY TABLE before AS SELECT * FROM pg_temp.rows_read();
CREATE TEMPORARY TABLE verified AS SELECT * FROM mailer.verify(now() - interval '1 hour');
CREATE TEMPORARY TABLE since AS SELECT a.name, a.rows_read - b.rows_read AS rows_read FROM pg_temp.rows_read() a JOIN before b USING (name);

-- An index over time finds ranges of 1 MB, and several invariants look at the same table: a good part of 100,000 rows, but
-- never all of them as even one query over the whole table would.
SELECT is_empty('SELECT * FROM since WHERE name IN (''recipient'', ''message_attachment'', ''queue_entry'', ''captured_mail'') AND rows_read > 10000',
    'what is bounded by the first message of that time is read from about there on');
SELECT is_empty('SELECT * FROM since WHERE rows_read >= 100000', 'no table is read as a whole');
SELECT is((SELECT count(*) FROM verified), (SELECT count(*) FROM mailer.verify()) - 1, 'every invariant but the totals is looked at');
SELECT is((SELECT current_setting('enable_seqscan') || current_setting('max_parallel_workers_per_gather')), 'on2', 'and the session''s settings are what they were');
SELECT * FROM finish();
ROLLBACK;
