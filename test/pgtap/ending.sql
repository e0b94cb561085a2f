-- How messages end by statements: every cause, with nobody reached and with somebody; what each function writes adds up
-- (verify), and what is put back has a fair start.
BEGIN;
SELECT no_plan();
\ir fixture.psql

-- A mail to two, of which the first was reached by an earlier try and the second put off; or neither was.
CREATE FUNCTION pg_temp.pair(is_reached boolean, in_lane bigint DEFAULT 1, of_batch bigint DEFAULT NULL, of_campaign bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    id bigint := nextval('mailer.message_id_seq');
BEGIN
    INSERT INTO mailer.message (message_id, tenant_id, principal_id, lane_id, batch_id, campaign_id, addresses, roles, address_key, header_to, internet_message_id, subject, body_text)
    VALUES (id, 1, 1, in_lane, of_batch, of_campaign, ARRAY['ada' || id || '@example.com', 'bob@example.com'], 'tt',
        'ada' || id || '@example.com', 'x', '<' || id || '@example.com>', 'S', 'B');
    INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, epoch, try_count, attempt_count)
    SELECT id, in_lane, 2, now(), a.epoch, 1, 1 FROM mailer.arming a;
    INSERT INTO mailer.tally_delta (batch_id, campaign_id, queued) VALUES (of_batch, of_campaign, 1);
    INSERT INTO mailer.attempt (message_id, attempt, mailbox_id, started_at, dot_at, finished_at, stage, code, reply, outcome)
    SELECT id, 1, b.mailbox_id, now() - interval '1 h' - id * interval '2 s', now() - interval '1 h' - id * interval '2 s',
        now() - interval '1 h' - id * interval '2 s', 'done', 450, 'later', 'retry'
    FROM mailer.mailbox b ORDER BY b.mailbox_id LIMIT 1;
    INSERT INTO mailer.recipient (message_id, n, state, code) VALUES (id, 1, CASE WHEN is_reached THEN 'S' ELSE 'p' END::"char", 450), (id, 2, 'p', 450);
    RETURN id;
END;
$$;
CREATE FUNCTION pg_temp.ends_of(id bigint) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', s.state, '(' || s.reason || ')') || ': '
        || (SELECT string_agg(r.state, ', ' ORDER BY r.address) FROM mailer.recipient_status r WHERE r.message_id = id)
    FROM mailer.message_status s WHERE s.message_id = id
$$;

-- ── Every cause ────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TEMPORARY TABLE cause (cause text, state text);
INSERT INTO cause SELECT c, 'failed' FROM unnest('{rejected,attempts_exhausted,too_old,expired,invalid_address,render_error,quarantined}'::text[]) c;
INSERT INTO cause SELECT c, 'cancelled' FROM unnest('{by_user,campaign_cancelled,suppressed,send_if,duplicate,replied,bounced,complained,unsubscribed,stopped,campaign_ended,contact_gone,gathered}'::text[]) c;

CREATE TEMPORARY TABLE ended AS
SELECT c.cause, c.state, pg_temp.pair(false) AS unreached, pg_temp.pair(true) AS reached FROM cause c;
SELECT is(mailer._end(ARRAY[e.unreached, e.reached], e.cause, 'because', 'tester'), ARRAY[e.unreached, e.reached], e.cause || ' ends both') FROM ended e;
SELECT is(pg_temp.ends_of(e.unreached), format('%s (%s): %s, %s', e.state, e.cause, e.state, e.state), e.cause || ': nobody was reached') FROM ended e;
SELECT ok(pg_temp.ends_of(e.reached) LIKE 'sent (1 of 2 %): sent, ' || e.state, e.cause || ': a mail that reached somebody is sent') FROM ended e;
SELECT is((SELECT array_agg(DISTINCT concat_ws('/', s.settled_by, s.reply_text)) FROM mailer.message_status s JOIN ended e ON s.message_id IN (e.reached, e.unreached)),
    '{tester/because}', 'who did it and why is with the message');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'all of it adds up');
