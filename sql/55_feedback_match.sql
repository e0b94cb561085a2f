-- To which message feedback belongs, and what each kind of evidence may do. C reads the mail (_feedback_of), SQL matches it.

CREATE TYPE _feedback_item AS (
    kind text, address text, original_address text, is_hard boolean, code integer, enhanced_code text, words text,
    is_guess boolean, has_left boolean, is_counted boolean, from_address text, report_id text, envelope_id text, addressed_to text[],
    returned_id text, thread_ids text[], text_ids text[], names_an_id boolean, own_text text);
COMMENT ON TYPE _feedback_item IS 'One row of read_feedback() with everything that can tie it to a message. kind NULL: a mail that is none of these, from somebody';
REVOKE ALL ON TYPE _feedback_item FROM PUBLIC;

CREATE FUNCTION _feedback_of(raw bytea) RETURNS SETOF mailer._feedback_item
LANGUAGE c IMMUTABLE STRICT ROWS 1 AS 'MODULE_PATHNAME', 'mailer_feedback_of';
COMMENT ON FUNCTION _feedback_of(bytea) IS 'What a received mail means, with its evidence';

-- The one table of what evidence may do. The ids of a mail are random, so anybody who names one has seen the mail; an
-- address and a time can be forged by anybody, and may do no more than stop a sequence.
CREATE FUNCTION _evidence() RETURNS TABLE (evidence text, stops boolean, marks boolean, suppresses boolean, resolves boolean)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    VALUES ('id',      true, true,  true,  true),   -- ENVID, return path, our or the provider's id in a part or header
           ('text',    true, true,  true,  false),  -- our id in the text; suppresses only where the recipient agrees
           ('address', true, false, false, false),  -- address, mailbox and seven days, and exactly one message
           ('lead',    true, false, false, false)   -- no thread, but from a lead
$$;
COMMENT ON FUNCTION _evidence() IS 'What evidence that ties feedback to a message may do: stop sequences, mark the message, suppress the address, resolve an unconfirmed mail';

CREATE FUNCTION _find_message(id text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    bare text := btrim(id, '<> ');
    found bigint;
BEGIN
    IF bare ~ '^[0-9]{1,18}\.' THEN
        SELECT m.message_id INTO found FROM mailer.message m
        WHERE m.message_id = split_part(bare, '.', 1)::bigint AND m.internet_message_id = '<' || bare || '>';
    END IF;
    IF found IS NULL AND bare <> '' THEN
        SELECT p.message_id INTO found FROM mailer.provider_message p WHERE p.provider_id IN (bare, split_part(bare, '@', 1)) LIMIT 1;
    END IF;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION _find_message(text) IS 'The message with this Message-ID, ours or the one its provider gave it; exactly';

CREATE FUNCTION _learn_message_id(message_id bigint, id text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    INSERT INTO mailer.provider_message (provider_id, message_id, learned_at)
    SELECT btrim(id, '<> '), _learn_message_id.message_id, mailer._now()
    WHERE _learn_message_id.message_id IS NOT NULL AND length(id) <= 200 AND btrim(id, '<> ') ~ '^[!-;=?-~]+@[!-;=?-~]+$'
    ON CONFLICT (provider_id) DO NOTHING
$$;
COMMENT ON FUNCTION _learn_message_id(bigint, text) IS 'Notes the Message-ID that a provider gave a mail in place of ours';

CREATE FUNCTION _find_token(token text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT m.message_id FROM mailer.message m
    WHERE m.message_id = (SELECT x[1]::bigint FROM regexp_match(token, '^([0-9]{1,18})\.[0-9a-f]{8,}$') x)
      AND starts_with(m.internet_message_id, '<' || token || '@')
$$;
COMMENT ON FUNCTION _find_token(text) IS 'The message whose ENVID or return path holds this token: its id and the random part of its Message-ID';

CREATE FUNCTION _match_id(f mailer._feedback_item) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    found bigint := mailer._find_token(f.envelope_id);
    id text;
BEGIN
    FOREACH id IN ARRAY f.addressed_to LOOP
        found := COALESCE(found, mailer._find_token((regexp_match(lower(id), '([0-9]{1,18}\.[0-9a-f]{8,})@'))[1]));
    END LOOP;
    FOREACH id IN ARRAY f.returned_id || f.thread_ids LOOP
        EXIT WHEN found IS NOT NULL;
        found := mailer._find_message(id);
    END LOOP;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION _match_id(_feedback_item) IS 'The message that an id in a part or header of the feedback names';

CREATE FUNCTION _match_text(f mailer._feedback_item) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._find_message(t.id) FROM unnest(f.text_ids) WITH ORDINALITY t(id, place)
    WHERE mailer._find_message(t.id) IS NOT NULL ORDER BY t.place LIMIT 1
$$;
COMMENT ON FUNCTION _match_text(_feedback_item) IS 'The message whose Message-ID stands in the text';

CREATE FUNCTION _match_address(f mailer._feedback_item, mailbox_id bigint) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT CASE count(*) WHEN 1 THEN min(c.message_id) END
    FROM (
        SELECT m.message_id
        FROM mailer.message m JOIN mailer.outcome o ON o.message_id = m.message_id
        WHERE m.address_key = mailer._address_key(COALESCE(f.original_address, f.address))
          AND o.mailbox_id = _match_address.mailbox_id AND o.state IN ('S', 'u')
          AND o.settled_at > mailer._now() - interval '7 days'
        LIMIT 2) c
$$;
COMMENT ON FUNCTION _match_address(_feedback_item, bigint) IS 'The only message of the last seven days from this mailbox to the address';

CREATE FUNCTION _match_lead(f mailer._feedback_item, mailbox_id bigint) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT m.message_id
    FROM mailer.message m JOIN mailer.outcome o ON o.message_id = m.message_id
    WHERE m.address_key = mailer._address_key(f.from_address) AND m.campaign_id IS NOT NULL
      AND o.mailbox_id = _match_lead.mailbox_id AND o.state IN ('S', 'u')
    ORDER BY m.message_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION _match_lead(_feedback_item, bigint) IS 'The last campaign mail from this mailbox to the author';

-- Guesses need a known mailbox, and are never made of a report that names another mail than ours.
CREATE FUNCTION _match(f mailer._feedback_item, mailbox_id bigint, OUT message_id bigint, OUT evidence text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    message_id := mailer._match_id(f);
    evidence := 'id';
    IF message_id IS NULL THEN
        message_id := mailer._match_text(f);
        evidence := 'text';
    END IF;
    IF message_id IS NOT NULL OR _match.mailbox_id IS NULL THEN
        RETURN;
    END IF;
    IF f.names_an_id THEN
        RETURN;
    END IF;
    IF f.kind IS NULL THEN
        message_id := mailer._match_lead(f, _match.mailbox_id);
        evidence := 'lead';
    ELSE
        message_id := mailer._match_address(f, _match.mailbox_id);
        evidence := 'address';
    END IF;
END;
$$;
COMMENT ON FUNCTION _match(_feedback_item, bigint) IS 'The message that feedback belongs to, and by what evidence; message_id NULL: none';

REVOKE ALL ON FUNCTION _feedback_of(bytea), _evidence(), _find_message(text), _learn_message_id(bigint, text), _find_token(text), _match_id(_feedback_item),
    _match_text(_feedback_item), _match_address(_feedback_item, bigint), _match_lead(_feedback_item, bigint), _match(_feedback_item, bigint)
    FROM PUBLIC;
