-- Notifications in the application: who is notified, what it says, collapsing, reading, and what users may switch off.
BEGIN;
SELECT no_plan();
\ir notification.psql

-- One call.
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "A day out"}', 'ada') AS first \gset
SELECT results_eq($$SELECT notification_id, category, title, body, actor_count, read_at FROM mailer.inbox('owner')$$,
    format($$VALUES (%s::bigint, 'likes', 'Ada liked A day out', 'Hello Olga, 1: [Ada]', 1::bigint, NULL::timestamptz)$$, :first),
    'notify() makes a row of the inbox, rendered with the actor''s name');
SELECT is((SELECT variables ->> 'post' FROM mailer.inbox('owner')), 'A day out', 'an application that draws itself gets the variables');
SELECT is((SELECT count(*) FROM mailer.inbox('ada')), 0::bigint, 'nobody else sees it');
SELECT is(mailer.inbox_unread('owner'), 1::bigint, 'it counts as unread');

SELECT is(mailer.notify('owner', 'likes', 'liked', actor_id => 'owner'), NULL, 'nobody is notified of his own act');
SELECT is(mailer.inbox_unread('owner'), 1::bigint, 'so nothing is there');
SELECT isnt(mailer.notify(17, 'likes', 'liked', actor_id => 18), NULL, 'user ids may be integers');
SELECT isnt(mailer.notify(17000000000, 'likes', 'liked', '{}', 18), NULL, 'or bigints');
SELECT is(mailer.notify(17, 'likes', 'liked', actor_id => 17), NULL, 'which are compared, too');
SELECT isnt(mailer.notify('1b4e28ba-2fa1-11d2-883f-0016d3cca427'::uuid, 'likes', 'liked'), NULL, 'or uuids');
SELECT is(mailer.inbox_unread('17'), 1::bigint, 'they are text in the end');

SELECT throws_ok($$SELECT mailer.notify('owner', 'likes', 'no such')$$, '42704', 'template "no such" does not exist', 'a template must exist');
SELECT throws_ok($$SELECT mailer.notify('owner', 'likes', 'liked', '[]')$$, '22023', 'variables must be a JSON object', 'variables are an object');
SELECT throws_ok($$SELECT mailer.notify(NULL::text, 'likes', 'liked')$$, '22004', 'user_id must not be NULL', 'a user is needed');
SELECT throws_ok($$SELECT mailer.notify('owner', NULL, 'liked')$$, '22004', 'a category needs a name', 'so is a category');
SELECT throws_ok(format($$SELECT mailer.notify('owner', 'likes', 'liked', collapse_key => %L)$$, repeat('x', 501)), '22023', NULL, 'collapse keys are short');

-- Names: the variable, the contact, the id.
SELECT mailer.notify('owner', 'names', 'commented', '{"post": "P", "actor": "Ada L."}', 'ada'), mailer.notify('owner', 'names', 'commented', '{"post": "P"}', 'stranger') \g /dev/null
SELECT results_eq($$SELECT title FROM mailer.inbox('owner', max_rows => 2)$$, $$VALUES ('stranger commented on P'), ('Ada L. commented on P')$$,
    'the variable actor wins over the contact''s name, the id stands in; newest first');
SELECT is((SELECT count(*) FROM mailer.inbox('owner', max_rows => 1)), 1::bigint, 'max_rows limits');
SELECT throws_ok($$SELECT * FROM mailer.inbox('owner', max_rows => -1)$$, '22023', NULL, 'to no less than nothing');

-- Collapsing.
SELECT mailer.notify('olaf', 'likes', 'liked', '{"post": "P"}', a, 'post 1') FROM unnest(ARRAY['ada', 'ben', 'cy', 'dan', 'eve', 'eve']) WITH ORDINALITY u(a, n) ORDER BY n \g /dev/null
SELECT results_eq($$SELECT title, actor_count, (variables ->> 'count')::int FROM mailer.inbox('olaf')$$, $$VALUES ('Ada and 4 others liked P', 5::bigint, 6)$$,
    'a collapse_key is one row that names the first, and counts people and events');
