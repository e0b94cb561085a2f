-- Unsubscribing: the signature, the tokens, what they stop and what they never stop.
BEGIN;
SELECT no_plan();
\ir notification.psql

-- HMAC: the cases of RFC 4231, section 4, but for the truncated one.
SELECT is(encode(mailer._hmac_sha256(decode(key, 'hex'), decode(data, 'hex')), 'hex'), mac, format('RFC 4231, test case %s', n))
FROM (VALUES
    (1, repeat('0b', 20), encode('Hi There', 'hex'), 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'),
    (2, encode('Jefe', 'hex'), encode('what do ya want for nothing?', 'hex'), '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'),
    (3, repeat('aa', 20), repeat('dd', 50), '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe'),
    (4, '0102030405060708090a0b0c0d0e0f10111213141516171819', repeat('cd', 50), '82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b'),
    (6, repeat('aa', 131), encode('Test Using Larger Than Block-Size Key - Hash Key First', 'hex'), '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54'),
    (7, repeat('aa', 131), encode('This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.', 'hex'),
        '9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2')) v(n, key, data, mac);
SELECT is((SELECT length(key) FROM mailer.signing_key), 32, 'the key has 256 bits');

-- Tokens.
SELECT mailer._unsubscribe_token(1, 'owner@example.com', 'category:likes') AS token \gset
SELECT matches(:'token'::text, '^[A-Za-z0-9_.-]+$', 'a token stands in a URL as it is');
SELECT results_eq(format('SELECT scope, address_key FROM mailer._read_token(%L)', :'token'), $$VALUES ('category:likes', 'owner@example.com')$$, 'it names scope and address');
SELECT results_eq(format('SELECT address_key FROM mailer._read_token(mailer._unsubscribe_token(1, %L, %L))', 'grażyna@example.com', 'category:żółw'), $$VALUES ('grażyna@example.com')$$, 'in any script');
SELECT throws_ok(format('SELECT mailer.unsubscribe(%L)', bad), '22023', 'the unsubscribe token is not valid', what)
FROM (VALUES ('', 'an empty token is refused'), ('x', 'so is nonsense'), (left(:'token', -1), 'one that was cut'), (:'token' || 'A', 'one that was lengthened'),
    (overlay(:'token' PLACING 'B' FROM 3 FOR 1), 'one for another scope'), (left(:'token', -1) || CASE right(:'token', 1) WHEN 'A' THEN 'B' ELSE 'A' END, 'one with another signature'),
    (E'====.' || repeat('A', 43), 'and one of other characters')) v(bad, what);
SELECT throws_ok('SELECT mailer.unsubscribe(NULL)', '22023', NULL, 'none at all is refused');
UPDATE mailer.signing_key SET key = sha256('another database');
SELECT throws_ok(format('SELECT mailer.unsubscribe(%L)', :'token'), '22023', NULL, 'another database''s token is refused');
SELECT mailer._unsubscribe_token(1, 'owner@example.com', 'category:likes') AS token \gset

-- A category.
SELECT mailer.notify('owner', 'likes', 'liked', '{"post": "P"}', 'ada', 'post 1') \g /dev/null
SELECT results_eq(format('SELECT scope, address FROM mailer.unsubscribe(%L)', :'token'), $$VALUES ('category:likes', 'owner@example.com')$$, 'unsubscribe() gives the scope and the address');
SELECT results_eq($$SELECT scope, reason, expires_at FROM mailer.suppression WHERE address_key = 'owner@example.com'$$, $$VALUES ('category:likes', 'unsubscribed', NULL::timestamptz)$$, 'the scope is suppressed permanently');
SELECT results_eq($$SELECT email_enabled, in_app_enabled FROM mailer.preference WHERE user_id = 'owner' AND category = 'likes'$$, $$VALUES (false, true)$$, 'the preference shows it');
SELECT ok(NOT pg_temp.goes(pg_temp.newest()), 'what waits doesn''t go');
SELECT lives_ok(format('SELECT mailer.unsubscribe(%L)', :'token'), 'twice is as good as once');
SELECT is((SELECT count(*) FROM mailer.event_log WHERE kind = 'unsubscribed'), 2::bigint, 'it is in the log');
SELECT pg_temp.mails() AS before \gset
SELECT isnt(mailer.notify('owner', 'likes', 'liked'), NULL, 'the application still tells');
SELECT is(pg_temp.mails(), :before::bigint, 'no mail does');
SELECT isnt(mailer.notify('owner', 'comments', 'commented'), NULL, 'other categories …');
SELECT is(pg_temp.mails(), :before + 1::bigint, '… go on');
SELECT mailer.preference_set('owner', 'likes', in_app_enabled => false) \g /dev/null
SELECT results_eq($$SELECT email_enabled, in_app_enabled FROM mailer.preference WHERE user_id = 'owner' AND category = 'likes'$$, $$VALUES (false, false)$$, 'another choice keeps it so');
SELECT isnt_empty($$SELECT * FROM mailer.suppression WHERE address_key = 'owner@example.com'$$, 'and the link''s');
SELECT mailer.preference_set('owner', 'likes', email_enabled => true, in_app_enabled => true) \g /dev/null
SELECT is_empty($$SELECT * FROM mailer.suppression WHERE address_key = 'owner@example.com'$$, 'who switches mail on again has it again');

-- A page asks first, and may offer to stop everything that is optional.
SELECT results_eq(format('SELECT * FROM mailer.unsubscribe_preview(%L)', :'token'), $$VALUES ('category:likes', 'owner@example.com', false)$$, 'a preview says what would be stopped');
SELECT is_empty($$SELECT * FROM mailer.suppression WHERE address_key = 'owner@example.com'$$, 'and stops nothing');
SELECT throws_ok('SELECT mailer.unsubscribe_preview(''x'')', '22023', 'the unsubscribe token is not valid', 'it takes tokens of this database alone');
SAVEPOINT everything;
SELECT results_eq(format('SELECT scope, address FROM mailer.unsubscribe(%L, everything => true)', :'token'), $$VALUES ('bulk', 'owner@example.com')$$, 'everything is scope bulk …');
SELECT results_eq($$SELECT scope FROM mailer.suppression WHERE address_key = 'owner@example.com' ORDER BY 1$$, $$VALUES ('bulk'), ('category:likes')$$, '… beside the link''s own');
SELECT is((SELECT is_unsubscribed FROM mailer.unsubscribe_preview(:'token')), true, 'which the preview shows');
SELECT mailer.notify('owner', 'comments', 'commented') \g /dev/null
SELECT ok(NOT pg_temp.goes(pg_temp.newest()), 'other categories don''t go either');
ROLLBACK TO everything;

-- What it never stops.
SELECT mailer.category_set('security', is_required => true) \g /dev/null
SELECT mailer.unsubscribe(mailer._unsubscribe_token(1, 'owner@example.com', 'category:security')) \g /dev/null
SELECT is_empty($$SELECT * FROM mailer.preference WHERE category = 'security'$$, 'a required category isn''t switched off');
SELECT mailer.notify('owner', 'security', 'liked') \g /dev/null
SELECT is((SELECT category FROM mailer.message WHERE message_id = pg_temp.newest()), NULL, 'and its mails are of no scope that could stop them');

-- A campaign.
SELECT mailer.campaign_create('spring', 'liked') AS spring \gset
SELECT mailer.campaign_add(:spring, 'lead@example.com') \g /dev/null
SELECT is((mailer.unsubscribe(mailer._unsubscribe_token(1, 'lead@example.com', format('campaign:%s', :spring)))).scope, format('campaign:%s', :spring), 'a campaign is a scope, too');
SELECT results_eq($$SELECT scope FROM mailer.suppression WHERE address_key = 'lead@example.com'$$, format($$VALUES ('campaign:%s')$$, :spring), 'of its own');

-- In the mail.
SELECT is(mailer._unsubscribe_url(1, 'a@example.com', 'campaign:1'), NULL, 'without mailer.unsubscribe_url there is no link');
SELECT ok(convert_from(mailer.message_source(pg_temp.newest()), 'UTF8') !~ 'List-Unsubscribe', 'nor a header');
SET LOCAL mailer.unsubscribe_url = 'https://example.com/u/{token}?from=mail';
SELECT is(mailer._unsubscribe_url(1, 'a@example.com', 'campaign:1'), format('https://example.com/u/%s?from=mail', mailer._unsubscribe_token(1, 'a@example.com', 'campaign:1')), 'the token takes its place in the URL');
SELECT mailer.notify('owner', 'comments', 'commented') \g /dev/null
SELECT regexp_replace(convert_from(mailer.message_source(pg_temp.newest()), 'UTF8'), E'\r\n[ \t]+', ' ', 'g') AS source \gset
SELECT matches(:'source'::text, 'List-Unsubscribe: ?<https://example\.com/u/[A-Za-z0-9_.-]+\?from=mail>', 'a category''s mail has List-Unsubscribe (RFC 2369)');
SELECT matches(:'source'::text, 'List-Unsubscribe-Post: List-Unsubscribe=One-Click', 'and one-click (RFC 8058)');
SELECT matches(:'source'::text, 'Auto-Submitted: auto-generated', 'and Auto-Submitted (RFC 3834)');
SELECT is((mailer.unsubscribe(substring(:'source' FROM 'example\.com/u/([A-Za-z0-9_.-]+)'))).scope, 'category:comments', 'its token works');
SELECT matches(convert_from(mailer.message_source(message_id), 'UTF8'), 'List-Unsubscribe:', 'a campaign''s mail has it, too') FROM mailer.message WHERE campaign_id = :spring;
SELECT mailer.notify('owner', 'security', 'liked') \g /dev/null
SELECT ok(convert_from(mailer.message_source(pg_temp.newest()), 'UTF8') !~ 'List-Unsubscribe', 'a required one has none');
SELECT mailer.enqueue('owner@example.com', 'Plain', 'mail') \g /dev/null
SELECT ok(convert_from(mailer.message_source(pg_temp.newest()), 'UTF8') !~ 'List-Unsubscribe', 'nor has plain mail');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');
SELECT finish();
ROLLBACK;
