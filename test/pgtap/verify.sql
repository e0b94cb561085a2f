-- verify(): nothing is reported of a sound database, and each invariant reports what breaks it.
-- What the journal says is looked at only where a sender has made one: run has waited for the worker.
BEGIN;
SELECT no_plan();
\ir fixture.psql

-- A Monday noon to come, so that everything is sent under the settings of now.
SELECT (date_trunc('week', now() AT TIME ZONE 'Europe/Warsaw') + interval '14 days 12 hours') AT TIME ZONE 'Europe/Warsaw' AS noon \gset
SELECT mailer.campaign_add(:spring, 'bad') AS bad \gset
SELECT pg_temp.send(:ada, :'noon', :one) \g /dev/null
SELECT pg_temp.send(:bob, :'noon'::timestamptz + interval '2 min', :two) \g /dev/null
UPDATE mailer.mailbox_day SET used = 2, day_limit = 10 WHERE mailbox_id = :one;
INSERT INTO mailer.campaign_day (campaign_id, day, used, day_limit) VALUES (:spring, :'noon'::timestamptz::date, 3, 10);

INSERT INTO mailer.lane (kind, batch_id, gap) VALUES ('b', 77, '5 s') RETURNING lane_id AS batch_lane \gset
INSERT INTO mailer.batch_entry (batch_id, lane_id, label, gap, tenant_id, principal_id) OVERRIDING SYSTEM VALUE VALUES (77, :batch_lane, 'ticket', '5 s', 1, 1);
SELECT pg_temp.queue_mail('{a@example.com}', :batch_lane, 77) AS b1 \gset
SELECT pg_temp.queue_mail('{b@example.com}', :batch_lane, 77) AS b2 \gset
SELECT pg_temp.send(:b1, :'noon'::timestamptz + interval '1 h', :two) \g /dev/null
SELECT pg_temp.send(:b2, :'noon'::timestamptz + interval '1 h 6 s', :two) \g /dev/null

SELECT pg_temp.queue_mail('{x@example.com,y@example.com}') AS pair \gset
SELECT pg_temp.send(:pair, :'noon'::timestamptz + interval '2 h', :two) \g /dev/null
INSERT INTO mailer.recipient (message_id, n, state, code) VALUES (:pair, 1, 'S', 250), (:pair, 2, 'f', 550);
SELECT pg_temp.queue_mail('{z@example.com}') AS waiting \gset
INSERT INTO mailer.missed_slot_log VALUES (:spring, :'noon', :'noon'::timestamptz + interval '1 h', 5, 'paused'),
    (:spring, :'noon'::timestamptz + interval '2 h', :'noon'::timestamptz + interval '3 h', 5, 'paused');

SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'a sound database has no violations');
INSERT INTO mailer.tally (scope, id) VALUES ('a', 0);
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'nor has it when its changes of counts are not folded yet');
SELECT is_empty(format('SELECT * FROM mailer.verify(%L) WHERE violations <> 0', now() - interval '1 day'), 'nor has it since yesterday');
SELECT is_empty(format('SELECT * FROM mailer.verify(%L) WHERE violations <> 0', now() + interval '1 day'), 'nor since tomorrow');

-- A claim that no sender made.
SELECT format('UPDATE mailer.queue_entry SET state = ''s'', token = 1, mailbox_id = %s, claimed_at = %L, reserved_day = %L, campaign_day = %L WHERE message_id = %s; ',
    :one, :'noon', :'noon'::timestamptz::date, :'noon'::timestamptz::date, :cy) AS claim \gset

