-- View queue names for each message the first shut gate of explain(): one message for every gate that there is.
--
-- In virtual time, so that a Monday morning is one; then the caller is the sender, and sender_running is open
-- (test/lifecycle shuts it, test/failover shuts standbys and lease, test/simulation connections_free and sending_enabled).
BEGIN;
SELECT no_plan();
SET client_min_messages = warning;
SET LOCAL mailer.virtual_now = '2027-03-01 10:00 Europe/Warsaw';
SET LOCAL TimeZone = 'Europe/Warsaw';

SELECT mailer.template_set('hello', 'Hello', 'Dear lead') \g /dev/null
CREATE FUNCTION pg_temp.box(box text, settings jsonb DEFAULT '{}') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id CONSTANT bigint := mailer.mailbox_create(box, 'smtp.example.com', from_address => box || '@example.com', timezone => 'Europe/Warsaw', is_default => box = 'good');
BEGIN
    PERFORM mailer.mailbox_alter(box, settings);
    RETURN id;
END $$;
SELECT pg_temp.box('good', '{"max_connections": 3}') AS good \gset

-- A running campaign whose window is open, and its one lead.
CREATE FUNCTION pg_temp.campaign(name text, settings jsonb DEFAULT '{}', box text DEFAULT 'good') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id CONSTANT bigint := mailer.campaign_create(name, 'hello', ARRAY[box], window_start => '08:00', window_end => '17:00', gap => '0 s', timezone => 'Europe/Warsaw');
BEGIN
    PERFORM mailer.campaign_alter(id, settings);
    PERFORM mailer.campaign_add(id, name || '@example.org');
    PERFORM mailer.campaign_start(id);
    UPDATE mailer.queue_entry q SET due_at = mailer._now() FROM mailer.message m WHERE m.message_id = q.message_id AND m.campaign_id = id;
    RETURN id;
