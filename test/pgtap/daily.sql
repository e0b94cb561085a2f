-- First hours and daily use: what people type first works, says what is wrong, and can be undone.
BEGIN;
SET client_min_messages = error;
SELECT no_plan();
SELECT mailer.mailbox_create('desk', 'localhost', 25, 'desk@example.com', tls => 'none') \g /dev/null
SELECT mailer.template_set('hello', 'Hello', 'Hello {{name}}') \g /dev/null
SELECT mailer.pause() \g /dev/null
SELECT is((SELECT pause_reason FROM mailer.control), 'no reason given', 'a pause needs no reason');
SELECT alike((SELECT worker FROM mailer.status()), 'paused: no reason given%', 'status says that sending is paused');

-- ── Names, numbers, lists ────────────────────────────────────────────────────────────────────────────────────────
SELECT mailer.campaign_create('spring', 'hello', jitter => 0.2::double precision) AS spring \gset
SELECT is(mailer.campaign_add_many('spring', '{a@example.com,b@example.com}'), 2::bigint, 'a list as SQL writes it');
SELECT is(mailer.campaign_add_many(:spring, '["a@example.com", "c@example.com"]'), 1::bigint, 'a list as JSON writes it');
SELECT is(mailer.campaign_add_many(:spring::smallint, '["d@example.com"]'::jsonb), 1::bigint, 'a list of type jsonb');
SELECT is(mailer.campaign_add_many(:spring, ARRAY['e@example.com']), 1::bigint, 'a list of type text[]');
SELECT isnt(mailer.campaign_add('spring', 'f@example.com', '{"name": "F"}'), NULL, 'a lead is added by the campaign''s name');
SELECT lives_ok($$SELECT mailer.campaign_start('spring')$$, 'a campaign is started by its name');
SELECT lives_ok($$SELECT mailer.campaign_pause('spring')$$, 'and paused, without a reason');
SELECT lives_ok(format('SELECT mailer.campaign_resume(%L)', :'spring'), 'digits only are an id');
SELECT lives_ok(format('SELECT mailer.campaign_pause(%s)', :spring), 'by its id, without a reason');
SELECT is((SELECT state FROM mailer.campaign_status('spring')), 'paused', 'its status by its name');
SELECT isnt_empty($$SELECT * FROM mailer.campaign_explain('spring')$$, 'its gates by its name');
SELECT lives_ok($$SELECT * FROM mailer.campaign_forecast('spring')$$, 'its forecast by its name');
SELECT throws_ok($$SELECT mailer.campaign_start('winter')$$, '42704', 'campaign "winter" does not exist', 'a name must be known');
SELECT isnt(mailer.enqueue_batch('["a@example.com"]', 's', 'b'), NULL, 'a batch of a JSON list');
SELECT isnt(mailer.enqueue_batch('{a@example.com}', 's', 'b'), NULL, 'a batch of a list as SQL writes it');
SELECT lives_ok(format('SELECT mailer.contact_set(%s, ''u@example.com'')', u), 'contact_set of ' || u) FROM unnest(ARRAY['1::smallint', '2::int', '3::bigint', '''4''', 'gen_random_uuid()']) u;
SELECT lives_ok(format('SELECT mailer.notify(%s, ''likes'', ''hello'')', u), 'notify of ' || u) FROM unnest(ARRAY['1::smallint', '2::int', '3::bigint', '''4''', 'gen_random_uuid()']) u;
SELECT is((SELECT total FROM mailer.batch_status(max(e.batch_id)::text)), 1::bigint, 'a batch is found by its id as text') FROM mailer.batch_entry e;
UPDATE mailer.batch_entry e SET label = (SELECT max(b.batch_id) FROM mailer.batch_entry b) WHERE e.batch_id = (SELECT min(b.batch_id) FROM mailer.batch_entry b);
SELECT is((SELECT s.batch_id FROM mailer.batch_status(max(e.batch_id)::text) s), min(e.batch_id), 'a label of digits comes first') FROM mailer.batch_entry e;
SELECT is((mailer.json_list '[{"a": 1}, null]')::jsonb[], ARRAY['{"a": 1}', NULL]::jsonb[], 'a list is a JSON array');
SELECT is((mailer.json_list ' {"{\"a\": 1}",NULL}')::jsonb[], ARRAY['{"a": 1}', NULL]::jsonb[], 'or an array as SQL writes it');
SELECT is((mailer.json_list '[0:0]={"{}"}')::jsonb[], '[0:0]={"{}"}'::jsonb[], 'with bounds, too');
SELECT is((mailer.json_list '[]')::jsonb[], '{}'::jsonb[], 'of nothing');
SELECT is(('[{"a": 1}]'::jsonb::mailer.json_list)::text, '{"{\"a\": 1}"}', 'it is written as an array');
SELECT throws_ok($$SELECT '{"a": 1}'::jsonb::mailer.json_list$$, '22023', 'a list must be a JSON array', 'an object is no list');
SELECT throws_ok($$SELECT mailer.json_list '[{"a": }]'$$, '22P02', NULL, 'nor is broken JSON');
SELECT throws_ok($$SELECT mailer.enqueue_batch('{a@example.com,b@example.com}', 's', 'b', recipient_variables => '[{}]'::jsonb)$$, '2202E', NULL, 'one element for each recipient');
SELECT throws_ok($$SELECT mailer.campaign_add_many('spring', '{x@example.com}', '["no object"]'::jsonb)$$, '22023', 'each of variables must be a JSON object', 'which are objects');
SELECT is((SELECT count(*) FROM mailer.inbox(1::smallint)), 1::bigint, 'an inbox by a smallint');
SELECT is(mailer.inbox_unread(3), 1::bigint, 'unread by an integer');
SELECT is(mailer.inbox_mark_read(2), 1::bigint, 'read by an integer');

-- ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────
SELECT throws_ok($$CALL mailer.purge('30')$$, '22023', 'older_than is 00:00:30, less than a day', 'a bare number is no age');
SELECT is((SELECT missing FROM mailer.template_preview('hello', '{}')), '{name}', 'a preview says what is missing');

-- ── Suppressed domains ───────────────────────────────────────────────────────────────────────────────────────────
SELECT mailer.suppress('@Acme.Example', 'asked') \g /dev/null
SELECT is((SELECT address_key FROM mailer.suppression WHERE reason = 'asked'), '*@acme.example', 'a domain has a key');
SELECT mailer.enqueue('Bob <bob@acme.example>', 's', 'b') AS bob \gset
SELECT ok(EXISTS (SELECT FROM mailer.explain(:bob) WHERE gate = 'not_suppressed' AND NOT is_open), 'mail to the domain is suppressed');
SELECT ok(mailer.unsuppress('*@acme.example'), 'both ways of writing it are the same');

-- ── A misspelt key ───────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE public.ticket (id int);
CREATE FUNCTION public.nobody(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE sql AS $$ SELECT new_row ->> 'emial', '{}'::jsonb $$;
CREATE TRIGGER mails AFTER INSERT ON public.ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('hello', 'public.nobody');
INSERT INTO public.ticket VALUES (1);
SELECT is((SELECT count(*) FROM mailer.event_log WHERE kind = 'recipient_missing'), 1::bigint, 'a recipient that is NULL is an event');
SELECT is((SELECT count(*) FROM mailer.message_status WHERE reason = 'invalid_address'), 1::bigint, 'and a failed mail');

-- ── What did you send to this address? ───────────────────────────────────────────────────────────────────────────
SELECT is((SELECT count(*) FROM mailer.sent_to('A@example.com')), 3::bigint, 'mails of an address, whatever its case');
-- Ids follow time: gaps between them, the ends and what never comes.
SELECT max(m.message_id) - 1 AS later FROM mailer.message m \gset
UPDATE mailer.message m SET created_at = now() - interval '1 day' WHERE m.message_id < :later;
SELECT is(mailer.message_since(now() - interval '1 hour'),
    (SELECT min(m.message_id) FROM mailer.message m WHERE m.created_at >= now() - interval '1 hour'), 'the first message since a time');
SELECT is(mailer.message_since('-infinity'), (SELECT min(m.message_id) FROM mailer.message m), 'the first of all');
SELECT is(mailer.message_since('infinity'), (SELECT max(m.message_id) + 1 FROM mailer.message m), 'none yet');
UPDATE mailer.message m SET created_at = now();

-- ── Deleting ─────────────────────────────────────────────────────────────────────────────────────────────────────
SELECT throws_ok($$SELECT mailer.template_delete('hello')$$, '55006', 'template "hello" is in use: campaign spring', 'a template in use stays');
SELECT throws_ok($$SELECT mailer.mailbox_delete('desk')$$, '55006', NULL, 'a mailbox that mail waits for stays');
SELECT throws_ok($$SELECT mailer.campaign_delete('spring')$$, '55006', NULL, 'a campaign that isn''t over stays');
SELECT mailer.campaign_cancel('spring') \g /dev/null
SELECT lives_ok($$SELECT mailer.campaign_delete('spring')$$, 'one that is over goes');
SELECT is_empty($$SELECT FROM mailer.message WHERE campaign_id IS NOT NULL$$, 'with its leads');
SELECT results_eq($$SELECT pending, cancelled FROM mailer.status()$$, $$SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'cancelled') FROM mailer.message_status$$, 'the counts follow');
SELECT is((mailer.forget('A@example.com') #>> '{erased,cancelled}')::int, 2, 'what waits for a person is cancelled');
SELECT is((SELECT count(*) FROM mailer.message_status WHERE recipient = 'a@example.com' AND purged_at IS NULL), 0::bigint, 'and cleared');
SELECT ok(mailer.contact_delete(1), 'a contact is deleted');
SELECT is_empty($$SELECT * FROM mailer.inbox(1)$$, 'with the inbox');
SELECT lives_ok($$SELECT mailer.cancel(m.message_id) FROM mailer.message m$$, 'all that waits is cancelled');
SELECT lives_ok($$SELECT mailer.category_delete('likes')$$, 'a category is deleted');
SELECT lives_ok($$SELECT mailer.template_delete('hello')$$, 'a template is deleted');
SELECT lives_ok($$SELECT mailer.mailbox_delete('desk')$$, 'a mailbox is deleted');
SELECT is_empty($$SELECT * FROM mailer.template_list UNION ALL SELECT NULL, name, NULL, NULL, NULL, NULL, NULL FROM mailer.category_list$$, 'nothing is left');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations > 0$$, 'all invariants hold');

-- ── The ledger ───────────────────────────────────────────────────────────────────────────────────────────────────
SELECT mailer.mailbox_create('desk', 'localhost', 25, 'desk@example.com', tls => 'none') \g /dev/null
SELECT mailer.enqueue('k@example.com', 's', 'b', idempotency_key => 'kept') \g /dev/null
SELECT mailer.enqueue_batch(ARRAY['x@example.com', 'y@example.com'], 's', 'b') \g /dev/null
SELECT mailer.cancel(m.message_id) FROM mailer.message m \g /dev/null
INSERT INTO mailer.address_bounce (address_key, tenant_id, soft_count, last_soft_message_id)
SELECT m.address_key, m.tenant_id, 1, max(m.message_id) FROM mailer.message m WHERE m.address_key IN ('k@example.com', 'x@example.com') GROUP BY 1, 2;
UPDATE mailer.outcome SET settled_at = settled_at - interval '3 days';
UPDATE mailer.message SET created_at = created_at - interval '3 days', purged_at = now();
SELECT mailer._purge_ledger(now() - interval '1 day', 0, 1000) \g /dev/null
SELECT set_eq('SELECT idempotency_key FROM mailer.message', ARRAY['kept'], 'the ledger is deleted, a key is not');
SELECT set_eq('SELECT address_key FROM mailer.address_bounce', ARRAY['k@example.com'], 'with how often its addresses bounced');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations > 0$$, 'and all invariants hold');
SET LOCAL mailer.key_retention = '1d';
SELECT mailer._purge_ledger(now() - interval '1 day', 0, 1000) \g /dev/null
SELECT is_empty('SELECT FROM mailer.message', 'after mailer.key_retention the key goes too');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations > 0$$, 'and all invariants hold');

SELECT * FROM finish();
ROLLBACK;
