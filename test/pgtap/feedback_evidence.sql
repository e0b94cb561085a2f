-- The ranks of evidence: every cell of _evidence(), by what ingest does of a hard bounce or an answer with that evidence.
SET search_path = pg_catalog, public;
BEGIN;
SELECT no_plan();
\ir fixture.psql
\ir feedback.psql

-- What a hard bounce does: stops (a waiting mail of the same lead ends), marks, suppresses, resolves.
CREATE FUNCTION pg_temp.effects(of_evidence text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    lead_address text := of_evidence || '@lead.example';
    lead bigint := mailer.campaign_add((SELECT campaign_id FROM mailer.campaign WHERE name = 'spring'), lead_address);
    box bigint := (SELECT mailbox_id FROM mailer.mailbox WHERE name = 'one');
    waiting bigint;
    mail bytea;
    id text := pg_temp.id_of(lead);
    token text := split_part(btrim(id, '<>'), '@', 1);
BEGIN
    -- The lead's mail was sent and not confirmed; another of the same campaign and address waits, as a later step would.
    DELETE FROM mailer.queue_entry WHERE message_id = lead;
    INSERT INTO mailer.outcome (message_id, state, reason, settled_at, mailbox_id, try_count) VALUES (lead, 'u', 'reply_lost', now(), box, 1);
    waiting := pg_temp.another_of(lead);
    mail := CASE of_evidence
        WHEN 'envid' THEN pg_temp.bounce(NULL, lead_address, fields => 'Original-Envelope-Id: ' || token || E'\n')
        WHEN 'path' THEN convert_to('Delivered-To: bounce+' || token || E'@example.com\n', 'UTF8') || pg_temp.bounce(NULL, lead_address)
        WHEN 'part' THEN pg_temp.bounce(id, lead_address)
        WHEN 'header' THEN convert_to('In-Reply-To: ' || id || E'\n', 'UTF8') || pg_temp.bounce(NULL, lead_address)
        WHEN 'provider' THEN pg_temp.bounce('<0102018f-provider@email.example>', lead_address)
        WHEN 'text' THEN pg_temp.bounce(NULL, lead_address, in_text => E'\nMessage-ID: ' || id)
        WHEN 'text-other' THEN pg_temp.bounce(NULL, 'other@elsewhere.example', in_text => E'\nMessage-ID: ' || id)
        WHEN 'address' THEN pg_temp.bounce(NULL, lead_address)
        WHEN 'lead' THEN pg_temp.answer(NULL, lead_address, 'Hello')
        WHEN 'foreign' THEN pg_temp.bounce('<1.aaaaaaaaaaaaaaaa@elsewhere.example>', lead_address)
        WHEN 'foreign-text' THEN pg_temp.bounce(NULL, lead_address, in_text => E'\nMessage-ID: <1.aaaaaaaaaaaaaaaa@elsewhere.example>')
        WHEN 'forged' THEN pg_temp.bounce(NULL, lead_address, fields => 'Original-Envelope-Id: ' || lead || E'.00000000000000aa\n') END;
    IF of_evidence = 'provider' THEN
        INSERT INTO mailer.provider_message VALUES ('0102018f-provider', lead);
    END IF;
    PERFORM mailer.ingest(mail, 'one');
    RETURN concat_ws(' ',
        CASE WHEN EXISTS (SELECT FROM mailer.outcome WHERE message_id = waiting) THEN 'stops' END,
        CASE WHEN EXISTS (SELECT FROM mailer.message_feedback f WHERE f.message_id = lead AND COALESCE(f.bounced_at, f.replied_at) IS NOT NULL) THEN 'marks' END,
        CASE WHEN EXISTS (SELECT FROM mailer.feedback f WHERE f.message_id = lead AND f.is_guess) THEN 'guess' END,
        CASE WHEN EXISTS (SELECT FROM mailer.suppression s WHERE s.address_key = mailer._address_key(lead_address)) THEN 'suppresses' END,
        CASE WHEN EXISTS (SELECT FROM mailer.outcome WHERE message_id = lead AND state = 'S') THEN 'resolves' END);
END;
$$;
DROP INDEX mailer."a lead gets a campaign's mail once";
CREATE FUNCTION pg_temp.another_of(lead bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    id bigint := nextval('mailer.message_id_seq');
BEGIN
    INSERT INTO mailer.message (message_id, tenant_id, principal_id, lane_id, campaign_id, addresses, roles, address_key, header_to, internet_message_id, subject, body_text)
    SELECT id, 1, 1, m.lane_id, m.campaign_id, m.addresses, m.roles, m.address_key, m.header_to, '<' || id || '.00@example.com>', 'S', 'B'
    FROM mailer.message m WHERE m.message_id = lead;
    INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, epoch)
    SELECT id, m.lane_id, 2, now() + interval '1 day', a.epoch FROM mailer.message m, mailer.arming a WHERE m.message_id = lead;
    RETURN id;
END;
$$;

SELECT is(pg_temp.effects('envid'), 'stops marks suppresses resolves', 'the ENVID may do everything');
SELECT is(pg_temp.effects('path'), 'stops marks suppresses resolves', 'so may the token of the return path');
SELECT is(pg_temp.effects('part'), 'stops marks suppresses resolves', 'and our id in a part');
SELECT is(pg_temp.effects('header'), 'stops marks suppresses resolves', 'and in the report''s own header');
SELECT is(pg_temp.effects('provider'), 'stops marks suppresses resolves', 'and the id of the 250');
SELECT is(pg_temp.effects('text'), 'stops marks suppresses', 'our id in the text resolves nothing');
SELECT is(pg_temp.effects('text-other'), 'stops marks', 'and suppresses only where the recipient agrees');
SELECT is(pg_temp.effects('address'), 'stops guess', 'address, mailbox and time only stop');
SELECT is(pg_temp.effects('lead'), 'stops guess', 'a mail from a lead only stops');
SELECT is(pg_temp.effects('foreign'), '', 'a report that names another mail does nothing');
SELECT is(pg_temp.effects('foreign-text'), '', 'wherever it names it');
SELECT is(pg_temp.effects('forged'), '', 'a token that was not ours does nothing');
SELECT * FROM finish();
ROLLBACK;