SELECT isnt(mailer.notify('olaf', 'likes', 'liked', '{"post": "Q"}', 'ada', 'post 2'), NULL, 'another key …');
SELECT is(mailer.inbox_unread('olaf'), 2::bigint, '… is another row');
SELECT is(mailer.inbox_mark_read('olaf', (SELECT min(notification_id) FROM mailer.inbox('olaf'))), 1::bigint, 'one is read');
SELECT mailer.notify('olaf', 'likes', 'liked', '{"post": "P"}', 'fay', 'post 1') \g /dev/null
SELECT is((SELECT title FROM mailer.inbox('olaf', max_rows => 1)), 'fay liked P', 'what comes after reading starts a new row');
SELECT is((SELECT count(*) FROM mailer.inbox('olaf', only_unread => true)), 2::bigint, 'only_unread leaves out what was read');
SET LOCAL mailer.virtual_now = '2030-01-01 12:00+00';
SELECT mailer.notify('olaf', 'likes', 'liked', '{"post": "P"}', 'gil', 'post 1') \g /dev/null
SELECT is((SELECT title FROM mailer.inbox('olaf', max_rows => 1)), 'gil liked P', 'and so does what comes after rate_period');
RESET mailer.virtual_now;

-- Reading.
SELECT is(mailer.inbox_mark_read('ada', :first), 0::bigint, 'nobody reads for somebody else');
SELECT is(mailer.inbox_mark_read('olaf'), 3::bigint, 'all are read at once');
SELECT is(mailer.inbox_mark_read('olaf'), 0::bigint, 'and only once');
SELECT is(mailer.inbox_unread('olaf'), 0::bigint, 'then none is unread');
SELECT is((SELECT count(*) FROM mailer.inbox('olaf') WHERE read_at IS NULL), 0::bigint, 'the inbox says when');

-- A template that went away doesn't hide the inbox.
DELETE FROM mailer.template WHERE name = 'commented';
SELECT is((SELECT count(*) FROM mailer.inbox('owner')), 3::bigint, 'rows of a template that is gone are still there');

-- Preferences.
SELECT mailer.preference_set('owner', 'likes', in_app_enabled => false) \g /dev/null
SELECT is(mailer.notify('owner', 'likes', 'liked', actor_id => 'ada'), NULL, 'switched off in the application: no row');
SELECT mailer.preference_set('owner', 'likes', email_enabled => false, in_app_enabled => false) \g /dev/null
SELECT count(*) AS items FROM mailer.notification_item \gset
SELECT is(mailer.notify('owner', 'likes', 'liked', actor_id => 'ada'), NULL, 'switched off both ways …');
SELECT is((SELECT count(*) FROM mailer.notification_item), :items::bigint, '… nothing is kept');
SELECT throws_ok($$SELECT mailer.preference_set('owner', 'likes', digest => 'weekly')$$, '22023', NULL, 'there are three ways of digests');
SELECT mailer.category_set('security', is_required => true) \g /dev/null
SELECT throws_ok($$SELECT mailer.preference_set('owner', 'security', email_enabled => false)$$, '55000', 'category "security" is required: it can''t be switched off', 'required categories can''t be switched off by mail');
SELECT throws_ok($$SELECT mailer.preference_set('owner', 'security', in_app_enabled => false)$$, '55000', NULL, 'nor in the application');
SELECT lives_ok($$SELECT mailer.preference_set('owner', 'security', digest => 'daily')$$, 'a digest of them may be chosen');
SELECT mailer.category_set('likes', is_required => true) \g /dev/null
SELECT isnt(mailer.notify('owner', 'likes', 'liked', actor_id => 'ada'), NULL, 'a category that becomes required overrules what was chosen before');

-- Settings are checked.
SELECT throws_ok($$SELECT mailer.category_set('x', rate_limit => -1)$$, '22023', 'rate_limit must not be negative', 'a limit is a number of mails');
SELECT throws_ok($$SELECT mailer.category_set('x', digest_hour => 24)$$, '22023', 'digest_hour must be 0 to 23', 'hours are of the day');
SELECT throws_ok($$SELECT mailer.category_set('x', mail_delay => '-1 s')$$, '22023', NULL, 'delays go forward');
SELECT throws_ok($$SELECT mailer.category_set('x', mailbox => 'none')$$, '42704', NULL, 'a mailbox must exist');
SELECT throws_ok($$SELECT mailer.category_set('x', digest_template => 'none')$$, '42704', NULL, 'a digest_template, too');
SELECT throws_ok($$SELECT mailer.contact_set('x', 'not an address')$$, '22023', NULL, 'an address must be one');
SELECT throws_ok($$SELECT mailer.contact_set('x', 'x@example.com', timezone => 'Mars/Olympus')$$, '22023', NULL, 'so must a time zone');
SELECT mailer.contact_set('ada', 'ada@example.org') \g /dev/null
SELECT results_eq($$SELECT address, name FROM mailer.contact WHERE user_id = 'ada'$$, $$VALUES ('ada@example.org', 'Ada')$$, 'what isn''t given stays');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');
SELECT finish();
ROLLBACK;
