-- What people store has bounds: refused at the door in a sentence with the values that fit, and again by the tables; and an
-- error that somebody raises in a recipients function is nobody else's, whatever its code.
BEGIN;
SET client_min_messages = error;
SELECT no_plan();
SELECT mailer.mailbox_create('desk', 'localhost', 25, 'desk@example.com', tls => 'none') \g /dev/null
SELECT mailer.template_set('hello', 'Hello', 'Hello') \g /dev/null

-- ── Sentences ────────────────────────────────────────────────────────────────────────────────────────────────────
SELECT throws_ok(c.call, '22023', c.said, c.call) FROM (VALUES
    ($$SELECT mailer.mailbox_create('x', 'h', 0, 'a@example.com')$$, 'port must be 1 to 65535'),
    ($$SELECT mailer.mailbox_create('x', 'h', 25, 'a@example.com', tls => 'ssl')$$, 'tls "ssl" is not known'),
    ($$SELECT mailer.mailbox_create('x', 'h', 25, 'a@example.com', gap => '178000000 years')$$, 'gap must not be longer than 100 years'),
    ($$SELECT mailer.mailbox_create('x', 'h', 25, 'a@example.com', gap => '-1 s')$$, 'gap must not be negative'),
    ($$SELECT mailer.mailbox_create('x', 'h', 25, 'a@example.com', daily_limit => -1)$$, 'daily_limit must not be negative'),
    ($$SELECT mailer.mailbox_alter('desk', '{"ramp_start": 1, "ramp_step": 1, "ramp_from": "4713-01-01 BC"}')$$, 'ramp_from must be a time from 1970 to 9999'),
    ($$SELECT mailer.mailbox_alter('desk', '{"port": 1e30}')$$, 'setting "port" has a value of another type'),
    ($$SELECT mailer.mailbox_alter('desk', '{"daily_limit": 5, "gap": "soon", "name": "x"}')$$, 'setting "gap" has a value of another type'),
    ($$SELECT mailer.campaign_create('x', 'hello', starts_at => '2027-01-02', ends_at => '2027-01-01')$$, 'a campaign can''t end before it starts'),
    ($$SELECT mailer.enqueue('a@example.com', 'S', 'B', loader => 'f(bigint, jsonb)')$$, 'loader "f(bigint, jsonb)" is not the name of a function'),
    ($$SELECT mailer.enqueue('a@example.com', 'S', 'B', send_if => 'is_closed = false')$$, 'send_if "is_closed = false" is not the name of a function'),
    ($$SELECT mailer.mailbox_alter('desk', '{"timezone": "<abc>+99"}')$$, 'time zone "<abc>+99" is not known'),
    ($$SELECT mailer.mailbox_alter('desk', '{"timezone": "EST5"}')$$, 'time zone "EST5" is not known'),
    ($$SELECT mailer.campaign_create('x', 'hello', jitter => 2)$$, 'jitter must be 0 to 0.9'),
    ($$SELECT mailer.campaign_create('x', 'hello', jitter => 'NaN')$$, 'jitter must be 0 to 0.9'),
    ($$SELECT mailer.campaign_create('x', 'hello', starts_at => '294276-01-01')$$, 'starts_at must be a time from 1970 to 9999'),
    ($$SELECT mailer.campaign_create('x', 'hello', window_start => '09:00:30')$$, 'window_start and window_end must be whole minutes'),
    ($$SELECT mailer.campaign_create('x', 'hello', max_per_day => 0)$$, 'max_per_day must be at least 1'),
    ($$SELECT mailer.category_set('x', rate_period => '178000000 years')$$, 'rate_period must not be longer than 100 years'),
    ($$SELECT mailer.suppress('a@example.com', expires_at => 'infinity')$$, 'expires_at must be a time from 1970 to 9999'),
    ($$SELECT mailer.enqueue('a@example.com', 's', 'b', send_at => '294276-12-31')$$, 'send_at must be a time from 1970 to 9999'),
    ($$SELECT mailer.enqueue('a@example.com', 's', 'b', send_at => '-infinity')$$, 'send_at must be a time from 1970 to 9999'),
    ($$SELECT mailer.enqueue_batch('{a@example.com}', 's', 'b', gap => '292271 years')$$, 'gap must not be longer than 100 years'),
    ($$SELECT mailer.enqueue_batch('{a@example.com}', 's', 'b', gap => '71000000 mons -2130000000 days')$$, 'gap must not be longer than 100 years')
) c(call, said);
SELECT throws_ok(c.call, '54000', NULL, c.what) FROM (VALUES
    ($$SELECT mailer.enqueue('a@example.com', repeat('s', 70000), 'b')$$, 'a subject has 64 kB'),
    ($$SELECT mailer.enqueue(repeat('n', 70000) || ' <a@example.com>', 's', 'b')$$, 'a display name has 64 kB'),
    ($$SELECT mailer.enqueue('a@example.com', 's', 'b', headers => jsonb_build_object('X-A', repeat('v', 1100000)))$$, 'headers have 1 MB'),
    ($$SELECT mailer.enqueue('a@example.com', 's', 'b', variables => jsonb_build_object('a', repeat('v', 17000000)))$$, 'variables have 16 MB'),
    ($$SELECT mailer.enqueue('a@example.com', 's', repeat('b', 14000000), attachments => ARRAY[mailer.attach('a', decode(repeat('00', 10000000), 'hex'))])$$,
        'bodies and attachments together have mailer.max_message_size')
) c(call, what);
SELECT throws_ok($$SELECT mailer.render('{{a}}', jsonb_build_object('a', ('[' || repeat('1e131071,', 200) || '1]')::jsonb))$$, '54000', 'variables are too large',
    'numbers are as large as they are written');

