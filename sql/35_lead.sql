-- One lead of a campaign: its variables, holding it, stopping it and bringing it back; and what stops it from outside.
--
-- A lead's row is locked before its mail is touched, as the engine does when it queues the next step, so that a stop and a
-- step never miss each other: the one that comes second sees what the other did.

CREATE FUNCTION _lead_to_change(campaign_id bigint, address text) RETURNS mailer.lead
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found_row mailer.lead;
BEGIN
    PERFORM mailer._campaign_to_change(_lead_to_change.campaign_id, '{d,r,p,c}', 'changed');
    SELECT l.* INTO found_row FROM mailer.lead l
    WHERE l.campaign_id = _lead_to_change.campaign_id
      AND l.address_key = mailer._address_key(mailer._needed_address(_lead_to_change.address))
    FOR UPDATE;
    IF found_row.campaign_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('campaign %s has no lead "%s"', _lead_to_change.campaign_id, _lead_to_change.address),
            HINT = 'View mailer.lead_status lists the leads.';
    END IF;
    RETURN found_row;
END;
$$;
COMMENT ON FUNCTION _lead_to_change(bigint, text) IS 'A lead, locked; errors 42704 no such campaign or lead, 55000 the campaign is cancelled';

CREATE FUNCTION _lead_waiting(l mailer.lead) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT COALESCE(array_agg(m.message_id ORDER BY m.message_id), '{}')
    FROM mailer.message m JOIN mailer.queue_entry q ON q.message_id = m.message_id
    WHERE m.campaign_id = l.campaign_id AND m.address_key = l.address_key
$$;
COMMENT ON FUNCTION _lead_waiting(lead) IS 'The messages of a lead that are pending or sending';

