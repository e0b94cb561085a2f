-- cancel, retry, resolve: what may be done to a message that was queued.
SET client_min_messages = error;
CREATE EXTENSION mailer;
RESET client_min_messages;
SELECT mailer.pause('nothing here is for sending');
SELECT mailer.template_set('t', 'S', 'B');

-- What the engine would have written: the outcome of a message, after some tries.
CREATE FUNCTION settle(id bigint, new_state "char", new_reason text) RETURNS void LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM mailer.queue_entry WHERE message_id = id RETURNING message_id)
    INSERT INTO mailer.outcome (message_id, state, reason, settled_at, attempt_count, try_count)
    SELECT message_id, new_state, new_reason, now(), 1, 2 FROM gone;
    INSERT INTO mailer.attempt (message_id, attempt, started_at, finished_at, stage, outcome)
    SELECT id, n, now(), now(), 'rcpt', 'retry' FROM generate_series(1, 2) n;
    INSERT INTO mailer.tally_delta (campaign_id, batch_id, queued, failed, unconfirmed)
    SELECT campaign_id, batch_id, -1, (new_state = 'f')::integer, (new_state = 'u')::integer FROM mailer.message WHERE message_id = id;
$$;

SELECT mailer.enqueue('u' || n || '@example.com', 'Subject', 'Body', cc => CASE WHEN n IN (4, 5) THEN 'b@example.com, c@example.com, d@example.com' END) FROM generate_series(1, 6) n;

-- cancel
BEGIN;
SELECT mailer.cancel(1);
ROLLBACK;
SELECT mailer.cancel(1);
SELECT mailer.cancel(1) AS again, mailer.cancel(999) AS unknown;
SELECT mailer.cancel(NULL);
SELECT state, reason FROM mailer.message_status WHERE message_id = 1;
BEGIN;
UPDATE mailer.queue_entry SET state = 's', token = 1, mailbox_id = 1, claimed_at = now(), reserved_day = current_date WHERE message_id = 2;
SELECT mailer.cancel(2) AS on_its_way, mailer.retry(2) AS on_its_way;
ROLLBACK;

-- retry: a failed one is queued again with fresh attempts; one that waits after a failure is due now.
SELECT mailer.retry(2) AS never_tried, mailer.retry(1) AS cancelled, mailer.retry(999) AS unknown;
SELECT settle(2, 'f', 'rejected');
INSERT INTO mailer.recipient (message_id, n, state, code, reply) VALUES (2, 1, 'f', 550, 'no');
SELECT mailer.retry(2);
SELECT state, attempt_count, try_count, priority, due_at <= now() AS is_due FROM mailer.queue_entry WHERE message_id = 2;
SELECT state, code, reply FROM mailer.recipient WHERE message_id = 2;
SELECT count(*) FROM mailer.outcome WHERE message_id = 2;
UPDATE mailer.queue_entry SET due_at = now() + interval '1 hour' WHERE message_id = 2;
SELECT mailer.retry(2);
SELECT due_at <= now() AS is_due FROM mailer.queue_entry WHERE message_id = 2;
SELECT mailer.enqueue('later@example.com', 'Subject', 'Body', send_at => now() + interval '1 day') AS later \gset
SELECT mailer.retry(:later) AS has_its_time;
SELECT mailer.enqueue_batch('{nobody}', 'Subject', 'Body') AS batch \gset
SELECT mailer.retry(message_id) AS bad_address FROM mailer.message WHERE batch_id = :batch;
SELECT settle(3, 'f', 'rejected');
UPDATE mailer.message SET purged_at = now() WHERE message_id = 3;
SELECT mailer.retry(3) AS purged;

-- resolve
SELECT settle(4, 'u', 'reply_lost');
SELECT settle(5, 'u', 'reply_lost');
INSERT INTO mailer.recipient (message_id, n, state) VALUES (4, 1, 'u'), (5, 1, 'u');
-- Beside it, in the same conversation: one put off, one refused, and one who got it by an earlier try.
INSERT INTO mailer.recipient (message_id, n, state, code, reply)
    SELECT id, n, state::"char", code, reply FROM (VALUES (4), (5)) i (id), (VALUES (2, 'f', 450, 'busy'), (3, 'f', 550, 'no'), (4, 'S', 250, 'ok')) r (n, state, code, reply);
SELECT mailer.resolve(4, 'lost');
SELECT mailer.resolve(4, NULL);
SELECT mailer.resolve(4, 'sent');
SELECT mailer.resolve(5, 'resend');
SELECT mailer.resolve(4, 'sent');
SELECT mailer.resolve(6, 'sent');
SELECT mailer.resolve(999, 'sent');
SELECT message_id, state, reason FROM mailer.message_status WHERE message_id IN (4, 5) ORDER BY message_id;
SELECT message_id, n, state, code, reply FROM mailer.recipient WHERE message_id IN (4, 5) ORDER BY message_id, n;

-- In a campaign: before new leads, and a completed one runs again.
SELECT mailer.campaign_create('c', 't', timezone => 'UTC');
SELECT mailer.campaign_add(1, 'lead@example.com') AS lead \gset
SELECT mailer.campaign_start(1);
SELECT settle(:lead, 'f', 'rejected');
UPDATE mailer.campaign SET state = 'c', completed_at = now();
SELECT mailer.retry(:lead);
SELECT c.state, q.priority FROM mailer.campaign c, mailer.queue_entry q WHERE q.message_id = :lead;

SELECT kind, message_id, by_role = current_user AS is_by_me, detail FROM mailer.event WHERE kind LIKE 'message%' ORDER BY event_id;
SELECT pending, sent, failed, cancelled, unconfirmed FROM mailer.status();
SELECT invariant, violations FROM mailer.verify() WHERE violations <> 0;
DROP FUNCTION settle;
DROP EXTENSION mailer CASCADE;
