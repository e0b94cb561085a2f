-- The table of effects (doc/feedback.md), a row each, on leads whose first mail was sent and whose follow-up waits.
SET search_path = pg_catalog, public;
BEGIN;
SELECT no_plan();
\ir fixture.psql
\ir feedback.psql

SELECT mailer.campaign_alter(:spring, '{"max_silence": null}'), mailer.campaign_step_set(:spring, 2, 'hello', '3 days') \g /dev/null
SELECT mailer.campaign_create('autumn', 'hello', '{one}', timezone => 'Europe/Warsaw') AS autumn \gset
SELECT mailer.campaign_start(:autumn) \g /dev/null

-- A lead of both campaigns: its first mail of spring was sent, the second waits. Gives the first.
CREATE FUNCTION pg_temp.lead(address text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    id bigint := mailer.campaign_add((SELECT campaign_id FROM mailer.campaign WHERE name = 'spring'), address);
BEGIN
    PERFORM mailer.campaign_add((SELECT campaign_id FROM mailer.campaign WHERE name = 'autumn'), address);
    PERFORM pg_temp.send(id, now() - id * interval '1 hour', (SELECT mailbox_id FROM mailer.mailbox WHERE name = 'one'));
    UPDATE mailer.lead l SET subject = 'Hello', mailbox_id = (SELECT mailbox_id FROM mailer.mailbox WHERE name = 'one'), thread_message_id = id, last_slot_at = now()
    WHERE l.address_key = lead.address AND l.campaign_id = (SELECT campaign_id FROM mailer.message WHERE message_id = id);
    PERFORM mailer._queue_next_steps(ARRAY[id]);
    RETURN id;
END;
$$;
-- What is to be seen of it: the message's result, both leads' states, the follow-up's state and reason, the address's suppressions.
CREATE FUNCTION pg_temp.seen(address text) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws('; ', (SELECT m.result FROM mailer.message_status m WHERE m.recipient = address AND m.campaign_id = c.spring ORDER BY m.message_id LIMIT 1),
        (SELECT l.state FROM mailer.lead_status l WHERE l.address = seen.address AND l.campaign_id = c.spring),
        (SELECT concat_ws(' ', m.state, m.reason) FROM mailer.message_status m WHERE m.recipient = address AND m.campaign_id = c.spring ORDER BY m.message_id DESC LIMIT 1),
        (SELECT l.state FROM mailer.lead_status l WHERE l.address = seen.address AND l.campaign_id = c.autumn),
        (SELECT string_agg(concat_ws(' ', s.scope, s.reason, CASE WHEN s.expires_at IS NOT NULL THEN 'expires' END), ', ' ORDER BY s.scope)
         FROM mailer.suppression s WHERE s.address_key = seen.address))
    FROM (SELECT (SELECT campaign_id FROM mailer.campaign WHERE name = 'spring') AS spring, (SELECT campaign_id FROM mailer.campaign WHERE name = 'autumn') AS autumn) c
$$;
CREATE FUNCTION pg_temp.follow_up_due(address text) RETURNS interval
LANGUAGE sql AS $$
    SELECT q.due_at - now() FROM mailer.message m JOIN mailer.queue_entry q USING (message_id) WHERE m.address_key = address AND m.step_id <> 0
$$;

SELECT pg_temp.lead('quiet@example.org') \g /dev/null
SELECT is(pg_temp.seen('quiet@example.org'), 'accepted; active; pending; waiting', 'of whom nothing is heard');

SELECT pg_temp.lead('hard@example.org') AS hard \gset
SELECT mailer.ingest(pg_temp.bounce(pg_temp.id_of(:hard), 'hard@example.org')) \g /dev/null
SELECT is(pg_temp.seen('hard@example.org'), 'bounced; bounced; cancelled bounced; bounced; all hard_bounce expires', 'a hard bounce ends the sequences and suppresses');
SELECT is((SELECT state FROM mailer.status(:hard)), 'sent', 'what the server took stays sent');
SELECT matches((SELECT progress FROM mailer.campaign_progress WHERE name = 'spring'), '1 bounced', 'and the summary says that it bounced');

-- Held by a soft bounce, until lead_release() or a success.
SELECT pg_temp.lead('soft@example.org') AS soft \gset
SELECT mailer.ingest(pg_temp.bounce(pg_temp.id_of(:soft), 'soft@example.org', status => '5.2.2', words => '552 5.2.2 mailbox full')) \g /dev/null
SELECT is(pg_temp.seen('soft@example.org'), 'accepted; held; pending; waiting', 'a soft bounce holds the lead');
SELECT is((SELECT bool_or(is_hard) FROM mailer.feedback_log WHERE message_id = :soft), false, 'it is logged as soft');
SELECT cmp_ok(pg_temp.follow_up_due('soft@example.org'), '>', interval '100 years', 'its follow-up is not due');
SELECT mailer.lead_release(:spring, 'soft@example.org') \g /dev/null
SELECT ok(pg_temp.follow_up_due('soft@example.org') BETWEEN '0' AND '8 days', 'after lead_release() it is due as before');
SELECT pg_temp.lead('full@example.org') AS full, pg_temp.lead('kept@example.org') AS kept \gset
SELECT mailer.ingest(pg_temp.bounce(pg_temp.id_of(:full), 'full@example.org', status => '5.2.2', words => '552 5.2.2 mailbox full')) \g /dev/null
SELECT mailer.ingest(pg_temp.bounce(pg_temp.id_of(:full), 'full@example.org', action => 'delivered', status => '2.0.0', words => '')) \g /dev/null
SELECT is(pg_temp.seen('full@example.org'), 'accepted; active; pending; waiting', 'the next success to the address releases it');
SELECT ok(pg_temp.follow_up_due('full@example.org') BETWEEN '0' AND '8 days', 'as lead_release() does');
SELECT mailer.lead_hold(:spring, 'kept@example.org') \g /dev/null
SELECT mailer.ingest(pg_temp.bounce(pg_temp.id_of(:kept), 'kept@example.org', action => 'delivered', status => '2.0.0', words => '')) \g /dev/null
SELECT is(pg_temp.seen('kept@example.org'), 'accepted; held; pending; waiting', 'but never one that a person holds');

SELECT pg_temp.lead('late@example.org') AS late \gset
SELECT mailer.ingest(pg_temp.bounce(pg_temp.id_of(:late), 'late@example.org', action => 'delayed', status => '4.4.1', words => '')) \g /dev/null
SELECT is(pg_temp.seen('late@example.org'), 'accepted; active; pending; waiting', 'a delay changes nothing');

SELECT pg_temp.lead('angry@example.org') AS angry \gset
SELECT mailer.ingest(pg_temp.complaint(pg_temp.id_of(:angry), 'angry@example.org')) \g /dev/null
SELECT is(pg_temp.seen('angry@example.org'), 'complained; complained; cancelled complained; complained; bulk complaint, campaigns complaint', 'a complaint ends the sequences and suppresses without expiry');

SELECT pg_temp.lead('glad@example.org') AS glad \gset
SELECT mailer.ingest(pg_temp.answer(pg_temp.id_of(:glad), 'glad@example.org', 'Yes, please.')) \g /dev/null
SELECT is(pg_temp.seen('glad@example.org'), 'replied; replied; cancelled replied; replied', 'a reply stops the sequences');
SELECT results_eq(format($$SELECT message_id, campaign_id FROM mailer.event_log WHERE kind = 'replied' AND detail ->> 'address' = 'glad@example.org'$$),
    format('VALUES (%s::bigint, %s::bigint)', :glad, :spring), 'its event has the ids');

SELECT pg_temp.lead('tired@example.org') AS tired \gset
SELECT mailer.ingest(pg_temp.answer(pg_temp.id_of(:tired), 'tired@example.org', 'Please remove me from your list')) \g /dev/null
SELECT is(pg_temp.seen('tired@example.org'), 'unsubscribed; unsubscribed; cancelled unsubscribed; unsubscribed; campaigns opt_out', 'a short wish stops all campaigns');
SELECT results_eq($$SELECT kind, is_guess FROM mailer.feedback_log WHERE address = 'tired@example.org'$$, $$VALUES ('unsubscribe', true)$$, 'and is shown for confirmation');

SELECT pg_temp.lead('away@example.org') AS away \gset
SELECT mailer.ingest(pg_temp.answer(pg_temp.id_of(:away), 'away@example.org', 'I am away.', 'Auto-Submitted: auto-replied')) \g /dev/null
SELECT is(pg_temp.seen('away@example.org'), 'accepted; active; pending; waiting', 'after an automatic answer the sequence goes on');
SELECT cmp_ok(pg_temp.follow_up_due('away@example.org'), '>=', interval '7 days', 'after auto_reply_delay');

SELECT pg_temp.lead('gone@example.org') AS gone \gset
SELECT mailer.ingest(pg_temp.answer(pg_temp.id_of(:gone), 'gone@example.org', 'Ada no longer works here.', 'Auto-Submitted: auto-replied')) \g /dev/null
SELECT is(pg_temp.seen('gone@example.org'), 'accepted; left; cancelled stopped; left', 'who has left gets no more, and is not suppressed');

-- By the address of a mail whose token the request carries; without one it is a guess, which only stops.
SELECT pg_temp.lead('link@example.org') AS link \gset
SELECT mailer.ingest(convert_to(format(E'From: link@example.org\nTo: bounce+%s@example.com\nSubject: unsubscribe\nMessage-ID: <l1@x.example>\n\n', split_part(btrim(pg_temp.id_of(:link), '<>'), '@', 1)), 'UTF8'), 'one') \g /dev/null
SELECT is(pg_temp.seen('link@example.org'), 'unsubscribed; unsubscribed; cancelled unsubscribed; unsubscribed; campaigns unsubscribed', 'a mail to the address for unsubscribing does what the link does');

-- The copy in the folder of sent mail proves that an unconfirmed mail was taken; another's proves nothing.
SELECT pg_temp.sent_mail('{lost@example.org}', 'u') AS lost \gset
SELECT mailer._listen_sent(ARRAY['<1.0000000000000000@example.com>'], ARRAY['']) \g /dev/null
SELECT is((SELECT state FROM mailer.status(:lost)), 'unconfirmed', 'without its copy a mail stays unconfirmed');
SELECT mailer._listen_sent(ARRAY[pg_temp.id_of(:lost)], ARRAY['']) \g /dev/null
SELECT results_eq(format('SELECT state, reason, confirmed_by FROM mailer.status(%s)', :lost), $$VALUES ('sent', 'confirmed', 'sent_copy')$$, 'its copy confirms it');
SELECT is_empty($$SELECT invariant, violations, left(sample, 200) FROM mailer.verify() WHERE violations > 0$$, 'nothing disagrees afterwards');
SELECT * FROM finish();
ROLLBACK;
