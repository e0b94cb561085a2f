-- Notifications by mail: what is queued, when it goes, what it says; collapsing, rate limit, delay, preferences, addresses.
BEGIN;
SELECT no_plan();
\ir notification.psql
SELECT mailer.category_set('paced', rate_limit => 2, rate_period => '1 hour', digest_template => 'digest'),
       mailer.category_set('plain', rate_limit => 1, rate_period => '1 hour'),
       mailer.category_set('quiet', mail_delay => '15 minutes'), mailer.category_set('security', is_required => true) \g /dev/null
SET LOCAL mailer.virtual_now = '2030-05-01 10:00+00';

-- Alone and at once.
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "P"}', 'ada') \g /dev/null
SELECT results_eq($$SELECT recipient, state, due_at FROM mailer.message_status WHERE message_id = pg_temp.newest()$$,
    $$VALUES ('owner@example.com', 'pending', timestamptz '2030-05-01 10:00+00')$$, 'a mail is queued, due at once');
SELECT results_eq($$SELECT * FROM pg_temp.says(pg_temp.newest())$$, $$VALUES ('Ada liked P', 'Hello Olga, 1: [Ada]')$$, 'that says what the inbox says');
SELECT results_eq($$SELECT m.header_to, m.headers ->> 'Auto-Submitted', m.category, m.loader, s.queued_by::text FROM mailer.message m JOIN mailer.message_status s USING (message_id) WHERE message_id = pg_temp.newest()$$,
    $$VALUES ('"Olga" <owner@example.com>', 'auto-generated', 'likes', NULL, 'postgres')$$, 'addressed by name, marked as automatic, of its category');
SELECT mailer.notify('owner', 'security', 'liked') \g /dev/null
SELECT is((SELECT category FROM mailer.message WHERE message_id = pg_temp.newest()), NULL, 'a required category''s mail has none: no unsubscribing stops it');
SELECT pg_temp.mails() AS before \gset
SELECT isnt(mailer.notify('stranger', 'likes', 'liked'), NULL, 'who has no contact …');
SELECT is(pg_temp.mails(), :before::bigint, '… is notified in the application only');
SELECT mailer.contact_set('mute', NULL) \g /dev/null
SELECT isnt(mailer.notify('mute', 'likes', 'liked'), NULL, 'as is a contact without an address');
SELECT mailer.preference_set('owner', 'off', email_enabled => false) \g /dev/null
SELECT isnt(mailer.notify('owner', 'off', 'liked'), NULL, 'and who wants no mail of it');
SELECT is(pg_temp.mails(), :before::bigint, 'none was queued');
SELECT mailer.preference_set('owner', 'mail', in_app_enabled => false) \g /dev/null
SELECT is(mailer.notify('owner', 'mail', 'liked'), NULL, 'by mail only: no row …');
SELECT is(pg_temp.mails(), :before + 1::bigint, '… but a mail');

-- Collapsing.
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "P"}', a, 'post 1') FROM unnest(ARRAY['ada', 'ben', 'cy']) a \g /dev/null
SELECT pg_temp.newest() AS mail \gset
SELECT is(pg_temp.mails(), :before + 2::bigint, 'a burst about one thing is one mail');
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :mail), '2030-05-01 10:00:10+00'::timestamptz, 'which waits a collapse_window for more');
SELECT results_eq(format('SELECT * FROM pg_temp.says(%s)', :mail), $$VALUES ('Ada and 2 others liked P', 'Hello Olga, 3: [Ada][ben][cy]')$$, 'and counts when it is sent');
SELECT ok(pg_temp.goes(:mail), 'it goes');
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "P"}', 'dan', 'post 1') \g /dev/null
SELECT is(pg_temp.mails(), :before + 3::bigint, 'what comes while it is being sent is the next mail''s');
SELECT results_eq(format('SELECT subject FROM pg_temp.says(%s)', :mail), $$VALUES ('Ada and 2 others liked P')$$, 'and not in this one');
SELECT ok(pg_temp.goes(:mail), 'asked again, as after a crash or for a retry, it gives the same answer');
SELECT results_eq($$SELECT subject FROM pg_temp.says(pg_temp.newest())$$, $$VALUES ('dan liked P')$$, 'the next one tells the rest');
SELECT is((SELECT title FROM mailer.inbox('owner', max_rows => 1)), 'Ada and 3 others liked P', 'while the inbox has them all');
SELECT is((SELECT thread_key FROM mailer.message WHERE message_id = :mail), 'post 1', 'mails of a collapse_key are one thread');

