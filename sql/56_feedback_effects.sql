-- What feedback does: marks on messages, suppressed addresses, sequences that stop. Each function is one effect.

CREATE FUNCTION _tenant_of_message(message_id bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT COALESCE((SELECT m.tenant_id FROM mailer.message m WHERE m.message_id = _tenant_of_message.message_id), 1)
$$;
COMMENT ON FUNCTION _tenant_of_message(bigint) IS 'Whose mail it is, and whose suppressions follow from it; the operators'' where there is no such message';

CREATE FUNCTION _suppress_address(message_id bigint, address text, scope text, reason text, expires_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key text := mailer._address_key(_suppress_address.address);
BEGIN
    -- What a person said stays; what the engine said follows what it learns.
    INSERT INTO mailer.suppression AS s (address_key, scope, address, reason, expires_at, created_at, created_by, tenant_id)
    VALUES (key, _suppress_address.scope, _suppress_address.address, _suppress_address.reason, _suppress_address.expires_at,
        mailer._now(), 'mailer', mailer._tenant_of_message(_suppress_address.message_id))
    ON CONFLICT (address_key, scope, tenant_id) DO UPDATE SET expires_at = excluded.expires_at, reason = excluded.reason
    WHERE s.created_by = 'mailer' AND s.expires_at IS NOT NULL AND s.expires_at IS DISTINCT FROM excluded.expires_at;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM mailer._recheck();
    INSERT INTO mailer.event (at, kind, message_id, by_role, detail)
    VALUES (mailer._now(), 'address_suppressed', _suppress_address.message_id, 'mailer', jsonb_strip_nulls(jsonb_build_object(
        'address', _suppress_address.address, 'scope', _suppress_address.scope, 'reason', _suppress_address.reason,
        'expires_at', _suppress_address.expires_at)));
    RETURN true;
END;
$$;
COMMENT ON FUNCTION _suppress_address(bigint, text, text, text, timestamptz) IS
'Suppresses an address for what became of a message to it; false when it is suppressed for longer, or by a person';

CREATE FUNCTION _suppress_bounced(message_id bigint, address text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounces integer;
BEGIN
    INSERT INTO mailer.address_bounce AS a (address_key, tenant_id, hard_count, last_hard_message_id)
    VALUES (mailer._address_key(_suppress_bounced.address), mailer._tenant_of_message(_suppress_bounced.message_id), 1, _suppress_bounced.message_id)
    ON CONFLICT (address_key, tenant_id) DO UPDATE
    SET hard_count = a.hard_count + CASE WHEN a.last_hard_message_id = excluded.last_hard_message_id THEN 0 ELSE 1 END,
        last_hard_message_id = excluded.last_hard_message_id
    RETURNING a.hard_count INTO bounces;
    RETURN mailer._suppress_address(_suppress_bounced.message_id, _suppress_bounced.address, 'all', 'hard_bounce',
        CASE WHEN bounces = 1 THEN mailer._now() + interval '30 days' END);
END;
$$;
COMMENT ON FUNCTION _suppress_bounced(bigint, text) IS
'After a hard bounce, in a reply to RCPT or later: suppressed for 30 days, after the second without expiry. The same message counts once';

CREATE FUNCTION _count_soft_bounce(message_id bigint, address text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key text := mailer._address_key(_count_soft_bounce.address);
    tenant CONSTANT bigint := mailer._tenant_of_message(_count_soft_bounce.message_id);
    before mailer.address_bounce;
BEGIN
    SELECT a.* INTO before FROM mailer.address_bounce a WHERE a.address_key = key AND a.tenant_id = tenant FOR UPDATE;
    -- In a row: what was sent in between and came through begins a new row.
    IF before.soft_count > 0 AND EXISTS (
        SELECT FROM mailer.message m JOIN mailer.outcome o ON o.message_id = m.message_id
        WHERE m.address_key = key AND m.tenant_id = tenant AND m.message_id > before.last_soft_message_id AND m.message_id < _count_soft_bounce.message_id
          AND o.state = 'S'
          AND NOT EXISTS (SELECT FROM mailer.feedback f WHERE f.message_id = m.message_id AND f.kind = 'bounce'))
    THEN
        before.soft_count := 0;
    END IF;
    INSERT INTO mailer.address_bounce AS a (address_key, tenant_id, soft_count, soft_since, last_soft_message_id)
    VALUES (key, tenant, 1, mailer._now(), _count_soft_bounce.message_id)
    ON CONFLICT (address_key, tenant_id) DO UPDATE
    SET soft_count = COALESCE(before.soft_count, 0) + 1, last_soft_message_id = excluded.last_soft_message_id,
        soft_since = CASE WHEN COALESCE(before.soft_count, 0) = 0 THEN excluded.soft_since ELSE a.soft_since END;
    IF EXISTS (SELECT FROM mailer.address_bounce a WHERE a.address_key = key AND a.tenant_id = tenant AND a.soft_count >= 4
                 AND a.soft_since <= mailer._now() - interval '14 days')
    THEN
        PERFORM mailer._suppress_address(_count_soft_bounce.message_id, _count_soft_bounce.address, 'all', 'soft_bounce',
            mailer._now() + interval '30 days');
    END IF;
END;
$$;
COMMENT ON FUNCTION _count_soft_bounce(bigint, text) IS 'After a soft bounce: four in a row over at least 14 days suppress the address for 30 days';

CREATE FUNCTION _heard_from(address_key text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    UPDATE mailer.address_bounce a SET soft_count = 0, soft_since = NULL
    WHERE a.address_key = _heard_from.address_key AND a.soft_count > 0
$$;
COMMENT ON FUNCTION _heard_from(text) IS 'Somebody is there: a row of soft bounces ends';

-- A campaign's stop_on decides; whatever list it belongs to, the address's sequences in that list end with it.
CREATE FUNCTION _feedback_stops(f mailer.feedback, has_left boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    lead text := (SELECT m.addresses[1] FROM mailer.message m WHERE m.message_id = f.message_id AND m.campaign_id IS NOT NULL);
    how text := CASE f.kind WHEN 'bounce' THEN CASE WHEN f.is_hard THEN 'bounced' END WHEN 'complaint' THEN 'complained'
        WHEN 'reply' THEN 'replied' WHEN 'unsubscribe' THEN 'unsubscribed' WHEN 'auto_reply' THEN CASE WHEN has_left THEN 'left' END END;
BEGIN
    IF lead IS NULL THEN
        RETURN;
    ELSIF how IS NOT NULL THEN
        PERFORM mailer._stop_leads(lead, how, f.campaign_id, f.words);
    ELSIF f.kind = 'bounce' THEN
        PERFORM mailer._hold_leads(lead, f.campaign_id);
    ELSIF f.kind = 'auto_reply' THEN
        PERFORM mailer._delay_leads(lead, f.campaign_id);
    END IF;
END;
$$;
COMMENT ON FUNCTION _feedback_stops(feedback, boolean) IS 'What feedback does to the sequence of its lead: it ends, is held after a soft bounce, or waits after an automatic answer';

CREATE FUNCTION _unsubscribe_scope(message_id bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT CASE WHEN m.category IS NOT NULL THEN 'category:' || m.category WHEN c.list IS NOT NULL THEN 'list:' || c.list ELSE 'campaigns' END
    FROM mailer.message m LEFT JOIN mailer.campaign c ON c.campaign_id = m.campaign_id WHERE m.message_id = _unsubscribe_scope.message_id
$$;
COMMENT ON FUNCTION _unsubscribe_scope(bigint) IS 'What a message''s link unsubscribes from';

CREATE FUNCTION _mark_message(f mailer.feedback) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF NOT (f.kind = 'bounce' AND f.is_hard OR f.kind IN ('reply', 'complaint', 'unsubscribe')) THEN
        RETURN;
    END IF;
    INSERT INTO mailer.message_feedback AS x (message_id, campaign_id, batch_id, bounced_at, replied_at, complained_at, unsubscribed_at)
    SELECT m.message_id, m.campaign_id, m.batch_id, CASE WHEN f.kind = 'bounce' THEN f.at END, CASE WHEN f.kind = 'reply' THEN f.at END,
           CASE WHEN f.kind = 'complaint' THEN f.at END, CASE WHEN f.kind = 'unsubscribe' THEN f.at END
    FROM mailer.message m WHERE m.message_id = f.message_id
    ON CONFLICT (message_id) DO UPDATE
    SET bounced_at = COALESCE(x.bounced_at, excluded.bounced_at), replied_at = COALESCE(x.replied_at, excluded.replied_at),
        complained_at = COALESCE(x.complained_at, excluded.complained_at),
        unsubscribed_at = COALESCE(x.unsubscribed_at, excluded.unsubscribed_at);
END;
$$;
COMMENT ON FUNCTION _mark_message(feedback) IS 'Marks a message as bounced, replied, complained of or unsubscribed from; the first time counts';

-- Whatever comes back of an unconfirmed mail proves that it arrived, and of one that is held since a promotion that the old
-- primary had sent it. That nothing comes back proves nothing.
CREATE FUNCTION _confirm_message(message_id bigint, by_kind text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- FOR SHARE: nobody lets it go meanwhile.
    IF EXISTS (SELECT FROM mailer.promotion p WHERE p.is_held FOR SHARE)
       AND EXISTS (SELECT FROM mailer.queue_entry q, mailer.promotion p WHERE q.message_id = _confirm_message.message_id AND mailer._is_held(q, p))
    THEN
        PERFORM mailer._end_as_promoted(ARRAY[_confirm_message.message_id], NULL);
    END IF;
    IF NOT EXISTS (SELECT FROM mailer.outcome o WHERE o.message_id = _confirm_message.message_id AND o.state = 'u')
       OR cardinality(mailer._end(ARRAY[_confirm_message.message_id], 'confirmed')) = 0
    THEN
        RETURN false;
    END IF;
    INSERT INTO mailer.message_feedback (message_id, campaign_id, batch_id, confirmed_by)
    SELECT m.message_id, m.campaign_id, m.batch_id, _confirm_message.by_kind
    FROM mailer.message m WHERE m.message_id = _confirm_message.message_id
    ON CONFLICT (message_id) DO UPDATE SET confirmed_by = excluded.confirmed_by;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION _confirm_message(bigint, text) IS 'Ends a message that is unconfirmed, or held since a promotion, as sent (confirmed), for what proved it: a kind of feedback_log, or sent_copy';

CREATE FUNCTION _suppress_for(f mailer.feedback, recipient text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF f.kind = 'bounce' AND f.is_hard THEN
        PERFORM mailer._suppress_bounced(f.message_id, recipient);
    ELSIF f.kind = 'bounce' THEN
        PERFORM mailer._count_soft_bounce(f.message_id, recipient);
    ELSIF f.kind = 'complaint' THEN
        PERFORM mailer._suppress_address(f.message_id, recipient, 'bulk', 'complaint', NULL);
        PERFORM mailer._suppress_address(f.message_id, recipient, 'campaigns', 'complaint', NULL);
    ELSIF f.kind = 'unsubscribe' THEN
        PERFORM mailer._suppress_address(f.message_id, recipient,
            CASE WHEN f.is_guess THEN 'campaigns' ELSE mailer._unsubscribe_scope(f.message_id) END,
            CASE WHEN f.is_guess THEN 'opt_out' ELSE 'unsubscribed' END, NULL);
    ELSIF f.kind IN ('reply', 'auto_reply', 'delivered') THEN
        PERFORM mailer._heard_from(mailer._address_key(recipient));
        PERFORM mailer._release_bounced(recipient, mailer._tenant_of_message(f.message_id));
    END IF;
END;
$$;
COMMENT ON FUNCTION _suppress_for(feedback, text) IS 'What feedback does to the address that its message went to';

CREATE FUNCTION _log_feedback_event(f mailer.feedback) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    INSERT INTO mailer.event (event_id, at, kind, message_id, campaign_id, mailbox_id, by_role, detail)
    SELECT f.feedback_id, f.at, k.event, f.message_id, f.campaign_id, f.mailbox_id, 'mailer', jsonb_strip_nulls(jsonb_build_object(
        'address', f.address, 'is_hard', CASE WHEN f.kind = 'bounce' THEN f.is_hard END, 'code', f.code, 'enhanced_code', f.enhanced_code,
        'words', CASE WHEN f.kind = 'bounce' THEN f.words END, 'is_guess', f.is_guess, 'source', f.source))
    FROM (VALUES ('bounce', 'bounced'), ('reply', 'replied'), ('complaint', 'complained'), ('auto_reply', 'auto_replied'),
        ('unsubscribe', 'unsubscribed')) k(kind, event)
    WHERE k.kind = f.kind
$$;
COMMENT ON FUNCTION _log_feedback_event(feedback) IS 'The row of event_log under the same id; delays and successes have none';

REVOKE ALL ON FUNCTION _suppress_address(bigint, text, text, text, timestamptz), _suppress_bounced(bigint, text),
    _count_soft_bounce(bigint, text), _heard_from(text), _feedback_stops(feedback, boolean), _unsubscribe_scope(bigint),
    _mark_message(feedback), _confirm_message(bigint, text), _suppress_for(feedback, text), _log_feedback_event(feedback) FROM PUBLIC;
