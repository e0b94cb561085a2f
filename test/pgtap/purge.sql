-- purge(): content goes, the ledger stays, what waits is untouched. It commits, so this file leaves its rows behind.
SELECT plan(14);
SELECT mailer.pause('the rows of this test are not for sending') \g /dev/null
\ir fixture.psql

INSERT INTO mailer.lane (kind, batch_id, gap) VALUES ('b', 77, '5 s') RETURNING lane_id AS batch_lane \gset
INSERT INTO mailer.batch_entry (batch_id, lane_id, label, gap, tenant_id, principal_id) OVERRIDING SYSTEM VALUE VALUES (77, :batch_lane, 'ticket', '5 s', 1, 1);
SELECT pg_temp.queue_mail('{a@example.com}', :batch_lane, 77) AS b1 \gset
SELECT pg_temp.queue_mail('{b@example.com}', :batch_lane, 77) AS b2 \gset
SELECT pg_temp.queue_mail('{c@example.com,d@example.com}') AS pair \gset
SELECT pg_temp.queue_mail('{u@example.com}') AS unsure \gset
INSERT INTO mailer.message_attachment VALUES (:b1, 1, 'f.txt', NULL, NULL, 'x'), (:pair, 1, 'f.txt', NULL, NULL, 'x');
UPDATE mailer.message SET attachments_of = :b1 WHERE batch_id = 77;
SELECT pg_temp.send(m, now() - interval '50 days', :one) FROM unnest(ARRAY[:b1, :pair, :ada, :unsure]::bigint[]) m \g /dev/null
INSERT INTO mailer.recipient VALUES (:pair, 1, 'S', 250), (:pair, 2, 'f', 550);
UPDATE mailer.outcome SET state = 'u', reason = 'reply_lost' WHERE message_id = :unsure;
SELECT pg_temp.send(:bob, now() - interval '5 days', :two) \g /dev/null
UPDATE mailer.message SET created_at = now() - interval '60 days';
INSERT INTO mailer.event (event_id, at, kind) VALUES (-1, now() - interval '60 days', 'old');

SELECT throws_ok('CALL mailer.purge(NULL)', '22023', NULL, 'an age is needed');
SELECT throws_ok($$CALL mailer.purge('-1 day')$$, '22023', NULL, 'an age is not negative');
CALL mailer.purge('30 days');

SELECT results_eq(format('SELECT message_id, purged_at IS NOT NULL FROM mailer.message WHERE message_id = ANY (%L) ORDER BY 1', ARRAY[:ada, :bob, :cy, :b1, :b2, :pair, :unsure]),
    format('SELECT m, m IN (%s, %s) FROM unnest(%L::bigint[]) m ORDER BY 1', :ada, :pair, ARRAY[:ada, :bob, :cy, :b1, :b2, :pair, :unsure]),
    'purged is what was settled long ago, with all of its batch, and is sure');
SELECT results_eq(format('SELECT subject, body_text, variables, addresses, address_key COLLATE "default", external_id, template FROM mailer.message WHERE message_id = %s', :ada),
    $$VALUES (NULL::text, NULL::text, NULL::jsonb, '{ada@example.com}'::text[], 'ada@example.com', 'lead-1', 'hello')$$, 'content goes, who got what stays');
SELECT is((SELECT state FROM mailer.status(:ada)), 'sent', 'its outcome stays');
SELECT is((SELECT count(*) FROM mailer.recipient_status WHERE message_id = :pair AND state IN ('sent', 'failed')), 2::bigint, 'each recipient''s result stays');
SELECT is_empty(format('SELECT 1 FROM mailer.attempt WHERE message_id IN (%s, %s)', :ada, :pair), 'its tries go');
SELECT is((SELECT array_agg(message_id) FROM mailer.message_attachment), ARRAY[:b1]::bigint[], 'its attachments go; a batch''s stay while one of it waits');
SELECT is_empty($$SELECT 1 FROM mailer.event WHERE kind = 'old'$$, 'old events go');
SELECT is((SELECT detail->>'messages' FROM mailer.event WHERE kind = 'purged'), '2', 'that it was done is logged');
SELECT is(mailer.campaign_add(:spring, 'ada@example.com'), NULL, 'a lead whose mail was purged is still known');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0 AND invariant NOT LIKE ''%gap%'' AND invariant NOT LIKE ''%one connection%''', 'every invariant holds');

SELECT pg_temp.send(:b2, now() - interval '50 days', :two) \g /dev/null
CALL mailer.purge('30 days');
SELECT is_empty('SELECT 1 FROM mailer.message_attachment', 'they go when all of the batch is settled');
BEGIN;
SELECT throws_ok($$CALL mailer.purge('30 days')$$, '2D000', NULL, 'not inside a transaction block');
COMMIT;
SELECT * FROM finish();