-- A mail that was cancelled takes nothing with it but what it had.
SELECT mailer.cancel(pg_temp.newest()) \g /dev/null
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "P"}', 'eve', 'post 1') \g /dev/null
SELECT results_eq($$SELECT subject FROM pg_temp.says(pg_temp.newest())$$, $$VALUES ('eve liked P')$$, 'after a cancelled mail the next item has a new one');

-- Rate limit.
SELECT mailer.notify('owner', 'paced', 'liked', jsonb_build_object('post', n), 'ada') FROM generate_series(1, 5) n \g /dev/null
SELECT results_eq($$SELECT due_at FROM mailer.queue_entry JOIN mailer.message USING (message_id) WHERE category = 'paced' ORDER BY message_id$$,
    $$VALUES (timestamptz '2030-05-01 10:00+00'), ('2030-05-01 10:00+00'), ('2030-05-01 11:00+00')$$, 'two go at once, the rest is one mail at the period''s end');
SELECT pg_temp.newest() AS rest \gset
SELECT results_eq(format('SELECT * FROM pg_temp.says(%s)', :rest), $$VALUES ('3 things', '* Ada liked 3 (1)* Ada liked 4 (1)* Ada liked 5 (1)')$$, 'by the digest_template, with each one''s title');
SET LOCAL mailer.virtual_now = '2030-05-01 11:00:01+00';
SELECT ok(pg_temp.goes(:rest), 'its time comes');
SELECT pg_temp.sent(:rest);
SELECT mailer.notify('owner', 'paced', 'liked', '{"post": 6}', 'ada') \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = pg_temp.newest()), '2030-05-01 11:00:01+00'::timestamptz, 'in the next period it is the first of two: one more goes at once');
SELECT mailer.notify('owner', 'paced', 'liked', '{"post": 7}', 'ada') \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = pg_temp.newest()), '2030-05-01 12:00+00'::timestamptz, 'and then the rest waits again');
SET LOCAL mailer.virtual_now = '2030-05-03 10:00+00';
SELECT mailer.notify('owner', 'paced', 'liked', '{"post": 8}', 'ada') \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = pg_temp.newest()), '2030-05-03 10:00+00'::timestamptz, 'long after, a period begins with its first mail');
SELECT mailer.notify('ada', 'paced', 'liked', '{"post": 8}', 'owner') \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = pg_temp.newest()), '2030-05-03 10:00+00'::timestamptz, 'each user has a limit of his own');
SELECT mailer.notify('owner', 'plain', 'liked', '{"post": "P"}', a, 'post 1') FROM unnest(ARRAY['ada', 'ben']) a \g /dev/null
SELECT pg_temp.sent(pg_temp.newest()) FROM (SELECT pg_temp.goes(pg_temp.newest())) g;
SELECT mailer.notify('owner', 'plain', 'liked', '{"post": "P"}', a, 'post 1') FROM unnest(ARRAY['cy', 'dan', 'eve']) a \g /dev/null
SELECT results_eq($$SELECT * FROM pg_temp.says(pg_temp.newest())$$, $$VALUES ('cy and 2 others liked P', 'Hello Olga, 3: [cy][dan][eve]')$$, 'without a digest_template one thing speaks by its own template');
SELECT mailer.notify('owner', 'plain', 'liked', '{"post": "Q"}', 'fay', 'post 2') \g /dev/null
SELECT results_eq($$SELECT * FROM pg_temp.says(pg_temp.newest())$$, $$VALUES ('4 × plain', E'- cy and 2 others liked P\n- fay liked Q\n')$$, 'and several are a list of titles');
SELECT is((SELECT body_html FROM mailer.message WHERE message_id = pg_temp.newest()), NULL, 'in text when the template has no HTML');

