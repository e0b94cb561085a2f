-- mailer.ingest: each kind of feedback, each rank of evidence, each effect; and that a report counts once.
SET search_path = pg_catalog, public;
BEGIN;
SELECT no_plan();
\ir fixture.psql
\ir feedback.psql

-- ── A hard bounce ──
SELECT pg_temp.sent_mail('{ada@example.org}') AS a \gset
SELECT results_eq(format($$SELECT kind, is_hard, message_id, address, code, enhanced_code, source, is_guess FROM mailer.ingest(pg_temp.bounce(%L, 'ada@example.org'))$$, pg_temp.id_of(:a)),
    format($$VALUES ('bounce', true, %s::bigint, 'ada@example.org', 550, '5.1.1', 'pipe', false)$$, :a), 'a hard bounce is logged');
SELECT is_empty(format($$SELECT * FROM mailer.ingest(pg_temp.bounce(%L, 'ada@example.org', received => 'Received: by another hop'))$$, pg_temp.id_of(:a)),
    'the same once more, by another way, is not');
SELECT results_eq(format('SELECT state, result, bounced_at IS NOT NULL FROM mailer.status(%s)', :a), $$VALUES ('sent', 'bounced', true)$$,
    'its message stays sent, and bounced');
SELECT results_eq($$SELECT scope, reason, expires_at - now() > interval '29 days' FROM mailer.suppression WHERE address_key = 'ada@example.org'$$,
    $$VALUES ('all', 'hard_bounce', true)$$, 'its address is suppressed for 30 days');
SELECT is((SELECT count(*) FROM mailer.event_log e JOIN mailer.feedback_log f ON f.id = e.id WHERE e.kind = 'bounced' AND e.message_id = :a), 1::bigint,
    'event_log has it under the same id');
SELECT pg_temp.sent_mail('{ada@example.org}') AS a2 \gset
SELECT count(*) FROM mailer.ingest(pg_temp.bounce(pg_temp.id_of(:a2), 'ada@example.org')) \g /dev/null
SELECT is((SELECT expires_at FROM mailer.suppression WHERE address_key = 'ada@example.org'), NULL, 'a second one suppresses without expiry');

-- ── Soft bounces, delays, successes ──
SELECT pg_temp.sent_mail('{bob@example.org}') AS b \gset
SELECT results_eq(format($$SELECT kind, is_hard FROM mailer.ingest(pg_temp.bounce(%L, 'bob@example.org', status => '5.2.2', words => '552 5.2.2 mailbox full'))$$, pg_temp.id_of(:b)),
    $$VALUES ('bounce', false)$$, 'a full mailbox is a soft bounce');
SELECT results_eq(format('SELECT result, bounced_at IS NULL FROM mailer.status(%s)', :b), $$VALUES ('accepted', true)$$, 'which marks nothing');
SELECT is_empty($$SELECT FROM mailer.suppression WHERE address_key = 'bob@example.org'$$, 'and suppresses nobody');
SELECT results_eq(format($$SELECT kind FROM mailer.ingest(pg_temp.bounce(%L, 'bob@example.org', action => 'delayed', status => '4.4.1', words => ''))$$, pg_temp.id_of(:b)),
    $$VALUES ('delay')$$, 'a delay is logged');
SELECT results_eq(format($$SELECT kind FROM mailer.ingest(pg_temp.bounce(%L, 'bob@example.org', action => 'relayed', status => '2.0.0', words => ''))$$, pg_temp.id_of(:b)),
    $$VALUES ('delivered')$$, 'so is a success');
SELECT is((SELECT soft_count FROM mailer.address_bounce WHERE address_key = 'bob@example.org'), 0, 'which ends a row of soft bounces');
SELECT pg_temp.soft_bounces('cy@example.org', 4, '1 day');
SELECT is_empty($$SELECT FROM mailer.suppression WHERE address_key = 'cy@example.org'$$, 'four soft bounces within days suppress nobody');
SELECT pg_temp.soft_bounces('dan@example.org', 4, '15 days');
SELECT results_eq($$SELECT reason, expires_at - now() > interval '29 days' FROM mailer.suppression WHERE address_key = 'dan@example.org'$$,
    $$VALUES ('soft_bounce', true)$$, 'over more than 14 days they do, for 30 days');
