-- Campaigns: creating, altering, and which state leads to which.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT results_eq(format('SELECT kind::text, campaign_id, pool FROM mailer.lane WHERE lane_id = %s', :lane),
    format('SELECT ''c''::text, %s::bigint, ARRAY[%s, %s]::bigint[]', :spring, :one, :two), 'a campaign waits in a lane of its own, with its mailboxes');
SELECT is((SELECT allowed_days FROM mailer.campaign WHERE campaign_id = :spring), 31, 'a campaign sends from Monday to Friday unless it is said');
SELECT mailer.campaign_create('weekend', 'hello', allowed_days => '{sat,Sun}', window_start => '22:00', window_end => '02:00', reply_to => 'Ada <ada@example.com>') AS weekend \gset
SELECT is((SELECT allowed_days FROM mailer.campaign WHERE campaign_id = :weekend), 96, 'weekdays are read in any case');
SELECT is((SELECT reply_to FROM mailer.campaign WHERE campaign_id = :weekend), 'ada@example.com', 'a reply address is kept in its wire form');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'nothing')$$, '42704', 'template "nothing" does not exist', 'a template must exist');
SELECT throws_ok($$SELECT mailer.campaign_create('spring', 'hello')$$, '42710', NULL, 'a name is taken once');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', '{nobody}')$$, '42704', NULL, 'mailboxes must exist');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', '{}')$$, '22023', NULL, 'an empty list of mailboxes is an error');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', allowed_days => '{MON,FUNDAY}')$$, '22023', '"FUNDAY" is not a weekday', 'weekdays must be known');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', allowed_days => '{}')$$, '22023', NULL, 'a weekday is needed');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', gap => '-1 s')$$, '22023', NULL, 'a gap is not negative');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', jitter => 1)$$, '22023', NULL, 'jitter is below 1');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', window_start => '09:00:30')$$, '22023', NULL, 'a window is to the minute');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', headers => '{"X-A": "b\r\nBcc: c@example.com"}')$$, '22023', NULL, 'a header can''t inject another');
SELECT throws_ok($$SELECT mailer.campaign_create('x', 'hello', headers => '{"X A": "b"}')$$, '22023', NULL, 'a header''s name is checked');

-- draft → running ⇄ paused → cancelled; every other step is an error that says so.
SELECT mailer.campaign_create('steps', 'hello') AS steps \gset
SELECT is((SELECT state FROM mailer.campaign_status(:steps)), 'draft', 'a new campaign is a draft');
SELECT throws_ok(format('SELECT mailer.campaign_pause(%s, ''x'')', :steps), '55000', NULL, 'a draft can''t be paused');
SELECT throws_ok(format('SELECT mailer.campaign_resume(%s)', :steps), '55000', NULL, 'a draft can''t be resumed');
SELECT mailer.campaign_start(:steps) \g /dev/null
SELECT is((SELECT state FROM mailer.campaign_status(:steps)), 'running', 'a draft is started');
SELECT throws_ok(format('SELECT mailer.campaign_start(%s)', :steps), '55000', format('campaign %s "steps" is running: it cannot be started', :steps), 'a running campaign can''t be started');
SELECT throws_ok(format('SELECT mailer.campaign_resume(%s)', :steps), '55000', NULL, 'a running campaign can''t be resumed');
SELECT mailer.campaign_pause(:steps, 'holidays') \g /dev/null
SELECT results_eq(format('SELECT state, state_reason FROM mailer.campaign_progress WHERE campaign_id = %s', :steps), $$VALUES ('paused', 'holidays')$$, 'a pause has a reason');
SELECT throws_ok(format('SELECT mailer.campaign_start(%s)', :steps), '55000', NULL, 'a paused campaign is resumed, not started');
SELECT mailer.campaign_resume(:steps) \g /dev/null
SELECT is((SELECT state_reason FROM mailer.campaign WHERE campaign_id = :steps), NULL, 'resuming forgets the reason');
SELECT mailer.campaign_cancel(:steps, 'no more') \g /dev/null
SELECT is((SELECT state FROM mailer.campaign_status(:steps)), 'cancelled', 'a running campaign is cancelled');
SELECT throws_ok(format('SELECT mailer.%s', f), '55000', NULL, 'a cancelled campaign stays so: ' || f)
FROM unnest(ARRAY[format('campaign_start(%s)', :steps), format('campaign_pause(%s, ''x'')', :steps), format('campaign_resume(%s)', :steps),
    format('campaign_cancel(%s, ''x'')', :steps), format('campaign_add(%s, ''a@example.com'')', :steps),
    format('campaign_add_many(%s, ''{a@example.com}'')', :steps), format('campaign_alter(%s, ''{"gap": "1 s"}'')', :steps),
    format('campaign_retry_failed(%s)', :steps)]) f;
