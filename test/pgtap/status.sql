-- Counts, summaries and views: what users read of messages, batches, campaigns and the database.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT results_eq('SELECT pending, sending, sent, failed, cancelled, unconfirmed FROM mailer.status()', 'VALUES (3::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint)', 'counts without a tally are taken message by message');
INSERT INTO mailer.tally (scope, id, queued) SELECT 'a', 0, sum(queued) FROM mailer.tally_delta;
INSERT INTO mailer.tally (scope, id, queued) SELECT 'c', campaign_id, sum(queued) FROM mailer.tally_delta GROUP BY 2;
DELETE FROM mailer.tally_delta;
SELECT results_eq('SELECT pending, sending, sent FROM mailer.status()', 'VALUES (3::bigint, 0::bigint, 0::bigint)', 'or are the tally');
SELECT pg_temp.send(:ada, '2030-01-07 12:00 Europe/Warsaw', :one) \g /dev/null
UPDATE mailer.queue_entry SET state = 's', token = 1, mailbox_id = :two, claimed_at = now(), reserved_day = '2030-01-07' WHERE message_id = :bob;
SELECT results_eq('SELECT pending, sending, sent FROM mailer.status()', 'VALUES (1::bigint, 1::bigint, 1::bigint)', 'and what isn''t folded yet');
SELECT results_eq(format('SELECT state, total, pending, sending, sent, failed, progress FROM mailer.campaign_status(%s)', :spring),
    $$VALUES ('running', 3::bigint, 1::bigint, 1::bigint, 1::bigint, 0::bigint, '1 of 3 (33 %)')$$, 'a campaign counts its own');
INSERT INTO mailer.outcome (message_id, state, reason, settled_at) VALUES (:cy, 'f', 'rejected', now());
DELETE FROM mailer.queue_entry WHERE message_id = :cy;
INSERT INTO mailer.tally_delta (campaign_id, queued, failed) VALUES (:spring, -1, 1);
SELECT is((SELECT progress FROM mailer.campaign_status(:spring)), '1 of 3 (33 %), 1 failed', 'progress names failures');
SELECT is((SELECT bar FROM mailer.campaign_progress WHERE campaign_id = :spring), repeat('█', 13) || repeat('░', 7), 'a bar shows what is settled');
SELECT is((SELECT next_at FROM mailer.campaign_status(:spring)), NULL, 'nothing waits, nothing is next');

SELECT pg_temp.queue_mail('{late@example.com}') AS late \gset
UPDATE mailer.queue_entry SET due_at = now() + interval '1 h', priority = 0 WHERE message_id = :late;
SELECT pg_temp.queue_mail('{soon@example.com}') AS soon \gset
UPDATE mailer.queue_entry SET due_at = now() + interval '1 min' WHERE message_id = :soon;
SELECT is((SELECT next_due_at FROM mailer.status()), now() + interval '1 min', 'the next due is the earliest of all lanes and priorities');
SELECT mailer.campaign_create('draft', 'hello') AS draft \gset
SELECT mailer.campaign_add(:draft, 'd@example.com') AS d \gset
SELECT is((SELECT next_due_at FROM mailer.status()), now() + interval '1 min', 'what waits in a draft is not due');
SELECT mailer.campaign_start(:draft) \g /dev/null
INSERT INTO mailer.lane_state (lane_id, next_at) SELECT lane_id, now() + interval '30 s' FROM mailer.campaign WHERE campaign_id = :draft;
SELECT is((SELECT next_due_at FROM mailer.status()), now() + interval '30 s', 'a campaign''s is due at its slot');
SELECT isnt((SELECT worker FROM mailer.status()), NULL, 'status says whether somebody sends');
SELECT is((SELECT count(*) FROM mailer.worker_status), 1::bigint, 'there is one row about the worker');

-- A finish time is the last slot of the plan, and none where the plan has none.
SELECT is((SELECT finishes_at FROM mailer.campaign_progress WHERE campaign_id = :draft), (SELECT max(slot_at) FROM mailer.campaign_forecast(:draft)), 'it is done when the forecast says');
SELECT isnt((SELECT finishes_at FROM mailer.campaign_progress WHERE campaign_id = :draft), NULL, 'which says something');
SELECT mailer.campaign_alter(:draft, '{"mailboxes": ["two"]}'), mailer.mailbox_pause('two', 'moving') \g /dev/null
SELECT is((SELECT finishes_at FROM mailer.campaign_progress WHERE campaign_id = :draft), NULL, 'with no mailbox that sends, nobody can say');
SELECT mailer.mailbox_resume('two'), mailer.campaign_alter(:draft, '{"mailboxes": ["one", "two"]}') \g /dev/null

