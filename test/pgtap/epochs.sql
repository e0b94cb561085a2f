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

-- The sender claims what is of an adopted epoch, whether or not a promotion holds that epoch, too.
INSERT INTO mailer.promotion (timeline, held_epochs, is_held, promoted_at, promised_until, names)
SELECT 2, a.adopted, true, now() + interval '1 h', now(), '{}' FROM mailer.arming a;
SELECT is((SELECT is_open FROM mailer.explain(:cy) WHERE gate = 'sending_armed'), true, 'what is adopted is not held, whatever a promotion has held');
UPDATE mailer.promotion SET held_epochs = '{-2}';
UPDATE mailer.queue_entry SET epoch = -2 WHERE message_id = :cy;
SELECT is((SELECT is_open FROM mailer.explain(:cy) WHERE gate = 'sending_armed'), false, 'what is not adopted is');
SELECT is((SELECT waits_for FROM mailer.queue WHERE message_id = :cy), 'sending_armed: sending is held until mailer.arm(): it was due when this server was promoted, and the old primary may have sent it (mailer.resolve_held())', 'as the queue says');
SELECT is((SELECT is_open FROM mailer.explain(:cy) WHERE gate = 'message_armed'), NULL, 'and waits for no arm()');
UPDATE mailer.promotion SET promoted_at = '2000-01-01';
SELECT is((SELECT is_open FROM mailer.explain(:cy) WHERE gate = 'sending_armed'), true, 'but not what became due later');
SELECT * FROM finish();
ROLLBACK;