SELECT pg_temp.sent_mail('{eve@example.org}') AS e \gset
SELECT count(*) FROM mailer.ingest(pg_temp.bounce(pg_temp.id_of(:e), 'eve@example.org', status => '5.2.1', words => '550 5.2.1 This account is disabled')) \g /dev/null
SELECT is_empty($$SELECT FROM mailer.suppression WHERE address_key = 'eve@example.org'$$, 'a disabled account is not a dead address');

-- ── Complaints ──
SELECT pg_temp.sent_mail('{flo@example.org}') AS f \gset
SELECT is((SELECT array_agg(kind) FROM mailer.ingest(pg_temp.complaint(pg_temp.id_of(:f), 'flo@example.org'))), '{complaint}', 'a complaint is logged');
SELECT results_eq($$SELECT scope, expires_at FROM mailer.suppression WHERE address_key = 'flo@example.org' ORDER BY scope$$,
    $$VALUES ('bulk', NULL::timestamptz), ('campaigns', NULL)$$, 'and suppresses campaigns and optional notifications, without expiry');
SELECT is((SELECT result FROM mailer.status(:f)), 'complained', 'its message is complained of');
SELECT is_empty(format($$SELECT * FROM mailer.ingest(pg_temp.complaint(%L, 'flo@example.org', 'auth-failure'))$$, pg_temp.id_of(:f)),
    'the report of a check that failed is not a complaint');

-- ── Answers ──
SELECT pg_temp.sent_mail('{gil@example.org}') AS g \gset
SELECT results_eq(format($$SELECT kind, address, words FROM mailer.ingest(pg_temp.answer(%L, 'someone.else@example.org', 'Yes'))$$, pg_temp.id_of(:g)),
    $$VALUES ('reply', 'someone.else@example.org', 'Re: S')$$, 'a reply from any address counts; its subject is kept, its text is not');
SELECT results_eq(format('SELECT result, replied_at IS NOT NULL FROM mailer.status(%s)', :g), $$VALUES ('replied', true)$$, 'its message is replied to');
SELECT is((SELECT array_agg(kind) FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:g), 'gil@example.org', 'I am away', 'Auto-Submitted: auto-replied'))),
    '{auto_reply}', 'an automatic answer is logged as such, never as a reply');
SELECT pg_temp.sent_mail('{hal@example.org}') AS h \gset
SELECT results_eq(format($$SELECT kind, is_guess FROM mailer.ingest(pg_temp.answer(%L, 'hal@example.org', 'Please unsubscribe me'))$$, pg_temp.id_of(:h)),
    $$VALUES ('unsubscribe', true)$$, 'a short wish in a reply is taken for one');
SELECT is((SELECT array_agg(scope || reason) FROM mailer.suppression WHERE address_key = 'hal@example.org'), '{campaignsopt_out}', 'and stops campaigns');
SELECT ok(mailer.unsuppress('hal@example.org', 'campaigns'), 'until somebody takes it back');

-- What people wrote is kept only if an operator wants it, without what they quote.
SELECT pg_temp.sent_mail('{ned@example.org}') AS ned, pg_temp.sent_mail('{oda@example.org}') AS oda \gset
SELECT id AS unkept FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:ned), 'ned@example.org', E'My phone is 555 0100.')) \gset
SELECT is(mailer.reply_text(:unkept), NULL, 'the text of a reply is not kept');
SELECT is_empty($$SELECT FROM mailer.feedback f WHERE f::text LIKE '%555 0100%'$$, 'anywhere');
SET LOCAL mailer.keep_replies = on;
SELECT id AS kept FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:oda), 'oda@example.org', E'Yes,\n\n\nplease call.\n\nOn Mon, 30 Nov 2026, one wrote:\n> Dear Oda')) \gset
SELECT is(mailer.reply_text(:kept), E'Yes,\n\nplease call.', 'with mailer.keep_replies it is, without what it quotes');
SELECT mailer.forget('oda@example.org') \g /dev/null
SELECT is(mailer.reply_text(:kept), NULL, 'until the person is forgotten');
SELECT is((SELECT words FROM mailer.feedback_log WHERE id = :kept), NULL, 'with the subject');
RESET mailer.keep_replies;

