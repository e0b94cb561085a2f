-- Mail that came with a dump or a copy: until somebody adopts it, it is foretold for no slot and takes nobody's place.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT is((SELECT count(*) FROM mailer.campaign_forecast(:spring)), 3::bigint, 'three leads are foretold');
UPDATE mailer.queue_entry SET epoch = 1 WHERE message_id = :bob;
SELECT set_eq(format('SELECT message_id FROM mailer.campaign_forecast(%s)', :spring), ARRAY[:ada, :cy]::bigint[], 'without the one of another database');
SELECT is((SELECT slot_at FROM mailer.campaign_forecast(:spring) WHERE message_id = :cy), (SELECT opens_at FROM mailer.explain(:cy) WHERE gate = 'forecast'),
    'and explain tells the same slot');
SELECT is((SELECT is_open FROM mailer.explain(:bob) WHERE gate = 'message_armed'), false, 'of the other it says what holds it');
SELECT is((SELECT opens_at FROM mailer.explain(:bob) WHERE gate = 'forecast'), NULL, 'and no slot');

UPDATE mailer.queue_entry SET state = 's', token = 1, mailbox_id = :one, claimed_at = now(), reserved_day = current_date WHERE message_id = :bob;
SELECT is((SELECT used FROM mailer.explain(:ada) WHERE gate = 'mailbox_connection:one'), '0', 'what another database had claimed is on no connection of this one');
UPDATE mailer.queue_entry SET epoch = (SELECT epoch FROM mailer.arming) WHERE message_id = :bob;
SELECT is((SELECT used FROM mailer.explain(:ada) WHERE gate = 'mailbox_connection:one'), '1', 'what this one has claimed is');
SELECT is((SELECT is_open FROM mailer.explain(:ada) WHERE gate = 'mailbox_connection:one'), false, 'and its only connection is taken');
SELECT results_eq(format($$SELECT gate, is_open, used FROM mailer.campaign_explain(%s) WHERE gate LIKE 'mailbox_connection%%'$$, :spring),
    format($$SELECT gate, is_open, used FROM mailer.explain(%s) WHERE gate LIKE 'mailbox_connection%%'$$, :ada), 'campaign_explain says the same');
SELECT is((SELECT is_open FROM mailer.campaign_explain(:spring) WHERE gate = 'mailbox_connection:one'), false, 'of that connection, too');
SELECT * FROM finish();
ROLLBACK;
