-- Leads: each gets in once, bad ones fail alone, completed campaigns reopen, failed ones are sent again.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT results_eq(format('SELECT state, recipient, external_id, template, attempts, mailbox FROM mailer.message_status WHERE message_id = %s', :ada),
    $$VALUES ('pending', 'ada@example.com', 'lead-1', 'hello', 0, NULL::text)$$, 'a lead is a pending message');
SELECT matches((SELECT internet_message_id FROM mailer.message WHERE message_id = :ada), format('^<%s\.[0-9a-f]{16}@example\.com>$', :ada),
    'its Message-ID has its number, 16 random digits and the first mailbox''s domain');
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :ada), now(), 'it is due at once');
SELECT is((SELECT epoch FROM mailer.queue_entry WHERE message_id = :ada), (SELECT epoch FROM mailer.arming), 'it carries the epoch');

SELECT is(mailer.campaign_add(:spring, 'ada@example.com'), NULL, 'the same lead again is not added');
SELECT is(mailer.campaign_add(:spring, '  Ada <ADA@EXAMPLE.com> '), NULL, 'nor under another spelling');
SELECT isnt(mailer.campaign_add(:spring, 'ada@example.org'), NULL, 'another address is another lead');

SELECT mailer.campaign_add(:spring, E'no\taddress') AS bad \gset
SELECT results_eq(format('SELECT state, reason, recipient FROM mailer.message_status WHERE message_id = %s', :bad),
    $$VALUES ('failed', 'invalid_address', 'no address')$$, 'a bad address fails, and is shown without control characters');
SELECT isnt((SELECT reply_text FROM mailer.message_status WHERE message_id = :bad), NULL, 'what is wrong with it is said');
SELECT is(mailer.campaign_add(:spring, E'no\taddress'), NULL, 'a bad address gets in once, too');
SELECT isnt(mailer.campaign_add(:spring, NULL), NULL, 'no address is a bad address');
SELECT isnt(mailer.campaign_add(:spring, repeat('long ', 2000)), NULL, 'a bad address may be long');
SELECT is(mailer.campaign_add(:spring, repeat('long ', 2000)), NULL, 'and is still known again');
SELECT throws_ok(format('SELECT mailer.campaign_add(%s, ''x@example.com'', ''[]'')', :spring), '22023', NULL, 'variables are an object');
SELECT throws_ok($$SELECT mailer.campaign_add(0, 'x@example.com')$$, '42704', NULL, 'a campaign must exist');

SELECT is(mailer.campaign_add_many(:spring, ARRAY['ada@example.com', 'dan@example.com', 'bad', 'Dan <DAN@example.com>', 'eve@example.com', NULL],
    NULL, ARRAY['a', 'd', 'b', 'd2', 'e', 'n']), 3::bigint, 'of many, the new ones are counted, bad ones with them');
SELECT results_eq(format('SELECT recipient, external_id, state FROM mailer.message_status WHERE campaign_id = %s AND external_id IN (''a'', ''d'', ''b'', ''d2'', ''e'') ORDER BY message_id', :spring),
    $$VALUES ('dan@example.com', 'd', 'pending'), ('bad', 'b', 'failed'), ('eve@example.com', 'e', 'pending')$$, 'they come in the order of the array');
SELECT is(mailer.campaign_add_many(:spring, ARRAY['dan@example.com', 'bad']), 0::bigint, 'adding them again adds none');
SELECT is(mailer.campaign_add_many(:spring, '{}'), 0::bigint, 'none is none');
SELECT is(mailer.campaign_add_many(:spring, ARRAY['fay@example.com'], ARRAY['{"name": "Fay"}'::jsonb]), 1::bigint, 'variables come along');
SELECT is((SELECT variables FROM mailer.message WHERE campaign_id = :spring AND address_key = 'fay@example.com'), '{"name": "Fay"}'::jsonb, 'each with its lead');
SELECT throws_ok(format('SELECT mailer.campaign_add_many(%s, ''{a@b.c,d@b.c}'', ARRAY[''{}''::jsonb])', :spring), '2202E', NULL, 'arrays are of one length');
SELECT throws_ok(format('SELECT mailer.campaign_add_many(%s, ''{a@b.c}'', ARRAY[''3''::jsonb])', :spring), '22023', NULL, 'each of variables is an object');
SELECT throws_ok(format('SELECT mailer.campaign_add(%s, ''x@b.c'', external_id => repeat(''x'', 501))', :spring), '22023', 'external_id is too long', 'an external id is short');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');

