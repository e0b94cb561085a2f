-- Digests: when they are due, across changes of the clocks too; that they are one, and none when empty.
BEGIN;
SELECT no_plan();
\ir notification.psql

-- When. The clocks of Warsaw went forward on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
CREATE FUNCTION pg_temp.due(digest text, from_at text, hour int DEFAULT 8, zone text DEFAULT 'Europe/Warsaw') RETURNS text LANGUAGE sql AS $$
    SELECT to_char(mailer._next_digest(digest, from_at::timestamptz, zone, hour) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') $$;
SELECT is(pg_temp.due('hourly', '2026-01-10 10:17 Europe/Warsaw'), '2026-01-10 10:00', 'hourly is the next full hour');
SELECT is(pg_temp.due('hourly', '2026-01-10 11:00 Europe/Warsaw'), '2026-01-10 11:00', 'on the hour it is the next one');
SELECT is(pg_temp.due('hourly', '2026-01-10 10:17 Asia/Kolkata', zone => 'Asia/Kolkata'), '2026-01-10 05:30', 'of the local clock, where that is half an hour off');
SELECT is(pg_temp.due('hourly', '2026-03-29 00:30+00'), '2026-03-29 01:00', 'into the missing hour');
SELECT is(pg_temp.due('hourly', '2026-10-25 00:30+00'), '2026-10-25 01:00', 'in the first pass of the doubled hour');
SELECT is(pg_temp.due('hourly', '2026-10-25 01:30+00'), '2026-10-25 02:00', 'and in the second');
SELECT is(pg_temp.due('daily', '2026-01-10 07:59 Europe/Warsaw'), '2026-01-10 07:00', 'daily is today''s hour');
SELECT is(pg_temp.due('daily', '2026-01-10 08:00 Europe/Warsaw'), '2026-01-11 07:00', 'or tomorrow''s, once it has come');
SELECT is(pg_temp.due('daily', '2026-03-28 09:00 Europe/Warsaw'), '2026-03-29 06:00', '8 in the morning after the clocks went forward');
SELECT is(pg_temp.due('daily', '2026-10-24 09:00 Europe/Warsaw'), '2026-10-25 07:00', '8 in the morning after they went back');
SELECT is(pg_temp.due('daily', '2026-03-28 23:00 Europe/Warsaw', 2), '2026-03-29 01:00', 'an hour that is missing comes when it would have');
SELECT is(pg_temp.due('daily', '2026-03-29 01:00+00', 2), '2026-03-30 00:00', 'and once');
SELECT is(pg_temp.due('daily', '2026-10-24 22:00+00', 2), '2026-10-25 01:00', 'an hour that is doubled has one digest');
SELECT is(pg_temp.due('daily', '2026-10-25 01:00+00', 2), '2026-10-26 01:00', 'and not another');
SELECT is(count(DISTINCT d)::int, 365, 'in a year a daily digest comes 365 times')
FROM generate_series('2026-01-01 00:00+00'::timestamptz, '2026-12-31 23:30+00', '10 minutes') g, pg_temp.due('daily', g::text, 2) d WHERE d LIKE '2026%';
SELECT is(count(DISTINCT d)::int, 8760, 'an hourly one 8760 times')
FROM generate_series('2025-12-31 23:00+00'::timestamptz, '2026-12-31 22:59+00', '10 minutes') g, pg_temp.due('hourly', g::text) d;

-- One mail for all that gathered.
SET LOCAL mailer.virtual_now = '2030-05-01 10:17+00';
SELECT mailer.category_set('news', digest_template => 'digest', digest_hour => 7), mailer.preference_set('owner', 'news', digest => 'daily'),
       mailer.preference_set('owner', 'likes', digest => 'hourly') \g /dev/null
SELECT is(pg_temp.mails(), 0::bigint, 'nothing gathered, nothing queued');
SELECT mailer.notify('owner', 'news', 'commented', '{"post": "A"}', 'ada') \g /dev/null
SELECT mailer.notify('owner', 'news', 'liked', '{"post": "B"}', a, 'post 1') FROM unnest(ARRAY['ada', 'ben', 'cy']) a \g /dev/null
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "B"}', 'ben') \g /dev/null
SELECT results_eq($$SELECT m.category, q.due_at FROM mailer.queue_entry q JOIN mailer.message m USING (message_id) ORDER BY 1$$,
    $$VALUES ('likes', timestamptz '2030-05-01 11:00+00'), ('news', '2030-05-02 05:00+00')$$, 'a digest for each category, at the user''s local time');
SELECT message_id AS digest FROM mailer.message WHERE category = 'news' \gset
SELECT results_eq(format('SELECT * FROM pg_temp.says(%s)', :digest), $$VALUES ('4 things', '* Ada commented on A (1)* Ada and 2 others liked B (3)')$$, 'one element for each thing, collapsed, as of when it is sent');
SELECT is(mailer.inbox_unread('owner'), 3::bigint, 'the inbox doesn''t wait');

-- The preference and the zone of now hold for what waits.
SELECT mailer.preference_set('owner', 'news', digest => 'hourly') \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :digest), '2030-05-01 11:00+00'::timestamptz, 'a preference that changes moves the digest that waits');
SELECT mailer.preference_set('owner', 'news', digest => 'daily'), mailer.contact_set('owner', 'owner@example.com', timezone => 'America/New_York') \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :digest), '2030-05-01 11:00+00'::timestamptz, 'so does a user who moves: 7 in the morning in New York');
SELECT mailer.preference_set('owner', 'news', digest => 'immediate') \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :digest), '2030-05-01 10:17+00'::timestamptz, 'and "immediate" lets it go');

-- Its time has come: once, whichever process dies in between.
SELECT mailer.preference_set('owner', 'news', digest => 'daily') \g /dev/null
SELECT ok(pg_temp.goes(:digest), 'the digest goes');
SELECT mailer.notify('owner', 'news', 'liked', '{"post": "C"}', 'dan') \g /dev/null
SELECT ok(pg_temp.goes(:digest), 'asked again by the next sender after a crash, it still does');
SELECT is((SELECT subject FROM pg_temp.says(:digest)), '4 things', 'and says the same');
SELECT results_eq($$SELECT count(*), count(DISTINCT message_id) FROM mailer.notification_item WHERE category = 'news' AND message_id IS NOT NULL$$, $$VALUES (4::bigint, 1::bigint)$$, 'every item is in one mail');
SELECT is((SELECT count(*) FROM mailer.queue_entry JOIN mailer.message USING (message_id) WHERE category = 'news'), 2::bigint, 'what came meanwhile gathers in the next one');
SELECT pg_temp.sent(:digest);
SELECT mailer.preference_set('owner', 'news', email_enabled => false, digest => 'daily') \g /dev/null
SELECT ok(NOT pg_temp.goes(pg_temp.newest()), 'switched off meanwhile: none');
SELECT mailer.category_set('calm', mail_delay => '1 minute'), mailer.preference_set('owner', 'calm', digest => 'hourly'), mailer.notify('owner', 'calm', 'liked') \g /dev/null
SELECT mailer.inbox_mark_read('owner') \g /dev/null
SELECT ok(NOT pg_temp.goes(pg_temp.newest()), 'all read, in a category that mails only what is unread: none');
SELECT ok(NOT pg_temp.goes(0), 'a mail that nobody knows says no');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');
SELECT finish();
ROLLBACK;