-- Only if still unread.
SELECT mailer.notify('owner', 'quiet', 'liked', '{"post": "P"}', 'ada') AS inbox_row \gset
SELECT pg_temp.newest() AS mail \gset
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :mail), '2030-05-03 10:15+00'::timestamptz, 'mail_delay is how long the mail waits');
SELECT ok(pg_temp.goes(:mail), 'unread, it goes');
SELECT mailer.inbox_mark_read('owner', :inbox_row) \g /dev/null
SELECT ok(NOT pg_temp.goes(:mail), 'read, it does not');
SELECT mailer.notify('owner', 'quiet', 'liked', '{"post": "P"}', 'ada', 'post 1') \g /dev/null
SELECT mailer.inbox_mark_read('owner') \g /dev/null
SELECT mailer.notify('owner', 'quiet', 'liked', '{"post": "P"}', 'ben', 'post 1') \g /dev/null
SELECT results_eq($$SELECT subject FROM pg_temp.says(pg_temp.newest())$$, $$VALUES ('ben liked P')$$, 'of several the mail names only the unread');

-- Switched off, or moved, while it waits.
SELECT mailer.preference_set('owner', 'quiet', email_enabled => false) \g /dev/null
SELECT ok(NOT pg_temp.goes(pg_temp.newest()), 'mail that was switched off meanwhile doesn''t go');
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "P"}', 'ada', 'post 9') \g /dev/null
SELECT mailer.contact_set('owner', 'olga@example.net') \g /dev/null
SELECT results_eq($$SELECT addresses, address_key COLLATE "default", header_to FROM mailer.message WHERE message_id = pg_temp.newest()$$,
    $$VALUES ('{olga@example.net}'::text[], 'olga@example.net', '"Olga" <olga@example.net>')$$, 'a mail that gathers goes to the new address');

-- Languages and threads.
SELECT mailer.template_set('commented.pt', '{{actor}} comentou', 'Olá'), mailer.contact_set('bia', 'bia@example.com', locale => 'pt-BR') \g /dev/null
SELECT mailer.notify('bia', 'comments', 'commented', '{"thread_key": "post 3"}', 'ada') \g /dev/null
SELECT results_eq($$SELECT template, thread_key FROM mailer.message WHERE message_id = pg_temp.newest()$$, $$VALUES ('commented.pt', 'post 3')$$, 'a template in the user''s language is taken where there is one; thread_key threads');
SELECT mailer.mailbox_create('other', 'smtp.example.org', from_address => 'notify@example.org') AS other \gset
SELECT mailer.template_set('commented.de-AT', '{{actor}} hat kommentiert', 'Servus'), mailer.contact_set('bia', 'bia@example.com', locale => 'de_at.UTF-8') \g /dev/null
SELECT mailer.notify('bia', 'comments', 'commented', '{}', 'ada') \g /dev/null
SELECT is((SELECT template FROM mailer.message WHERE message_id = pg_temp.newest()), 'commented.de-AT', 'however the locale is written');
SELECT mailer.category_set('elsewhere', mailbox => 'other'), mailer.notify('owner', 'elsewhere', 'liked') \g /dev/null
SELECT results_eq($$SELECT l.pool, m.internet_message_id ~ '@example\.org>$' FROM mailer.message m JOIN mailer.lane l USING (lane_id) WHERE m.message_id = pg_temp.newest()$$,
    format($$VALUES (ARRAY[%s]::bigint[], true)$$, :other), 'a category may have a mailbox of its own');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');
SELECT finish();
ROLLBACK;
