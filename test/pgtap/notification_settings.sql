-- What is left out of contact_set, category_set and preference_set stays as it is; what waits follows the contact and the preference.
BEGIN;
SELECT no_plan();
\ir notification.psql
CREATE FUNCTION pg_temp.ends_of(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', s.state, s.reason) FROM mailer.message_status s WHERE s.message_id = id $$;

-- ── Every setting of every *_set ───────────────────────────────────────────────────────────────────────────────────

SELECT mailer.mailbox_create('second', 'smtp.example.com', from_address => 'second@example.com', timezone => 'Europe/Warsaw') \g /dev/null
SELECT mailer.category_set('c') \g /dev/null
CREATE TEMPORARY TABLE setting (call text, shown text, given text, removal text, kept text);
INSERT INTO setting VALUES
('is_required => true', 'is_required', 'true', NULL, NULL), ('rate_limit => 3', 'rate_limit', '3', 'rate_limit => 0', NULL), ('rate_period => ''2 h''', 'rate_period', '02:00:00', NULL, NULL),
('mail_delay => ''5 min''', 'mail_delay', '00:05:00', NULL, NULL), ('mailbox => ''second''', 'lane_id <> 1', 'true', 'mailbox => ''''', 'false'),
('digest_template => ''digest''', 'digest_template', 'digest', 'digest_template => ''''', NULL), ('digest_hour => 20', 'digest_hour', '20', NULL, NULL),
('collapse_window => ''1 min''', 'collapse_window', '00:01:00', NULL, NULL), ('is_announced => false', 'is_announced', 'false', NULL, NULL);
CREATE FUNCTION pg_temp.shown(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('SELECT (%s)::text FROM mailer.category WHERE name = ''c''', what) INTO answer;
    RETURN answer;
END;
$$;
CREATE FUNCTION pg_temp.set_category(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT mailer.category_set(''c'', %s)', what);
END;
$$;
SELECT pg_temp.set_category(s.call) FROM setting s \g /dev/null
SELECT is(pg_temp.shown(s.shown), s.given, 'category_set(' || s.call || ') takes effect, and the others keep it') FROM setting s;
SELECT pg_temp.set_category(s.removal) FROM setting s WHERE s.removal IS NOT NULL \g /dev/null
SELECT is(pg_temp.shown(s.shown), s.kept, 'category_set(' || s.removal || ') takes it away') FROM setting s WHERE s.removal IS NOT NULL;

SELECT mailer.preference_set('u', 'd', email_enabled => false), mailer.preference_set('u', 'd', in_app_enabled => false), mailer.preference_set('u', 'd', digest => 'daily') \g /dev/null
SELECT results_eq($$SELECT email_enabled, in_app_enabled, digest FROM mailer.preference WHERE user_id = 'u'$$, $$VALUES (false, false, 'daily')$$, 'preference_set keeps what is left out');
SELECT mailer.preference_set('u', 'd', true, true, 'immediate') \g /dev/null
SELECT results_eq($$SELECT email_enabled, in_app_enabled, digest FROM mailer.preference WHERE user_id = 'u'$$, $$VALUES (true, true, 'immediate')$$, 'and takes what is given');

SELECT mailer.contact_set('v', 'v@example.com', 'Vera', 'Asia/Tokyo', 'de'), mailer.contact_set('v', 'w@example.com') \g /dev/null
SELECT results_eq($$SELECT address, name, timezone, locale FROM mailer.contact WHERE user_id = 'v'$$, $$VALUES ('w@example.com', 'Vera', 'Asia/Tokyo', 'de')$$, 'contact_set keeps what is left out');
SELECT mailer.contact_set('v', 'w@example.com', '', '', '') \g /dev/null
SELECT results_eq($$SELECT num_nonnulls(name, timezone, locale) FROM mailer.contact WHERE user_id = 'v'$$, 'VALUES (0)', 'an empty text takes it away');

-- ── A contact that goes ────────────────────────────────────────────────────────────────────────────────────────────

SELECT mailer.category_set('later', mail_delay => '15 min'), mailer.preference_set('owner', 'news', digest => 'daily') \g /dev/null
SELECT mailer.notify('owner', 'later', 'commented', '{"post": "A"}') \g /dev/null
SELECT pg_temp.newest() AS delayed \gset
SELECT mailer.notify('owner', 'news', 'commented', '{"post": "B"}') \g /dev/null
SELECT pg_temp.newest() AS digest \gset
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "C"}', 'ada', 'post 1') \g /dev/null
SELECT pg_temp.newest() AS gathering \gset
SELECT mailer.contact_set('owner', 'new@example.com') \g /dev/null
SELECT results_eq('SELECT DISTINCT recipient FROM mailer.message_status WHERE state = ''pending''', $$VALUES ('new@example.com')$$, 'what waits follows the contact');
SELECT mailer.contact_set('owner', NULL) \g /dev/null
SELECT is(array_agg(DISTINCT pg_temp.ends_of(id)), '{cancelled contact_gone}', 'and ends with it') FROM unnest(ARRAY[:delayed, :digest, :gathering]) id;
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'all of it adds up');
SELECT mailer.contact_set('owner', 'owner@example.com') \g /dev/null
SELECT mailer.notify('owner', 'news', 'commented', '{"post": "D"}') \g /dev/null
SELECT pg_temp.newest() AS digest \gset
SELECT ok(pg_temp.goes(:digest), 'a new address has new mail');
SELECT results_eq(format('SELECT subject FROM pg_temp.says(%s)', :digest), $$VALUES (' commented on D')$$, 'with what happened since');
UPDATE mailer.contact SET address = NULL, address_key = NULL WHERE user_id = 'owner';
SELECT ok(NOT pg_temp.goes(:digest), 'what the sender holds already is stopped too');
SELECT mailer.contact_set('owner', 'owner@example.com') \g /dev/null

-- ── A digest leaves out what was read ──────────────────────────────────────────────────────────────────────────────

SELECT mailer.preference_set('owner', 'forum', digest => 'hourly') \g /dev/null
SELECT mailer.notify('owner', 'forum', 'commented', '{"post": "read"}') AS read \gset
SELECT mailer.notify('owner', 'forum', 'commented', '{"post": "unread"}') \g /dev/null
SELECT pg_temp.newest() AS digest \gset
SELECT mailer.inbox_mark_read('owner', :read) \g /dev/null
SELECT ok(pg_temp.goes(:digest), 'something is unread');
SELECT results_eq(format('SELECT subject FROM pg_temp.says(%s)', :digest), $$VALUES (' commented on unread')$$, 'and the digest names that alone');
SELECT mailer.inbox_mark_read('owner') \g /dev/null
SELECT ok(NOT pg_temp.goes(:digest), 'with all of it read there is no digest');

-- ── From immediate to a digest ─────────────────────────────────────────────────────────────────────────────────────

SELECT mailer.category_set('calls', mail_delay => '10 min') \g /dev/null
SELECT mailer.notify('ada', c, 'commented', jsonb_build_object('post', c || ' ' || n)) FROM unnest('{talk,calls}'::text[]) c, generate_series(1, 2) n \g /dev/null
SELECT mailer.notify('ada', 'talk', 'liked', '{"post": "Q"}', 'owner', 'post 2'), mailer.notify('ada', 'talk', 'liked', '{"post": "Q"}', 'ben', 'post 2') \g /dev/null
SELECT mailer.preference_set('ada', 'silent', in_app_enabled => false), mailer.notify('ada', 'silent', 'commented', '{"post": "S"}') \g /dev/null
SELECT array_agg(m.message_id) AS singles FROM mailer.queue_entry q JOIN mailer.message m USING (message_id) WHERE m.address_key = 'ada@example.com' \gset
SELECT mailer.preference_set('ada', c, digest => 'daily') FROM unnest('{talk,calls,silent}'::text[]) c \g /dev/null
SELECT is(array_agg(DISTINCT pg_temp.ends_of(id)), '{cancelled gathered}', 'what waited singly') FROM unnest(:'singles'::bigint[]) id;
SELECT is((SELECT count(*) FROM mailer.queue_entry q JOIN mailer.message m USING (message_id) WHERE m.address_key = 'ada@example.com'), 3::bigint, 'gathers in one digest a category');
SELECT q.message_id AS digest FROM mailer.queue_entry q JOIN mailer.message m USING (message_id) WHERE m.category = 'talk' AND m.address_key = 'ada@example.com' \gset
SELECT ok(pg_temp.goes(:digest), 'it goes');
SELECT is((SELECT string_agg(e ->> 'title', '; ' ORDER BY p) FROM jsonb_array_elements(mailer._notification_variables(:digest, '{}') -> 'items') WITH ORDINALITY x(e, p)),
    ' commented on talk 1;  commented on talk 2; Olga and one other liked Q', 'and tells all of it');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'all of it adds up');
SELECT * FROM finish();
ROLLBACK;
