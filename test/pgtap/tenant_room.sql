-- max_pending of a tenant: how many of its messages may wait at a time.
BEGIN;
SELECT no_plan();
\ir fixture.psql

CREATE ROLE tap_app;
CREATE ROLE tap_mate;
CREATE ROLE tap_operator;
SELECT mailer.grant_sender('tap_app'), mailer.grant_sender('tap_mate', 'tap_app'), mailer.grant_operator('tap_operator') \g /dev/null
CREATE FUNCTION pg_temp.fill(n integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(mailer.enqueue('lead' || i || '@example.com', 's', 'b')) FROM generate_series(1, n) i $$;

-- ── Who sets it, and to what ───────────────────────────────────────────────────────────────────────────────────────
SET ROLE tap_app;
SELECT throws_ok($$SELECT mailer.tenant_alter('tap_app', '{"max_pending": null}')$$, '42501', NULL, 'a sender doesn''t lift its limit');
SELECT is(pg_temp.fill(12), 12::bigint, 'without a limit there is none');
RESET ROLE;
SET ROLE tap_operator;
SELECT lives_ok($$SELECT mailer.tenant_alter('tap_app', '{"max_pending": 10}')$$, 'an operator sets one');
SELECT throws_ok($$SELECT mailer.tenant_alter('nobody', '{}')$$, '42704', 'tenant "nobody" does not exist');
SELECT throws_ok($$SELECT mailer.tenant_alter(NULL, '{}')$$, '42704');
SELECT throws_ok($$SELECT mailer.tenant_alter('tap_app', '{"max_sent": 1}')$$, '22023', 'unknown setting "max_sent"');
SELECT throws_ok(format($$SELECT mailer.tenant_alter('tap_app', '{"max_pending": %s}')$$, v), '22023', 'max_pending must be a number of messages', 'not ' || v)
FROM unnest(ARRAY['0', '-1', '1.5', '1e131071', '1000000001', '"NaN"', 'true', '[1]', '{}']) v;
SELECT throws_ok($$SELECT mailer.tenant_alter('operator', '{"max_pending": 10}')$$, '22023', 'the operators'' mail has no limit');
RESET ROLE;
SELECT results_eq($$SELECT by_role, detail ->> 'max_pending' FROM mailer.event_log WHERE kind = 'tenant_altered'$$, $$VALUES ('tap_operator', '10')$$, 'the log says who');

-- ── What it does ───────────────────────────────────────────────────────────────────────────────────────────────────
SET ROLE tap_app;
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b')$$, '53400', 'too many messages of tenant "tap_app" wait to be sent', 'what waits beyond it stays, no more comes');
SET ROLE tap_mate;
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b')$$, '53400', NULL, 'whichever role of the tenant queues it');
RESET ROLE;
SELECT lives_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b')$$, 'others'' mail goes on');
SELECT lives_ok($$SELECT mailer.cancel(message_id) FROM mailer.message_status WHERE queued_by = 'tap_app' ORDER BY message_id LIMIT 5$$);
SET ROLE tap_app;
SELECT is(pg_temp.fill(2), 2::bigint, 'two more fit when five are gone');
SELECT throws_ok($$SELECT mailer.enqueue_batch('{a@example.com,b@example.com}', 's', 'b')$$, '53400', NULL, 'a batch goes in whole or not at all');
SELECT lives_ok($$SELECT mailer.enqueue_batch('{a@example.com}', 's', 'b')$$, 'one more fits');
SELECT throws_ok($$SELECT mailer.enqueue_raw('{a@example.com}', E'From: one@example.com\r\n\r\nx')$$, '53400', NULL, 'raw mails are counted');
RESET ROLE;
SELECT mailer.tenant_alter('tap_app', '{"max_pending": 12}') \g /dev/null
SET ROLE tap_app;
SELECT throws_ok($$SELECT mailer.enqueue_batch('{a@example.com,a@example.com,b@example.com}', 's', 'b')$$, '53400', NULL, 'three recipients want three places …');
SELECT lives_ok($$SELECT mailer.enqueue_batch('{a@example.com,a@example.com}', 's', 'b')$$, '… and take as many as there are mails');
SELECT is(mailer.enqueue('k@example.com', 's', 'b', idempotency_key => 'k'), mailer.enqueue('k@example.com', 's', 'b', idempotency_key => 'k'), 'a repetition needs no room');
SELECT throws_ok($$SELECT mailer.enqueue('l@example.com', 's', 'b', idempotency_key => 'l')$$, '53400', NULL, 'another key does');
RESET ROLE;
SELECT results_eq($$SELECT tenant, waiting, max_pending FROM mailer.tenant_status ORDER BY tenant$$,
    $$SELECT t.name, (SELECT count(*) FROM mailer.queue_entry q JOIN mailer.message m USING (message_id) WHERE m.tenant_id = t.id), t.max_pending FROM mailer.tenant t ORDER BY 1$$, 'tenant_status shows all to those who see all');
SELECT ok(mailer.metrics() LIKE '%mailer_tenant_waiting{tenant="tap_app"} 12%mailer_tenant_max_pending{tenant="tap_app"} 12%', 'metrics() counts it');
SET ROLE tap_mate;
SELECT results_eq($$SELECT tenant, waiting, max_pending, roles FROM mailer.tenant_status$$, $$VALUES ('tap_app', 12::bigint, 12::bigint, '{tap_app,tap_mate}'::text[])$$, 'and a tenant itself');
RESET ROLE;
SELECT mailer.tenant_alter('tap_app', '{"max_pending": null}') \g /dev/null
SET ROLE tap_app;
SELECT is(pg_temp.fill(3), 3::bigint, 'null takes the limit away');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
