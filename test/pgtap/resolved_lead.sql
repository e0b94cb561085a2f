-- A first mail that is known as sent only later: its follow-up is queued then, but for a campaign that has been cancelled meanwhile.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT mailer.template_set('reminder', '', 'did you see it?') \g /dev/null
SELECT mailer.campaign_alter(:spring, '{"max_silence": null}') \g /dev/null
SELECT mailer.campaign_step_set(:spring, 2, 'reminder', '3 days') \g /dev/null
CREATE FUNCTION pg_temp.loses_reply(id bigint, box bigint) RETURNS void LANGUAGE sql AS $$
    DELETE FROM mailer.queue_entry WHERE message_id = id;
    INSERT INTO mailer.outcome (message_id, state, reason, settled_at, mailbox_id, try_count) VALUES (id, 'u', 'reply_lost', now(), box, 1);
    UPDATE mailer.lead l SET subject = 'Hello', mailbox_id = box, thread_message_id = id, last_slot_at = now()
    FROM mailer.message m WHERE m.message_id = id AND l.campaign_id = m.campaign_id AND l.address_key = m.address_key;
$$;
CREATE FUNCTION pg_temp.follow_ups() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(m.address_key || ' ' || mailer._message_state(COALESCE(q.state, o.state)), ', ' ORDER BY m.message_id)
    FROM mailer.message m LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
    WHERE m.step_id <> 0
$$;
SELECT pg_temp.loses_reply(:ada, :one), pg_temp.loses_reply(:bob, :one), pg_temp.loses_reply(:cy, :one) \g /dev/null
SELECT is(pg_temp.follow_ups(), NULL, 'nothing follows a mail that may not have arrived');
SELECT mailer.resolve(:bob, 'sent') \g /dev/null
SELECT is(pg_temp.follow_ups(), 'bob@example.com pending', 'somebody says that it did: its follow-up waits');
UPDATE mailer.campaign SET state = 'c', completed_at = now() WHERE campaign_id = :spring;
SELECT mailer.resolve(:cy, 'sent') \g /dev/null
SELECT is(pg_temp.follow_ups(), 'bob@example.com pending, cy@example.com pending', 'another one, when the campaign had nothing left to do');
SELECT is((SELECT state FROM mailer.campaign_status(:spring)), 'running', 'it runs again');
SELECT mailer.campaign_cancel(:spring) \g /dev/null
SELECT is(pg_temp.follow_ups(), 'bob@example.com cancelled, cy@example.com cancelled', 'the campaign is cancelled');
SELECT mailer.resolve(:ada, 'sent') \g /dev/null
SELECT is(pg_temp.follow_ups(), 'bob@example.com cancelled, cy@example.com cancelled', 'nothing is queued for it any more');
SELECT is((SELECT ended FROM mailer.lead WHERE campaign_id = :spring AND address_key = 'ada@example.com'), NULL, 'nor is the lead''s sequence finished');
SELECT is((SELECT violations FROM mailer.verify() WHERE invariant LIKE '%a cancelled one nothing pending'), 0::bigint, 'nothing waits for ever');
SELECT * FROM finish();
ROLLBACK;
