-- The latest problems in report(): found among any number of tries that went well, without reading those.
BEGIN;
SELECT plan(3);

INSERT INTO mailer.attempt (message_id, attempt, started_at, finished_at, stage, outcome)
SELECT n, 1, now() - n * interval '1 s', now() - n * interval '1 s', 'done', 'sent' FROM generate_series(1, 50000) n;
ANALYZE mailer.attempt;
SELECT matches(mailer._report_problems(), 'None in the last two days', 'all went well');
CREATE FUNCTION pg_temp.plan() RETURNS text LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    line text;
    lines text := '';
BEGIN
    FOR line IN EXPLAIN (COSTS OFF) SELECT t.* FROM mailer.attempt t WHERE t.finished_at > mailer._now() - interval '2 days' AND t.finished_at <= mailer._now()
        AND t.outcome <> 'sent' ORDER BY t.finished_at DESC LIMIT 20 LOOP
        lines := lines || line || E'\n';
    END LOOP;
    RETURN lines;
END;
$$;
SELECT matches(pg_temp.plan(), 'Index Scan Backward using attempt_unsent', 'which an index of the others says');
INSERT INTO mailer.attempt (message_id, attempt, started_at, finished_at, stage, outcome, reply) VALUES (-1, 1, now(), now(), 'rcpt', 'failed', '550 no such user');
SELECT matches(mailer._report_problems(), '550 no such user', 'the one that did not is shown');

SELECT * FROM finish();
ROLLBACK;
