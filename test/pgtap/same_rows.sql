-- The rows of enqueue(), enqueue_batch(), campaign_add_many() and notify() are the same whether they are written without
-- the executor or, because somebody altered the tables, by INSERT. And the list of what a table must have for the first
-- is what a new installation has: every change of it is noticed, and only while it lasts.
BEGIN;
SELECT no_plan();
\ir fixture.psql
SELECT mailer.contact_set('owner', 'owner@example.com', 'Olga') \g /dev/null
SELECT mailer.category_set('likes', rate_limit => 3, rate_period => '1 day'), mailer.category_set('plain') \g /dev/null
SELECT current_setting('server_version_num')::integer >= 140000 AS is_direct \gset

SELECT is_empty($$SELECT * FROM mailer._table_changes()$$, 'a new installation has what the list says');

-- ── The same rows ──────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION pg_temp.maybe(value anyelement, odds float8 DEFAULT 0.5) RETURNS anyelement LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN random() < odds THEN value END $$;
CREATE FUNCTION pg_temp.words(most integer) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT string_agg(chr(CASE WHEN i % 7 = 0 THEN 32 ELSE (ARRAY[97, 97, 224, 950, 20000])[1 + i % 5] + (random() * 20)::integer END), '') FROM generate_series(1, 1 + (random() * most)::integer) i $$;

-- Whatever can be asked for, drawn from the seed.
CREATE FUNCTION pg_temp.play(campaign bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t CONSTANT timestamptz := now();
    size integer;
BEGIN
    PERFORM setseed(0.4);
    FOR i IN 1 .. 80 LOOP
        PERFORM mailer.enqueue('user' || i || '@Example.COM', pg_temp.words(60), COALESCE(pg_temp.words(CASE WHEN i % 10 = 0 THEN 30000 ELSE 300 END), ''),
            body_html => pg_temp.maybe('<p>' || pg_temp.words(100)), cc => pg_temp.maybe('Ada <ada@example.com>, bob@bücher.example'::text, 0.3),
            bcc => pg_temp.maybe('c' || i || '@example.com', 0.2), reply_to => pg_temp.maybe('r@example.com'::text),
            headers => CASE WHEN random() < 0.3 THEN '{"X-N": "1"}' ELSE '{}' END::jsonb, send_at => pg_temp.maybe(t + i * interval '1 min'),
            expires_at => pg_temp.maybe(t + interval '2 days'), priority => (random() * 4)::integer, idempotency_key => pg_temp.maybe('key ' || i, 0.3),
            external_id => pg_temp.maybe('order ' || i), thread_key => pg_temp.maybe('thread ' || i % 5), kind => CASE WHEN random() < 0.2 THEN 'warmup' ELSE 'normal' END,
            options => pg_temp.maybe('{"language": "pl"}'::jsonb, 0.2));
        PERFORM mailer.enqueue('t' || i || '@example.com', template => 'hello', variables => jsonb_build_object('name', pg_temp.words(2000)));
    END LOOP;
    FOREACH size IN ARRAY '{1,30,240}'::integer[] LOOP
        PERFORM mailer.enqueue_batch(ARRAY(SELECT CASE WHEN random() < 0.05 THEN 'bad ' || i ELSE 'b' || i || '@example.com' END FROM generate_series(1, size) i),
            pg_temp.words(60), pg_temp.words(300), external_id => pg_temp.maybe('batch ' || size));
        PERFORM mailer.campaign_add_many(campaign, ARRAY(SELECT 'lead' || size || '.' || i || '@example.com' FROM generate_series(1, size) i),
            ARRAY(SELECT jsonb_build_object('name', pg_temp.words(9)) FROM generate_series(1, size)),
            ARRAY(SELECT pg_temp.maybe('lead ' || i) FROM generate_series(1, size) i), ARRAY(SELECT pg_temp.maybe('Asia/Tokyo'::text) FROM generate_series(1, size)),
            ARRAY(SELECT pg_temp.maybe(t + i * interval '1 h') FROM generate_series(1, size) i), ARRAY(SELECT pg_temp.maybe(i % 5) FROM generate_series(1, size) i));
    END LOOP;
    FOR i IN 1 .. 20 LOOP
        PERFORM mailer.notify(CASE WHEN random() < 0.7 THEN 'owner' ELSE 'user ' || i END, CASE WHEN random() < 0.5 THEN 'likes' ELSE 'plain' END, 'hello',
            jsonb_build_object('name', pg_temp.words(50)), pg_temp.maybe('ada'::text), pg_temp.maybe('post ' || i % 3));
    END LOOP;
END;
$$;
CREATE FUNCTION pg_temp.empty() RETURNS void LANGUAGE sql AS $$
    DELETE FROM mailer.message;
    DELETE FROM mailer.queue_entry;
    DELETE FROM mailer.outcome;
    DELETE FROM mailer.tally_delta;
    DELETE FROM mailer.lead;
    DELETE FROM mailer.batch_entry;
    DELETE FROM mailer.notification;
    DELETE FROM mailer.notification_item;
    DELETE FROM mailer.notification_mail;
    DELETE FROM mailer.notification_pace;
    SELECT setval(s, 1000) FROM unnest(ARRAY['mailer.message_id_seq', 'mailer.batch_entry_batch_id_seq', 'mailer.notification_notification_id_seq',
        'mailer.notification_item_item_id_seq']) s
$$;
-- A Message-ID is random. tally_delta has no key: n tells equal rows apart.
CREATE FUNCTION pg_temp.rows() RETURNS TABLE (of_table text, one_row jsonb, n bigint) LANGUAGE sql AS $$
    SELECT x.of_table, x.one_row, row_number() OVER (PARTITION BY x.of_table, x.one_row)
    FROM (SELECT 'message', to_jsonb(m) - 'internet_message_id' FROM mailer.message m
          UNION ALL SELECT 'queue_entry', to_jsonb(q) FROM mailer.queue_entry q
          UNION ALL SELECT 'tally_delta', to_jsonb(d) FROM mailer.tally_delta d
          UNION ALL SELECT 'lead', to_jsonb(l) FROM mailer.lead l
          UNION ALL SELECT 'notification', to_jsonb(i) FROM mailer.notification i
          UNION ALL SELECT 'notification_item', to_jsonb(i) FROM mailer.notification_item i) x(of_table, one_row)
$$;

SELECT pg_temp.empty() \g /dev/null
SELECT pg_temp.play(:spring) \g /dev/null
-- Now its lanes are there.
SELECT pg_temp.empty() \g /dev/null
SELECT pg_temp.play(:spring) \g /dev/null
CREATE TEMPORARY TABLE direct AS SELECT * FROM pg_temp.rows();
SELECT is_empty($$SELECT t FROM unnest('{message,queue_entry,tally_delta,lead,notification,notification_item}'::text[]) t
    WHERE (SELECT count(*) FROM direct d WHERE d.of_table = t) < 8$$, 'every table got rows');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'which are sound');