-- ── Several recipients ──
SELECT pg_temp.sent_mail('{ida@example.org,joe@example.org}') AS several \gset
SELECT results_eq(format($$SELECT address, is_guess FROM mailer.ingest(pg_temp.bounce(%L, 'joe@example.org'))$$, pg_temp.id_of(:several)),
    $$VALUES ('joe@example.org', false)$$, 'the recipient is found by the report');
SELECT is((SELECT array_agg(address_key) FROM mailer.suppression WHERE address_key IN ('ida@example.org', 'joe@example.org')), '{joe@example.org}',
    'and he alone is suppressed');
SELECT pg_temp.sent_mail('{kim@example.org,lea@example.org}') AS several2 \gset
SELECT results_eq(format($$SELECT address, is_guess FROM mailer.ingest(pg_temp.bounce(%L, 'forwarded@elsewhere.example'))$$, pg_temp.id_of(:several2)),
    $$VALUES ('forwarded@elsewhere.example', true)$$, 'a forwarded mail to several is a guess');
SELECT is((SELECT result FROM mailer.status(:several2)), 'accepted', 'which marks nobody');
SELECT pg_temp.sent_mail('{max@example.org}') AS forwarded \gset
SELECT count(*) FROM mailer.ingest(pg_temp.bounce(pg_temp.id_of(:forwarded), 'forwarded@elsewhere.example')) \g /dev/null
SELECT is((SELECT result FROM mailer.status(:forwarded)), 'bounced', 'to a single recipient it marks the message');
SELECT is_empty($$SELECT FROM mailer.suppression WHERE address_key IN ('max@example.org', 'forwarded@elsewhere.example')$$, 'and suppresses nobody');

-- ── What was unconfirmed ──
SELECT pg_temp.sent_mail('{nat@example.org}', 'u') AS lost \gset
SELECT count(*) FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:lost), 'nat@example.org', 'Thanks')) \g /dev/null
SELECT results_eq(format('SELECT state, reason, confirmed_by FROM mailer.status(%s)', :lost), $$VALUES ('sent', 'confirmed', 'reply')$$,
    'an answer proves that an unconfirmed mail arrived');

-- ── What is held since a promotion ──
SELECT mailer.enqueue('held.reply@example.org', 'S', 'B') AS held_reply \gset
SELECT mailer.enqueue('held.one@example.org, held.two@example.org', 'S', 'B') AS held_bounce \gset
SELECT mailer.enqueue('held.silent@example.org', 'S', 'B') AS held_silent \gset
SELECT mailer.enqueue('not.held@example.org', 'S', 'B') AS not_held \gset
INSERT INTO mailer.promotion (timeline, held_epochs, is_held, promoted_at, promised_until, names) VALUES (2, '{-2}', true, now() + interval '1 s', NULL, '{}');
UPDATE mailer.queue_entry SET epoch = -2 WHERE message_id IN (:held_reply, :held_bounce, :held_silent);
SELECT count(*) FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:held_reply), 'held.reply@example.org', 'Thanks')) \g /dev/null
SELECT results_eq(format('SELECT state, reason, confirmed_by FROM mailer.status(%s)', :held_reply), $$VALUES ('sent', 'confirmed', 'reply')$$,
    'an answer proves that the old primary had sent it');
