-- What each scope of a suppression stops: asked of explain(), which goes by the rule that the sender goes by.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT pg_temp.queue_mail('{ada@example.com}') AS plain \gset
SELECT pg_temp.queue_mail('{ada@example.com}') AS liked \gset
SELECT pg_temp.queue_mail('{ada@example.com}') AS required \gset
-- As notify() makes them: a mail of a required category has no category that it could be stopped by.
UPDATE mailer.message SET category = 'likes' WHERE message_id = :liked;

CREATE FUNCTION pg_temp.stopped(campaign_mail bigint, plain bigint, liked bigint, required bigint, by_scope text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    stopped text;
BEGIN
    PERFORM mailer.suppress('ada@example.com', scope => by_scope);
    SELECT string_agg(m.what, ' ' ORDER BY m.what) INTO stopped
    FROM (VALUES (campaign_mail, 'campaign'), (plain, 'plain'), (liked, 'liked'), (required, 'required')) m(id, what)
    CROSS JOIN LATERAL mailer.explain(m.id) e WHERE e.gate = 'not_suppressed' AND NOT e.is_open;
    PERFORM mailer.unsuppress('ada@example.com', by_scope);
    RETURN stopped;
END;
$$;
SELECT is(pg_temp.stopped(:ada, :plain, :liked, :required, 'all'), 'campaign liked plain required', 'all: everything');
SELECT is(pg_temp.stopped(:ada, :plain, :liked, :required, 'bulk'), 'campaign liked', 'bulk: campaigns, and notifications that aren''t required');
SELECT is(pg_temp.stopped(:ada, :plain, :liked, :required, 'category:likes'), 'liked', 'category:NAME: the notifications of that category');
SELECT is(pg_temp.stopped(:ada, :plain, :liked, :required, 'campaign:' || :spring), 'campaign', 'campaign:ID: the mails of that campaign');
SELECT is(pg_temp.stopped(:ada, :plain, :liked, :required, 'category:other'), NULL, 'another category: nothing');
SELECT throws_ok('SELECT mailer.suppress(NULL)', '22004', 'address must not be NULL', 'no address is named as such');
SELECT throws_ok('SELECT mailer.unsuppress(NULL)', '22004', 'address must not be NULL', 'here, too');
SELECT throws_ok('SELECT mailer.forget(NULL)', '22004', 'address must not be NULL', 'nor is anybody forgotten');
SELECT throws_ok('SELECT * FROM mailer.sent_to(NULL)', '22004', 'address must not be NULL', 'nor asked about');
SELECT * FROM finish();
ROLLBACK;