CREATE TEMPORARY TABLE corruption (invariant text, sql text);
INSERT INTO corruption VALUES
('a message is queued or settled', format('DELETE FROM mailer.queue_entry WHERE message_id = %s', :waiting)),
('no message is both queued and settled', format('INSERT INTO mailer.outcome (message_id, state, settled_at) VALUES (%s, ''S'', now())', :waiting)),
('what is queued or settled is a message', format('DELETE FROM mailer.message WHERE message_id = %s', :waiting)),
('what is queued or settled is a message', format('DELETE FROM mailer.message WHERE message_id = %s', :ada)),
('tries, recipients, attachments and captures are of a message', 'INSERT INTO mailer.attempt VALUES (0, 1, 1, now(), NULL, now(), ''rcpt'', 550, NULL, ''no'', ''failed'')'),
('tries, recipients, attachments and captures are of a message', 'INSERT INTO mailer.recipient VALUES (0, 1, ''S'')'),
('tries, recipients, attachments and captures are of a message', 'INSERT INTO mailer.message_attachment VALUES (0, 1, ''f'', NULL, NULL, ''x'')'),
('tries, recipients, attachments and captures are of a message', 'INSERT INTO mailer.captured_mail VALUES (0, 1, now(), 1, ''a@b'', ''{c@d}'', ''x'')'),
('a queued message waits in its own lane, and the lane is there', format('UPDATE mailer.queue_entry SET lane_id = %s WHERE message_id = %s', :lane, :waiting)),
('a queued message waits in its own lane, and the lane is there', format('UPDATE mailer.message SET lane_id = 0 WHERE message_id = %s; UPDATE mailer.queue_entry SET lane_id = 0 WHERE message_id = %s', :waiting, :waiting)),
('a campaign, a batch and their lane name each other, and a pool''s mailboxes are there', format('UPDATE mailer.lane SET campaign_id = 0 WHERE lane_id = %s', :lane)),
('a campaign, a batch and their lane name each other, and a pool''s mailboxes are there', format('DELETE FROM mailer.lane WHERE lane_id = %s', :batch_lane)),
('a campaign, a batch and their lane name each other, and a pool''s mailboxes are there', format('DELETE FROM mailer.mailbox WHERE mailbox_id = %s', :two)),
('a lead is known by its address', format('UPDATE mailer.message SET address_key = ''other@example.com'' WHERE message_id = %s', :ada)),
('no lead gets a step twice', format('DROP INDEX mailer."a lead gets a campaign''s mail once"; UPDATE mailer.message SET address_key = ''ada@example.com'' WHERE message_id = %s', :bob)),
('a lead whose sequence has ended has no mail that waits, and one mail waits at most', format('UPDATE mailer.lead SET ended = ''replied'', ended_at = now() WHERE campaign_id = %s AND address_key = ''cy@example.com''', :spring)),
('no address is twice in a batch', format('UPDATE mailer.message SET address_key = ''a@example.com'' WHERE message_id = %s', :b2)),
('a message waits in a lane of its tenant, and was queued by somebody', 'UPDATE mailer.message SET tenant_id = 2'),
('a message waits in a lane of its tenant, and was queued by somebody', 'DELETE FROM mailer.principal'),
('no idempotency key of a tenant stands for two messages', 'DROP INDEX mailer.message_idempotency_key; UPDATE mailer.message SET idempotency_key = ''k'', content_hash = ''x'''),
('a mail to one recipient is accepted once at most', format('INSERT INTO mailer.attempt SELECT message_id, 2, mailbox_id, started_at, dot_at, finished_at, stage, code, enhanced_code, reply, outcome FROM mailer.attempt WHERE message_id = %s', :ada)),
('nothing is tried after it was settled', format('INSERT INTO mailer.attempt VALUES (%s, 2, 1, now(), NULL, now(), ''rcpt'', 450, NULL, ''later'', ''retry'')', :ada)),
('tries are counted as they are logged', format('UPDATE mailer.queue_entry SET try_count = 3 WHERE message_id = %s', :waiting)),
('tries are counted as they are logged', format('UPDATE mailer.outcome SET try_count = 3 WHERE message_id = %s', :ada)),
('what was sent has a try that sent it, or somebody or something that proved it', format('DELETE FROM mailer.attempt WHERE message_id = %s', :ada)),
('recipients'' results add up to their message''s', format('UPDATE mailer.recipient SET state = ''f'' WHERE message_id = %s', :pair)),
('recipients'' results add up to their message''s', format('UPDATE mailer.recipient SET state = ''p'' WHERE message_id = %s AND n = 2', :pair)),
('a recipient has a place among its message''s addresses', format('UPDATE mailer.recipient SET n = 3 WHERE message_id = %s AND n = 2', :pair)),
('a completed campaign has nothing unsettled, a cancelled one nothing pending', format('UPDATE mailer.campaign SET state = ''c'', completed_at = now() WHERE campaign_id = %s', :spring)),
('a completed campaign has nothing unsettled, a cancelled one nothing pending', format('UPDATE mailer.campaign SET state = ''x'' WHERE campaign_id = %s', :spring)),
('a claimed message''s mailbox is one of its lane''s, and counted it', :'claim' || format('UPDATE mailer.queue_entry SET mailbox_id = 0 WHERE message_id = %s', :cy)),
('a claimed message''s mailbox is one of its lane''s, and counted it', :'claim' || 'UPDATE mailer.mailbox_day SET used = 0'),
('a claimed message''s mailbox is one of its lane''s, and counted it', :'claim' || 'UPDATE mailer.campaign_day SET used = 0'),
('journal and queue agree', :'claim'),
('counts agree with the messages', format('INSERT INTO mailer.tally_delta (campaign_id, queued) VALUES (%s, 1)', :spring)),
('counts agree with the messages', 'INSERT INTO mailer.tally_delta (queued, sent) VALUES (-1, 1)'),
('counts agree with the messages', 'INSERT INTO mailer.tally_delta (batch_id, queued, sent) VALUES (77, 1, -1)'),
('no mailbox''s or campaign''s day goes over its limit', 'ALTER TABLE mailer.mailbox_day DROP CONSTRAINT "used is at most the day''s limit"; UPDATE mailer.mailbox_day SET used = 11, day_limit = 10'),
('no mailbox''s or campaign''s day goes over its limit', 'ALTER TABLE mailer.campaign_day DROP CONSTRAINT "used is at most the day''s limit"; UPDATE mailer.campaign_day SET used = 11'),
('what a mailbox sent in a day was counted on that day', format('UPDATE mailer.mailbox_day SET used = 3 WHERE mailbox_id = %s', :two)),
('a mailbox with one connection sends one mail at a time, at its gap', format('UPDATE mailer.attempt SET started_at = started_at - interval ''6 s'' WHERE message_id = %s', :b2)),
('a mailbox with one connection sends one mail at a time, at its gap', format('UPDATE mailer.mailbox SET gap = ''10 s'' WHERE mailbox_id = %s', :two)),
('a campaign''s mails keep its gap', format('UPDATE mailer.attempt SET started_at = started_at - interval ''1 min'' WHERE message_id = %s', :bob)),
('a batch''s mails keep its gap', format('UPDATE mailer.attempt SET started_at = started_at - interval ''4 s'' WHERE message_id = %s', :b2)),
('a campaign''s mails start inside its window, on its days', format('UPDATE mailer.attempt SET started_at = started_at + interval ''6 h'' WHERE message_id = %s', :bob)),
('a campaign''s mails start inside its window, on its days', format('UPDATE mailer.attempt SET started_at = started_at - interval ''4 h'' WHERE message_id = %s', :ada)),
('a campaign''s mails start inside its window, on its days', format('UPDATE mailer.attempt SET started_at = started_at + interval ''5 days'' WHERE message_id = %s', :bob)),
('missed slots of a campaign don''t overlap', format('UPDATE mailer.missed_slot_log SET to_at = to_at + interval ''90 min'' WHERE from_at = %L', :'noon')),
('a row of an inbox has something to tell', 'INSERT INTO mailer.notification (user_id, category, is_open, created_at) VALUES (''u'', ''c'', false, now())'),
('a row of an inbox tells its own user', 'WITH n AS (INSERT INTO mailer.notification (user_id, category, is_open, created_at) VALUES (''u'', ''c'', false, now()) RETURNING notification_id)
    INSERT INTO mailer.notification_item (notification_id, user_id, category, template, variables, created_at) SELECT notification_id, ''other'', ''c'', ''t'', ''{}'', now() FROM n'),
('a notification mail is a message', 'INSERT INTO mailer.notification_mail VALUES (0, ''u'', ''c'', NULL, false, false, now())'),
('a notification mail is a message', 'INSERT INTO mailer.notification_item (user_id, category, template, variables, created_at, message_id) VALUES (''u'', ''c'', ''t'', ''{}'', now(), 0)'),
('what waits for a mail has one that gathers', 'INSERT INTO mailer.notification_item (user_id, category, template, variables, created_at, mail_group) VALUES (''u'', ''c'', ''t'', ''{}'', now(), ''rest'')');

SELECT isnt(pg_temp.violations_after(c.sql, c.invariant), 0::bigint, 'reported: ' || c.invariant || ' (' || left(c.sql, 60) || ' …)')
FROM corruption c;
-- A change is in force when it has committed and was read, a moment after the time of its event.
SELECT format('UPDATE mailer.campaign SET window_start = ''03:00'', window_end = ''03:01'' WHERE campaign_id = %1$s;
    INSERT INTO mailer.event (at, kind, campaign_id, by_role) SELECT max(a.started_at) - interval ''%%s'', ''campaign_altered'', %1$s, ''tester''
    FROM mailer.attempt a JOIN mailer.message m USING (message_id) WHERE m.campaign_id = %1$s', :spring) AS alter_before \gset
SELECT is(pg_temp.violations_after(format(:'alter_before', '10 s'), 'a campaign''s mails start inside its window, on its days'), 0::bigint,
    'what was claimed while a change took effect is judged by neither setting');
SELECT is(pg_temp.violations_after(format(:'alter_before', '2 min'), 'a campaign''s mails start inside its window, on its days'), 1::bigint,
    'what was claimed after it by the new one');
SELECT is_empty('SELECT invariant FROM mailer.verify() EXCEPT SELECT invariant FROM corruption', 'every invariant is tried out');
SELECT is((SELECT sample FROM mailer.verify() WHERE invariant = 'a message is queued or settled'), NULL, 'no violation has no sample');
DELETE FROM mailer.queue_entry WHERE message_id = :waiting;
SELECT is((SELECT sample FROM mailer.verify() WHERE invariant = 'a message is queued or settled'), :'waiting', 'a sample names what is wrong');

SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0 AND invariant NOT IN (''a message is queued or settled'', ''counts agree with the messages'')', 'all else was undone');
SELECT * FROM finish();
ROLLBACK;
