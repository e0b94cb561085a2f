-- A person's word on a guess: mailer.feedback_confirm and feedback_take_back.
SET search_path = pg_catalog, public;
BEGIN;
SELECT no_plan();
\ir fixture.psql
\ir feedback.psql

SELECT mailer.campaign_alter(:spring, '{"max_silence": null}') \g /dev/null
SELECT mailer.campaign_step_set(:spring, 2, 'hello', '3 days') \g /dev/null
SELECT mailer.campaign_add(:spring, 'eve@example.org') AS eve \gset
SELECT mailer.campaign_add(:spring, 'fay@example.org') AS fay \gset
SELECT pg_temp.send(:eve, now(), :one), pg_temp.send(:fay, now(), :one) \g /dev/null
SELECT id AS answer_id, is_guess FROM mailer.ingest(pg_temp.answer(NULL, 'eve@example.org', 'Hello'), 'one') \gset
SELECT is(:'is_guess'::text, 't'::text, 'an answer without a thread is a guess');
SELECT is((SELECT state FROM mailer.lead_status WHERE campaign_id = :spring AND address_key = 'eve@example.org'), 'replied', 'it stops the sequence');
SELECT lives_ok(format('SELECT mailer.feedback_take_back(%s)', :answer_id), 'it is taken back');
SELECT isnt((SELECT state FROM mailer.lead_status WHERE campaign_id = :spring AND address_key = 'eve@example.org'), 'replied', 'and the sequence goes on');
SELECT results_eq(format('SELECT judged, judged_by = current_user FROM mailer.feedback_log WHERE id = %s', :answer_id), $$VALUES ('taken_back', true)$$, 'the log says who took it back');
SELECT is_empty($$SELECT FROM mailer.ingest(pg_temp.answer(NULL, 'eve@example.org', 'Hello'), 'one')$$, 'the same mail, read again, does nothing');
SELECT throws_ok(format('SELECT mailer.feedback_confirm(%s)', :answer_id), '55000', NULL, 'it is judged once');
SELECT throws_ok('SELECT mailer.feedback_confirm(-1)', '42704', NULL, 'what isn''t there can''t be judged');

SELECT id AS bounce_id, is_guess FROM mailer.ingest(pg_temp.bounce(NULL, 'fay@example.org'), 'one') \gset
SELECT is_empty($$SELECT FROM mailer.suppression WHERE address_key = 'fay@example.org'$$, 'a guessed bounce suppresses nobody') WHERE :'is_guess' = 't';
SELECT lives_ok(format('SELECT mailer.feedback_confirm(%s)', :bounce_id), 'it is confirmed') WHERE :'is_guess' = 't';
SELECT is((SELECT reason FROM mailer.suppression WHERE address_key = 'fay@example.org'), 'hard_bounce', 'and then it does') WHERE :'is_guess' = 't';

SELECT pg_temp.sent_mail('{gus@example.org}') AS g \gset
SELECT id AS wish_id, kind FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:g), 'gus@example.org', 'Please unsubscribe me')) \gset
SELECT is((SELECT reason FROM mailer.suppression WHERE address_key = 'gus@example.org' AND scope = 'campaigns'), 'opt_out', 'words that ask for no more mail suppress');
SELECT lives_ok(format('SELECT mailer.feedback_take_back(%s)', :wish_id), 'they were no wish');
SELECT is_empty($$SELECT FROM mailer.suppression WHERE address_key = 'gus@example.org'$$, 'and nothing is suppressed any more');
SELECT is((SELECT result FROM mailer.status(:g)), 'accepted', 'nor marked');
SELECT id AS plain_id FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:g), 'gus@example.org', 'Thank you')) \gset
SELECT throws_ok(format('SELECT mailer.feedback_take_back(%s)', :plain_id), '55000', NULL, 'what is no guess isn''t judged');
SELECT * FROM finish();
ROLLBACK;