SELECT count(*) FROM mailer.ingest(pg_temp.bounce(pg_temp.id_of(:held_bounce), 'held.one@example.org')) \g /dev/null
SELECT results_eq(format('SELECT state, reason, result FROM mailer.status(%s)', :held_bounce), $$VALUES ('sent', 'confirmed', 'bounced')$$, 'and so does a bounce');
SELECT count(*) FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:not_held), 'not.held@example.org', 'Thanks')) \g /dev/null
SELECT is((SELECT state FROM mailer.status(:not_held)), 'pending', 'what is not held waits on');
SELECT results_eq('SELECT is_held, held FROM mailer.promotion_state()', 'VALUES (true, 1::bigint)', 'what nobody has answered is still held');
SELECT mailer.cancel(:held_silent) \g /dev/null
SELECT results_eq('SELECT is_held, held FROM mailer.promotion_state()', 'VALUES (false, 0::bigint)', 'with none left nothing is held');
SELECT is_empty($$SELECT FROM mailer.health() WHERE subject = 'promotion'$$, 'and health() has nothing to say');
SELECT mailer.cancel(:not_held) \g /dev/null

SELECT is_empty($$SELECT * FROM mailer.ingest(pg_temp.bounce('<999.0123456789abcdef@example.com>', 'zoe@example.org'), 'one')$$,
    'a bounce of somebody else''s mail is nothing');
SELECT is((SELECT seen FROM mailer.unmatched_feedback WHERE source = 'pipe' AND kind = 'bounce'), 1::bigint, 'but it is counted');
SELECT throws_ok($$SELECT * FROM mailer.ingest('x', 'nobody')$$, '42704', 'there is no mailbox "nobody"');
SELECT throws_ok($$SELECT * FROM mailer.ingest(NULL)$$, '22004', 'raw must not be NULL', 'a pipe that passes nothing learns of it');
SELECT throws_ok($$SELECT * FROM mailer.ingest_webhook('ses', NULL)$$, '22004', 'body must not be NULL', 'so does a webhook');
SELECT is((SELECT sum(violations::int) FROM mailer.verify() WHERE violations > 0), NULL, 'nothing disagrees afterwards');
-- ── Whose mail bounced ─────────────────────────────────────────────────────────────────────────────────────────────
-- One tenant's bounces say nothing about another's: else one that makes an address bounce silences it permanently for all.
CREATE ROLE tap_bounced_one;
CREATE ROLE tap_bounced_two;
SELECT mailer.grant_sender('tap_bounced_one'), mailer.grant_sender('tap_bounced_two') \g /dev/null
CREATE TEMP TABLE bounced_mail AS
SELECT pg_temp.sent_mail(ARRAY['vic@example.org']) AS id, 'tap_bounced_' || v.name AS role FROM (VALUES ('one'), ('two'), ('two')) v(name);
UPDATE mailer.message m SET tenant_id = t.id FROM bounced_mail b JOIN mailer.tenant t ON t.name = b.role WHERE m.message_id = b.id;
SELECT mailer.ingest(pg_temp.bounce(pg_temp.id_of(b.id), 'vic@example.org')) FROM (SELECT id FROM bounced_mail ORDER BY id LIMIT 2) b \g /dev/null
SELECT results_eq($$SELECT t.name, s.expires_at IS NULL FROM mailer.suppression s JOIN mailer.tenant t ON t.id = s.tenant_id WHERE s.address_key = 'vic@example.org' ORDER BY 1$$,
    $$VALUES ('tap_bounced_one', false), ('tap_bounced_two', false)$$, 'the first bounce of each tenant is its first');
SELECT mailer.ingest(pg_temp.bounce(pg_temp.id_of(b.id), 'vic@example.org')) FROM (SELECT max(id) AS id FROM bounced_mail) b \g /dev/null
SELECT results_eq($$SELECT t.name, s.expires_at IS NULL FROM mailer.suppression s JOIN mailer.tenant t ON t.id = s.tenant_id WHERE s.address_key = 'vic@example.org' ORDER BY 1$$,
    $$VALUES ('tap_bounced_one', false), ('tap_bounced_two', true)$$, 'and the second of one suppresses without expiry for that one');

SELECT * FROM finish();
ROLLBACK;
