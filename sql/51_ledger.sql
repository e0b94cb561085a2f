-- The ledger can end too: rows of mails that were settled long ago, deleted in batches (mailer.purge(…, ledger => true)).
--
-- Transactional mails go by age, when their content is cleared. A campaign's go with the campaign (mailer.campaign_delete): as long
-- as it is there, a lead that is added again must not get the same mail twice. A mail with an idempotency key stays for
-- mailer.key_retention, by default for ever, and so does its batch. The counts follow in the same transaction.

CREATE FUNCTION _purge_ledger(cutoff timestamptz, after_id bigint, max_rows integer, OUT last_id bigint, OUT deleted bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    keys_from timestamptz := CASE WHEN COALESCE(current_setting('mailer.key_retention', true), '') IN ('', '-1') THEN '-infinity'
        ELSE mailer._now() - current_setting('mailer.key_retention')::interval END;
    ids bigint[];
    keys text[];
BEGIN
    WITH looked_at AS MATERIALIZED (
        SELECT m.message_id, m.campaign_id, m.batch_id, m.purged_at, m.idempotency_key
        FROM mailer.message m WHERE m.message_id > after_id ORDER BY m.message_id LIMIT max_rows
    )
    SELECT max(l.message_id), array_agg(l.message_id) FILTER (
               WHERE l.campaign_id IS NULL AND l.purged_at IS NOT NULL AND o.settled_at < cutoff AND o.state <> 'u'
                 AND (l.idempotency_key IS NULL OR o.settled_at < keys_from)
                 AND NOT EXISTS (SELECT FROM mailer.message k WHERE k.batch_id = l.batch_id AND k.idempotency_key IS NOT NULL AND k.message_id <> l.message_id))
    INTO last_id, ids
    FROM looked_at l LEFT JOIN mailer.outcome o ON o.message_id = l.message_id;
    SELECT array_agg(DISTINCT m.address_key) INTO keys FROM mailer.message m WHERE m.message_id = ANY (ids);
    WITH gone AS (
        DELETE FROM mailer.message m WHERE m.message_id = ANY (ids) RETURNING m.message_id, m.batch_id
    ), outcomes AS (
        DELETE FROM mailer.outcome o WHERE o.message_id = ANY (ids) RETURNING o.message_id, o.state
    ), recipients AS (
        DELETE FROM mailer.recipient r WHERE r.message_id = ANY (ids)
    ), attempts AS (
        DELETE FROM mailer.attempt a WHERE a.message_id = ANY (ids)
    ), counted AS (
        INSERT INTO mailer.tally_delta (batch_id, sent, failed, cancelled)
        SELECT g.batch_id, -count(*) FILTER (WHERE o.state = 'S'), -count(*) FILTER (WHERE o.state = 'f'), -count(*) FILTER (WHERE o.state = 'c')
        FROM gone g JOIN outcomes o ON o.message_id = g.message_id GROUP BY g.batch_id
    )
    SELECT count(*) INTO deleted FROM gone;
    DELETE FROM mailer.notification_mail n WHERE n.message_id = ANY (ids);
    UPDATE mailer.notification_item i SET message_id = NULL WHERE i.message_id = ANY (ids);
    DELETE FROM mailer.address_bounce b
    WHERE b.address_key = ANY (keys)
      AND NOT EXISTS (SELECT FROM mailer.message m WHERE m.message_id IN (b.last_hard_message_id, b.last_soft_message_id));
END;
$$;
COMMENT ON FUNCTION _purge_ledger(timestamptz, bigint, integer) IS 'One batch of mailer.purge(ledger => true): deletes the rows of transactional mails settled before the cutoff; NULL last_id at the end';