END $$;
CREATE FUNCTION pg_temp.mail_of(id bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT m.message_id FROM mailer.message m WHERE m.campaign_id = id ORDER BY 1 LIMIT 1 $$;
-- What it is asked of, and what is expected of it.
CREATE TEMPORARY TABLE scene (message_id bigint, gate text, why text);
CREATE FUNCTION pg_temp.expects(gate text, message_id bigint, why text DEFAULT '') RETURNS void LANGUAGE sql AS $$ INSERT INTO scene VALUES (message_id, gate, why) $$;
CREATE FUNCTION pg_temp.mail_from(box text, send_at timestamptz DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    SELECT mailer.enqueue('x@example.net', 's', 'b', mailbox => box, send_at => send_at)
$$;

SELECT pg_temp.expects('', pg_temp.mail_from('good'), 'nothing: it goes in its turn') \g /dev/null
SELECT pg_temp.expects('', pg_temp.mail_of(pg_temp.campaign('open')), 'nothing: it goes in its turn') \g /dev/null
-- Times of the message itself.
SELECT pg_temp.expects('due', pg_temp.mail_from('good', '2027-03-02 12:00 Europe/Warsaw'), 'message is due at Tue 12:00 ') \g /dev/null
SELECT pg_temp.mail_from('good') AS again \gset
UPDATE mailer.queue_entry SET due_at = mailer._now() + interval '5 min', try_count = 2, attempt_count = 2 WHERE message_id = :again;
SELECT pg_temp.expects('due', :again, 'try 3 of the message is due at Mon 10:05 ') \g /dev/null
SELECT pg_temp.mail_from('good') AS expired \gset
UPDATE mailer.queue_entry SET expires_at = mailer._now() - interval '1 s' WHERE message_id = :expired;
SELECT pg_temp.expects('not_expired', :expired) \g /dev/null
SELECT mailer.suppress('gone@example.net', 'asked') \g /dev/null
SELECT mailer.enqueue('gone@example.net', 's', 'b', mailbox => 'good') AS gone \gset
SELECT pg_temp.expects('not_suppressed', :gone, 'recipient is suppressed: asked') \g /dev/null
SELECT pg_temp.expects('message_armed', pg_temp.mail_from('good')) \g /dev/null
UPDATE mailer.queue_entry q SET epoch = -1 FROM scene s WHERE s.message_id = q.message_id AND s.gate = 'message_armed';
SELECT pg_temp.expects('sending_armed', pg_temp.mail_from('good'), 'sending is held until mailer.arm(): it was due when this server was promoted, and the old primary may have sent it (mailer.resolve_held())') \g /dev/null
UPDATE mailer.queue_entry q SET epoch = -2, due_at = now() - interval '2 h' FROM scene s WHERE s.message_id = q.message_id AND s.gate = 'sending_armed';
SELECT pg_temp.mail_from('good') AS later \gset
UPDATE mailer.queue_entry q SET epoch = -2, due_at = '2027-03-01 09:59 Europe/Warsaw' WHERE q.message_id = :later;
SELECT pg_temp.expects('', :later, 'nothing: it goes in its turn') \g /dev/null
-- Mailboxes.
SELECT pg_temp.box('paused'), mailer.mailbox_pause('paused', 'moving') \g /dev/null
SELECT pg_temp.expects('mailbox_enabled', pg_temp.mail_from('paused'), 'mailbox paused is paused: moving') \g /dev/null
SELECT pg_temp.box('broken') AS broken \gset
INSERT INTO mailer.mailbox_state (mailbox_id, breaker_failures, breaker_until, breaker_since, breaker_reason)
VALUES (:broken, 3, mailer._now() + interval '5 min', mailer._now(), 'connection refused');
SELECT pg_temp.expects('mailbox_breaker', pg_temp.mail_from('broken')) \g /dev/null
SELECT pg_temp.box('slow', '{"gap": "10 min"}') AS slow \gset
INSERT INTO mailer.mailbox_state (mailbox_id, next_at) VALUES (:slow, mailer._now() + interval '5 min');
SELECT pg_temp.expects('mailbox_gap', pg_temp.mail_from('slow'), 'gap of mailbox slow until Mon 10:05') \g /dev/null
SELECT pg_temp.box('full', '{"daily_limit": 1}') AS full \gset
INSERT INTO mailer.mailbox_day (mailbox_id, day, used, day_limit) VALUES (:full, '2027-03-01', 1, 1);
SELECT pg_temp.expects('mailbox_day_cap', pg_temp.mail_from('full')) \g /dev/null
SELECT pg_temp.box('shielded', '{"shield": 0.05}') AS shielded \gset
INSERT INTO mailer.shield (scope, id, since, shut_at, shut_reason) VALUES ('m', :shielded, mailer._now(), mailer._now(), 'too many bounces');
SELECT pg_temp.expects('mailbox_shield', pg_temp.mail_from('shielded')) \g /dev/null
SELECT pg_temp.box('busy') AS busy \gset
SELECT pg_temp.mail_from('busy') AS sending \gset
UPDATE mailer.queue_entry SET state = 's', token = 1, mailbox_id = :busy, claimed_at = now(), reserved_day = '2027-03-01' WHERE message_id = :sending;
SELECT pg_temp.expects('state', :sending, 'on its way: a mail server is being talked to') \g /dev/null
SELECT pg_temp.expects('mailbox_connection', pg_temp.mail_from('busy'), 'mailbox busy has no free connection') \g /dev/null
-- Of a pool the first one that shuts all of it.
INSERT INTO mailer.message (tenant_id, principal_id, lane_id, addresses, roles, address_key, header_to, internet_message_id)
SELECT m.tenant_id, m.principal_id, m.lane_id, '{y@example.net}', 't', 'y@example.net', 'y@example.net', '<y@example.com>' FROM mailer.message m WHERE m.message_id = :sending RETURNING message_id AS pooled \gset
INSERT INTO mailer.lane (kind, pool, pool_key) VALUES ('s', ARRAY[:slow, :full], 'test') RETURNING lane_id AS pool_lane \gset
INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, epoch) SELECT :pooled, :pool_lane, 2, mailer._now(), a.epoch FROM mailer.arming a;
SELECT pg_temp.expects('mailbox_gap', :pooled) \g /dev/null
-- Campaigns.
SELECT pg_temp.campaign('draft') AS draft \gset
UPDATE mailer.campaign SET state = 'd' WHERE campaign_id = :draft;
SELECT pg_temp.expects('campaign_running', pg_temp.mail_of(:draft), 'campaign has not been started') \g /dev/null
SELECT pg_temp.campaign('lunch') AS lunch \gset
SELECT mailer.campaign_pause('lunch', 'lunch') \g /dev/null
SELECT pg_temp.expects('campaign_running', pg_temp.mail_of(:lunch), 'campaign is paused: lunch') \g /dev/null
SELECT pg_temp.campaign('shield') AS shield \gset
INSERT INTO mailer.shield (scope, id, since, shut_at, shut_reason) VALUES ('c', :shield, mailer._now(), mailer._now(), 'too many bounces');
SELECT pg_temp.expects('campaign_shield', pg_temp.mail_of(:shield)) \g /dev/null
SELECT pg_temp.expects('campaign_started', pg_temp.mail_of(pg_temp.campaign('future', '{"starts_at": "2027-03-01 12:00+01"}'))) \g /dev/null
SELECT pg_temp.campaign('over') AS over \gset
UPDATE mailer.campaign SET ends_at = '2027-03-01 09:00+01' WHERE campaign_id = :over;
SELECT pg_temp.expects('campaign_ended', pg_temp.mail_of(:over), 'campaign has ended') \g /dev/null
SELECT pg_temp.expects('window_open', pg_temp.mail_of(pg_temp.campaign('night', '{"window_start": "22:00", "window_end": "23:00"}')), 'window closed until Mon 22:00 Europe/Warsaw') \g /dev/null
SELECT pg_temp.campaign('day', '{"max_per_day": 1}') AS day \gset
INSERT INTO mailer.campaign_day (campaign_id, day, used, day_limit) VALUES (:day, '2027-03-01', 1, 1);
SELECT pg_temp.expects('campaign_day_cap', pg_temp.mail_of(:day)) \g /dev/null
SELECT pg_temp.expects('campaign_new_cap', pg_temp.mail_of(pg_temp.campaign('new', '{"max_new_per_day": 0}'))) \g /dev/null
SELECT pg_temp.campaign('gap', '{"gap": "30 min"}') AS gap \gset
INSERT INTO mailer.lane_state (lane_id, next_at, gap_from) SELECT c.lane_id, '2027-03-01 10:20+01', '2027-03-01 09:50+01' FROM mailer.campaign c WHERE c.campaign_id = :gap;
SELECT pg_temp.expects('campaign_gap', pg_temp.mail_of(:gap), 'next slot at Mon 10:20 Europe/Warsaw') \g /dev/null
SELECT pg_temp.campaign('deaf') AS deaf \gset
INSERT INTO mailer.lane (kind, campaign_id, is_follow_up, mailbox_id, pool) VALUES ('c', :deaf, true, :good, ARRAY[:good]) RETURNING lane_id AS follow_ups \gset
UPDATE mailer.queue_entry SET lane_id = :follow_ups WHERE message_id = pg_temp.mail_of(:deaf);
SELECT pg_temp.expects('inbox_heard', pg_temp.mail_of(:deaf)) \g /dev/null
-- Leads.
SELECT pg_temp.campaign('held') AS held, pg_temp.campaign('stopped') AS stopped, pg_temp.campaign('early') AS early, pg_temp.campaign('cool', '{"cooldown": "3 days"}') AS cool \gset
UPDATE mailer.lead SET held_at = now(), held_due_at = now() WHERE campaign_id = :held;
UPDATE mailer.lead SET ended = 'replied', ended_at = now() WHERE campaign_id = :stopped;
UPDATE mailer.lead SET not_before = mailer._now() + interval '1 h' WHERE campaign_id = :early;
INSERT INTO mailer.lead (campaign_id, address_key, last_sent_at, last_slot_at)
VALUES (:early, 'cool@example.org', mailer._now() - interval '1 day', mailer._now() - interval '1 day');
SELECT pg_temp.expects('lead_held', pg_temp.mail_of(:held)), pg_temp.expects('lead_active', pg_temp.mail_of(:stopped)),
    pg_temp.expects('lead_not_before', pg_temp.mail_of(:early)), pg_temp.expects('cooldown', pg_temp.mail_of(:cool)) \g /dev/null
SELECT pg_temp.campaign('twice') AS twice \gset
INSERT INTO mailer.outcome (message_id, state, settled_at) SELECT pg_temp.mail_of(:twice), 'S', now();
SELECT pg_temp.expects('not_yet_mailed', pg_temp.mail_of(:twice)) \g /dev/null
-- A batch.
SELECT mailer.enqueue_batch('{p@example.net}', 's', 'b', mailbox => 'good', gap => '30 s') AS batch \gset
INSERT INTO mailer.lane_state (lane_id, next_at) SELECT l.lane_id, mailer._now() + interval '20 s' FROM mailer.lane l WHERE l.batch_id = :batch;
SELECT pg_temp.expects('batch_gap', m.message_id, 'gap of the batch until Mon 10:00:20') FROM mailer.message m WHERE m.batch_id = :batch \g /dev/null
INSERT INTO mailer.promotion (timeline, held_epochs, is_held, promoted_at, promised_until, names) VALUES (2, '{-2}', true, now() - interval '1 h', now(), '{}');

CREATE FUNCTION pg_temp.first_shut(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE((SELECT CASE WHEN e.gate = 'state' THEN e.detail ELSE e.gate || ': ' || e.detail END
        FROM mailer.explain(id) WITH ORDINALITY e(gate, is_open, limit_value, used, opens_at, detail, n)
        WHERE NOT e.is_open AND e.gate NOT LIKE '%:%' ORDER BY e.n LIMIT 1), 'nothing: it goes in its turn')
$$;
-- message_status says "sent" of it, so explain has nothing more to tell.
SELECT results_eq($$SELECT q.message_id, q.waits_for FROM mailer.queue q JOIN scene s ON s.message_id = q.message_id WHERE s.gate <> 'not_yet_mailed' ORDER BY 1$$,
    $$SELECT s.message_id, pg_temp.first_shut(s.message_id) FROM scene s WHERE s.gate <> 'not_yet_mailed' ORDER BY 1$$, 'for every message the first shut gate of explain');
SELECT results_eq($$SELECT s.gate, (regexp_match(q.waits_for, '^([a-z_]+): '))[1], q.waits_for LIKE '%' || s.why || '%' FROM scene s JOIN mailer.queue q ON q.message_id = s.message_id WHERE s.gate NOT IN ('', 'state') ORDER BY s.message_id$$,
    $$SELECT s.gate, s.gate, true FROM scene s WHERE s.gate NOT IN ('', 'state') ORDER BY s.message_id$$, 'which is the one that was shut, with its reason');
SELECT is_empty($$SELECT s.why, q.waits_for FROM scene s JOIN mailer.queue q ON q.message_id = s.message_id WHERE s.gate IN ('', 'state') AND q.waits_for <> s.why$$, 'or that nothing holds it, or that it is on its way');
SELECT results_eq($$SELECT DISTINCT gate FROM scene WHERE gate <> '' ORDER BY 1$$, $$VALUES ('batch_gap'), ('campaign_day_cap'), ('campaign_ended'), ('campaign_gap'), ('campaign_new_cap'),
    ('campaign_running'), ('campaign_shield'), ('campaign_started'), ('cooldown'), ('due'), ('inbox_heard'), ('lead_active'), ('lead_held'), ('lead_not_before'), ('mailbox_breaker'), ('mailbox_connection'),
    ('mailbox_day_cap'), ('mailbox_enabled'), ('mailbox_gap'), ('mailbox_shield'), ('message_armed'), ('not_expired'), ('not_suppressed'), ('not_yet_mailed'), ('sending_armed'), ('state'), ('window_open')$$,
    'every gate has a message');

-- What is shut for all.
SELECT mailer.pause('maintenance') \g /dev/null
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :again), 'sending_not_paused: all sending is paused: maintenance', 'a pause of everything');
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :again), pg_temp.first_shut(:again), 'as explain says');
SELECT mailer.resume() \g /dev/null
UPDATE mailer.mailbox SET is_default = false;
SELECT mailer.enqueue('x@example.net', 's', 'b') AS nowhere \gset
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :nowhere), 'pool_not_empty: no mailbox to send from', 'no mailbox at all');
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :nowhere), pg_temp.first_shut(:nowhere), 'as explain says');

