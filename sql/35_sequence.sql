-- Steps and variants of a campaign: what its leads get after the first mail, and which of several texts.
--
-- A step's number is its place. What is altered applies to what isn't sent yet; a step that goes takes along what waits of
-- it, and the leads go on with the next one.

CREATE FUNCTION _queue_next_steps(message_ids bigint[]) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'mailer_queue_next_steps';
COMMENT ON FUNCTION _queue_next_steps(bigint[]) IS 'Queues the step behind each of these sent messages for leads whose sequence goes on, or finishes the sequence';

CREATE FUNCTION _step_delay(delay interval) RETURNS interval
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    seconds numeric := extract(epoch FROM delay);
BEGIN
    IF delay IS NULL OR seconds <= 0 OR seconds > 3660 * 86400 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a step''s delay is more than nothing and at most 3660 days';
    END IF;
    IF seconds < 86400 THEN
        RETURN make_interval(secs => seconds);
    END IF;
    IF seconds % 86400 <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('a step''s delay of %s is neither whole days nor less than a day', delay),
            HINT = 'Whole days are due when the window opens on that day; less than a day counts from the slot of the step before.';
    END IF;
    RETURN make_interval(days => (seconds / 86400)::integer);
END;
$$;
COMMENT ON FUNCTION _step_delay(interval) IS 'A step''s delay as whole days or as less than a day; error 22023 for anything else';

CREATE FUNCTION _step_id(campaign_id bigint, step integer) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found_id bigint;
BEGIN
    IF _step_id.step = 1 THEN
        RETURN 0;
    END IF;
    SELECT s.step_id INTO found_id FROM mailer.campaign_step s
    WHERE s.campaign_id = _step_id.campaign_id AND s.place = _step_id.step;
    IF found_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('campaign %s has no step %s', _step_id.campaign_id, COALESCE(_step_id.step::text, 'NULL')),
            HINT = 'View mailer.campaign_step_status lists the steps.';
    END IF;
    RETURN found_id;
END;
$$;
COMMENT ON FUNCTION _step_id(bigint, integer) IS 'Id of the step in this place, 0 for the first; error 42704 when there is none';

CREATE FUNCTION _check_step_template(template text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM mailer.template t WHERE t.name = _check_step_template.template) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('template "%s" does not exist', COALESCE(template, 'NULL')),
            HINT = 'Store it with mailer.template_set() first.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_step_template(text) IS 'Error 42704 unless there is such a template';

CREATE FUNCTION campaign_step_set(campaign_id bigint, step integer, template text, delay interval, subject text DEFAULT NULL,
    working_days boolean DEFAULT false, for_finished boolean DEFAULT false) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c mailer.campaign := mailer._campaign_to_change(campaign_step_set.campaign_id, '{d,r,p,c}', 'altered');
    last_place integer := (SELECT COALESCE(max(s.place), 1) FROM mailer.campaign_step s WHERE s.campaign_id = c.campaign_id);
    set_id bigint;
    finished text[];
BEGIN
    IF campaign_step_set.step IS NULL OR campaign_step_set.step < 2 OR campaign_step_set.step > LEAST(last_place + 1, 100) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('step %s can''t be set', COALESCE(campaign_step_set.step::text, 'NULL')),
            DETAIL = format('The campaign has %s, and at most 100 are possible.',
                CASE last_place WHEN 1 THEN '1 step' ELSE last_place || ' steps' END),
            HINT = CASE WHEN campaign_step_set.step = 1 THEN 'Step 1 is the campaign''s template: mailer.campaign_alter().'
                ELSE format('The next new step is %s.', last_place + 1) END;
    END IF;
    PERFORM mailer._check_step_template(campaign_step_set.template);
    IF octet_length(campaign_step_set.subject) > 65536 OR campaign_step_set.subject ~ '[\r\n]' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a subject is one line of at most 64 kB';
    END IF;
    IF campaign_step_set.subject IS NOT NULL THEN
        PERFORM mailer._check_template(campaign_step_set.subject);
    END IF;
    INSERT INTO mailer.campaign_step AS s (campaign_id, place, template, subject, delay, is_working_days, created_at)
    VALUES (c.campaign_id, campaign_step_set.step, campaign_step_set.template, NULLIF(campaign_step_set.subject, ''),
        mailer._step_delay(campaign_step_set.delay), COALESCE(campaign_step_set.working_days, false), mailer._now())
    ON CONFLICT (campaign_id, place) DO UPDATE
    SET template = excluded.template, subject = excluded.subject, delay = excluded.delay,
        is_working_days = excluded.is_working_days
    RETURNING s.step_id INTO set_id;
    IF c.state <> 'd' THEN
        PERFORM mailer._check_replies_heard(c.campaign_id);
    END IF;
    -- What waits of it gets the new text, but what a variant gave it stays.
    UPDATE mailer.message m SET template = campaign_step_set.template, subject = NULLIF(campaign_step_set.subject, '')
    FROM mailer.queue_entry q
    WHERE m.campaign_id = c.campaign_id AND m.step_id = set_id AND m.variant IS NULL
      AND q.message_id = m.message_id AND q.state = 'p';
    IF campaign_step_set.for_finished THEN
        WITH again AS (
            UPDATE mailer.lead l SET ended = NULL, ended_at = NULL, ended_reason = NULL
            WHERE l.campaign_id = c.campaign_id AND l.ended = 'finished' RETURNING l.address_key
        )
        SELECT array_agg(a.address_key) INTO finished FROM again a;
        PERFORM mailer._queue_next_steps(ARRAY(
            SELECT max(m.message_id) FROM mailer.message m JOIN mailer.outcome o ON o.message_id = m.message_id AND o.state = 'S'
            WHERE m.campaign_id = c.campaign_id AND m.address_key = ANY (finished) GROUP BY m.address_key));
        IF EXISTS (SELECT FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id WHERE l.campaign_id = c.campaign_id) THEN
            PERFORM mailer._campaign_reopen(c.campaign_id, 'a step was added');
        END IF;
    END IF;
    PERFORM mailer._log_event('campaign_altered', jsonb_build_object('step', campaign_step_set.step,
        'template', campaign_step_set.template, 'delay', campaign_step_set.delay), campaign_id => c.campaign_id);
    PERFORM mailer._changed();
    RETURN set_id;
