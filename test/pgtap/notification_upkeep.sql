-- Retention: what was read and mailed long ago goes; what is unread, waits or is on its way stays.
BEGIN;
SELECT no_plan();
\ir notification.psql
SET LOCAL mailer.virtual_now = '2030-01-01 10:00+00';
SELECT mailer.preference_set('inbox', 'news', email_enabled => false), mailer.preference_set('mail', 'news', in_app_enabled => false) \g /dev/null
SELECT mailer.contact_set('mail', 'mail@example.com'), mailer.category_set('slow', rate_limit => 1, rate_period => '1 year') \g /dev/null
SELECT mailer.notify('inbox', 'news', 'liked', '{"post": "read"}', a, 'post 1') FROM unnest(ARRAY['ada', 'ben']) a \g /dev/null
SELECT mailer.inbox_mark_read('inbox') \g /dev/null
SELECT mailer.notify('inbox', 'news', 'liked', '{"post": "unread"}', 'ada') \g /dev/null
SELECT mailer.notify('mail', 'news', 'liked', '{"post": "sent"}', 'ada', 'post 2') \g /dev/null
SELECT pg_temp.sent(pg_temp.newest()) FROM (SELECT pg_temp.goes(pg_temp.newest())) g;
SELECT mailer.notify('mail', 'news', 'liked', '{"post": "waits"}', 'ada') \g /dev/null
SELECT mailer.notify('owner', 'slow', 'liked', jsonb_build_object('post', p), 'ada') FROM unnest(ARRAY['waits', 'gathers']) p \g /dev/null
SELECT mailer.inbox_mark_read('owner') \g /dev/null
SET LOCAL mailer.virtual_now = '2030-03-01 10:00+00';
SELECT mailer.notify('inbox', 'news', 'liked', '{"post": "young"}', 'ada') \g /dev/null
SELECT mailer.inbox_mark_read('inbox', notification_id) FROM mailer.inbox('inbox') WHERE title LIKE '%young' \g /dev/null

SELECT is((SELECT purged FROM mailer._purge_notifications('2030-02-01 00:00+00', 0, 1000)), 3::bigint, 'three items are old and done with');
SELECT results_eq($$SELECT user_id, variables ->> 'post' FROM mailer.notification_item ORDER BY item_id$$,
    $$VALUES ('inbox', 'unread'), ('mail', 'waits'), ('owner', 'waits'), ('owner', 'gathers'), ('inbox', 'young')$$, 'unread, waiting and young ones stay');
SELECT results_eq($$SELECT title FROM mailer.inbox('inbox')$$, $$VALUES ('Ada liked young'), ('Ada liked unread')$$, 'the row that was read is gone');
SELECT is((SELECT count(*) FROM mailer.notification_mail WHERE NOT is_open), 0::bigint, 'so is what was kept of its mail');
SELECT results_eq($$SELECT last_id, purged FROM mailer._purge_notifications('2030-02-01 00:00+00', (SELECT max(item_id) FROM mailer.notification_item), 1000)$$, $$VALUES (NULL::bigint, 0::bigint)$$, 'at the end it says so');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');
SELECT finish();
ROLLBACK;