-- On its way, and who has it.
SELECT mailer.forwarder_create('relay', 'host=cell2 dbname=app', 'relay@example.com', is_default => false) AS relay \gset
UPDATE mailer.queue_entry SET mailbox_id = :relay WHERE message_id = :sending;
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :sending), 'on its way: forwarder relay hands it over', 'a forwarder');
UPDATE mailer.queue_entry SET mailbox_id = :busy WHERE message_id = :sending;
UPDATE mailer.message SET loader = 'public.f' WHERE message_id = :sending;
SELECT matches((SELECT waits_for FROM mailer.queue WHERE message_id = :sending), '^on its way: its loader or send_if function waits for a process', 'a preparer');
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :sending), pg_temp.first_shut(:sending), 'as explain says');

-- A look at many reads what they have in common once.
INSERT INTO mailer.message (tenant_id, principal_id, lane_id, addresses, roles, address_key, header_to, internet_message_id)
SELECT 1, 1, c.lane_id, ARRAY['n' || i || '@example.com'], 't', 'n' || i || '@example.com', 'n', '<n@example.com>' FROM mailer.campaign c CROSS JOIN generate_series(1, 20000) i WHERE c.name = 'night';
INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, epoch)
SELECT m.message_id, m.lane_id, 2, now(), a.epoch FROM mailer.message m CROSS JOIN mailer.arming a WHERE m.header_to = 'n';
DELETE FROM mailer.promotion;
CREATE FUNCTION pg_temp.looks_at_mailboxes() RETURNS bigint LANGUAGE sql AS $$ SELECT pg_stat_get_xact_numscans('mailer.mailbox'::regclass) + pg_stat_get_xact_numscans('mailer.mailbox_pkey'::regclass) $$;
SELECT pg_temp.looks_at_mailboxes() AS before \gset
SELECT is((SELECT count(*) FROM mailer.queue WHERE waits_for = 'window_open: window closed until Mon 22:00 Europe/Warsaw'), 20001::bigint, 'twenty thousand wait for one window');
SELECT cmp_ok(pg_temp.looks_at_mailboxes() - :before, '<', 1000::bigint, 'and the mailboxes are not read for each of them');
-- A LIMIT is worked out for its rows alone, even behind a sort.
CREATE FUNCTION pg_temp.sorted(query text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (VERBOSE, COSTS off, FORMAT json) ' || query INTO plan;
    RETURN jsonb_path_query_first(plan, 'strict $.** ? (@."Node Type" == "Sort")."Output"');
END $$;
SELECT unalike(pg_temp.sorted('SELECT * FROM mailer.queue ORDER BY due_at LIMIT 20')::text, '%_waits_for%', 'what is sorted has no words yet');

SELECT * FROM finish();
ROLLBACK;
