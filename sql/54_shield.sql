-- The shields: a campaign or mailbox whose mail is refused or bounces too much stops, until somebody resumes it.
--
-- Counted are mails settled since the last resume, the last 200 of them. A shield shuts at more than its share and at
-- least five hard bounces or permanent refusals, or six if they are among more than 40 mails (doc/decisions/032); when five different recipients in a row are refused with the same
-- code and nobody is accepted in between (then it is us, so none of them stays suppressed for it); and at the second
-- complaint among the last 1,000. The gates campaign_shield and mailbox_shield hold what waits.

CREATE FUNCTION _shield_verdict(s mailer.shield, share numeric) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN cardinality(s.row_messages) >= 5 THEN format('%s different recipients in a row were refused with %s', cardinality(s.row_messages), s.row_code)
        WHEN f.bad >= CASE WHEN cardinality(s.faults) <= 40 THEN 5 ELSE 6 END AND f.bad > share * cardinality(s.faults) THEN
            format('%s of the last %s mails were refused or bounced (%s %%)', f.bad, cardinality(s.faults), round(100.0 * f.bad / cardinality(s.faults), 1))
        WHEN c.complaints >= 2 THEN format('%s complaints among the last 1000 mails', c.complaints) END
    FROM (SELECT count(*) FILTER (WHERE x) AS bad FROM unnest(s.faults) x) f,
         (SELECT count(*) AS complaints FROM unnest(s.complaints_at) x WHERE x > s.counted - 1000) c
$$;
COMMENT ON FUNCTION _shield_verdict(shield, numeric) IS 'Why a shield has to shut; NULL: it hasn''t';