SELECT pg_temp.empty() \g /dev/null
CREATE INDEX extra_message ON mailer.message (kind);
CREATE INDEX extra_queue ON mailer.queue_entry (epoch);
CREATE INDEX extra_tally ON mailer.tally_delta (queued);
CREATE INDEX extra_lead ON mailer.lead (priority);
CREATE INDEX extra_notification ON mailer.notification (category);
CREATE INDEX extra_item ON mailer.notification_item (category);
SELECT CASE WHEN :'is_direct' THEN is((SELECT count(*) FROM mailer._table_changes() c WHERE c.changes ~ '^added index "extra_\w+"$'), 6::bigint, 'an index makes each of them slower')
    ELSE is_empty($$SELECT * FROM mailer._table_changes()$$, 'before 14 all are written by INSERT anyway') END;
SELECT pg_temp.play(:spring) \g /dev/null
CREATE TEMPORARY TABLE inserted AS SELECT * FROM pg_temp.rows();
SELECT results_eq($$SELECT of_table, count(*) FROM inserted GROUP BY 1 ORDER BY 1$$, $$SELECT of_table, count(*) FROM direct GROUP BY 1 ORDER BY 1$$, 'as many rows');
SELECT is_empty($$(TABLE direct EXCEPT TABLE inserted) UNION ALL (TABLE inserted EXCEPT TABLE direct)$$, 'and the same ones');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'which are sound too');
DROP INDEX mailer.extra_message, mailer.extra_queue, mailer.extra_tally, mailer.extra_lead, mailer.extra_notification, mailer.extra_item;
SELECT is_empty($$SELECT * FROM mailer._table_changes()$$, 'without the indexes all is as it was');