-- The context names a wrapper's own place, and none of ours.
CREATE FUNCTION pg_temp.context_of(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
    EXECUTE call;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS said = PG_EXCEPTION_CONTEXT;
    RETURN said;
END $$;
CREATE FUNCTION pg_temp.state_of(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call;
    RETURN '00000';
EXCEPTION WHEN query_canceled OR OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT unalike(pg_temp.context_of($$SELECT mailer.mailbox_create('x', 'h', 0, 'a@example.com')$$), '%\_check%', 'no function of ours stands in the context');
SELECT alike(pg_temp.context_of($$SELECT mailer.mailbox_create('x', 'h', 0, 'a@example.com')$$), '%context_of%', 'the caller''s own does');

-- ── The tables say it too ────────────────────────────────────────────────────────────────────────────────────────
-- Settings and what users ask for; what the engine alone writes is clamped where it is read.
SELECT is_empty($$
    SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
      AND (a.atttypid = 'interval'::regtype OR a.atttypid = 'timestamptz'::regtype AND a.attname IN ('send_at', 'expires_at', 'starts_at', 'due_at') AND c.relname NOT IN ('oauth_consent', 'oauth_device', 'oauth_token')
           OR a.attname = 'ramp_from') AND a.attname NOT IN ('connect_timeout', 'connections_pause')
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND a.attnum = ANY (k.conkey) AND pg_get_constraintdef(k.oid) ~ '3155760000|316224000|1970')
$$, 'every interval and time that is asked for has bounds in its table');
SELECT throws_ok($$UPDATE mailer.mailbox SET gap = '178000000 years'$$, '23514', NULL, 'the owner is refused too');
SELECT lives_ok($$UPDATE mailer.mailbox SET gap = '100 years'$$, 'a century is allowed');
UPDATE mailer.mailbox SET gap = '0';
SELECT is(mailer._known_zone('Europe/Nowhere'), 'UTC', 'what must be shown is shown in UTC where the zone is not known');

-- ── A trigger's statement ────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE public.ticket (id int, code text);
CREATE FUNCTION public.raises(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'raised' USING ERRCODE = new_row ->> 'code';
END $$;
CREATE TRIGGER mails AFTER INSERT ON public.ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('hello', 'public.raises');
SELECT lives_ok(format('INSERT INTO public.ticket VALUES (1, %L)', c), 'an error raised with SQLSTATE ' || c || ' fails no statement')
FROM unnest(ARRAY['57014', '57P01', '57P05', '57000', 'XX000', 'P0004', '40001', '55P03', '53200', '25P02', '08006']) c;
SELECT is((SELECT count(*) FROM mailer.event WHERE kind = 'notification_failed'), 11::bigint, 'each is an event');
CREATE TABLE public.parcel (id int);
CREATE FUNCTION public.one_person(new_row jsonb) RETURNS TABLE (recipient text) LANGUAGE sql AS $$ SELECT 'a@example.com' $$;
CREATE TRIGGER mails AFTER INSERT ON public.parcel FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('hello', 'public.one_person', '5 parsecs');
INSERT INTO public.parcel VALUES (1);
SELECT results_eq($$SELECT detail ->> 'message', detail ->> 'detail', detail ->> 'hint' FROM mailer.event_log WHERE detail ->> 'table' = 'public.parcel'$$,
    $$VALUES ('the gap of notify_trigger is not an interval', 'invalid input syntax for type interval: "5 parsecs"',
        'Its third argument is the time between two mails, such as ''5 s''.')$$, 'the event says which argument it was');
CREATE FUNCTION public.lasts(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE plpgsql AS $$
BEGIN
    LOOP END LOOP;
END $$;
CREATE TABLE public.slow (id int);
CREATE TRIGGER mails AFTER INSERT ON public.slow FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('hello', 'public.lasts');
SET LOCAL statement_timeout = '200 ms';
SELECT is(pg_temp.state_of('INSERT INTO public.slow VALUES (1)'), '57014', 'a time-out ends the statement');
SET LOCAL statement_timeout = 0;
CREATE TABLE public.outer_one (id int);
CREATE FUNCTION public.nests(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.slow VALUES (1);
END $$;
CREATE TRIGGER mails AFTER INSERT ON public.outer_one FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('hello', 'public.nests');
SET LOCAL statement_timeout = '200 ms';
SELECT is(pg_temp.state_of('INSERT INTO public.outer_one VALUES (1)'), '57014', 'also through a trigger within a trigger');
SET LOCAL statement_timeout = 0;

-- ── Rendering ends when the statement does ───────────────────────────────────────────────────────────────────────
SET LOCAL statement_timeout = '30 ms';
SELECT is(pg_temp.state_of($$SELECT mailer.render('{{#a}}{{#a}}{{#x}}{{/x}}{{/a}}{{/a}}', jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 3000) i)))$$), '57014',
    'rendering is interrupted by statement_timeout');
SET LOCAL statement_timeout = 0;

SELECT * FROM finish();
ROLLBACK;