CREATE FUNCTION _log_lead(kind text, l mailer.lead, reason text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._log_event(kind, jsonb_build_object('address', l.address_key, 'reason', reason), campaign_id => l.campaign_id)
$$;
COMMENT ON FUNCTION _log_lead(text, lead, text) IS 'An event of a lead';

CREATE FUNCTION lead_update(campaign_id bigint, address text, variables jsonb DEFAULT NULL, label text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    l mailer.lead := mailer._lead_to_change(lead_update.campaign_id, lead_update.address);
BEGIN
    IF num_nonnulls(lead_update.variables, lead_update.label) = 0 THEN
        PERFORM mailer._refuse('nothing of the lead is to be changed', 'Pass variables, a label, or both.', sqlstate => '22004');
    END IF;
    IF jsonb_typeof(lead_update.variables) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'variables must be a JSON object',
            HINT = 'Write ''{"name": "Ada"}''.';
    END IF;
    PERFORM mailer._check_text('label', lead_update.label, 500);
    UPDATE mailer.lead x
    SET variables = COALESCE(lead_update.variables, x.variables),
        label = CASE WHEN lead_update.label IS NULL THEN x.label ELSE NULLIF(lead_update.label, '') END
    WHERE x.campaign_id = l.campaign_id AND x.address_key = l.address_key;
    IF lead_update.variables IS NOT NULL THEN
        UPDATE mailer.message m SET variables = lead_update.variables
        FROM mailer.queue_entry q
        WHERE m.message_id = ANY (mailer._lead_waiting(l)) AND q.message_id = m.message_id AND q.state = 'p';
    END IF;
    PERFORM mailer._log_lead('lead_updated', l, NULLIF(lead_update.label, ''));
END;
$$;
COMMENT ON FUNCTION lead_update(bigint, text, jsonb, text) IS
'Changes a lead''s own values; a parameter that is left out keeps its value. variables: replaces them, for all of its mails that are not sent
yet. label: a text for people, shown in lead_status and not used otherwise ("interested", "call in May"); an empty one removes it.
Errors: 42704 no such campaign or lead, 55000 the campaign is cancelled, 22023 variables is not an object or the label is longer than 500 octets,
22004 neither is given.';

CREATE FUNCTION lead_hold(campaign_id bigint, address text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    l mailer.lead := mailer._lead_to_change(lead_hold.campaign_id, lead_hold.address);
    due timestamptz;
BEGIN
    IF l.ended IS NOT NULL OR l.held_at IS NOT NULL THEN
        RAISE NOTICE 'the lead is % already', CASE WHEN l.ended IS NULL THEN 'held' ELSE l.ended END;
        RETURN;
    END IF;
    SELECT min(q.due_at) INTO due FROM mailer.queue_entry q WHERE q.message_id = ANY (mailer._lead_waiting(l)) AND q.state = 'p';
    UPDATE mailer.lead x SET held_at = mailer._now(), held_due_at = due WHERE x.campaign_id = l.campaign_id AND x.address_key = l.address_key;
    UPDATE mailer.queue_entry q SET due_at = timestamptz '9000-01-01 00:00+00'
    WHERE q.message_id = ANY (mailer._lead_waiting(l)) AND q.state = 'p';
    PERFORM mailer._stop_dots(mailer._lead_waiting(l));
    PERFORM mailer._log_lead('lead_held', l);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION lead_hold(bigint, text) IS
'Holds a lead: it gets no mail until mailer.lead_release(). Raises a notice if it is already held or has ended.
Errors: 42704 no such campaign or lead, 55000 the campaign is cancelled.';

CREATE FUNCTION lead_release(campaign_id bigint, address text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    l mailer.lead := mailer._lead_to_change(lead_release.campaign_id, lead_release.address);
BEGIN
    IF l.held_at IS NULL THEN
        RAISE NOTICE 'the lead is not held';
        RETURN;
    END IF;
    PERFORM mailer._release_lead(l);
    PERFORM mailer._log_lead('lead_released', l);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION lead_release(bigint, text) IS
'Releases a held lead: its mail is due when it was before, at the earliest now. Raises a notice if it isn''t held.
Errors: 42704 no such campaign or lead, 55000 the campaign is cancelled.';

CREATE FUNCTION _release_lead(l mailer.lead) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    entry record;
BEGIN
    UPDATE mailer.lead x SET held_at = NULL, held_due_at = NULL WHERE x.campaign_id = l.campaign_id AND x.address_key = l.address_key;
    FOR entry IN
        UPDATE mailer.queue_entry q SET due_at = GREATEST(mailer._now(), l.held_due_at)
        WHERE q.message_id = ANY (mailer._lead_waiting(l)) AND q.state = 'p'
        RETURNING q.lane_id, q.due_at
    LOOP
        PERFORM mailer._wake(entry.lane_id, entry.due_at);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _release_lead(lead) IS 'Takes the hold off a lead and its mail';

-- ── Stopping ───────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION _end_lead(l mailer.lead, how text, reason text DEFAULT NULL, by_role text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE mailer.lead x SET ended = how, ended_at = mailer._now(), ended_reason = reason, held_at = NULL, held_due_at = NULL
    WHERE x.campaign_id = l.campaign_id AND x.address_key = l.address_key AND (x.ended IS NULL OR x.ended = 'finished' AND how <> 'stopped');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM mailer._end(mailer._lead_waiting(l), CASE how WHEN 'left' THEN 'stopped' ELSE how END, reason, by_role);
    -- What the engine holds of it comes back, up to its dot.
    PERFORM mailer._stop_dots(mailer._lead_waiting(l)), mailer._changed();
    RETURN true;
END;
$$;
COMMENT ON FUNCTION _end_lead(lead, text, text, text) IS
'Ends the sequence of a lead that is locked: what waits is cancelled for this cause. False when it has ended before';

CREATE FUNCTION lead_stop(campaign_id bigint, address text, reason text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    l mailer.lead := mailer._lead_to_change(lead_stop.campaign_id, lead_stop.address);
BEGIN
    IF mailer._end_lead(l, 'stopped', lead_stop.reason, mailer._caller_name()) THEN
        PERFORM mailer._log_lead('lead_stopped', l, lead_stop.reason);
    ELSE
        RAISE NOTICE 'the lead''s sequence has ended already: %', l.ended;
    END IF;
END;
$$;
COMMENT ON FUNCTION lead_stop(bigint, text, text) IS
'Ends the sequence of a lead: its waiting mail is cancelled (stopped). mailer.lead_restore() resumes it. Raises a notice if it has already ended.
Errors: 42704 no such campaign or lead, 55000 the campaign is cancelled.';

CREATE FUNCTION lead_restore(campaign_id bigint, address text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    l mailer.lead := mailer._lead_to_change(lead_restore.campaign_id, lead_restore.address);
    last_id bigint;
    last_state "char";
BEGIN
    SELECT m.message_id, o.state INTO last_id, last_state
    FROM mailer.message m LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
    WHERE m.campaign_id = l.campaign_id AND m.address_key = l.address_key ORDER BY m.message_id DESC LIMIT 1;
    UPDATE mailer.lead x SET ended = NULL, ended_at = NULL, ended_reason = NULL
    WHERE x.campaign_id = l.campaign_id AND x.address_key = l.address_key;
    IF l.held_at IS NOT NULL THEN
        PERFORM mailer._release_lead(l);
    END IF;
    IF last_state IN ('f', 'c') THEN
        PERFORM mailer._put_back(ARRAY[last_id], mailer._message_state(last_state), 'a lead was restored');
    ELSIF last_state = 'S' THEN
        PERFORM mailer._queue_next_steps(ARRAY[last_id]);
        IF cardinality(mailer._lead_waiting(l)) > 0 THEN
            PERFORM mailer._campaign_reopen(l.campaign_id, 'a lead was restored');
        END IF;
    ELSIF last_state = 'u' THEN
        RAISE NOTICE 'message % is unconfirmed: mailer.resolve() decides whether it was sent', last_id;
    END IF;
    PERFORM mailer._log_lead('lead_restored', l);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION lead_restore(bigint, text) IS
'Resumes a lead''s sequence after a stop or a failure that was repaired: a mail that failed or was cancelled is queued again, and the
suppression that its own refusal had caused is lifted; if the last mail was sent, the next step follows. Other suppressions stay in force.
Errors: 42704 no such campaign or lead, 55000 the campaign is cancelled.';

-- ── Stops from outside: replies, bounces, complaints, unsubscriptions ────────────────────────────────────────────────

CREATE FUNCTION _stop_leads(address text, how text, only_campaign bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    key text := mailer._address_key(_stop_leads.address);
    event_word text := CASE how WHEN 'replied' THEN 'reply' WHEN 'bounced' THEN 'bounce' WHEN 'complained' THEN 'complaint'
        WHEN 'unsubscribed' THEN 'unsubscribe' END;
    of_list text := (SELECT c.list FROM mailer.campaign c WHERE c.campaign_id = only_campaign);
    l mailer.lead;
    stopped bigint := 0;
BEGIN
    FOR l IN
        SELECT x.* FROM mailer.lead x JOIN mailer.campaign c ON c.campaign_id = x.campaign_id
        WHERE x.address_key = key AND c.state <> 'x' AND (event_word IS NULL OR event_word = ANY (c.stop_on))
          AND (only_campaign IS NULL OR x.campaign_id = only_campaign OR of_list IS NULL OR c.list = of_list)
        ORDER BY x.campaign_id FOR UPDATE OF x
    LOOP
        IF mailer._end_lead(l, how, reason) THEN
            stopped := stopped + 1;
        END IF;
    END LOOP;
    RETURN stopped;
END;
$$;
COMMENT ON FUNCTION _stop_leads(text, text, bigint, text) IS
'Ends the sequences of an address for what came back from it (how: replied, bounced, complained, unsubscribed, left), where the campaign''s
stop_on says so: in all campaigns, or, coming from one that has a list, in those of that list. Gives how many ended';

CREATE FUNCTION _delay_leads(address text, only_campaign bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    l record;
BEGIN
    FOR l IN
        SELECT x.campaign_id, x.address_key, mailer._now() + c.auto_reply_delay AS until, mailer._lead_waiting(x) AS waiting
        FROM mailer.lead x JOIN mailer.campaign c ON c.campaign_id = x.campaign_id
        WHERE x.address_key = mailer._address_key(_delay_leads.address) AND x.ended IS NULL AND c.auto_reply_delay > interval '0'
          AND c.state <> 'x' AND (only_campaign IS NULL OR x.campaign_id = only_campaign)
        ORDER BY x.campaign_id FOR UPDATE OF x
    LOOP
        UPDATE mailer.lead x SET not_before = GREATEST(x.not_before, l.until)
        WHERE x.campaign_id = l.campaign_id AND x.address_key = l.address_key;
        UPDATE mailer.queue_entry q SET due_at = GREATEST(q.due_at, l.until)
        FROM mailer.message m
        WHERE q.message_id = ANY (l.waiting) AND q.state = 'p' AND m.message_id = q.message_id AND m.step_id <> 0;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _delay_leads(text, bigint) IS 'After an automatic answer: the follow-ups of an address wait for its campaigns'' auto_reply_delay';

CREATE FUNCTION _hold_leads(address text, only_campaign bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    l mailer.lead;
BEGIN
    FOR l IN
        SELECT x.* FROM mailer.lead x JOIN mailer.campaign c ON c.campaign_id = x.campaign_id
        WHERE x.address_key = mailer._address_key(_hold_leads.address) AND x.ended IS NULL AND x.held_at IS NULL AND c.state <> 'x'
          AND (only_campaign IS NULL OR x.campaign_id = only_campaign)
        ORDER BY x.campaign_id FOR UPDATE OF x
    LOOP
        UPDATE mailer.lead x SET held_at = mailer._now(), held_due_at = (SELECT min(q.due_at) FROM mailer.queue_entry q
                WHERE q.message_id = ANY (mailer._lead_waiting(l)) AND q.state = 'p')
        WHERE x.campaign_id = l.campaign_id AND x.address_key = l.address_key;
        UPDATE mailer.queue_entry q SET due_at = timestamptz '9000-01-01 00:00+00'
        WHERE q.message_id = ANY (mailer._lead_waiting(l)) AND q.state = 'p';
        PERFORM mailer._stop_dots(mailer._lead_waiting(l)), mailer._changed();
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _hold_leads(text, bigint) IS 'After a soft bounce: the leads of an address are held until lead_release(), or a success to that address';

-- A person's hold stays: what a soft bounce holds was held in the transaction that stored the bounce.
CREATE FUNCTION _release_bounced(address text, tenant_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    l mailer.lead;
BEGIN
    FOR l IN
        SELECT x.* FROM mailer.lead x JOIN mailer.campaign c ON c.campaign_id = x.campaign_id
        WHERE x.address_key = mailer._address_key(_release_bounced.address) AND x.held_at IS NOT NULL AND x.ended IS NULL AND c.state <> 'x'
          AND EXISTS (SELECT FROM mailer.feedback f JOIN mailer.message m ON m.message_id = f.message_id AND m.tenant_id = _release_bounced.tenant_id
                      WHERE f.address_key = x.address_key AND f.kind = 'bounce' AND NOT f.is_hard AND f.at = x.held_at)
        ORDER BY x.campaign_id FOR UPDATE OF x
    LOOP
        PERFORM mailer._release_lead(l), mailer._log_lead('lead_released', l, 'mail to the address came through'), mailer._changed();
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _release_bounced(text, bigint) IS 'After a success to an address: leads that a soft bounce of a tenant''s mail holds are released';