-- ── What counts as a change ────────────────────────────────────────────────────────────────────────────────────────

\if :is_direct
SELECT pg_temp.empty() \g /dev/null
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
-- DDL and the words for it, and each is undone before the next.
CREATE FUNCTION pg_temp.changes_after(ddl text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE ddl;
    SELECT string_agg(c.table_name || ': ' || c.changes, '; ') INTO found FROM mailer._table_changes() c;
    PERFORM mailer.enqueue('x@example.com', 'S', 'B');  -- whatever it is
    RAISE EXCEPTION 'undo' USING ERRCODE = 'TAP01', DETAIL = found;
EXCEPTION WHEN SQLSTATE 'TAP01' THEN
    GET STACKED DIAGNOSTICS found = PG_EXCEPTION_DETAIL;
    RETURN found;
END;
$$;
SELECT is(pg_temp.changes_after(x.ddl), x.words, x.ddl) FROM (VALUES
    ('ALTER TABLE mailer.message ADD COLUMN note text', 'message: added column "note"'),
    ('ALTER TABLE mailer.message ALTER variant SET DEFAULT ''a''', 'message: changed column "variant"'),
    ('ALTER TABLE mailer.tally_delta ALTER unconfirmed TYPE numeric', 'tally_delta: changed column "unconfirmed"'),
    ('ALTER TABLE mailer.queue_entry ALTER try_count DROP NOT NULL', 'queue_entry: changed column "try_count"'),
    ('ALTER TABLE mailer.queue_entry ADD CHECK (lane_id > 0)', 'queue_entry: added constraint "queue_entry_lane_id_check"'),
    ('ALTER TABLE mailer.queue_entry RENAME CONSTRAINT "priority is 0 to 4" TO priority', 'queue_entry: added constraint "priority", missing constraint "priority is 0 to 4"'),
    ('ALTER TABLE mailer.queue_entry DROP CONSTRAINT "counts are not negative"', 'queue_entry: missing constraint "counts are not negative"'),
    ('ALTER TABLE mailer.queue_entry ADD CONSTRAINT to_message FOREIGN KEY (message_id) REFERENCES mailer.message',
     'message: added constraint "to_message"; queue_entry: added constraint "to_message"'),
    ('ALTER INDEX mailer.message_batch RENAME TO mine', 'message: added index "mine", missing index "message_batch"'),
    ('DROP INDEX mailer.message_batch', 'message: missing index "message_batch"'),
    ('DROP INDEX mailer.message_batch; CREATE INDEX message_batch ON mailer.message USING hash (batch_id)', 'message: changed index "message_batch"'),
    ('CREATE TRIGGER mine BEFORE INSERT ON mailer.message FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing()', 'message: added trigger "mine"'),
    ('CREATE RULE mine AS ON INSERT TO mailer.tally_delta DO ALSO NOTHING', 'tally_delta: added rule on "tally_delta"'),
    ('ALTER TABLE mailer.lead ENABLE ROW LEVEL SECURITY', 'lead: row security of "lead"')) x(ddl, words);
SELECT is_empty($$SELECT * FROM mailer._table_changes()$$, 'and all is as it was');
-- pg_class goes on to say that there are triggers and rules; VACUUM would correct it.
CREATE TRIGGER mine BEFORE INSERT ON mailer.message FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
CREATE RULE mine AS ON INSERT TO mailer.message DO ALSO NOTHING;
DROP TRIGGER mine ON mailer.message;
DROP RULE mine ON mailer.message;
SELECT is_empty($$SELECT * FROM mailer._table_changes()$$, 'nor does a trigger or a rule that was dropped count');

CREATE INDEX mine ON mailer.message (kind);
SELECT results_eq($$SELECT severity, problem FROM mailer.health() WHERE subject = 'table message'$$,
    $$VALUES ('info', 'it is not as it was installed (added index "mine"): its rows are written by INSERT, and enqueueing is slower')$$, 'health() says which and how');
\endif
SELECT * FROM finish();
ROLLBACK;
