-- Instants in the words of explain() say their time zone: a campaign's own, else mailer.timezone, else the session's.
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT mailer.enqueue('dan@example.com', 'Subject', 'Body', send_at => '2030-06-03 10:30+00') AS dan \gset
SELECT mailer.enqueue_batch('{eve@example.com}', 'Subject', 'Body', gap => '5 s', send_at => '2030-06-03 10:30+00') AS batch \gset
SELECT message_id AS eve FROM mailer.message WHERE batch_id = :batch \gset
CREATE FUNCTION pg_temp.due(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT detail FROM mailer.explain(id) WHERE gate = 'due' $$;

SET mailer.timezone = 'Asia/Tokyo';
SELECT is(pg_temp.due(:dan), 'message is due at Mon 2030-06-03 19:30 Asia/Tokyo', 'of a mail by itself: mailer.timezone');
SELECT is(pg_temp.due(:eve), 'message is due at Mon 2030-06-03 19:30 Asia/Tokyo', 'of a mail of a batch with a gap too');
UPDATE mailer.queue_entry SET due_at = '2030-06-03 10:30+00' WHERE message_id = :ada;
SELECT is(pg_temp.due(:ada), 'message is due at Mon 2030-06-03 12:30 Europe/Warsaw', 'of a campaign''s: the campaign''s');
SET mailer.timezone = '';
SET timezone = 'America/New_York';
SELECT is(pg_temp.due(:dan), 'message is due at Mon 2030-06-03 06:30 America/New_York', 'without one the session''s, as its timestamps are shown');
SELECT * FROM finish();
ROLLBACK;
