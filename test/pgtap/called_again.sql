-- Functions called where nobody expects it: by constraints and triggers that the owner added to the tables which mail is
-- written straight into, while that mail is still being written; beside an index of his; and with NULL for everything.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT no_plan();
SET client_min_messages = warning;
SELECT mailer.mailbox_create('one', 'smtp.example.com', from_address => 'one@example.com') \g /dev/null

-- The left side is computed before the right side queues mails, and compared afterwards.
CREATE FUNCTION copies(key text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF key LIKE 'outer%' THEN
        PERFORM mailer.enqueue('inner' || i || '@example.com', repeat('s', 200), repeat('b', 2000)) FROM generate_series(1, 3) i;
    END IF;
    RETURN key || ' has a copy';
END;
$$;
ALTER TABLE mailer.message ADD CONSTRAINT "has copies" CHECK (address_key || ' has a copy' = copies(address_key));
SELECT lives_ok($$SELECT mailer.enqueue('first@example.com', 'S', 'B')$$, 'a constraint that calls a function is prepared');
SELECT lives_ok($$SELECT mailer.enqueue('outer@example.com', 'S', 'B')$$, 'a constraint may queue mail');
SELECT lives_ok($$SELECT mailer.enqueue_batch(ARRAY(SELECT 'outer' || i || '@example.com' FROM generate_series(1, 100) i), 'S', 'B')$$,
    'for each mail of a batch too');
ALTER TABLE mailer.message DROP CONSTRAINT "has copies";
SELECT results_eq($$SELECT regexp_replace(address_key COLLATE "default", '\d*@.*', '') AS who, count(*) FROM mailer.message GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('first', 1::bigint), ('inner', 303), ('outer', 101)$$, 'all of them are there');

-- A function of the owner's, in a constraint or an index, resolves names by the extension's search_path, and the caller has
-- his own again afterwards.
CREATE FUNCTION is_path_ours(key text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF key LIKE 'path%' AND current_setting('search_path') <> 'pg_catalog, pg_temp' THEN
        RAISE EXCEPTION 'by %', current_setting('search_path');
    END IF;
    RETURN true;
END;
$$;
SET LOCAL search_path = public, pg_catalog;
ALTER TABLE mailer.message ADD CONSTRAINT "path" CHECK (is_path_ours(address_key));
SELECT lives_ok($$SELECT mailer.enqueue('path1@example.com', 'S', 'B')$$, 'a constraint sees our path');
ALTER TABLE mailer.message DROP CONSTRAINT "path";
SELECT max(m.message_id) AS last FROM mailer.message m \gset
CREATE INDEX path ON mailer.message ((is_path_ours(address_key))) WHERE message_id > :last;
SELECT lives_ok($$SELECT mailer.enqueue('path2@example.com', 'S', 'B')$$, 'so does an index');
DROP INDEX mailer.path;
SELECT max(m.message_id) AS last FROM mailer.message m \gset
CREATE INDEX path ON mailer.message (message_id) WHERE message_id > :last AND is_path_ours(address_key);
SELECT lives_ok($$SELECT mailer.enqueue('path3@example.com', 'S', 'B')$$, 'and which rows it is for');
DROP INDEX mailer.path;
SELECT is(current_setting('search_path'), 'public, pg_catalog', 'the caller has his own');
SET LOCAL search_path = public;

-- What is known of a table is derived again when that changes: not while a batch is being written with it.
CREATE FUNCTION tell_the_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    ANALYZE mailer.message;
    ANALYZE mailer.queue_entry;
    PERFORM mailer.enqueue('admin@example.com', 'A mail has failed', 'B');
    RETURN NULL;
END;
$$;
CREATE TRIGGER tell_the_admin AFTER INSERT ON mailer.outcome FOR EACH ROW EXECUTE FUNCTION tell_the_admin();
SELECT lives_ok($$SELECT mailer.enqueue_batch(ARRAY(SELECT CASE WHEN i % 50 = 0 THEN 'bad' || i ELSE 'user' || i || '@example.com' END
    FROM generate_series(1, 200) i), 'S', 'B')$$, 'a trigger may queue mail in the middle of a batch');
DROP TRIGGER tell_the_admin ON mailer.outcome;
SELECT is((SELECT count(*) FROM mailer.message WHERE address_key = 'admin@example.com'), 4::bigint, 'and does');

-- A column of another type is written by INSERT, which converts.
ALTER TABLE mailer.tally_delta ALTER unconfirmed TYPE numeric;
SELECT lives_ok($$SELECT mailer.enqueue('typed@example.com', 'S', 'B')$$, 'a column of another type');
ALTER TABLE mailer.tally_delta ALTER unconfirmed TYPE bigint;
SELECT lives_ok($$SELECT mailer.enqueue('typed@example.com', 'S', 'B')$$, 'as it was');

CREATE TABLE told (queued bigint);
CREATE RULE tell AS ON INSERT TO mailer.tally_delta DO ALSO INSERT INTO told VALUES (NEW.queued);
SELECT mailer.enqueue('ruled@example.com', 'S', 'B') \g /dev/null
SELECT is((SELECT sum(queued) FROM told), 1::numeric, 'a rule is obeyed');
DROP RULE tell ON mailer.tally_delta;

-- An idempotency key and a lead may be there already, and that is no error; what else is unique is none of theirs.
CREATE UNIQUE INDEX once ON mailer.message (external_id);
SELECT mailer.enqueue('taken@example.com', 'S', 'B', external_id => 'order 1') \g /dev/null
SELECT mailer.template_set('hello', 'Hello', 'B') \g /dev/null
SELECT mailer.campaign_create('spring', 'hello') AS spring \gset
SET LOCAL statement_timeout = '30s';
SELECT throws_ok(s, '23505', NULL, s) FROM unnest(ARRAY[
    $$SELECT mailer.enqueue('x@example.com', 'S', 'B', external_id => 'order 1')$$,
    $$SELECT mailer.enqueue('x@example.com', 'S', 'B', external_id => 'order 1', idempotency_key => 'a key')$$,
    $$SELECT mailer.enqueue_batch('{x@example.com}', 'S', 'B', external_id => 'order 1', idempotency_key => 'a key')$$,
    format($$SELECT mailer.campaign_add(%s, 'x@example.com', external_id => 'order 1')$$, :spring),
    format($$SELECT mailer.campaign_add_many(%s, ARRAY(SELECT 'x' || i || '@example.com' FROM generate_series(1, 100) i), NULL,
        ARRAY(SELECT 'order ' || i FROM generate_series(1, 100) i))$$, :spring)]) s;
RESET statement_timeout;
DROP INDEX mailer.once;

SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');

-- A role that may call a function of the library may pass NULL for everything, and gets an answer or an error.
CREATE FUNCTION answer_to_null(function oid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE (SELECT format('SELECT %s(%s)', p.oid::regproc, string_agg('NULL::' || format_type(t.type, NULL), ', ' ORDER BY t.n))
             FROM pg_proc p, unnest(p.proargtypes::oid[]) WITH ORDINALITY t(type, n) WHERE p.oid = function GROUP BY p.oid);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END;
$$;
SELECT isnt(answer_to_null(p.oid), 'XX000', format('%s takes or refuses NULL', p.oid::regprocedure))
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'mailer'::regnamespace AND l.lanname = 'c' AND NOT p.proisstrict AND p.pronargs > 0 AND p.prokind = 'f';
SELECT throws_ok($$SELECT mailer._store_leads(1, 1, 1, NULL, NULL, 1, now(), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$, '22004', NULL, 'no array of leads is refused');

SELECT * FROM finish();
ROLLBACK;
