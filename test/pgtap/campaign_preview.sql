-- What a lead would get, shown (campaign_preview) and sent to somebody else (campaign_test).
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT mailer.template_set('hello', 'Hello {{name}}', E'Dear {{name}} of {{company}}, {{sender.name}}', '<p>{{name}}</p>') \g /dev/null
SELECT mailer.template_set('reminder', '', 'did you see it, {{name}}?') \g /dev/null
SELECT mailer.template_set('goodbye', 'Bye', '{{unsubscribe_url}}') \g /dev/null
SELECT mailer.mailbox_alter('one', '{"from_name": "Anna"}') \g /dev/null
SELECT mailer.campaign_alter(:spring, '{"max_silence": null}') \g /dev/null
SELECT mailer.campaign_step_set(:spring, 2, 'reminder', '3 days') \g /dev/null
SELECT mailer.campaign_step_set(:spring, 3, 'goodbye', '3 days', subject => 'Last mail, {{name}}') \g /dev/null
SELECT mailer.campaign_step_set(:spring, 4, 'reminder', '3 days') \g /dev/null

PREPARE preview(text, int) AS SELECT subject, body_text, body_html, missing FROM mailer.campaign_preview('spring', $1, $2);
SELECT results_eq('EXECUTE preview(''Ada <ADA@example.com>'', 1)',
    $$VALUES ('Hello Ada', 'Dear Ada of , Anna', '<p>Ada</p>', '{company}'::text[])$$, 'a preview is what the lead gets, and names what is missing');
SELECT results_eq('EXECUTE preview(''ada@example.com'', 2)',
    $$VALUES ('Re: Hello Ada', 'did you see it, Ada?', NULL, '{}'::text[])$$, 'a step that isn''t queued has the subject of its thread');
SELECT results_eq('EXECUTE preview(''ada@example.com'', 3)',
    $$VALUES ('Last mail, Ada', '', NULL, '{unsubscribe_url}'::text[])$$, 'a step''s own subject is rendered');
SELECT is((SELECT subject FROM mailer.campaign_preview(:spring, 'ada@example.com', 4)), 'Re: Last mail, Ada', 'and begins a thread');
SELECT is((SELECT missing FROM mailer.campaign_preview(:spring, 'bob@example.com')), '{company,name}', 'each lead has its own variables');
SELECT mailer.template_set('hello', 'Hello {{name}}', E'{{name}} of {{company}}', is_strict => true) \g /dev/null
SELECT is((SELECT missing FROM mailer.campaign_preview(:spring, 'bob@example.com')), '{company,name}', 'a strict template is shown all the same');
SELECT mailer.lead_update(:spring, 'bob@example.com', '{"name": "Bob", "company": "Acme"}') \g /dev/null
SELECT is((SELECT subject FROM mailer.campaign_preview(:spring, 'bob@example.com', 2)), 'Re: Hello Bob', 'and those that were set later');
SELECT is((SELECT count(*) FROM mailer.message WHERE campaign_id = :spring), 3::bigint, 'nothing is queued by it');

-- What went out is what the thread is called, whatever the template says by now.
SELECT pg_temp.send(:ada, '2024-06-03 10:00 Europe/Warsaw', :one) \g /dev/null
UPDATE mailer.lead SET subject = 'Hello, as it was', mailbox_id = :two, thread_message_id = :ada WHERE campaign_id = :spring AND address_key = 'ada@example.com';
SELECT is((SELECT subject FROM mailer.campaign_preview(:spring, 'ada@example.com', 2)), 'Re: Hello, as it was', 'the next step answers what was sent');

SELECT mailer.template_set('other', 'B for {{name}}', 'B') \g /dev/null
SELECT mailer.campaign_variant_set(:spring, 1, 'B', 'other', 1) \g /dev/null
SELECT is((SELECT subject FROM mailer.campaign_preview(:spring, 'bob@example.com')), 'B for Bob', 'a variant is shown to whom it goes');