SELECT results_eq(format('SELECT kind, by_role, detail->>''reason'' FROM mailer.event_log WHERE campaign_id = %s AND message_id IS NULL ORDER BY id', :steps),
    $$VALUES ('campaign_created', current_setting('session_authorization'), NULL), ('campaign_started', current_setting('session_authorization'), NULL), ('campaign_paused', current_setting('session_authorization'), 'holidays'),
             ('campaign_resumed', current_setting('session_authorization'), NULL), ('campaign_cancelled', current_setting('session_authorization'), 'no more')$$,
    'every change of state is logged with who and why');
SELECT throws_ok($$SELECT mailer.campaign_start(0)$$, '42704', 'campaign 0 does not exist', 'a campaign must exist');
SELECT throws_ok($$SELECT mailer.campaign_start(NULL)$$, '42704', NULL, 'no campaign is no campaign');
SELECT is_empty($$SELECT * FROM mailer.campaign_status(0)$$, 'a campaign that isn''t there has no status');

-- Cancelling settles what is pending, and leaves to the engine what it holds.
-- A claim from before this database had a journal, so that verify() doesn't look for it there.
UPDATE mailer.queue_entry SET state = 's', token = 1, mailbox_id = :one, claimed_at = now() - interval '1 hour', reserved_day = '2030-01-07', campaign_day = '2030-01-07'
WHERE message_id = :cy;
SELECT mailer.campaign_cancel(:spring, 'enough') \g /dev/null
SELECT results_eq(format('SELECT message_id, state, reason, settled_by FROM mailer.message_status WHERE campaign_id = %s ORDER BY 1', :spring),
    format($$VALUES (%s::bigint, 'cancelled', 'campaign_cancelled', current_setting('session_authorization')), (%s, 'cancelled', 'campaign_cancelled', current_setting('session_authorization')), (%s, 'sending', NULL, NULL)$$, :ada, :bob, :cy),
    'cancelling settles all that waits and not what is on its way');
SELECT results_eq(format('SELECT total, pending, sending, cancelled FROM mailer.campaign_status(%s)', :spring), $$VALUES (3::bigint, 0::bigint, 1::bigint, 2::bigint)$$, 'counts follow');

-- Altering.
SELECT mailer.campaign_add(:weekend, 'a@example.com') AS lead \gset
SELECT mailer.campaign_alter(:weekend, '{"gap": "2 min", "mailboxes": ["two"], "allowed_days": ["MON"], "max_per_day": 7, "timezone": "Asia/Tokyo", "window_start": "08:00", "reply_to": null}') \g /dev/null
SELECT results_eq(format('SELECT c.gap, l.pool, c.allowed_days, c.max_per_day, c.timezone, c.window_start, c.window_end, c.reply_to FROM mailer.campaign c JOIN mailer.lane l USING (lane_id) WHERE c.campaign_id = %s', :weekend),
    format($$VALUES ('2 min'::interval, ARRAY[%s]::bigint[], 1, 7, 'Asia/Tokyo', '08:00'::time, '02:00'::time, NULL::text)$$, :two), 'settings are changed by their names, the others stay');
SELECT mailer.campaign_alter(:weekend, '{"mailboxes": null}') \g /dev/null
SELECT is((SELECT l.pool FROM mailer.lane l WHERE l.campaign_id = :weekend), NULL, 'null is the default mailboxes');
SELECT mailer.campaign_alter(:weekend, jsonb_build_object('starts_at', now() + interval '3 days')) \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :lead), now() + interval '3 days', 'a later start moves what waits');
SELECT mailer.campaign_alter(:weekend, '{"starts_at": null}') \g /dev/null
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :lead), now(), 'no start brings it back');
SELECT throws_ok(format('SELECT mailer.campaign_alter(%s, ''{"gapp": "1 s"}'')', :weekend), '22023', 'a campaign has no setting "gapp"', 'an unknown setting is an error');
SELECT throws_ok(format('SELECT mailer.campaign_alter(%s, ''{"template": "gone"}'')', :weekend), '42704', NULL, 'a template must exist');
SELECT is((SELECT e.detail -> 'settings' FROM mailer.event_log e WHERE e.kind = 'campaign_altered' AND e.campaign_id = :weekend ORDER BY e.id DESC LIMIT 1),
    '{"starts_at": null}', 'a setting that is taken away is logged as such');
SELECT mailer.campaign_create('spring', 'hello') AS again \gset
SELECT isnt(:again, NULL, 'the name of a cancelled campaign is free again');
SELECT throws_ok($$SELECT mailer.campaign_create('spring', 'hello')$$, '42710', NULL, 'once');
SELECT throws_ok(format('SELECT mailer.campaign_alter(%s, ''{"name": "spring"}'')', :weekend), '42710', NULL, 'a name is taken once');
SELECT lives_ok(format('SELECT mailer.campaign_cancel(%s, ''again'')', :again), 'and is free as often as it is cancelled');
SELECT throws_ok(format('SELECT mailer.campaign_alter(%s, ''{"mailboxes": "one"}'')', :weekend), '22023', NULL, 'mailboxes are an array');

SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0 AND invariant <> 'a claimed message''s mailbox is one of its lane''s, and counted it'$$, 'every invariant holds');
SELECT * FROM finish();
ROLLBACK;