CREATE FUNCTION _shield_lift_row(row_messages bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    WITH refused AS (
        SELECT mailer._address_key(a.address) AS key, m.tenant_id, m.message_id
        FROM mailer.message m CROSS JOIN LATERAL unnest(m.addresses) a(address) WHERE m.message_id = ANY (row_messages)
    ), uncounted AS (
        UPDATE mailer.address_bounce b SET hard_count = b.hard_count - 1, last_hard_message_id = NULL
        FROM refused r WHERE b.address_key = r.key AND b.tenant_id = r.tenant_id AND b.last_hard_message_id = r.message_id
        RETURNING b.address_key, b.tenant_id, b.hard_count
    )
    DELETE FROM mailer.suppression s USING uncounted u
    WHERE s.address_key = u.address_key AND s.tenant_id = u.tenant_id AND s.scope = 'all' AND s.reason = 'hard_bounce' AND u.hard_count = 0
$$;
COMMENT ON FUNCTION _shield_lift_row(bigint[]) IS 'Lifts what the refusals of a row suppressed: the server refused us, not them';

CREATE FUNCTION _shield_judged(s mailer.shield, share numeric) RETURNS mailer.shield
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF cardinality(s.messages) > 200 THEN
        s.messages := s.messages[cardinality(s.messages) - 199:];
        s.faults := s.faults[cardinality(s.faults) - 199:];
    END IF;
    IF s.shut_at IS NULL THEN
        s.shut_reason := mailer._shield_verdict(s, share);
    END IF;
    IF s.shut_at IS NULL AND s.shut_reason IS NOT NULL THEN
        s.shut_at := mailer._now();
        IF cardinality(s.row_messages) >= 5 THEN
            PERFORM mailer._shield_lift_row(s.row_messages);
        END IF;
        INSERT INTO mailer.event (at, kind, campaign_id, mailbox_id, by_role, detail)
        VALUES (mailer._now(), 'shield_shut', CASE s.scope WHEN 'c' THEN s.id END, CASE s.scope WHEN 'm' THEN s.id END, 'mailer',
            jsonb_build_object('reason', s.shut_reason, 'share', share));
        PERFORM mailer._changed();
    END IF;
    RETURN s;
END;
$$;
COMMENT ON FUNCTION _shield_judged(shield, numeric) IS 'The shield over its last 200 mails, shut where it has to shut';

CREATE FUNCTION _shield_store(s mailer.shield) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    UPDATE mailer.shield x
    SET counted = s.counted, messages = s.messages, faults = s.faults, row_code = s.row_code, row_messages = s.row_messages,
        complaints_at = s.complaints_at, shut_at = s.shut_at, shut_reason = s.shut_reason
    WHERE x.scope = s.scope AND x.id = s.id
$$;
COMMENT ON FUNCTION _shield_store(shield) IS 'Stores what a shield remembers';

CREATE FUNCTION _shield_locked(scope "char", id bigint) RETURNS mailer.shield
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    s mailer.shield;
BEGIN
    INSERT INTO mailer.shield (scope, id, since) VALUES (_shield_locked.scope, _shield_locked.id, mailer._now()) ON CONFLICT DO NOTHING;
    SELECT x.* INTO s FROM mailer.shield x WHERE x.scope = _shield_locked.scope AND x.id = _shield_locked.id FOR UPDATE;
    RETURN s;
END;
$$;
COMMENT ON FUNCTION _shield_locked("char", bigint) IS 'What a shield remembers, locked; made where there is nothing yet';

-- Refused is a code; accepted is NULL.
CREATE FUNCTION _shield_settled(scope "char", id bigint, share numeric, message_ids bigint[], codes text[]) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    s mailer.shield := mailer._shield_locked(_shield_settled.scope, _shield_settled.id);
    was_shut CONSTANT boolean := s.shut_at IS NOT NULL;
BEGIN
    FOR i IN 1..cardinality(message_ids) LOOP
        s.counted := s.counted + 1;
        s.messages := s.messages || message_ids[i];
        s.faults := s.faults || (codes[i] IS NOT NULL);
        IF codes[i] IS NULL THEN
            s.row_code := NULL;
            s.row_messages := '{}';
        ELSIF codes[i] IS DISTINCT FROM s.row_code THEN
            s.row_code := codes[i];
            s.row_messages := ARRAY[message_ids[i]];
        ELSIF NOT EXISTS (SELECT FROM mailer.message a JOIN mailer.message b ON b.address_key = a.address_key
                          WHERE a.message_id = message_ids[i] AND b.message_id = ANY (s.row_messages))
        THEN
            s.row_messages := s.row_messages || message_ids[i];
        END IF;
        -- Mails that are settled together count one after the other: an acceptance doesn't hide what was refused before it.
        IF codes[i] IS NOT NULL OR i = cardinality(message_ids) THEN
            s := mailer._shield_judged(s, share);
        END IF;
    END LOOP;
    PERFORM mailer._shield_store(s);
    RETURN CASE WHEN NOT was_shut THEN s.shut_reason END;
END;
$$;
COMMENT ON FUNCTION _shield_settled("char", bigint, numeric, bigint[], text[]) IS
'Counts mails that were settled: codes has that of a permanent refusal, NULL for one that was accepted. Why the shield just shut, else NULL';

CREATE FUNCTION _shields_settled(message_ids bigint[], campaign_ids bigint[], mailbox_ids bigint[], codes text[])
    RETURNS TABLE (lane_id bigint, mailbox_id bigint, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    owner record;
BEGIN
    FOR owner IN
        SELECT 'c'::"char" AS scope, c.campaign_id AS id, c.shield, c.lane_id, NULL::bigint AS mailbox_id,
               array_agg(u.message_id ORDER BY u.place) AS ids, array_agg(u.code ORDER BY u.place) AS codes
        FROM unnest(message_ids, campaign_ids, codes) WITH ORDINALITY u(message_id, campaign_id, code, place)
        JOIN mailer.campaign c ON c.campaign_id = u.campaign_id AND c.shield IS NOT NULL GROUP BY c.campaign_id
        UNION ALL
        SELECT 'm', b.mailbox_id, b.shield, NULL, b.mailbox_id, array_agg(u.message_id ORDER BY u.place), array_agg(u.code ORDER BY u.place)
        FROM unnest(message_ids, mailbox_ids, codes) WITH ORDINALITY u(message_id, mailbox_id, code, place)
        JOIN mailer.mailbox b ON b.mailbox_id = u.mailbox_id AND b.shield IS NOT NULL GROUP BY b.mailbox_id
        ORDER BY 1, 2
    LOOP
        reason := mailer._shield_settled(owner.scope, owner.id, owner.shield, owner.ids, owner.codes);
        IF reason IS NOT NULL THEN
            lane_id := owner.lane_id;
            mailbox_id := owner.mailbox_id;
            RETURN NEXT;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _shields_settled(bigint[], bigint[], bigint[], text[]) IS 'The same for a batch of settled mails; which campaigns'' lanes and which mailboxes just shut';

CREATE FUNCTION _shield_feedback(scope "char", id bigint, message_id bigint, kind text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    share numeric := CASE scope WHEN 'c' THEN (SELECT c.shield FROM mailer.campaign c WHERE c.campaign_id = id)
        ELSE (SELECT b.shield FROM mailer.mailbox b WHERE b.mailbox_id = id) END;
    s mailer.shield;
    was_shut boolean;
BEGIN
    IF share IS NULL THEN
        RETURN NULL;
    END IF;
    s := mailer._shield_locked(scope, id);
    was_shut := s.shut_at IS NOT NULL;
    IF kind = 'complaint' THEN
        s.complaints_at := s.complaints_at[GREATEST(1, cardinality(s.complaints_at) - 99):] || s.counted;
    ELSIF array_position(s.messages, _shield_feedback.message_id) IS NOT NULL THEN
        s.faults[array_position(s.messages, _shield_feedback.message_id)] := true;
    END IF;
    s := mailer._shield_judged(s, share);
    PERFORM mailer._shield_store(s);
    RETURN CASE WHEN NOT was_shut THEN s.shut_reason END;
END;
$$;
COMMENT ON FUNCTION _shield_feedback("char", bigint, bigint, text) IS 'Counts a hard bounce or complaint of one of the mails. Why the shield just shut, else NULL';

CREATE FUNCTION _shield_open(scope "char", id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    was_shut boolean;
BEGIN
    SELECT s.shut_at IS NOT NULL INTO was_shut FROM mailer.shield s
    WHERE s.scope = _shield_open.scope AND s.id = _shield_open.id FOR UPDATE;
    DELETE FROM mailer.shield s WHERE s.scope = _shield_open.scope AND s.id = _shield_open.id;
    RETURN COALESCE(was_shut, false);
END;
$$;
COMMENT ON FUNCTION _shield_open("char", bigint) IS 'Somebody resumes: counts begin again; whether the shield was shut';

CREATE FUNCTION _health_shield() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT CASE WHEN s.shut_at IS NOT NULL THEN 'critical' ELSE 'warning' END,
           CASE s.scope WHEN 'c' THEN 'campaign ' || c.name ELSE 'mailbox ' || b.name END,
           CASE WHEN s.shut_at IS NOT NULL THEN 'its shield is shut: ' || s.shut_reason
                ELSE format('%s of its last %s mails were refused or bounced', f.bad, cardinality(s.faults)) END,
           COALESCE(s.shut_at, s.since),
           CASE WHEN s.shut_at IS NULL THEN format('Look at feedback_log and attempt_log; it stops at %s %%.', round(100 * COALESCE(c.shield, b.shield), 1))
                WHEN s.scope = 'c' THEN 'Look at attempt_log and feedback_log for the reason, mend it, then mailer.campaign_resume().'
                ELSE 'Look at attempt_log and feedback_log for the reason, mend it, then mailer.mailbox_resume().' END
    FROM mailer.shield s
    LEFT JOIN mailer.campaign c ON s.scope = 'c' AND c.campaign_id = s.id AND c.state IN ('r', 'p')
    LEFT JOIN mailer.mailbox b ON s.scope = 'm' AND b.mailbox_id = s.id
    CROSS JOIN LATERAL (SELECT count(*) AS bad FROM unnest(s.faults) x WHERE x) f
    WHERE (c.shield IS NOT NULL OR b.shield IS NOT NULL)
      AND (s.shut_at IS NOT NULL OR cardinality(s.faults) >= 50 AND f.bad > 0.02 * cardinality(s.faults))
$$;
COMMENT ON FUNCTION _health_shield() IS 'Shut shields, and what is on the way there: more than 2 % of at least 50 mails';

REVOKE ALL ON FUNCTION _shield_verdict(shield, numeric), _shield_lift_row(bigint[]), _shield_judged(shield, numeric), _shield_store(shield),
    _shield_locked("char", bigint), _shield_settled("char", bigint, numeric, bigint[], text[]),
    _shields_settled(bigint[], bigint[], bigint[], text[]), _shield_feedback("char", bigint, bigint, text), _shield_open("char", bigint),
    _health_shield() FROM PUBLIC;
