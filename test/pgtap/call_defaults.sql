-- Calls of enqueue that leave parameters out: completed by our planner hook once the function was called in this session
-- (call_defaults.hpp), and by the planner otherwise. Both must come to the same, whatever becomes of the defaults.
BEGIN;
SELECT no_plan();
SET client_min_messages = warning;
SELECT mailer.mailbox_create('one', 'smtp.example.com', from_address => 'one@example.com') \g /dev/null
SELECT mailer.template_set('hello', 'Hello', 'B') \g /dev/null
SELECT pg_get_functiondef('mailer.enqueue'::regproc) AS definition \gset
CREATE TEMP TABLE seen (call text PRIMARY KEY, before jsonb, after jsonb);

CREATE FUNCTION pg_temp.mail(call text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
    as_row jsonb;
BEGIN
    EXECUTE 'SELECT mailer.enqueue(' || call || ')' INTO STRICT id;
    SELECT (to_jsonb(m) || to_jsonb(q)) - 'message_id' - 'internet_message_id' INTO STRICT as_row
    FROM mailer.message m JOIN mailer.queue_entry q USING (message_id) WHERE m.message_id = id;
    RETURN as_row;
END;
$$;
-- A change of any function makes the session forget.
CREATE FUNCTION pg_temp.forget() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE OR REPLACE FUNCTION pg_temp.any() RETURNS int LANGUAGE sql AS 'SELECT 1';
END;
$$;

INSERT INTO seen (call) VALUES
    ($$'a@example.com', 'S', 'B'$$),
    ($$'a@example.com', 'S', 'B', '<p>B</p>'$$),
    ($$'a@example.com', template => 'hello'$$),
    ($$send_at => now() + interval '1 day', body_text => 'B', subject => 'S', recipient => 'a@example.com'$$),
    ($$'a@example.com', 'S', priority => 4, body_html => '<p>B</p>', thread_key => 't', variables => '{"a": 1}'$$),
    ($$'a@example.com', 'S', 'B', kind => 'warmup', external_id => 'x'$$),
    ($$'a@example.com', 'S', 'B', NULL, NULL, '{}', NULL, NULL, 'c@example.com', NULL, NULL, '{"X-A": "b"}', '{}', NULL, NULL, 1, NULL, NULL, NULL,
        'normal', NULL, NULL$$);
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT call FROM seen LOOP
        PERFORM pg_temp.forget();
        UPDATE seen SET before = pg_temp.mail(call) WHERE call = one.call;
        UPDATE seen SET after = pg_temp.mail(call) WHERE call = one.call;
    END LOOP;
END;
$$;
SELECT is(after, before, 'the second call is as the first: ' || call) FROM seen;
SELECT is((SELECT count(*) FROM seen WHERE before ->> 'subject' = 'S' AND before ->> 'template' IS NULL), 6::bigint, 'and as it was written');

SELECT is((SELECT count(mailer.enqueue(address, 'S', 'B')) FROM unnest('{a@example.com,b@example.com}'::text[]) address), 2::bigint,
    'within another function');
PREPARE queue(text, int) AS SELECT mailer.enqueue($1, 'S', 'B', priority => $2);
EXECUTE queue('a@example.com', 3) \gset
SELECT is((SELECT q.priority::int FROM mailer.queue_entry q WHERE q.message_id = :enqueue), 3, 'with parameters');

-- What a call that is planned now must not take from before.
SELECT replace(:'definition', 'priority integer DEFAULT 2', 'priority integer DEFAULT 3') AS other_default \gset
:other_default;
SELECT is(pg_temp.mail($$'a@example.com', 'S', 'B'$$) ->> 'priority', '3', 'another default counts at once')
FROM generate_series(1, 2);
SAVEPOINT before_that;
SELECT replace(:'definition', 'priority integer DEFAULT 2', 'priority integer DEFAULT (1 + floor(random())::int)') AS computed_default \gset
:computed_default;
SELECT is(pg_temp.mail($$'a@example.com', 'S', 'B'$$) ->> 'priority', '1', 'one that is no constant is computed')
FROM generate_series(1, 2);
ROLLBACK TO before_that;
SELECT is(pg_temp.mail($$'a@example.com', 'S', 'B'$$) ->> 'priority', '3', 'one that was rolled back is gone')
FROM generate_series(1, 2);

SELECT throws_ok($$SELECT mailer.enqueue()$$, '42883', NULL, 'a parameter without a default must be given');
SELECT throws_ok($$SELECT mailer.enqueue(subject => 'S')$$, '42883', NULL, 'by name, too');
SELECT * FROM finish();
ROLLBACK;