SELECT throws_ok($$SELECT * FROM mailer.campaign_preview('spring', 'zoe@example.com')$$, '42704', NULL, 'a lead must exist');
SELECT throws_ok($$SELECT * FROM mailer.campaign_preview('spring', 'ada@example.com', 9)$$, '42704', NULL, 'a step must exist');
SELECT throws_ok($$SELECT * FROM mailer.campaign_preview('spring', 'ada@example.com', NULL)$$, '42704', NULL, 'also one that is NULL');
SELECT throws_ok($$SELECT * FROM mailer.campaign_preview(0, 'ada@example.com')$$, '42704', NULL, 'a campaign must exist');
SELECT throws_ok($$SELECT * FROM mailer.campaign_preview('spring', NULL)$$, '22004', NULL, 'an address is needed');
SELECT throws_ok(format($$SELECT mailer.campaign_step_set(%s, 4, 'reminder', '3 days', subject => 'Hello {{name')$$, :spring), '42601', NULL, 'a step''s subject parses');

-- Tests go to somebody else and are in no count.
SET mailer.unsubscribe_url = 'https://example.com/u?t={token}';
SELECT mailer.campaign_alter(:spring, '{"headers": {"X-Campaign": "spring"}, "reply_to": "sales@example.com"}') \g /dev/null
SELECT to_jsonb(s) - 'now' AS before FROM mailer.campaign_status(:spring) s \gset
SELECT mailer.campaign_test('spring', 'me@example.net') AS test \gset
SELECT convert_from(mailer.message_source(:test), 'UTF8') AS source \gset
SELECT matches(:'source'::text, header, header || ' is in the mail')
FROM unnest(ARRAY[E'\nTo: me@example\\.net', E'\nSubject: B for Ada', E'\nX-Campaign: spring', E'\nReply-To: sales@example\\.com', E'\nList-Unsubscribe: <https://example']) header;
SELECT is((SELECT to_jsonb(s) - 'now' FROM mailer.campaign_status(:spring) s), :'before'::jsonb, 'the campaign''s numbers don''t know of it');
SELECT results_eq(format('SELECT campaign_id, state FROM mailer.message_status WHERE message_id = %s', :test), $$VALUES (NULL::bigint, 'pending')$$, 'it is a mail of no campaign');
SELECT is((SELECT count(*) FROM mailer.lead_status WHERE campaign_id = :spring), 3::bigint, 'it is no lead');
SELECT is((SELECT pool FROM mailer.lane l JOIN mailer.message m USING (lane_id) WHERE m.message_id = :test), ARRAY[:two]::bigint[], 'it goes from the mailbox of the lead that it shows');
SELECT mailer.campaign_test(:spring, 'bob@example.com', 2) AS test \gset
SELECT matches(convert_from(mailer.message_source(:test), 'UTF8'), E'\nSubject: Re: B for Bob\r\n.*did you see it, Bob', 'a lead gets its own, of the step that is asked for');
SELECT is((SELECT pool FROM mailer.lane l JOIN mailer.message m USING (lane_id) WHERE m.message_id = :test), ARRAY[:one, :two]::bigint[], 'from one of the pool while none is chosen');
SELECT mailer.campaign_create('empty', 'other', '{one}') AS empty \gset
SELECT mailer.campaign_test(:empty, 'me@example.net') AS test \gset
SELECT matches(convert_from(mailer.message_source(:test), 'UTF8'), E'\nSubject: B for\\s', 'a campaign without leads shows its template without variables');
SELECT throws_ok($$SELECT mailer.campaign_test('spring', 'no address')$$, '22023', NULL, 'an address is needed');
SELECT throws_ok($$SELECT mailer.campaign_test(0, 'me@example.net')$$, '42704', NULL, 'a campaign must exist');
SELECT throws_ok($$SELECT mailer.campaign_test('spring', 'me@example.net', 9)$$, '42704', NULL, 'a step must exist');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');
SELECT * FROM finish();
ROLLBACK;