-- A campaign's day is that on which its window started.
UPDATE mailer.campaign SET window_start = '22:00', window_end = '02:00', timezone = 'Europe/Warsaw' WHERE campaign_id = :draft;
SELECT is(mailer._campaign_day(c, '2030-01-08 01:59 Europe/Warsaw'), '2030-01-07'::date, 'past midnight is the day before')
FROM mailer.campaign c WHERE c.campaign_id = :draft;
SELECT is(mailer._campaign_day(c, '2030-01-08 02:00 Europe/Warsaw'), '2030-01-08'::date, 'behind the window''s end is today')
FROM mailer.campaign c WHERE c.campaign_id = :draft;
INSERT INTO mailer.campaign_day (campaign_id, day, used) SELECT :draft, mailer._campaign_day(c, now()), 4 FROM mailer.campaign c WHERE c.campaign_id = :draft;
SELECT is((SELECT sent_today FROM mailer.campaign_status(:draft)), 4, 'today''s mails are those of that day');
INSERT INTO mailer.missed_slot_log VALUES (:draft, now() - interval '2 h', now() - interval '1 h', 40, 'paused'), (:draft, now() - interval '1 h', now(), 2, 'down');
SELECT is((SELECT missed_slots FROM mailer.campaign_status(:draft)), 42::bigint, 'missed slots are added up');
SELECT is((SELECT count(*) FROM mailer.missed_slot WHERE campaign = 'draft'), 2::bigint, 'and listed');

-- Batches.
INSERT INTO mailer.lane (kind, batch_id, gap) VALUES ('b', 77, '5 s') RETURNING lane_id AS batch_lane \gset
INSERT INTO mailer.batch_entry (batch_id, lane_id, label, gap, tenant_id, principal_id) OVERRIDING SYSTEM VALUE VALUES (77, :batch_lane, 'ticket 156', '5 s', 1, 1);
SELECT is((SELECT summary FROM mailer.batch_status(77)), 'sent 0 of 0', 'an empty batch');
SELECT pg_temp.queue_mail(ARRAY['b' || i || '@example.com'], :batch_lane, 77) FROM generate_series(1, 8) i \g /dev/null
SELECT pg_temp.send(m.message_id, '2030-01-07 12:00 Europe/Warsaw'::timestamptz + row_number() OVER () * interval '10 s', :one)
FROM (SELECT message_id FROM mailer.message WHERE batch_id = 77 ORDER BY 1 LIMIT 6) m \g /dev/null
SELECT results_eq('SELECT batch_id, label, total, pending, sending, sent, failed, cancelled, unconfirmed, summary FROM mailer.batch_status(''ticket 156'')',
    $$VALUES (77::bigint, 'ticket 156', 8::bigint, 2::bigint, 0::bigint, 6::bigint, 0::bigint, 0::bigint, 0::bigint, 'sent 6 of 8')$$, 'a batch is summed up by its label');
UPDATE mailer.queue_entry SET state = 's', token = 2, mailbox_id = :two, claimed_at = now(), reserved_day = '2030-01-07' WHERE lane_id = :batch_lane;
SELECT results_eq('SELECT pending, sending FROM mailer.batch WHERE batch_id = 77', 'VALUES (0::bigint, 2::bigint)', 'and in the view, with what is on its way');
INSERT INTO mailer.batch_entry (batch_id, lane_id, label, tenant_id, principal_id) OVERRIDING SYSTEM VALUE VALUES (78, 1, 'ticket 156', 1, 1);
SELECT is((SELECT batch_id FROM mailer.batch_status('ticket 156')), 78::bigint, 'of several with a label the newest is returned');
SELECT is_empty('SELECT * FROM mailer.batch_status(0) UNION ALL SELECT * FROM mailer.batch_status(''none'')', 'a batch that isn''t there has no status');
DELETE FROM mailer.tally;
DELETE FROM mailer.tally_delta;
SELECT results_eq('SELECT total, sent, sending FROM mailer.batch_status(77)', 'VALUES (8::bigint, 6::bigint, 2::bigint)', 'a batch is counted without a tally, too');
SELECT results_eq(format('SELECT total, sent, failed FROM mailer.campaign_status(%s)', :spring), 'VALUES (3::bigint, 1::bigint, 1::bigint)', 'and a campaign');

-- One message.
SELECT results_eq(format('SELECT state, mailbox, reply_code, reply_text, attempts, due_at, sent_at FROM mailer.status(%s)', :ada),
    $$VALUES ('sent', 'one', 250, 'taken', 1, NULL::timestamptz, '2030-01-07 12:00:00.1 Europe/Warsaw'::timestamptz)$$, 'a sent message tells who took it, when and how');
