-- The community trigger: whom it tells, what of, and that it never fails the statement.
BEGIN;
SELECT no_plan();
\ir notification.psql
CREATE ROLE web_user;
CREATE SCHEMA site;
GRANT USAGE ON SCHEMA site TO web_user;
SET LOCAL search_path = site, public;
CREATE TABLE site.post (post_id bigint PRIMARY KEY, author_id text, title text);
CREATE TABLE site.post_like (post_id bigint, user_id text);
CREATE TABLE site.follow (who text, follows text, note text DEFAULT 'hi');
GRANT SELECT ON site.post TO web_user;
GRANT INSERT ON site.post_like, site.follow TO web_user;
INSERT INTO site.post VALUES (1, 'owner', 'A day out');
CREATE FUNCTION site.post_author(new_row jsonb) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql AS $$
    SELECT author_id, jsonb_build_object('post', title) FROM site.post WHERE post_id = (new_row ->> 'post_id')::bigint $$;
CREATE TRIGGER tell AFTER INSERT ON site.post_like FOR EACH ROW
    EXECUTE FUNCTION mailer.community_trigger('likes', 'liked', 'post_author', 'user_id', 'post {{post_id}}');
CREATE TRIGGER tell AFTER INSERT ON site.follow FOR EACH ROW
    EXECUTE FUNCTION mailer.community_trigger('follows', 'liked', 'follows', 'who');
CREATE FUNCTION pg_temp.failures() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM mailer.event WHERE kind = 'notification_failed' $$;

SET ROLE web_user;
INSERT INTO site.post_like VALUES (1, 'ada'), (1, 'ben'), (1, 'owner');
INSERT INTO site.follow VALUES ('ada', 'ben'), ('ada', NULL);
RESET ROLE;
SELECT is(pg_temp.failures(), 0::bigint, 'a user without any right on mailer fires it');
SELECT results_eq($$SELECT category, title, actor_count FROM mailer.inbox('owner')$$, $$VALUES ('likes', 'Ada and one other liked A day out', 2::bigint)$$,
    'a function names the users; a collapse key collapses; nobody is notified of his own act');
SELECT is((SELECT collapse_key FROM mailer.notification WHERE user_id = 'owner'), 'post 1', 'the key is rendered over the row');
SELECT results_eq($$SELECT category, variables ->> 'note', variables ->> 'actor' FROM mailer.inbox('ben')$$, $$VALUES ('follows', 'hi', 'Ada')$$, 'a column may name the user; then the template sees the row');
SELECT is((SELECT count(*) FROM mailer.notification WHERE user_id IS NULL), 0::bigint, 'NULL is nobody');

-- Several users, one of whom gets the variables of the row alone.
CREATE FUNCTION site.everybody(new_row jsonb, old_row jsonb, operation text) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql AS $$
    VALUES ('zoe', NULL::jsonb), ('yan', jsonb_build_object('post', operation)), (NULL, NULL) $$;
CREATE TABLE site.club (club_id bigint, who text, post text);
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON site.club FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger('joins', 'liked', 'site.everybody', 'who');
INSERT INTO site.club VALUES (1, 'ada', 'Chess');
UPDATE site.club SET post = 'Go';
DELETE FROM site.club;
SELECT results_eq($$SELECT title FROM mailer.inbox('zoe')$$, $$VALUES ('Ada liked Go'), ('Ada liked Go'), ('Ada liked Chess')$$, 'NULL variables are the row, the old one when it goes');
SELECT results_eq($$SELECT title FROM mailer.inbox('yan')$$, $$VALUES ('Ada liked DELETE'), ('Ada liked UPDATE'), ('Ada liked INSERT')$$, 'the function knows the operation');

-- Failures.
CREATE FUNCTION pg_temp.fails(arguments text, message text, what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE before bigint := pg_temp.failures();
BEGIN
    EXECUTE format('CREATE TABLE site.broken (a text); CREATE TRIGGER tell AFTER INSERT ON site.broken FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger(%s)', arguments);
    SET LOCAL client_min_messages = error;
    INSERT INTO site.broken VALUES ('x');
    RETURN NEXT is((SELECT count(*) FROM site.broken), 1::bigint, what || ': the row is there');
    RETURN NEXT is((SELECT detail ->> 'message' FROM mailer.event_log WHERE kind = 'notification_failed' ORDER BY id DESC LIMIT 1), message, what || ': the failure is in event_log');
    RETURN NEXT is(pg_temp.failures(), before + 1, what || ': once');
    DROP TABLE site.broken;
END $$;
SELECT pg_temp.fails($$'likes', 'no such', 'a'$$, 'template "no such" does not exist', 'a template that isn''t there');
SELECT pg_temp.fails($$'likes', 'liked', 'nobody_knows'$$, 'recipients function "nobody_knows" does not exist', 'a function that isn''t there');
SELECT pg_temp.fails($$'likes', 'liked', 'a', 'b'$$, 'the table has no column "b"', 'a column that isn''t there');
SELECT pg_temp.fails($$'likes', 'liked'$$, 'community_trigger takes 3 to 5 arguments', 'too few arguments');
CREATE FUNCTION site.divides(new_row jsonb) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql AS $$ SELECT 'ada', to_jsonb(1 / 0) $$;
SELECT pg_temp.fails($$'likes', 'liked', 'divides'$$, 'division by zero', 'a function that raises');
SELECT pg_temp.fails(format('%L, %L, %L, %L, %L', 'likes', 'liked', 'a', '', repeat('x', 501)), 'collapse_key must not be longer than 500 characters', 'a key that is too long');
SELECT throws_ok('SELECT mailer.community_trigger()', '39P01', NULL, 'it is nothing but a trigger');

-- The function runs as who changed the row, with no more rights than that.
CREATE FUNCTION site.tells_role(new_row jsonb) RETURNS TABLE (user_id text, variables jsonb) LANGUAGE sql AS $$ SELECT 'rolf', jsonb_build_object('post', current_user) $$;
CREATE TABLE site.spy (a text);
GRANT INSERT ON site.spy TO web_user;
CREATE TRIGGER tell AFTER INSERT ON site.spy FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger('spies', 'liked', 'tells_role');
SET ROLE web_user;
INSERT INTO site.spy VALUES ('x');
RESET ROLE;
SELECT is((SELECT variables ->> 'post' FROM mailer.inbox('rolf')), 'web_user', 'the application''s function runs as the user');
CREATE ROLE other_user;
GRANT USAGE ON SCHEMA site TO other_user;
GRANT INSERT ON site.spy TO other_user;
REVOKE ALL ON FUNCTION site.tells_role(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION site.tells_role(jsonb) TO web_user;
SET client_min_messages = error;
SET ROLE web_user;
INSERT INTO site.spy VALUES ('y');
SET ROLE other_user;
INSERT INTO site.spy VALUES ('z');
RESET ROLE;
SET client_min_messages = warning;
SELECT is((SELECT string_agg(variables ->> 'post', ' ' ORDER BY notification_id) FROM mailer.inbox('rolf')), 'web_user web_user', 'a role that may not call it notifies nobody, though the session has called it for another');
SELECT is((SELECT detail ->> 'message' FROM mailer.event_log WHERE kind = 'notification_failed' ORDER BY id DESC LIMIT 1), 'permission denied for function tells_role', 'and the event says why');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');
SELECT finish();
ROLLBACK;