SELECT is(mailer._end(ARRAY(SELECT reached FROM ended), 'by_user'), '{}', 'what has ended doesn''t end again');
SELECT is(mailer._end(NULL, 'by_user'), '{}', 'no message at all ends none');
SELECT throws_ok($$SELECT mailer._end('{1}', 'lost interest')$$, '22023', '"lost interest" is not a cause for which a message ends', 'a cause is one of those that are known');

-- ── Unconfirmed ones ───────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION pg_temp.leave_open(id bigint) RETURNS void
LANGUAGE sql AS $$
    SELECT mailer._end(ARRAY[id], 'reply_lost');
    UPDATE mailer.recipient r SET state = 'u' WHERE r.message_id = id AND r.n = 1;
    UPDATE mailer.recipient r SET code = 550 WHERE r.message_id = id AND r.n = 2;
$$;
SELECT pg_temp.pair(false) AS open1, pg_temp.pair(false) AS open2, pg_temp.pair(false) AS open3 \gset
SELECT pg_temp.leave_open(:open1), pg_temp.leave_open(:open2), pg_temp.leave_open(:open3) \g /dev/null
SELECT is(pg_temp.ends_of(:open1), 'unconfirmed (reply_lost): unconfirmed, failed', 'an unanswered mail is unconfirmed');
SELECT is(mailer._end(ARRAY[:open1, :ada]::bigint[], 'confirmed', 'its copy is in Sent'), ARRAY[:open1]::bigint[], 'evidence ends what is unconfirmed, and nothing that waits');
SELECT is(pg_temp.ends_of(:open1), 'sent (confirmed): sent, failed', 'as sent');
SELECT lives_ok(format('SELECT mailer.resolve(%s, ''sent'')', :open2), 'a person may say so');
SELECT is(pg_temp.ends_of(:open2), 'sent (1 of 2 refused): sent, failed', 'the reason says who got nothing');
SELECT is(mailer._put_back(ARRAY[:open3]::bigint[], 'unconfirmed', 'test'), ARRAY[:open3]::bigint[], 'it may go again');
SELECT is(pg_temp.ends_of(:open3), 'pending: pending, failed', 'to those who may not have it');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'all of it adds up');

-- ── The functions that people call ─────────────────────────────────────────────────────────────────────────────────

SELECT pg_temp.pair(true) AS half \gset
SELECT ok(mailer.cancel(:half), 'a mail of which one recipient waits can be cancelled');
SELECT is(pg_temp.ends_of(:half), 'sent (1 of 2 by_user): sent, cancelled', 'and is sent to the other');

INSERT INTO mailer.lane (kind, batch_id, gap) VALUES ('b', 77, '5 s') RETURNING lane_id AS batch_lane \gset
INSERT INTO mailer.batch_entry (batch_id, lane_id, label, gap, tenant_id, principal_id) OVERRIDING SYSTEM VALUE VALUES (77, :batch_lane, 'ticket', '5 s', 1, 1);
SELECT pg_temp.pair(true, :batch_lane, 77) AS b1, pg_temp.pair(false, :batch_lane, 77) AS b2 \gset
SELECT is(mailer.batch_cancel(77), 2::bigint, 'a batch is cancelled');
SELECT is(pg_temp.ends_of(:b1), 'sent (1 of 2 by_user): sent, cancelled', 'what reached somebody is sent');
SELECT is(pg_temp.ends_of(:b2), 'cancelled (by_user): cancelled, cancelled', 'and what did not is cancelled');
SELECT is((SELECT summary FROM mailer.batch_status(77)), 'sent 1 of 2', 'the summary counts it so');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'all of it adds up');

SELECT pg_temp.pair(true, :lane, of_campaign => :spring) AS lead \gset
SELECT lives_ok(format('SELECT mailer.campaign_cancel(%s, ''enough'')', :spring), 'a campaign is cancelled');
SELECT is(pg_temp.ends_of(:lead), 'sent (1 of 2 campaign_cancelled): sent, cancelled', 'what reached somebody is sent');
SELECT is((SELECT ARRAY[c.pending, c.sent, c.cancelled] FROM mailer.campaign_status(:spring) c), '{0,1,3}'::bigint[], 'and counted so');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'all of it adds up');

-- ── Put back ───────────────────────────────────────────────────────────────────────────────────────────────────────

