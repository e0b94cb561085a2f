-- mailer.enqueue_batch and batch_cancel: one event, several recipients.
SET client_min_messages = error;
CREATE EXTENSION mailer;
RESET client_min_messages;
SELECT mailer.pause('nothing here is for sending');
SELECT mailer.mailbox_create('help', 'smtp.example.com', from_address => 'help@example.org', timezone => 'UTC');
SELECT mailer.template_set('ticket', 'Ticket {{id}}', 'Hello {{name}}');

-- Bad addresses are recorded, duplicates are one mail, everyone has their own variables over the common ones.
SELECT mailer.enqueue_batch(ARRAY['Ada <ada@example.com>', 'bob@example.com', 'ADA@Example.com', 'nobody', E'x\ny', NULL, 'nobody'],
    template => 'ticket', variables => '{"id": 156, "name": "you"}', label => 'ticket 156', gap => '5 s', mailbox => 'help',
    recipient_variables => ARRAY['{"name": "Ada"}', NULL, '{"name": "late"}', '{}', NULL, NULL, NULL]::jsonb[],
    attachments => ARRAY[mailer.attach('a.txt', 'abc')], cc => 'boss@example.com', priority => 3) AS id \gset
SELECT m.message_id - min(m.message_id) OVER () AS n, addresses, roles, address_key, header_to, header_cc, variables,
    attachments_of - min(m.message_id) OVER () AS attachments_of, priority, o.state, o.reason
FROM mailer.message m LEFT JOIN mailer.queue_entry q USING (message_id) LEFT JOIN mailer.outcome o USING (message_id) ORDER BY m.message_id;
SELECT count(*) FROM mailer.message_attachment;
SELECT kind, batch_id = :id AS is_its_own, pool, gap FROM mailer.lane WHERE kind = 'b';
SELECT label, total, pending, failed, summary FROM mailer.batch_status('ticket 156');
SELECT recipient, reason, reply_text FROM mailer.message_status WHERE state = 'failed' ORDER BY message_id;

-- Without a gap it goes into the pool's stream.
SELECT mailer.enqueue_batch('{ada@example.com}', 'Subject', 'Body') AS plain \gset
SELECT lane_id, gap, label FROM mailer.batch_entry WHERE batch_id = :plain;
SELECT mailer.enqueue_batch('{}', 'Subject', 'Body') AS empty \gset
SELECT total, summary FROM mailer.batch_status(:empty);

-- Cancelling takes what is pending, and a rollback gives it back.
BEGIN;
SELECT mailer.batch_cancel(:id);
SELECT pending, cancelled, failed FROM mailer.batch_status(:id);
ROLLBACK;
SELECT pending, cancelled, failed FROM mailer.batch_status(:id);
SELECT mailer.batch_cancel(:id);
SELECT mailer.batch_cancel(:id);
SELECT kind, by_role = current_user AS is_by_me, detail FROM mailer.event WHERE batch_id = :id AND kind = 'batch_cancelled' ORDER BY event_id;

-- What it refuses.
SELECT mailer.enqueue_batch(NULL, 'Subject', 'Body');
SELECT mailer.enqueue_batch('{ada@example.com}');
SELECT mailer.enqueue_batch('{ada@example.com}', 'Subject', 'Body', recipient_variables => '{}');
SELECT mailer.enqueue_batch('{ada@example.com}', 'Subject', 'Body', recipient_variables => ARRAY['[]'::jsonb]);
SELECT mailer.enqueue_batch('{ada@example.com}', 'Subject', 'Body', gap => '-1 s');
SELECT mailer.enqueue_batch('{ada@example.com}', 'Subject', 'Body', label => repeat('x', 501));
SELECT mailer.enqueue_batch('{ada@example.com}', 'Hi {{#name}}', 'Body', recipient_variables => ARRAY['{"name": "x"}'::jsonb]);
SELECT mailer.batch_cancel(NULL);
SELECT mailer.batch_cancel(999);

-- A large one comes in pieces and stays one batch.
SELECT mailer.enqueue_batch(array_agg('u' || n || '@example.com' ORDER BY n), 'Subject', 'Body') AS large FROM generate_series(1, 45000) n \gset
SELECT total, pending FROM mailer.batch_status(:large);
SELECT count(*), count(DISTINCT internet_message_id) FROM mailer.message WHERE batch_id = :large;
SELECT invariant, violations, sample FROM mailer.verify() WHERE violations <> 0;
DROP EXTENSION mailer CASCADE;
