-- Deleting a mailbox: refused while something goes from it, unless another takes its place.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT mailer.template_set('reminder', '', 'did you see it?') \g /dev/null
SELECT mailer.mailbox_create('three', 'smtp.example.net', from_address => 'three@example.net', timezone => 'Europe/Warsaw') AS three \gset
SELECT mailer.mailbox_alter(name, '{"imap_host": "imap.example.com"}') FROM unnest('{one,two}'::text[]) name \g /dev/null
SELECT mailer.campaign_step_set(:spring, 2, 'reminder', '3 days') \g /dev/null
SELECT mailer.campaign_add(:spring, 'dan@example.com', mailbox => 'one', timezone => 'America/New_York') AS dan \gset
SELECT pg_temp.send(:ada, '2024-06-03 10:00 Europe/Warsaw', :one) \g /dev/null
UPDATE mailer.lead SET subject = 'Hello Ada', mailbox_id = :one, thread_message_id = :ada, last_slot_at = '2024-06-03 10:00 Europe/Warsaw'
WHERE campaign_id = :spring AND address_key = 'ada@example.com';
SELECT mailer._queue_next_steps(ARRAY[:ada]::bigint[]) \g /dev/null
SELECT l.lane_id AS follow_ups FROM mailer.lane l WHERE l.campaign_id = :spring AND l.is_follow_up \gset
SELECT is((SELECT count(*) FROM mailer.queue_entry WHERE lane_id = :follow_ups), 1::bigint, 'a follow-up waits in a lane of its mailbox');

SELECT throws_ok($$SELECT mailer.mailbox_delete('one')$$, '55006', 'mailbox "one" is in use: campaign spring', 'a campaign''s mailbox stays');
SELECT mailer.campaign_alter(:spring, '{"mailboxes": ["two"]}') \g /dev/null
SELECT throws_ok($$SELECT mailer.mailbox_delete('one')$$, '55006', 'mailbox "one" is in use: message ' || :dan || ' waits for it', 'and one that mail waits for');
SELECT throws_ok($$SELECT mailer.mailbox_delete('one', 'one')$$, '22023', NULL, 'it can''t be moved to itself');
SELECT throws_ok($$SELECT mailer.mailbox_delete('one', 'none')$$, '42704', NULL, 'another must exist');
SELECT throws_ok($$SELECT mailer.mailbox_delete('one', 'three')$$, '55000',
    'campaign "spring" has follow-ups, but no listener reads the replies to "three"', 'and be listened to');
SELECT mailer.campaign_alter(:spring, '{"max_silence": null, "mailboxes": ["one", "two"]}') \g /dev/null
SELECT lives_ok($$SELECT mailer.mailbox_delete('one', move_to => 'three')$$, 'unless replies come otherwise');
SELECT results_eq($$SELECT address, mailbox, state, step FROM mailer.lead_status WHERE mailbox IS NOT NULL ORDER BY address$$,
    $$VALUES ('ada@example.com', 'three', 'active', 2), ('dan@example.com', 'three', 'waiting', 1)$$, 'its leads go on from the other');
SELECT results_eq(format('SELECT l.pool, l.is_follow_up, l.timezone FROM mailer.queue_entry q JOIN mailer.lane l USING (lane_id) WHERE l.mailbox_id = %s ORDER BY q.message_id', :three),
    format($$VALUES (ARRAY[%1$s]::bigint[], false, 'America/New_York'), (ARRAY[%1$s]::bigint[], true, NULL)$$, :three), 'what waits is in its lanes, on the clocks of before');
SELECT is((SELECT pool FROM mailer.lane WHERE lane_id = :lane), ARRAY[:three, :two]::bigint[], 'the campaign has it in the place of the other');
SELECT is((SELECT count(*) FROM mailer.lead WHERE campaign_id = :spring), 4::bigint, 'no lead is lost');
SELECT is((SELECT mailbox_id FROM mailer.outcome WHERE message_id = :ada), :one::bigint, 'the ledger keeps what it was sent from');
SELECT is((SELECT detail FROM mailer.event_log WHERE kind = 'mailbox_deleted'), '{"name": "one", "leads": 2, "move_to": "three"}'::jsonb, 'an event says so');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations > 0$$, 'all invariants hold');

-- To one that is in the pool already, whose lanes are there.
SELECT mailer._campaign_lane(:spring, :two, NULL, true) \g /dev/null
SELECT lives_ok($$SELECT mailer.mailbox_delete('three', move_to => 'two')$$, 'a mailbox of the same campaign takes them');
SELECT is((SELECT pool FROM mailer.lane WHERE lane_id = :lane), ARRAY[:two]::bigint[], 'which names it once');
SELECT is((SELECT count(*) FROM mailer.lane WHERE campaign_id = :spring), 3::bigint, 'lanes of one kind are one');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations > 0$$, 'all invariants hold');

-- Leads whose sequence has ended keep nothing from going.
SELECT mailer.enqueue('x@example.com', 's', 'b', mailbox => 'two') AS named \gset
SELECT pg_temp.send(:named, '2024-06-03 10:00 Europe/Warsaw', :two) \g /dev/null
SELECT mailer.campaign_cancel(:spring) \g /dev/null
SELECT lives_ok($$SELECT mailer.mailbox_delete('two')$$, 'the mailbox of a cancelled campaign is deleted');
SELECT is((SELECT count(*) FROM mailer.lead_status WHERE campaign_id = :spring), 4::bigint, 'its leads stay');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations > 0$$, 'all invariants hold');
SELECT * FROM finish();
ROLLBACK;