SELECT mailer.campaign_create('later', 'hello', starts_at => now() + interval '1 day') AS later \gset
SELECT mailer.campaign_add(:later, 'ada@example.com') AS tomorrow \gset
SELECT is((SELECT due_at FROM mailer.queue_entry WHERE message_id = :tomorrow), now() + interval '1 day', 'a lead is not due before the campaign starts');
SELECT matches((SELECT internet_message_id FROM mailer.message WHERE message_id = :tomorrow), '@example\.com>$', 'the default mailboxes'' first gives the domain');

-- Failed ones again.
SELECT pg_temp.send(:ada, '2030-01-07 12:00 Europe/Warsaw', :one) \g /dev/null
DELETE FROM mailer.queue_entry WHERE message_id IN (:bob, :cy);
INSERT INTO mailer.attempt SELECT id, n, :one, now(), NULL, now(), 'rcpt', 550, '5.1.1', 'no', 'failed' FROM unnest(ARRAY[:bob, :cy]::bigint[]) id, generate_series(1, 2) n;
INSERT INTO mailer.outcome (message_id, state, reason, settled_at, attempt_count, try_count) VALUES (:bob, 'f', 'attempts_exhausted', now(), 2, 2), (:cy, 'f', 'rejected', now(), 2, 2);
INSERT INTO mailer.tally_delta (campaign_id, queued, failed) VALUES (:spring, -2, 2);
UPDATE mailer.message SET purged_at = now() WHERE message_id = :cy;
SELECT is(mailer.campaign_retry_failed(:spring), 1::bigint, 'failed ones are queued again, but for bad addresses and purged ones');
SELECT results_eq(format('SELECT state, priority, attempts, due_at FROM mailer.message_status WHERE message_id = %s', :bob),
    $$VALUES ('pending', 3, 2, now())$$, 'before new leads, with their tries kept');
SELECT is((SELECT attempt_count FROM mailer.queue_entry WHERE message_id = :bob), 0::smallint, 'and all attempts before them');
SELECT is(mailer.campaign_retry_failed(:spring), 0::bigint, 'once');

-- A completed campaign.
INSERT INTO mailer.outcome (message_id, state, settled_at, settled_by, try_count) SELECT q.message_id, 'S', now(), 'tester', q.try_count FROM mailer.queue_entry q WHERE q.lane_id = :lane;
INSERT INTO mailer.tally_delta (campaign_id, queued, sent) SELECT :spring, -count(*), count(*) FROM mailer.queue_entry q WHERE q.lane_id = :lane;
DELETE FROM mailer.queue_entry WHERE lane_id = :lane;
UPDATE mailer.campaign SET state = 'c', completed_at = now() WHERE campaign_id = :spring;
SELECT is((SELECT state FROM mailer.campaign_status(:spring)), 'completed', 'a campaign completes');
SELECT is(mailer.campaign_add(:spring, 'ada@example.com'), NULL, 'adding nobody new');
SELECT mailer.campaign_add(:spring, 'bad again') \g /dev/null
SELECT is(mailer.campaign_retry_failed(:spring), 0::bigint, 'and retrying nothing');
SELECT is((SELECT state FROM mailer.campaign_status(:spring)), 'completed', 'leaves it completed');
SELECT mailer.campaign_add(:spring, 'gil@example.com') \g /dev/null
SELECT is((SELECT state FROM mailer.campaign_status(:spring)), 'running', 'a new lead sets it running again');
SELECT is((SELECT count(*) FROM mailer.event WHERE campaign_id = :spring AND kind = 'campaign_reopened'), 1::bigint, 'which is logged');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'every invariant holds');

-- How many rows the tally gets is how many statements there were, not how many leads.
SELECT count(*) AS deltas FROM mailer.tally_delta \gset
SELECT mailer.campaign_add_many(:spring, ARRAY(SELECT 'n' || i || '@example.com' FROM generate_series(1, 500) i)) \g /dev/null
SELECT is((SELECT count(*) - :deltas FROM mailer.tally_delta), 1::bigint, 'many leads are one change of the counts');

