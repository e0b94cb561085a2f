-- Retention: what mails said goes, who got what stays.
--
-- purge() is a procedure that commits after every batch, so that it holds no lock and no snapshot for long. PostgreSQL lets
-- only procedures without SECURITY DEFINER and without SET commit, so the work is in functions that have both, and
-- everything in the procedure is written with its schema. What is not settled is never touched.
-- Kept permanently: the message's ids, addresses, keys and times, its outcome, each recipient's result, and day counters.

-- Messages settled before the cutoff, in the order of their ids from after_id on; gives the last id looked at, NULL at
-- the end. A batch keeps its attachments under one of its messages: they go when all of the batch is settled.
CREATE FUNCTION _purge_messages(cutoff timestamptz, after_id bigint, max_rows integer, OUT last_id bigint, OUT purged bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    WITH looked_at AS MATERIALIZED (
        SELECT m.message_id, m.created_at, m.batch_id, m.purged_at
        FROM mailer.message m WHERE m.message_id > after_id ORDER BY m.message_id LIMIT max_rows
    ), old AS MATERIALIZED (
        SELECT l.message_id, l.batch_id FROM looked_at l
        JOIN mailer.outcome o ON o.message_id = l.message_id AND o.settled_at < cutoff AND o.state <> 'u'
        WHERE l.purged_at IS NULL AND l.created_at < cutoff
    ), finished AS MATERIALIZED (
        SELECT o.message_id FROM old o
        WHERE o.batch_id IS NULL OR NOT EXISTS (
            SELECT FROM mailer.message s LEFT JOIN mailer.outcome t ON t.message_id = s.message_id
            WHERE s.batch_id = o.batch_id AND (t.message_id IS NULL OR t.settled_at >= cutoff OR t.state = 'u'))
    ), no_attachments AS (
        DELETE FROM mailer.message_attachment a USING finished f WHERE a.message_id = f.message_id
    ), no_attempts AS (
        DELETE FROM mailer.attempt a USING finished f WHERE a.message_id = f.message_id
    ), no_replies AS (
        DELETE FROM mailer.reply r USING finished f WHERE r.message_id = f.message_id
    ), no_captures AS (
        DELETE FROM mailer.captured_mail c USING finished f WHERE c.message_id = f.message_id
    ), cleared AS (
        UPDATE mailer.message m
        SET subject = NULL, body_text = NULL, body_html = NULL, variables = NULL, headers = NULL, attachments_of = NULL,
            loaded_variables = NULL,
            purged_at = mailer._now()
        FROM finished f WHERE m.message_id = f.message_id
        RETURNING 1
    )
    SELECT (SELECT max(l.message_id) FROM looked_at l), (SELECT count(*) FROM cleared) INTO last_id, purged;
END;
$$;
COMMENT ON FUNCTION _purge_messages(timestamptz, bigint, integer) IS 'One batch of mailer.purge(): clears content of messages settled before the cutoff; NULL last_id at the end';

CREATE FUNCTION _purge_events(cutoff timestamptz, max_rows integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    -- Events are in the order of their ids, nearly: the oldest ones are looked at, and the first young one ends it.
    DELETE FROM mailer.event e
    USING (SELECT f.event_id, f.at FROM mailer.event f ORDER BY f.event_id LIMIT max_rows) o
    WHERE e.event_id = o.event_id AND o.at < cutoff;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END;
$$;
COMMENT ON FUNCTION _purge_events(timestamptz, integer) IS 'One batch of mailer.purge(): deletes the oldest events, if they are older than the cutoff';

CREATE FUNCTION _purge_cutoff(older_than interval, force boolean) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF older_than IS NULL THEN
        PERFORM mailer._refuse('older_than must not be NULL', 'For example CALL mailer.purge(''90 days'').');
    END IF;
    PERFORM mailer._check_span('older_than', older_than);
    -- A bare number is seconds: '30' clears all that was settled until half a minute ago.
    IF older_than < interval '1 day' AND NOT COALESCE(force, false) THEN
        PERFORM mailer._refuse(format('older_than is %s, less than a day', older_than), 'Give a unit: ''30 days''. Or pass force => true.');
    END IF;
    RETURN mailer._now() - older_than;
END;
$$;
COMMENT ON FUNCTION _purge_cutoff(interval, boolean) IS 'What was settled before this time is old enough for a purge; error 22023 for an interval that can''t be meant';

CREATE FUNCTION _purge_done(older_than interval, messages bigint, notifications bigint, events bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    DELETE FROM mailer.template_history h WHERE h.replaced_at < mailer._now() - older_than;
    SELECT mailer._log_event('purged', jsonb_build_object('older_than', older_than, 'messages', messages, 'notifications', notifications,
        'events', events))
$$;
COMMENT ON FUNCTION _purge_done(interval, bigint, bigint, bigint) IS 'Writes down what a purge did';

CREATE PROCEDURE purge(older_than interval, force boolean DEFAULT false, ledger boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    cutoff timestamptz;
    batch_size CONSTANT integer := 1000;
    message_id bigint := 0::bigint;
    item_id bigint;
    in_batch bigint;
    messages bigint := 0::bigint;
    notifications bigint := 0::bigint;
    events bigint := 0::bigint;
    rows_gone bigint := 0::bigint;
BEGIN
    cutoff := mailer._purge_cutoff(older_than, force);
    LOOP
        SELECT p.last_id, p.purged INTO message_id, in_batch FROM mailer._purge_messages(cutoff, message_id, batch_size) p;
        COMMIT;
        EXIT WHEN message_id IS NULL;
        messages := messages OPERATOR(pg_catalog.+) in_batch;
    END LOOP;
    IF ledger THEN
        message_id := 0::bigint;
        LOOP
            SELECT p.last_id, p.deleted INTO message_id, in_batch FROM mailer._purge_ledger(cutoff, message_id, batch_size) p;
            COMMIT;
            EXIT WHEN message_id IS NULL;
            rows_gone := rows_gone OPERATOR(pg_catalog.+) in_batch;
        END LOOP;
    END IF;
    item_id := 0::bigint;
    LOOP
        SELECT p.last_id, p.purged INTO item_id, in_batch FROM mailer._purge_notifications(cutoff, item_id, batch_size) p;
        COMMIT;
        EXIT WHEN item_id IS NULL;
        notifications := notifications OPERATOR(pg_catalog.+) in_batch;
    END LOOP;
    LOOP
        in_batch := mailer._purge_events(cutoff, batch_size);
        COMMIT;
        EXIT WHEN in_batch OPERATOR(pg_catalog.=) 0;
        events := events OPERATOR(pg_catalog.+) in_batch;
    END LOOP;
    PERFORM mailer._purge_done(older_than, messages, notifications, events);
    COMMIT;
    RAISE NOTICE 'purged the content of % messages, % notifications and % events', messages, notifications, events;
    IF ledger THEN
        RAISE NOTICE 'deleted the ledger of % messages', rows_gone;
    END IF;
END;
$$;
COMMENT ON PROCEDURE purge(interval, boolean, boolean) IS
'Deletes the content, attachments, attempts, captured copies and kept replies of messages that were settled longer ago than this, as well as events
of that age, and notifications that were read and mailed before.
The ledger stays: recipients, keys, outcome and result of each recipient. ledger => true deletes it too, for mails that belong to no
campaign (those go with mailer.campaign_delete()) and whose idempotency key is older than mailer.key_retention. Waiting and unconfirmed messages are never purged.
Commits as it goes, so call it outside a transaction block (error 2D000 otherwise); stopping it loses nothing.
Less than a day needs force => true. Errors: 22023 older_than is NULL, negative, or less than a day without force.';
