-- Gates of settings that take a reload: played once for each setting, after test/simulation/run has set it (is_disabled says which).
\set QUIET 1
SET client_min_messages = error;
SET timezone = 'Europe/Warsaw';
SELECT no_plan();
SELECT simulation.scene() \g /dev/null
\if :is_disabled
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true}');
SELECT is(simulation.sent(), 0::bigint, 'sending_enabled: shut, the sender keeps to it');
SELECT is(simulation.gate('sending_enabled'), 'shut', 'sending_enabled: explain shows it shut');
SELECT is(simulation.blocked_by(), 'sending is switched off by mailer.enabled', 'sending_enabled: said in words');
SELECT is(simulation.next(), NULL, 'sending_enabled: nothing is foretold while only a change can open it');
\else
-- One connection in all, twenty campaigns from as many mailboxes, and mails that take ten minutes. The sender
-- claims a few for each connection, so that none waits for a commit: not one a mailbox.
SELECT mailer.mailbox_create('box' || i, 'smtp.example.com', from_address => 'x@example.com') FROM generate_series(2, 20) i \g /dev/null
SELECT mailer.campaign_create('c' || i, 'hello', ARRAY['box' || i], timezone => 'Europe/Warsaw') FROM generate_series(2, 20) i \g /dev/null
SELECT mailer.campaign_add_many(i, '{a@example.com}'), mailer.campaign_start(i) FROM generate_series(2, 20) i \g /dev/null
CALL simulation.run('2027-03-01 10:02+01', 1, '{"new": true, "least_transit_us": 600000000, "most_transit_us": 600000000}');
SELECT ok((SELECT count(*) BETWEEN 1 AND 10 FROM mailer.queue WHERE state = 'sending'), 'connections_free: shut, the sender keeps to it');
SELECT is(simulation.gate('connections_free', 20), 'shut 1/1', 'connections_free: explain shows it shut, with limit and use');
SELECT is(simulation.blocked_by(20), 'all connections of mailer.max_connections are busy, and 4 claimed mails wait', 'connections_free: said in words');
CALL simulation.run('2027-03-01 11:30+01', 1, '{}');
SELECT is((SELECT sent FROM mailer.campaign_status(20)), 1::bigint, 'connections_free: open, it goes');
\endif
SELECT * FROM finish();
