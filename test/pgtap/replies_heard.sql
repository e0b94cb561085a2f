-- A campaign with follow-ups needs inboxes that are read: it says so when a step or a setting makes it need them, not only
-- at the start, and names what holds it when nothing else waits.
BEGIN;
SELECT no_plan();
SET client_min_messages = warning;
SET mailer.unsubscribe_url = 'https://example.com/u/{token}';

SELECT mailer.mailbox_create('heard', 'smtp.example.com', from_address => 'heard@example.com', timezone => 'UTC') \g /dev/null
SELECT mailer.mailbox_alter('heard', '{"imap_host": "imap.example.com"}') \g /dev/null
SELECT mailer.mailbox_create('deaf', 'smtp.example.com', from_address => 'deaf@example.com', timezone => 'UTC') \g /dev/null
SELECT mailer.template_set('hello', 'Hello', 'Dear …'), mailer.template_set('reminder', '', 'Did you …') \g /dev/null
CREATE FUNCTION pg_temp.campaign(name text, box text) RETURNS bigint LANGUAGE sql AS $$
    SELECT mailer.campaign_create(name, 'hello', ARRAY[box], timezone => 'UTC', window_start => '00:00', window_end => '00:00',
        allowed_days => '{MON,TUE,WED,THU,FRI,SAT,SUN}')
$$;

SELECT pg_temp.campaign('late', 'deaf') AS late \gset
SELECT mailer.campaign_start(:late) \g /dev/null
SELECT throws_ok(format($$SELECT mailer.campaign_step_set(%s, 2, 'reminder', '3 days')$$, :late), '55000',
    format('campaign %s has follow-ups, but no listener reads the replies to: deaf', :late), 'a step that would never be sent is refused while the campaign runs');
SELECT mailer.campaign_pause(:late) \g /dev/null
SELECT throws_ok(format($$SELECT mailer.campaign_step_set(%s, 2, 'reminder', '3 days')$$, :late), '55000', NULL, 'and while it is paused, because resuming it asks nothing');
SELECT mailer.campaign_alter(:late, '{"max_silence": null}') \g /dev/null
SELECT lives_ok(format($$SELECT mailer.campaign_step_set(%s, 2, 'reminder', '3 days')$$, :late), 'not if replies come another way');
SELECT throws_ok(format($$SELECT mailer.campaign_alter(%s, '{"max_silence": "10 min"}')$$, :late), '55000', NULL, 'which then can''t be taken back');
SELECT lives_ok(format($$SELECT mailer.campaign_alter(%s, '{"max_silence": "10 min", "stop_on": ["bounce"]}')$$, :late), 'unless replies stop nothing');

SELECT pg_temp.campaign('moved', 'heard') AS moved, pg_temp.campaign('draft', 'deaf') AS draft \gset
SELECT mailer.campaign_step_set(:moved, 2, 'reminder', '3 days'), mailer.campaign_start(:moved) \g /dev/null
SELECT throws_ok(format($$SELECT mailer.campaign_alter(%s, '{"mailboxes": ["heard", "deaf"]}')$$, :moved), '55000', NULL, 'a mailbox that nobody reads can''t join it');
SELECT lives_ok(format($$SELECT mailer.campaign_alter(%s, '{"gap": "2 min"}')$$, :moved), 'other settings ask nothing');
SELECT lives_ok(format($$SELECT mailer.campaign_step_set(%s, 2, 'reminder', '3 days')$$, :draft), 'nor does a draft, which asks at its start');

-- The inbox of "heard" was never read: its follow-ups wait.
SELECT mailer.campaign_add(:moved, 'ada@example.org') AS ada, mailer.campaign_add(:moved, 'bob@example.org') AS bob \gset
INSERT INTO mailer.lane (kind, campaign_id, is_follow_up, mailbox_id, pool)
SELECT 'c', :moved, true, b.mailbox_id, ARRAY[b.mailbox_id] FROM mailer.mailbox b WHERE b.name = 'heard' RETURNING lane_id AS follow_ups \gset
UPDATE mailer.queue_entry SET lane_id = :follow_ups WHERE message_id = :ada;
SELECT ok((SELECT e.is_open FROM mailer.campaign_explain(:moved) e WHERE e.gate = 'inbox_heard'), 'a first mail may still go');
SELECT unalike(COALESCE((SELECT blocked_by FROM mailer.campaign_status(:moved)), ''), '%inbox%', 'so the campaign isn''t blocked by it');
SELECT mailer.cancel(:bob) \g /dev/null
SELECT ok(NOT (SELECT e.is_open FROM mailer.campaign_explain(:moved) e WHERE e.gate = 'inbox_heard'), 'if only follow-ups wait the gate is shut');
SELECT alike((SELECT blocked_by FROM mailer.campaign_status(:moved)), '%inbox%heard%', 'and blocked_by says which inbox');
INSERT INTO mailer.mailbox_listen (mailbox_id, pid, state, last_heard_at) SELECT b.mailbox_id, 1, 'listening', mailer._now() FROM mailer.mailbox b WHERE b.name = 'heard'
ON CONFLICT (mailbox_id) DO UPDATE SET last_heard_at = excluded.last_heard_at;
SELECT ok((SELECT e.is_open FROM mailer.campaign_explain(:moved) e WHERE e.gate = 'inbox_heard'), 'once the inbox was read it is open');

SELECT * FROM finish();
ROLLBACK;