SELECT mailer.campaign_create('autumn', 'hello', '{one}', timezone => 'Europe/Warsaw') AS autumn \gset
SELECT mailer.campaign_add_many(:autumn, '{d@example.com,e@example.com,broken}') \g /dev/null
SELECT mailer.campaign_start(:autumn) \g /dev/null
-- Both are refused, as the engine writes it: the addresses are suppressed for it, and another one for a reason of its own.
SELECT mailer._end(ARRAY(SELECT q.message_id FROM mailer.queue_entry q JOIN mailer.message m USING (message_id) WHERE m.campaign_id = :autumn), 'rejected') \g /dev/null
INSERT INTO mailer.suppression (address_key, scope, address, reason, created_at, created_by, tenant_id)
VALUES ('d@example.com', 'all', 'd@example.com', 'hard_bounce', now(), 'mailer', 1), ('e@example.com', 'all', 'e@example.com', 'asked us to', now(), 'tester', 1);
SELECT is(mailer.campaign_retry_failed(:autumn), 2::bigint, 'failed ones are tried again, but for the bad address');
SELECT is((SELECT array_agg(s.address_key ORDER BY s.address_key) FROM mailer.suppression s), '{e@example.com}',
    'what their refusal had suppressed is lifted, and nothing else');
SELECT is((SELECT array_agg(DISTINCT q.priority) FROM mailer.queue q WHERE q.lane = 'campaign autumn'), '{3}', 'before new leads');
SELECT is((SELECT state FROM mailer.campaign_status(:autumn)), 'running', 'the campaign runs');
SELECT is(mailer._end(ARRAY(SELECT m.message_id FROM mailer.message m WHERE m.campaign_id = :autumn), 'stopped'),
    ARRAY(SELECT m.message_id FROM mailer.message m WHERE m.campaign_id = :autumn AND m.address_key NOT LIKE 'invalid:%' ORDER BY 1), 'leads can be stopped');
SELECT is(cardinality(mailer._put_back(ARRAY(SELECT m.message_id FROM mailer.message m WHERE m.campaign_id = :autumn), 'cancelled', 'restored')), 2, 'and come back');
SELECT is(mailer._put_back(ARRAY[:ada]::bigint[], 'cancelled', 'restored'), '{}', 'but not into a cancelled campaign');
SELECT throws_ok($$SELECT mailer._put_back('{1}', 'sent', 'again')$$, '22023', 'messages that are "sent" aren''t put back', 'what was sent is not sent again');
SELECT is_empty('SELECT * FROM mailer.verify() WHERE violations <> 0', 'all of it adds up');

-- ── One rule for enqueue and campaigns ─────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END;
$$;
SELECT is(pg_temp.refusal(format('SELECT mailer.campaign_create(''x'', ''hello'', headers => %L)', h)),
    pg_temp.refusal(format('SELECT mailer.enqueue(''a@example.com'', ''s'', ''b'', headers => %L)', h)), 'a campaign''s headers are refused as a mail''s: ' || h)
FROM unnest(ARRAY['{"Subject": "x"}', '{"X-N": 1}', '{"Bad name": "x"}', '[1]', '{"DKIM-Signature": "v=1"}']) h;
SELECT isnt(pg_temp.refusal($$SELECT mailer.campaign_create('x', 'hello', headers => '{"Subject": "x"}')$$), NULL, 'and they are');
SELECT isnt(pg_temp.refusal(format('SELECT mailer.campaign_alter(%s, ''{"headers": {"Subject": "x"}}'')', :autumn)), NULL, 'also when it is altered');

UPDATE mailer.mailbox SET is_default = false;
SELECT mailer.campaign_create('winter', 'hello', timezone => 'Europe/Warsaw') AS winter \gset
SELECT mailer.campaign_add(:winter, 'a@example.com') AS lead, mailer.enqueue('a@example.com', 's', 'b') AS single \gset
SELECT is((SELECT substring(m.internet_message_id FROM '@.*') FROM mailer.message m WHERE m.message_id = :lead),
    (SELECT substring(m.internet_message_id FROM '@.*') FROM mailer.message m WHERE m.message_id = :single), 'without a mailbox, Message-IDs have one domain');

SELECT * FROM finish();
ROLLBACK;
