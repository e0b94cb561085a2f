-- The ways in: a whole mail by mailer.ingest (a pipe, or the listener), and what webhooks say (58_webhook.sql).

CREATE FUNCTION _recipient_of(f mailer._feedback_item, message mailer.message) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT r.n::integer
    FROM unnest(message.addresses) WITH ORDINALITY r(address, n)
    WHERE mailer._address_key(r.address) IN (mailer._address_key(f.original_address), mailer._address_key(f.address))
       OR COALESCE(f.original_address, f.address) IS NULL AND cardinality(message.addresses) = 1
    ORDER BY mailer._address_key(r.address) = mailer._address_key(f.original_address) DESC NULLS LAST, r.n LIMIT 1
$$;
COMMENT ON FUNCTION _recipient_of(_feedback_item, message) IS 'Which recipient of the message it is about; NULL: none of them, as after forwarding';

CREATE FUNCTION _report_key(f mailer._feedback_item, kind text, recipient text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT kind || CASE WHEN kind = 'bounce' AND f.is_hard THEN ':hard:' ELSE ':' END
        || COALESCE(mailer._address_key(COALESCE(recipient, f.address)), f.address, '')
        -- An answer is a mail of its own; so is each of several delays.
        || CASE WHEN kind IN ('reply', 'auto_reply', 'delay') THEN ':' || COALESCE(f.report_id, '') ELSE '' END
$$;
COMMENT ON FUNCTION _report_key(_feedback_item, text, text) IS 'The same for the same report, whatever way it comes';

CREATE FUNCTION _count_unmatched(source text, kind text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    INSERT INTO mailer.unmatched_feedback AS u (source, kind, seen, last_at) VALUES (source, kind, 1, mailer._now())
    ON CONFLICT (source, kind) DO UPDATE SET seen = u.seen + 1, last_at = excluded.last_at
$$;
COMMENT ON FUNCTION _count_unmatched(text, text) IS 'Counts feedback that belongs to no message';

CREATE FUNCTION _take_feedback(f mailer._feedback_item, mailbox_id bigint, source text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    match record;
    may record;
    m mailer.message;
    entry mailer.feedback;
    recipient text;
    is_forwarded boolean;
BEGIN
    SELECT x.message_id, x.evidence INTO match FROM mailer._match(f, _take_feedback.mailbox_id) x;
    IF match.message_id IS NULL THEN
        IF f.kind IS NOT NULL THEN
            PERFORM mailer._count_unmatched(_take_feedback.source, f.kind);
        END IF;
        RETURN NULL;
    END IF;
    SELECT e.* INTO may FROM mailer._evidence() e WHERE e.evidence = match.evidence;
    SELECT x.* INTO m FROM mailer.message x WHERE x.message_id = match.message_id;
    entry.kind := COALESCE(f.kind, 'reply');
    IF entry.kind IN ('reply', 'auto_reply', 'unsubscribe') THEN
        entry.n := CASE WHEN cardinality(m.addresses) = 1 THEN 1 ELSE mailer._recipient_of(f, m) END;
        is_forwarded := false;
    ELSE
        entry.n := mailer._recipient_of(f, m);
        is_forwarded := entry.n IS NULL;
    END IF;
    recipient := m.addresses[entry.n];

    entry.feedback_id := nextval('mailer.event_id_seq');
    entry.at := mailer._now();
    entry.is_hard := entry.kind = 'bounce' AND COALESCE(f.is_hard, false);
    entry.message_id := m.message_id;
    entry.campaign_id := m.campaign_id;
    SELECT o.mailbox_id INTO entry.mailbox_id FROM mailer.outcome o WHERE o.message_id = m.message_id;
    entry.mailbox_id := COALESCE(entry.mailbox_id, _take_feedback.mailbox_id);
    entry.address := COALESCE(f.address, f.from_address, recipient);
    entry.address_key := COALESCE(mailer._address_key(recipient), mailer._address_key(entry.address));
    entry.code := f.code;
    entry.enhanced_code := f.enhanced_code;
    entry.words := f.words;
    entry.source := _take_feedback.source;
    entry.evidence := match.evidence;
    entry.is_guess := COALESCE(f.is_guess, false) OR NOT may.marks OR is_forwarded AND cardinality(m.addresses) > 1;
    entry.is_counted := COALESCE(f.is_counted, true);
    entry.report_key := mailer._report_key(f, entry.kind, recipient);
    IF entry.kind = 'bounce' AND NOT entry.is_hard AND EXISTS (
        SELECT FROM mailer.feedback b WHERE b.message_id = m.message_id AND b.kind = 'bounce' AND b.is_hard AND b.address_key = entry.address_key)
    THEN
        RETURN NULL;  -- the same failure, seen less exactly
    END IF;
    INSERT INTO mailer.feedback SELECT entry.* ON CONFLICT (message_id, report_key) DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF f.own_text IS NOT NULL AND entry.kind IN ('reply', 'unsubscribe') AND current_setting('mailer.keep_replies', true) = 'on' THEN
        INSERT INTO mailer.reply (feedback_id, message_id, campaign_id, body) VALUES (entry.feedback_id, entry.message_id, entry.campaign_id, f.own_text);
    END IF;

    -- An answer that only our return path ties to the mail names it as the recipient saw it.
    IF match.evidence = 'id' AND entry.kind IN ('reply', 'auto_reply') AND f.returned_id IS NULL
       AND NOT EXISTS (SELECT FROM unnest(f.thread_ids) t(id) WHERE mailer._find_message(t.id) IS NOT NULL)
    THEN
        PERFORM mailer._learn_message_id(m.message_id, f.thread_ids[1]);
    END IF;
    IF may.resolves THEN
        PERFORM mailer._confirm_message(m.message_id, entry.kind);
    END IF;
    IF may.marks AND NOT (is_forwarded AND cardinality(m.addresses) > 1) THEN
        PERFORM mailer._mark_message(entry);
    END IF;
    IF may.suppresses AND recipient IS NOT NULL AND NOT is_forwarded
       AND (match.evidence = 'id' OR mailer._address_key(recipient) = mailer._address_key(COALESCE(f.original_address, f.address, f.from_address)))
    THEN
        PERFORM mailer._suppress_for(entry, recipient);
    END IF;
    IF may.stops THEN
        PERFORM mailer._feedback_stops(entry, COALESCE(f.has_left, false));
    END IF;
    IF entry.is_counted AND NOT entry.is_guess AND (entry.is_hard OR entry.kind = 'complaint') THEN
        PERFORM mailer._shield_feedback('c', entry.campaign_id, entry.message_id, entry.kind),
                mailer._shield_feedback('m', entry.mailbox_id, entry.message_id, entry.kind);
    END IF;
    PERFORM mailer._log_feedback_event(entry);
    RETURN entry.feedback_id;
END;
$$;
COMMENT ON FUNCTION _take_feedback(_feedback_item, bigint, text) IS
'Matches one piece of feedback to its message, logs it and does what follows; NULL: it belongs to none, or is known already';

CREATE FUNCTION _ingest(raw bytea, mailbox_id bigint, source text) RETURNS SETOF mailer.feedback_log
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    f mailer._feedback_item;
    added bigint;
BEGIN
    FOR f IN SELECT i.* FROM mailer._feedback_of(raw) i LOOP
        added := mailer._take_feedback(f, mailbox_id, source);
        IF added IS NOT NULL THEN
            RETURN QUERY SELECT l.* FROM mailer.feedback_log l WHERE l.id = added;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _ingest(bytea, bigint, text) IS
'Takes in a received mail, in the caller''s transaction, and gives the rows of feedback_log that it added. source: imap, pipe, smtp or a provider.
mailbox_id: in whose inbox it was; NULL: not known, and then nothing is guessed';

CREATE FUNCTION ingest(raw bytea, mailbox text DEFAULT NULL) RETURNS SETOF mailer.feedback_log
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    id bigint;
BEGIN
    PERFORM mailer._need('raw', raw IS NULL);
    IF mailbox IS NOT NULL THEN
        SELECT b.mailbox_id INTO id FROM mailer.mailbox b WHERE b.name = mailbox;
        IF id IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('there is no mailbox "%s"', mailbox),
                HINT = 'View mailbox_status lists the mailboxes.';
        END IF;
    END IF;
    RETURN QUERY SELECT l.* FROM mailer._ingest(raw, id, 'pipe') l;
END;
$$;
COMMENT ON FUNCTION ingest(bytea, text) IS
'Processes a received mail, as a pipe of Postfix or Exim delivers it: a bounce, complaint, reply or automatic answer is matched to its message,
logged and acted on. Returns the rows of feedback_log that it added: none for other mail, for mail that belongs to no message, and for a repeat.
mailbox: the mailbox that received it; required to match a mail that names no message by address and time, as a guess.
Errors: 22004 raw is NULL, 42704 no such mailbox.';

REVOKE ALL ON FUNCTION _recipient_of(_feedback_item, message), _report_key(_feedback_item, text, text), _count_unmatched(text, text),
    _take_feedback(_feedback_item, bigint, text), _ingest(bytea, bigint, text) FROM PUBLIC;
