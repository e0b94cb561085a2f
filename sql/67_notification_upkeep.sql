-- What keeps notifications sound: invariants for verify(), and retention for purge().

CREATE FUNCTION _verify_notifications(since timestamptz) RETURNS TABLE (invariant text, violations bigint, sample text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    first_notification bigint := mailer._first_id('mailer.notification', 'notification_id', since);
    first_item bigint := mailer._first_id('mailer.notification_item', 'item_id', since);
    first_message bigint := mailer._first_id('mailer.message', 'message_id', since);
BEGIN
    RETURN QUERY SELECT 'a row of an inbox has something to tell', count(*), mailer._sample(array_agg(n.notification_id::text ORDER BY n.notification_id))
    FROM mailer.notification n
    WHERE n.notification_id >= first_notification AND n.created_at >= since AND NOT EXISTS (SELECT FROM mailer.notification_item i WHERE i.notification_id = n.notification_id);

    RETURN QUERY SELECT 'a row of an inbox tells its own user', count(*), mailer._sample(array_agg(i.item_id::text ORDER BY i.item_id))
    FROM mailer.notification_item i JOIN mailer.notification n ON n.notification_id = i.notification_id
    WHERE i.item_id >= first_item AND i.created_at >= since AND (i.user_id <> n.user_id OR i.category <> n.category);

    RETURN QUERY SELECT 'a notification mail is a message', count(*), mailer._sample(array_agg(x.message_id::text ORDER BY x.message_id))
    FROM (
        SELECT n.message_id FROM mailer.notification_mail n WHERE n.message_id >= first_message AND n.created_at >= since
        UNION
        SELECT i.message_id FROM mailer.notification_item i WHERE i.item_id >= first_item AND i.created_at >= since AND i.message_id IS NOT NULL
    ) x WHERE NOT EXISTS (SELECT FROM mailer.message m WHERE m.message_id = x.message_id);

    -- Digests are left out: what a deadlock kept out of one goes with the next (C2 in src/core/notification.hpp).
    RETURN QUERY SELECT 'what waits for a mail has one that gathers', count(*), mailer._sample(array_agg(i.item_id::text ORDER BY i.item_id))
    FROM mailer.notification_item i
    WHERE i.item_id >= first_item AND i.created_at >= since AND i.mail_group <> 'digest' AND i.message_id IS NULL AND NOT EXISTS (
        SELECT FROM mailer.notification_mail n
        WHERE n.user_id = i.user_id AND n.category = i.category AND n.mail_group = i.mail_group AND n.is_open);
END;
$$;
COMMENT ON FUNCTION _verify_notifications(timestamptz) IS 'Invariants of mailer.verify(): that inboxes and mails have what they tell, and nothing waits for no mail';

-- Items in the order of their ids, from after_id on; gives the last id looked at, NULL at the end. What is unread stays, however
-- old; so does what still waits for its mail.
CREATE FUNCTION _purge_notifications(cutoff timestamptz, after_id bigint, max_rows integer, OUT last_id bigint, OUT purged bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    WITH looked_at AS MATERIALIZED (
        SELECT i.item_id, i.notification_id, i.message_id, i.mail_group
        FROM mailer.notification_item i WHERE i.item_id > after_id AND i.created_at < cutoff ORDER BY i.item_id LIMIT max_rows
    ), old AS MATERIALIZED (
        SELECT l.* FROM looked_at l LEFT JOIN mailer.notification n ON n.notification_id = l.notification_id
        WHERE (n.notification_id IS NULL OR n.read_at < cutoff AND NOT mailer._is_unread(n))
          AND (l.mail_group IS NULL OR l.message_id IS NOT NULL)
          AND NOT EXISTS (SELECT FROM mailer.queue_entry q WHERE q.message_id = l.message_id)
          AND NOT EXISTS (SELECT FROM mailer.outcome o WHERE o.message_id = l.message_id AND o.state = 'u')
    ), gone AS (
        DELETE FROM mailer.notification_item i USING old o WHERE i.item_id = o.item_id RETURNING 1
    ), no_rows AS (
        DELETE FROM mailer.notification n USING (SELECT DISTINCT o.notification_id FROM old o) o WHERE n.notification_id = o.notification_id
    ), no_mails AS (
        DELETE FROM mailer.notification_mail n USING (SELECT DISTINCT o.message_id FROM old o) o
        WHERE n.message_id = o.message_id AND NOT n.is_open
    )
    SELECT (SELECT max(l.item_id) FROM looked_at l), (SELECT count(*) FROM gone) INTO last_id, purged;
END;
$$;
COMMENT ON FUNCTION _purge_notifications(timestamptz, bigint, integer) IS 'One batch of mailer.purge(): deletes what was read and mailed before the cutoff; NULL last_id at the end';