END;
$$;
COMMENT ON FUNCTION campaign_step_set(bigint, integer, text, interval, text, boolean, boolean) IS
'Sets what the leads of a campaign get at this step, and returns the step''s id. It replaces the whole step, also for its waiting mails.
step: its place, 2 or more (step 1 is the campaign''s own template); a new one follows the last. delay: after the previous step: whole days
are due when the window opens on that day, less than a day counts from that step''s slot. subject: in place of the template''s, with
variables as there; a step without any
subject replies in the thread of the lead''s first mail. working_days: whole days count only days on which the window may start.
for_finished: leads whose sequence is finished get it too, from the mailbox of the first mail, unless the lead has replied or ended before.
Errors: 42704 no such campaign or template, 55000 it is cancelled, or has started and no listener reads the replies to its mailboxes,
22023 an invalid step or delay, 42601 the subject doesn''t parse.';

CREATE FUNCTION campaign_step_delete(campaign_id bigint, step integer) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c mailer.campaign := mailer._campaign_to_change(campaign_step_delete.campaign_id, '{d,r,p,c}', 'altered');
    gone_id bigint;
    cancelled bigint[];
BEGIN
    IF campaign_step_delete.step = 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the first step can''t be deleted',
            HINT = 'It is the campaign''s template: mailer.campaign_alter() changes it.';
    END IF;
    gone_id := mailer._step_id(c.campaign_id, campaign_step_delete.step);
    cancelled := mailer._end(ARRAY(
            SELECT q.message_id FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id AND q.state = 'p'
            JOIN mailer.message m ON m.message_id = q.message_id
            WHERE l.campaign_id = c.campaign_id AND m.step_id = gone_id ORDER BY q.message_id),
        'stopped', 'its step was deleted', mailer._caller_name());
    DELETE FROM mailer.campaign_variant v WHERE v.campaign_id = c.campaign_id AND v.step_id = gone_id;
    DELETE FROM mailer.campaign_step s WHERE s.step_id = gone_id;
    UPDATE mailer.campaign_step s SET place = -s.place + 1 WHERE s.campaign_id = c.campaign_id AND s.place > campaign_step_delete.step;
    UPDATE mailer.campaign_step s SET place = -s.place WHERE s.campaign_id = c.campaign_id AND s.place < 0;
    PERFORM mailer._queue_next_steps(ARRAY(
        SELECT max(m.message_id) FROM mailer.message w
        JOIN mailer.message m ON m.campaign_id = w.campaign_id AND m.address_key = w.address_key
        JOIN mailer.outcome o ON o.message_id = m.message_id AND o.state = 'S'
        WHERE w.message_id = ANY (cancelled) GROUP BY w.address_key));
    PERFORM mailer._log_event('campaign_altered', jsonb_build_object('step_deleted', campaign_step_delete.step),
        campaign_id => c.campaign_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION campaign_step_delete(bigint, integer) IS
'Deletes a later step: its waiting mails are cancelled (stopped), its leads continue with the next one, and the following steps move up by one.
Errors: 42704 no such campaign or step, 55000 it is cancelled, 22023 it is the first step.';

CREATE FUNCTION campaign_variant_set(campaign_id bigint, step integer, variant text, template text, weight integer DEFAULT 1) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c mailer.campaign := mailer._campaign_to_change(campaign_variant_set.campaign_id, '{d,r,p,c}', 'altered');
    of_step bigint := mailer._step_id(c.campaign_id, campaign_variant_set.step);
BEGIN
    PERFORM mailer._check_step_template(campaign_variant_set.template);
    IF COALESCE(campaign_variant_set.weight NOT BETWEEN 0 AND 1000000, true) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'weight is 0 to 1000000',
            HINT = 'Leads are shared out in proportion to the weights; 0 takes no new ones.';
    END IF;
    IF COALESCE(length(campaign_variant_set.variant) NOT BETWEEN 1 AND 100, true) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a variant''s name is 1 to 100 characters';
    END IF;
    INSERT INTO mailer.campaign_variant (campaign_id, step_id, variant, template, weight)
    VALUES (c.campaign_id, of_step, campaign_variant_set.variant, campaign_variant_set.template, campaign_variant_set.weight)
    ON CONFLICT (campaign_id, step_id, variant) DO UPDATE SET template = excluded.template, weight = excluded.weight;
    -- What waits and has none yet draws again; what has one keeps it, with its new text.
    UPDATE mailer.message m SET template = campaign_variant_set.template
    FROM mailer.queue_entry q
    WHERE m.campaign_id = c.campaign_id AND m.step_id = of_step AND m.variant = campaign_variant_set.variant
      AND q.message_id = m.message_id AND q.state = 'p';
    PERFORM mailer._draw_variants(c.campaign_id, of_step);
    PERFORM mailer._log_event('campaign_altered', jsonb_build_object('step', campaign_variant_set.step,
        'variant', campaign_variant_set.variant, 'template', campaign_variant_set.template,
        'weight', campaign_variant_set.weight), campaign_id => c.campaign_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION campaign_variant_set(bigint, integer, text, text, integer) IS
'Sets a variant of a step: the leads that have not got the step are distributed among its variants by weight; a lead always gets the same one.
A step with variants sends nothing else; a variant of weight 0 gets no new leads. Results: view campaign_step_status.
Errors: 42704 no such campaign, step or template, 55000 it is cancelled, 22023 a bad weight or name.';

-- A lead whose variant was drawn while it waited may draw again when the weights change: nobody has seen it yet.
CREATE FUNCTION _draw_variants(campaign_id bigint, step_id bigint, from_id bigint DEFAULT 0) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    WITH drawn AS (
        SELECT m.message_id, v.variant, v.template
        FROM mailer.message m JOIN mailer.queue_entry q ON q.message_id = m.message_id AND q.state = 'p' AND q.try_count = 0
        JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
        CROSS JOIN LATERAL mailer._draw_variant(m.campaign_id, m.step_id, m.address_key, NULL) v
        WHERE m.campaign_id = _draw_variants.campaign_id AND m.step_id = _draw_variants.step_id
          AND m.message_id >= _draw_variants.from_id
          AND v.variant IS NOT NULL AND m.variant IS DISTINCT FROM v.variant
    ), written AS (
        UPDATE mailer.message m SET variant = d.variant, template = d.template
        FROM drawn d WHERE m.message_id = d.message_id RETURNING m.campaign_id, m.address_key, m.step_id, m.variant
    )
    UPDATE mailer.lead l SET variant = w.variant FROM written w
    WHERE w.step_id = 0 AND l.campaign_id = w.campaign_id AND l.address_key = w.address_key
$$;
COMMENT ON FUNCTION _draw_variants(bigint, bigint, bigint) IS 'Draws the variants of what waits of a step and was never tried, from a message id on';

-- ── Ends of campaigns ──────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION _end_campaigns(at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    c record;
    cancelled bigint[];
BEGIN
    FOR c IN
        SELECT x.campaign_id FROM mailer.campaign x
        WHERE x.state IN ('r', 'p') AND x.ends_at <= _end_campaigns.at
          AND EXISTS (SELECT FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id AND q.state = 'p'
                      WHERE l.campaign_id = x.campaign_id)
        ORDER BY x.campaign_id
    LOOP
        cancelled := mailer._end(ARRAY(
                SELECT q.message_id FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id AND q.state = 'p'
                WHERE l.campaign_id = c.campaign_id ORDER BY q.message_id),
            'campaign_ended');
        UPDATE mailer.lead l SET ended = 'campaign_ended', ended_at = _end_campaigns.at
        FROM mailer.message m
        WHERE m.message_id = ANY (cancelled) AND l.campaign_id = m.campaign_id AND l.address_key = m.address_key AND l.ended IS NULL;
        INSERT INTO mailer.event (at, kind, campaign_id, by_role, detail)
        VALUES (_end_campaigns.at, 'campaign_ended', c.campaign_id, 'mailer', jsonb_build_object('cancelled', cardinality(cancelled)));
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _end_campaigns(timestamptz) IS 'Cancels what waits in campaigns whose ends_at has come, for the engine';
