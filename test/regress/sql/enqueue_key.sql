-- Idempotency keys: the same content is the same mail, other content is an error.
SET client_min_messages = error;
CREATE EXTENSION mailer;
RESET client_min_messages;
SELECT mailer.pause('nothing here is for sending');
SELECT mailer.template_set('welcome', 'Welcome {{name}}', 'Hello {{name}}');

SELECT mailer.enqueue('Ada <ada@example.com>', 'Subject', 'Body', idempotency_key => 'k1') AS id \gset
SELECT mailer.enqueue('Ada <ada@example.com>', 'Subject', 'Body', idempotency_key => 'k1') = :id AS is_same;
-- When and how urgently isn't content; blanks between recipients aren't either.
SELECT mailer.enqueue(' Ada  <ada@EXAMPLE.com> ', 'Subject', 'Body', idempotency_key => 'k1', send_at => now() + interval '1 h', priority => 4) = :id AS is_same;
SELECT mailer.enqueue('Ada <ada@example.com>', 'Other', 'Body', idempotency_key => 'k1');
SELECT mailer.enqueue('Ada <ada@example.com>', 'Subject', NULL, 'Body', idempotency_key => 'k1');
SELECT mailer.enqueue('Ada <ada@example.com>', 'Subject', 'Body', idempotency_key => 'k1', attachments => ARRAY[mailer.attach('a', 'x')]);
SELECT mailer.enqueue('Ada <ada@example.com>', 'Subject', 'Body', idempotency_key => 'k2') <> :id AS is_another;
SELECT mailer.enqueue('ada@example.com', template => 'welcome', variables => '{"a": 1, "name": "x"}', idempotency_key => 'k3') AS id \gset
SELECT mailer.enqueue('ada@example.com', template => 'welcome', variables => '{"name": "x", "a": 1}', idempotency_key => 'k3') = :id AS is_same;
SELECT mailer.enqueue('ada@example.com', template => 'welcome', variables => '{"name": "y", "a": 1}', idempotency_key => 'k3');
SELECT count(*) FROM mailer.queue_entry;
SELECT pending FROM mailer.status();

-- A rolled-back mail gives its key free.
BEGIN;
SELECT mailer.enqueue('ada@example.com', 'First', 'Body', idempotency_key => 'k4') IS NOT NULL AS ok;
ROLLBACK;
SELECT mailer.enqueue('ada@example.com', 'Second', 'Body', idempotency_key => 'k4') IS NOT NULL AS ok;

-- A batch has one key for all of it.
SELECT mailer.enqueue_batch('{ada@example.com,bob@example.com}', 'Subject', 'Body', idempotency_key => 'b1') AS id \gset
SELECT mailer.enqueue_batch('{ada@example.com,bob@example.com}', 'Subject', 'Body', idempotency_key => 'b1') = :id AS is_same;
SELECT mailer.enqueue_batch('{ada@example.com}', 'Subject', 'Body', idempotency_key => 'b1');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', idempotency_key => 'b1');
SELECT mailer.enqueue_batch('{ada@example.com}', 'Subject', 'Body', idempotency_key => 'k1');
SELECT total FROM mailer.batch_status(:id);
SELECT count(*) FROM mailer.batch_entry;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', idempotency_key => '');
SELECT invariant, violations, sample FROM mailer.verify() WHERE violations <> 0;
DROP EXTENSION mailer CASCADE;
