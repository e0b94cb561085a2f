-- Follow-ups refer to the Message-ID that recipients see, which is the provider's own where it replaced ours.
BEGIN;
SELECT no_plan();
\ir fixture.psql
\ir feedback.psql

SELECT mailer.template_set('reminder', '', 'did you see it?') \g /dev/null
SELECT mailer.campaign_alter(:spring, '{"max_silence": null}') \g /dev/null
SELECT mailer.campaign_step_set(:spring, 2, 'reminder', '3 days') \g /dev/null
SELECT pg_temp.send(:ada, '2024-06-03 10:00 Europe/Warsaw', :one), pg_temp.send(:bob, '2024-06-03 10:01 Europe/Warsaw', :one), pg_temp.send(:cy, '2024-06-03 10:02 Europe/Warsaw', :one) \g /dev/null
UPDATE mailer.lead l SET subject = 'Hello', mailbox_id = :one, thread_message_id = m.message_id, last_slot_at = '2024-06-03 10:00 Europe/Warsaw'
FROM mailer.message m WHERE l.campaign_id = :spring AND m.campaign_id = l.campaign_id AND m.address_key = l.address_key;
SELECT mailer._queue_next_steps(ARRAY[:ada, :bob, :cy]::bigint[]) \g /dev/null

-- The thread of a lead's follow-up, with our own ids as numbers of messages.
CREATE FUNCTION pg_temp.thread(of_first bigint) RETURNS TABLE (in_reply_to text, refers_to text)
LANGUAGE sql AS $$
    SELECT regexp_replace((regexp_match(h.header, E'In-Reply-To: ([^\n]+)'))[1], '<(\d+)\.[0-9a-f]+@example.com>', '<\1>', 'g'),
           regexp_replace((regexp_match(h.header, E'References: ([^\n]+)'))[1], '<(\d+)\.[0-9a-f]+@example.com>', '<\1>', 'g')
    FROM mailer.message f JOIN mailer.message m ON m.campaign_id = f.campaign_id AND m.address_key = f.address_key AND m.step_id <> 0
    CROSS JOIN LATERAL (SELECT regexp_replace(replace(convert_from(mailer.message_source(m.message_id), 'UTF8'), E'\r', ''), E'\n ', ' ', 'g') AS header) h
    WHERE f.message_id = of_first
$$;
PREPARE thread_of(bigint) AS SELECT * FROM pg_temp.thread($1);
SELECT results_eq(format('EXECUTE thread_of(%s)', :ada), format($$VALUES ('<%1$s>', '<%1$s>')$$, :ada), 'a follow-up refers to our own id');

-- From the 250, as the engine notes it.
INSERT INTO mailer.provider_message (provider_id, message_id) VALUES ('0102018f-000000', :ada), ('0102018f-000000@eu-west-1.amazonses.com', :ada);
SELECT results_eq(format('EXECUTE thread_of(%s)', :ada), format($$VALUES ('<0102018f-000000@eu-west-1.amazonses.com>', '<%s> <0102018f-000000@eu-west-1.amazonses.com>')$$, :ada),
    'and to the one that its provider told of');

-- From the copy in the folder of sent mail.
SELECT lives_ok(format($$SELECT mailer._listen_store(%s, 'Sent', 1, 5, '{}', ARRAY['<x1@outlook.example>', '<x2@outlook.example>', '<x3@outlook.example>'], 3, ARRAY[%L, '', '<1.1@nowhere>'])$$,
    :one, pg_temp.id_of(:bob)), 'copies of which one says what its id was');
SELECT results_eq(format('EXECUTE thread_of(%s)', :bob), format($$VALUES ('<x1@outlook.example>', '<%s> <x1@outlook.example>')$$, :bob), 'the copy tells what recipients see');
SELECT is((SELECT count(*) FROM mailer.provider_message WHERE provider_id ~ '^x'), 1::bigint, 'what isn''t ours teaches nothing');
SELECT mailer._listen_store(:one, 'Sent', 1, 6, '{}', ARRAY[pg_temp.id_of(:bob)], 1, '{""}') \g /dev/null
SELECT is((SELECT count(*) FROM mailer.provider_message WHERE message_id = :bob), 1::bigint, 'nor does a copy with our own id');

-- From an automatic answer that came to our return path.
CREATE FUNCTION pg_temp.absence(to_message bigint, thread text) RETURNS bytea
LANGUAGE sql AS $$
    SELECT convert_to(concat_ws(E'\n', 'Delivered-To: bounce+' || substr(split_part(m.internet_message_id, '@', 1), 2) || '@example.com',
        'From: ' || m.addresses[1], 'Subject: Out of office', 'Auto-Submitted: auto-replied', 'Message-ID: <' || md5(thread) || '@example.org>',
        'In-Reply-To: ' || thread, '', 'I am away.', ''), 'UTF8') FROM mailer.message m WHERE m.message_id = to_message
$$;
SELECT results_eq(format($$SELECT kind, message_id FROM mailer.ingest(pg_temp.absence(%s, '<seen@provider.example>'))$$, :cy), format($$VALUES ('auto_reply', %s::bigint)$$, :cy), 'an answer to the return path');
SELECT results_eq(format('EXECUTE thread_of(%s)', :cy), format($$VALUES ('<seen@provider.example>', '<%s> <seen@provider.example>')$$, :cy), 'names the mail as the recipient saw it');
SELECT is((SELECT message_id FROM mailer.ingest(pg_temp.answer('<seen@provider.example>', 'cy@example.com', 'Back again.'))), :cy::bigint, 'by which a later reply is matched');
-- Learned after the follow-up was tried: it didn't refer to that.
INSERT INTO mailer.attempt (message_id, attempt, mailbox_id, started_at, finished_at, stage, outcome)
SELECT m.message_id, 1, :one, now() - interval '1 hour', now() - interval '1 hour', 'rcpt', 'retry'
FROM mailer.message m WHERE m.campaign_id = :spring AND m.address_key = 'bob@example.com' AND m.step_id <> 0;
SELECT results_eq(format('EXECUTE thread_of(%s)', :bob), format($$VALUES ('<%1$s>', '<%1$s>')$$, :bob), 'a mail refers to what was known at its first try');
SELECT * FROM finish();
ROLLBACK;