-- Many at once take another way than a few, with the same results: two addresses twice, two bad texts, one of them twice, one lead
-- that is in already, and 20,000 others.
SELECT mailer.campaign_create('autumn', 'hello', timezone => 'UTC') AS autumn \gset
SELECT mailer.campaign_add(:autumn, 'known@example.com') \g /dev/null
SELECT is(mailer.campaign_add_many(:autumn,
    ARRAY(SELECT 'User ' || i || ' <u' || i || '@example.com>' FROM generate_series(1, 20000) i)
        || ARRAY['U7@Example.COM', ' KNOWN@example.com ', 'no address', NULL, 'no address', 'u20000@example.com'],
    ARRAY(SELECT jsonb_build_object('n', i) FROM generate_series(1, 20000) i) || ARRAY[NULL, NULL, NULL, NULL, NULL, NULL]::jsonb[],
    ARRAY(SELECT 'crm ' || i FROM generate_series(1, 20000) i) || ARRAY[NULL, NULL, NULL, NULL, NULL, NULL]::text[]),
    20002::bigint, 'of many, each new one counts once');
SELECT results_eq(format('SELECT state, reason, count(*) FROM mailer.message_status WHERE campaign_id = %s GROUP BY 1, 2 ORDER BY 1', :autumn),
    $$VALUES ('failed', 'invalid_address', 2::bigint), ('pending', NULL, 20001)$$, 'bad ones have failed, the others wait');
SELECT results_eq(format($$SELECT recipient, m.address_key COLLATE "default", m.header_to, m.variables, s.external_id
        FROM mailer.message_status s JOIN mailer.message m USING (message_id) WHERE m.campaign_id = %s AND m.address_key = 'u7@example.com'$$, :autumn),
    $$VALUES ('u7@example.com', 'u7@example.com', 'User 7 <u7@example.com>', '{"n": 7}'::jsonb, 'crm 7')$$, 'with what was said of them first');
SELECT ok(bool_and(message_id > before), 'in the order of the array')
FROM (SELECT message_id, lag(message_id) OVER (ORDER BY (variables ->> 'n')::int) AS before
      FROM mailer.message WHERE campaign_id = :autumn AND variables ? 'n') x WHERE before IS NOT NULL;
SELECT seq_scan AS scans FROM pg_stat_xact_all_tables WHERE relid = 'mailer.message'::regclass \gset
SELECT is(mailer.campaign_add_many(:autumn, ARRAY(SELECT 'u' || i || '@example.com' FROM generate_series(19000, 20100) i)), 100::bigint,
    'added again, only new ones get in');
SELECT is((SELECT seq_scan FROM pg_stat_xact_all_tables WHERE relid = 'mailer.message'::regclass), :scans::bigint, 'and the table was not read through for it');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations <> 0$$, 'and every invariant holds');

-- What is a lead's own.
SELECT mailer.lead_update(:spring, 'cy@example.com', label => 'interested') \g /dev/null
SELECT is((SELECT label FROM mailer.lead_status WHERE address = 'cy@example.com'), 'interested', 'a lead has a label for people');
SELECT mailer.lead_update('spring', 'cy@example.com', '{"name": "Cy"}') \g /dev/null
SELECT results_eq($$SELECT label, variables FROM mailer.lead_status WHERE address = 'cy@example.com'$$, $$VALUES ('interested', '{"name": "Cy"}'::jsonb)$$, 'variables leave it alone');
SELECT mailer.lead_update(:spring, 'cy@example.com', label => '') \g /dev/null
SELECT results_eq($$SELECT label, variables FROM mailer.lead_status WHERE address = 'cy@example.com'$$, $$VALUES (NULL, '{"name": "Cy"}'::jsonb)$$, 'an empty one removes it, and leaves them alone');
SELECT throws_ok(format($$SELECT mailer.lead_update(%s, 'cy@example.com')$$, :spring), '22004', NULL, 'something is to be changed');
SELECT throws_ok(format($$SELECT mailer.lead_update(%s, 'cy@example.com', '[]')$$, :spring), '22023', NULL, 'variables are an object');
SELECT throws_ok(format($$SELECT mailer.lead_update(%s, 'cy@example.com', label => repeat('x', 501))$$, :spring), '22023', 'label is too long', 'a label is short');

SELECT * FROM finish();
ROLLBACK;
