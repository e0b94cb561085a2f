-- What a promoted server holds, and how a person lets it go or settles it. When it holds, and what: 15_promise_tables.sql.

CREATE FUNCTION _is_held(q queue_entry, p promotion) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT q.state = 'p' AND q.epoch = ANY (p.held_epochs) AND q.due_at <= p.promoted_at $$;
COMMENT ON FUNCTION _is_held(queue_entry, promotion) IS 'Whether this message is held since the promotion: it was due then, and may have been sent by the old primary';

-- A function of its own, so that the count is planned only where something is held: as a part of a query its cost alone
-- made PostgreSQL compile that one (jit) for a tenth of a second.
CREATE FUNCTION _count_held() RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    RETURN (SELECT count(*) FROM mailer.promotion p JOIN mailer.queue_entry q ON mailer._is_held(q, p));
END;
$$;
COMMENT ON FUNCTION _count_held() IS 'How many messages are held since the promotion';

CREATE FUNCTION promotion_state(OUT is_held boolean, OUT held bigint, OUT promoted_at timestamptz, OUT promised_until timestamptz,
    OUT names text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT h.held > 0,
           h.held,
           p.promoted_at,
           CASE WHEN h.held > 0 THEN p.promised_until ELSE COALESCE(n.until, p.promised_until) END,
           CASE WHEN h.held > 0 THEN p.names ELSE COALESCE(n.names, p.names, '{}') END
    FROM (SELECT max(r.until) AS until, array_agg(r.name ORDER BY r.name) AS names FROM mailer.promise r) n
    LEFT JOIN mailer.promotion p ON true
    CROSS JOIN LATERAL (SELECT CASE WHEN p.is_held THEN mailer._count_held() ELSE 0 END AS held OFFSET 0) h
$$;
COMMENT ON FUNCTION promotion_state() IS
'Whether this server holds mail since it was promoted, how many messages, and since when. While it holds mail: until when its primary had promised
to wait for this server (NULL: it had not), and for which standbys it did. Otherwise: the standbys that the sender now promises to wait for,
and until when. On a standby: what the primary has promised so far.';

-- What is held is unconfirmed, when somebody or something says that it was sent.
CREATE FUNCTION _end_as_promoted(message_ids bigint[], by_role text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    UPDATE mailer.recipient r SET state = 'u' WHERE r.message_id = ANY (_end_as_promoted.message_ids) AND r.state = 'p';
    PERFORM mailer._end(_end_as_promoted.message_ids, 'promoted', NULL, _end_as_promoted.by_role);
END;
$$;
COMMENT ON FUNCTION _end_as_promoted(bigint[], text) IS 'Ends messages that are held since a promotion as unconfirmed';

-- Some thousand at a time: a message's end is a row here and there in many tables.
CREATE FUNCTION resolve_held(outcome text) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    held CONSTANT bigint := (SELECT s.held FROM mailer.promotion_state() s);
    ids bigint[];
BEGIN
    IF resolve_held.outcome IS NULL OR resolve_held.outcome NOT IN ('sent', 'resend') THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('invalid outcome: "%s"', resolve_held.outcome),
            HINT = 'Outcomes are sent (the old primary has sent all of it) and resend (it has sent none of it: let it go).';
    END IF;
    IF NOT EXISTS (SELECT FROM mailer.promotion p WHERE p.is_held FOR UPDATE) THEN
        RETURN 0;
    END IF;
    IF resolve_held.outcome = 'sent' THEN
        SELECT COALESCE(array_agg(q.message_id), '{}') INTO ids
        FROM mailer.queue_entry q, mailer.promotion p
        WHERE mailer._is_held(q, p);
        -- They went out under the old primary, as far as anybody knows, and a person says that they have arrived.
        PERFORM mailer._end_as_promoted(ids, mailer._caller_name());
        PERFORM mailer._end(ids, 'resolved', 'held since a promotion, and resolved as sent', mailer._caller_name());
    END IF;
    UPDATE mailer.arming a SET adopted = ARRAY(SELECT DISTINCT e FROM unnest(a.adopted || p.held_epochs) e ORDER BY e)
    FROM mailer.promotion p;
    UPDATE mailer.promotion SET is_held = false, held_epochs = '{}';
    PERFORM mailer._log_event('held_resolved', jsonb_build_object('outcome', resolve_held.outcome, 'messages', held));
    PERFORM mailer._changed();
    PERFORM mailer._wake(1, mailer._now());
    RETURN held;
END;
$$;
COMMENT ON FUNCTION resolve_held(text) IS
'Settles all mail that this server holds since it was promoted, and returns how many messages: sent, the old primary has sent it; resend, it has
not, and all of it is sent now. For single messages call cancel(message_id) first. Returns 0 if nothing is held. Error 22023 for another outcome.';

CREATE FUNCTION _clock_trouble() RETURNS text[] LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_unpromised_standbys';
COMMENT ON FUNCTION _clock_trouble() IS 'Connected standbys that get no promise, and why: their clock, or several of one name';

CREATE FUNCTION _is_clone_noticed() RETURNS boolean LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_is_clone_noticed';
COMMENT ON FUNCTION _is_clone_noticed() IS 'Whether a copy of this server''s volume can be distinguished from it: it has a serial number, or mailer.identity is set';

CREATE FUNCTION _standby_gate(OUT is_set boolean, OUT is_open boolean, OUT words text, OUT opens_at timestamptz) LANGUAGE c STRICT
    AS 'MODULE_PATHNAME', 'mailer_standby_gate';
COMMENT ON FUNCTION _standby_gate() IS 'The gate standbys as explain() shows it';

CREATE FUNCTION _lease_gate(OUT is_set boolean, OUT is_open boolean, OUT words text) LANGUAGE c STRICT
    AS 'MODULE_PATHNAME', 'mailer_lease_gate';
COMMENT ON FUNCTION _lease_gate() IS 'The gate lease as explain() shows it';

REVOKE ALL ON FUNCTION _is_held(queue_entry, promotion), _count_held(), _end_as_promoted(bigint[], text), promotion_state(), resolve_held(text), _clock_trouble(), _is_clone_noticed(), _standby_gate(), _lease_gate() FROM PUBLIC;

CREATE FUNCTION _health_failover() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT 'critical', 'promotion',
        format('%s mails that were due when this server was promoted are held: the old primary may have sent them', s.held), s.promoted_at,
        'SELECT mailer.resolve_held(''sent'') if it has; mailer.resolve_held(''resend'') or mailer.arm() if it has not. New mail goes.'
    FROM mailer.promotion_state() s WHERE s.is_held;

    RETURN QUERY SELECT CASE WHEN EXISTS (SELECT FROM mailer.queue_entry) THEN 'critical' ELSE 'info' END, 'standbys',
        'mail is ' || g.words, NULL::timestamptz,
        'Start the standby again, or wait until the promise runs out (mailer.promise_time). mailer.promise_to names those that matter.'
    FROM mailer._standby_gate() g WHERE g.is_set AND NOT g.is_open;

    RETURN QUERY SELECT 'critical', 'lease', g.words, NULL::timestamptz, 'This server may not be the one that sends; see mailer.sender_lease.'
    FROM mailer._lease_gate() g WHERE g.is_set AND NOT g.is_open;

    RETURN QUERY SELECT 'warning', 'standbys', 'nothing is promised to standby ' || t.words, NULL::timestamptz,
        'Promoted, it would hold what is due. Set its clock, or give it a replication slot or an application_name of its own.'
    FROM unnest(mailer._clock_trouble()) t(words);

    IF NOT mailer._is_clone_noticed() THEN
        RETURN QUERY SELECT 'info', 'clone', 'the volume has no serial number, so a copy of it can''t be noticed', NULL::timestamptz,
            'Set mailer.identity to something that differs for each server, such as the name of the pod or machine.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _health_failover() IS 'Alerts of mailer.health() about promotion, standbys, lease and clones';
