-- Deleting a mailbox, and what goes on from another one.
--
-- What was sent from it stays in the ledger with its id. Lanes stay too, because settled messages name theirs: one that nothing
-- waits in any more gets the campaign's mailboxes, so that what is put back later has somewhere to go from.

CREATE FUNCTION _move_campaigns(from_id bigint, to_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    old record;
    new_lane bigint;
    moved bigint;
BEGIN
    -- Leads first, as in every transaction that stops one or queues its next step.
    UPDATE mailer.lead l SET mailbox_id = to_id WHERE l.mailbox_id = from_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    FOR old IN SELECT l.* FROM mailer.lane l WHERE l.mailbox_id = from_id AND l.campaign_id IS NOT NULL ORDER BY l.lane_id LOOP
        new_lane := mailer._campaign_lane(old.campaign_id, to_id, old.timezone, old.is_follow_up);
        UPDATE mailer.queue_entry q SET lane_id = new_lane WHERE q.lane_id = old.lane_id;
        UPDATE mailer.message m SET lane_id = new_lane WHERE m.campaign_id = old.campaign_id AND m.lane_id = old.lane_id;
        DELETE FROM mailer.lane_state s WHERE s.lane_id = old.lane_id;
        DELETE FROM mailer.lane l WHERE l.lane_id = old.lane_id;
        PERFORM mailer._wake(new_lane, mailer._now());
    END LOOP;
    UPDATE mailer.lane l
    SET pool = CASE WHEN to_id = ANY (l.pool) THEN array_remove(l.pool, from_id) ELSE array_replace(l.pool, from_id, to_id) END
    WHERE l.campaign_id IS NOT NULL AND from_id = ANY (l.pool);
    RETURN moved;
END;
$$;
COMMENT ON FUNCTION _move_campaigns(bigint, bigint) IS
'Lets campaigns send from another mailbox what they would have sent from this one, follow-ups included; gives how many leads were moved';

-- A follow-up must not be sent to a person who has replied.
CREATE FUNCTION _check_move(from_id bigint, to_name text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    to_id CONSTANT bigint := mailer._mailbox_id(to_name);
    affected text;
BEGIN
    IF to_id = from_id THEN
        PERFORM mailer._refuse('a mailbox can''t be moved to itself', 'Name another mailbox in move_to.');
    END IF;
    IF (SELECT h.is_listened_to FROM mailer._heard(to_id) h) THEN
        RETURN;
    END IF;
    SELECT c.name INTO affected FROM mailer.campaign c
    WHERE c.state IN ('r', 'p') AND c.max_silence IS NOT NULL AND 'reply' = ANY (c.stop_on)
      AND EXISTS (SELECT FROM mailer.campaign_step s WHERE s.campaign_id = c.campaign_id)
      AND EXISTS (SELECT FROM mailer.lane l WHERE l.campaign_id = c.campaign_id AND from_id = ANY (l.pool))
    ORDER BY c.campaign_id LIMIT 1;
    IF affected IS NOT NULL THEN
        PERFORM mailer._refuse(format('campaign "%s" has follow-ups, but no listener reads the replies to "%s"', affected, to_name),
            'Set imap_host with mailer.mailbox_alter(), or move to a mailbox that has it.',
            'A follow-up must not be sent to a person who has replied.', '55000');
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_move(bigint, text) IS
'Errors 42704 no such mailbox, 22023 it is the same one, 55000 no listener reads the replies to it and a campaign with follow-ups needs them';

CREATE FUNCTION mailbox_delete(name text, move_to text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    box_id bigint := mailer._mailbox_id(mailbox_delete.name);
    moved bigint;
    t text;
BEGIN
    PERFORM FROM mailer.mailbox b WHERE b.mailbox_id = box_id FOR UPDATE;
    IF mailbox_delete.move_to IS NOT NULL THEN
        PERFORM mailer._check_move(box_id, mailbox_delete.move_to);
        moved := mailer._move_campaigns(box_id, mailer._mailbox_id(mailbox_delete.move_to));
    END IF;
    PERFORM mailer._in_use(format('mailbox "%s"', mailbox_delete.name), COALESCE(
        (SELECT 'message ' || q.message_id || ' is being sent from it' FROM mailer.queue_entry q WHERE q.state = 's' AND q.mailbox_id = box_id LIMIT 1),
        (SELECT 'campaign ' || string_agg(c.name, ', ') FROM (SELECT a.name FROM mailer.campaign a JOIN mailer.lane l ON l.lane_id = a.lane_id
            WHERE (a.state IN ('d', 'r', 'p') OR a.state = 'c' AND cardinality(l.pool) = 1) AND box_id = ANY (l.pool) LIMIT 5) c),
        (SELECT 'category ' || c.name FROM mailer.category c JOIN mailer.lane l ON l.lane_id = c.lane_id WHERE box_id = ANY (l.pool) LIMIT 1),
        (SELECT 'message ' || q.message_id || ' waits for it' FROM mailer.queue_entry q JOIN mailer.lane l ON l.lane_id = q.lane_id WHERE box_id = ANY (l.pool) LIMIT 1),
        (SELECT 'follow-ups of campaign ' || c.name || ' go from it' FROM mailer.lead l JOIN mailer.campaign c ON c.campaign_id = l.campaign_id
         WHERE l.mailbox_id = box_id AND l.ended IS NULL AND c.state IN ('d', 'r', 'p')
           AND EXISTS (SELECT FROM mailer.campaign_step s WHERE s.campaign_id = c.campaign_id) LIMIT 1),
        (SELECT 'it is the last default mailbox, and mail waits for one' FROM mailer.mailbox b WHERE b.mailbox_id = box_id AND b.is_default
            AND NOT EXISTS (SELECT FROM mailer.mailbox o WHERE o.is_default AND o.mailbox_id <> box_id)
            AND EXISTS (SELECT FROM mailer.queue_entry q JOIN mailer.lane l ON l.lane_id = q.lane_id WHERE l.pool IS NULL))),
        'Take it out of what uses it, or cancel that, first. Campaigns and their follow-ups go on from another mailbox with move_to.');
    UPDATE mailer.lead l SET mailbox_id = NULL WHERE l.mailbox_id = box_id;
    UPDATE mailer.lane l SET pool = array_remove(l.pool, box_id) WHERE box_id = ANY (l.pool) AND cardinality(l.pool) > 1 AND l.kind <> 's';
    UPDATE mailer.lane l SET pool = main.pool
    FROM mailer.campaign c JOIN mailer.lane main ON main.lane_id = c.lane_id
    WHERE box_id = ANY (l.pool) AND c.campaign_id = l.campaign_id AND l.lane_id <> c.lane_id;
    UPDATE mailer.lane l SET pool = NULL WHERE box_id = ANY (l.pool);
    PERFORM mailer._oauth_drop_own_app(box_id);
    -- Whatever is kept of a mailbox beside it; what was sent from it keeps its id.
    FOR t IN
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'r' AND a.attname = 'mailbox_id' AND NOT a.attisdropped
          AND c.relname NOT IN ('outcome', 'attempt', 'event', 'queue_entry', 'captured_mail', 'feedback', 'message', 'lead', 'lane')
        ORDER BY c.relname = 'mailbox'
    LOOP
        EXECUTE format('DELETE FROM mailer.%I WHERE mailbox_id = $1', t) USING box_id;
    END LOOP;
    PERFORM mailer._log_event('mailbox_deleted', jsonb_build_object('name', mailbox_delete.name, 'move_to', mailbox_delete.move_to,
        'leads', moved), mailbox_id => box_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION mailbox_delete(text, text) IS
'Deletes a mailbox with its password, tokens and counters. Mail sent from it stays in the ledger.
move_to: a mailbox that takes its place in campaigns: their first mails and the follow-ups of its leads go from there, in the same threads.
Errors: 42704 no such mailbox, 55006 a campaign, a category, waiting mail or follow-ups use it, 55000 no listener reads
the replies to move_to and a campaign needs them, 22023 move_to is the mailbox itself.';