SELECT results_eq(format('SELECT state, mailbox, due_at, sent_at FROM mailer.message_status WHERE message_id = %s', :bob), $$VALUES ('sending', 'two', now(), NULL::timestamptz)$$, 'one on its way tells the mailbox');
SELECT is_empty('SELECT * FROM mailer.status(0)', 'a message that isn''t there has no status');
INSERT INTO mailer.attempt VALUES (:soon, 1, :two, now(), NULL, now(), 'rcpt', 450, '4.2.1', 'try later', 'retry');
UPDATE mailer.queue_entry SET try_count = 1, attempt_count = 1 WHERE message_id = :soon;
SELECT results_eq(format('SELECT state, attempts, reply_code, reply_text, mailbox FROM mailer.message_status WHERE message_id = %s', :soon),
    $$VALUES ('pending', 1, 450, 'try later', 'two')$$, 'one that waits for its next try shows the last reply');
SELECT results_eq(format('SELECT attempt, mailbox, stage, code, enhanced_code, reply, outcome FROM mailer.attempt_log WHERE message_id = %s', :soon),
    $$VALUES (1, 'two', 'rcpt', 450, '4.2.1', 'try later', 'retry')$$, 'every try is listed');

-- Recipients.
SELECT pg_temp.queue_mail('{x@example.com,y@example.com}') AS pair \gset
SELECT results_eq(format('SELECT address, role, state, reply_code FROM mailer.recipient_status WHERE message_id = %s ORDER BY 1', :pair),
    $$VALUES ('x@example.com', 'to', 'pending', NULL::integer), ('y@example.com', 'bcc', 'pending', NULL)$$, 'recipients wait with their message');
INSERT INTO mailer.recipient (message_id, n, state, code, reply) VALUES (:pair, 1, 'S', 250, 'ok'), (:pair, 2, 'p', 450, 'later');
SELECT results_eq(format('SELECT address, state, reply_code, reply_text FROM mailer.recipient_status WHERE message_id = %s ORDER BY 1', :pair),
    $$VALUES ('x@example.com', 'sent', 250, 'ok'), ('y@example.com', 'pending', 450, 'later')$$, 'each has a result of its own');
SELECT results_eq(format('SELECT address, state, reply_code FROM mailer.recipient_status WHERE message_id = %s', :ada),
    $$VALUES ('ada@example.com', 'sent', 250)$$, 'a single recipient has its message''s');

-- The queue in words.
SELECT results_eq(format('SELECT lane, state FROM mailer.queue WHERE message_id = %s', :soon), $$VALUES ('default', 'pending')$$, 'a stream is named by its mailboxes');
SELECT is((SELECT lane FROM mailer.queue WHERE message_id = :bob), 'campaign spring', 'a campaign by its name');
SELECT matches((SELECT waits_for FROM mailer.queue WHERE message_id = :soon), '^due: try 2 of the message is due at ', 'what is not due waits for that');
SELECT matches((SELECT waits_for FROM mailer.queue WHERE message_id = :d), '^(campaign_gap: next slot at|window_open: window closed until) ', 'a campaign''s mail waits for its slot');
SELECT mailer.campaign_pause(:draft, 'lunch') \g /dev/null
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :d), 'campaign_running: campaign is paused: lunch', 'or for the campaign');
SELECT mailer.pause('maintenance') \g /dev/null
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :d), 'sending_not_paused: all sending is paused: maintenance', 'or for everything');
UPDATE mailer.queue_entry SET epoch = -1 WHERE message_id = :d;
SELECT matches((SELECT waits_for FROM mailer.queue WHERE message_id = :d), 'mailer.arm', 'or for being armed');
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :bob), 'on its way: a mail server is being talked to', 'or for nothing');

-- One feed.
SELECT max(id) AS last FROM mailer.event_log \gset
SELECT mailer.resume() \g /dev/null
INSERT INTO mailer.outcome (message_id, state, reason, settled_at, mailbox_id, code, reply, try_count) VALUES (:soon, 'f', 'rejected', now(), :two, 550, 'no', 2);
SELECT mailer.mailbox_pause('two', 'x') \g /dev/null
SELECT results_eq(format('SELECT kind, message_id, mailbox, detail->>''reason'' FROM mailer.event_log WHERE id > %s ORDER BY id', :last),
    format($$VALUES ('resumed', NULL::bigint, NULL, NULL), ('failed', %s, 'two', 'rejected'), ('mailbox_paused', NULL, 'two', 'x')$$, :soon), 'outcomes and events are one feed, in their order');
SELECT is((SELECT campaign_id FROM mailer.event_log WHERE message_id = :ada), :spring::bigint, 'with the campaign of a message');

SELECT * FROM finish();
ROLLBACK;
