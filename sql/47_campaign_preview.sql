-- A campaign before it is sent: what a lead would get, shown or sent to somebody of your own.
--
-- Both take the template, variant and variables that the lead's mail takes, and the code that renders it. A lead's message of the
-- step is used where there is one; a step that isn't queued is shown on the last message that the lead has.

CREATE FUNCTION _preview_message(message_id bigint, template text, subject text, variables jsonb, is_later_step boolean,
    thread_subject text) RETURNS TABLE (subject text, body_text text, body_html text, missing text[])
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_preview_message';
COMMENT ON FUNCTION _preview_message(bigint, text, text, jsonb, boolean, text) IS
'What a message would say with this template, subject and variables, and which variables it lacks';

-- What a step sends to an address: of a lead its own variant, variables and message; of anybody else those of the first lead.
CREATE FUNCTION _step_for(campaign_id bigint, address_key text, step integer, OUT message_id bigint, OUT sent_place integer,
    OUT template text, OUT subject text, OUT variables jsonb, OUT mailbox_id bigint, OUT thread_subject text) RETURNS record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    of_step CONSTANT bigint := mailer._step_id(_step_for.campaign_id, _step_for.step);
    l mailer.lead;
    drawn record;
BEGIN
    SELECT x.* INTO l FROM mailer.lead x WHERE x.campaign_id = _step_for.campaign_id AND x.address_key = _step_for.address_key;
    SELECT m.message_id, COALESCE(l.variables, m.variables) INTO message_id, variables FROM mailer.message m
    WHERE m.campaign_id = l.campaign_id AND m.address_key = l.address_key
    ORDER BY m.step_id = of_step DESC, m.message_id DESC LIMIT 1;
    SELECT max(CASE WHEN m.step_id = 0 THEN 1 ELSE s.place END) INTO sent_place
    FROM mailer.message m JOIN mailer.outcome o ON o.message_id = m.message_id AND o.state = 'S'
    LEFT JOIN mailer.campaign_step s ON s.step_id = m.step_id
    WHERE m.campaign_id = l.campaign_id AND m.address_key = l.address_key;
    SELECT v.* INTO drawn FROM mailer._draw_variant(_step_for.campaign_id, of_step, _step_for.address_key, l.variant) v;
    SELECT COALESCE(drawn.template, s.template, c.template), s.subject, l.mailbox_id, l.subject
    INTO template, subject, mailbox_id, thread_subject
    FROM mailer.campaign c LEFT JOIN mailer.campaign_step s ON s.step_id = of_step
    WHERE c.campaign_id = _step_for.campaign_id;
END;
$$;
COMMENT ON FUNCTION _step_for(bigint, text, integer) IS
'What a step of a campaign sends to a lead, a message of the lead to show it on, the last place that was sent and the subject of its thread';

CREATE FUNCTION _preview_step(campaign_id bigint, address_key text, step integer)
    RETURNS TABLE (subject text, body_text text, body_html text, missing text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    s record := mailer._step_for(_preview_step.campaign_id, _preview_step.address_key, _preview_step.step);
    in_thread text;
BEGIN
    IF _preview_step.step > 1 THEN
        in_thread := CASE WHEN s.sent_place = _preview_step.step - 1 THEN s.thread_subject
            ELSE (SELECT p.subject FROM mailer._preview_step(_preview_step.campaign_id, _preview_step.address_key, _preview_step.step - 1) p) END;
    END IF;
    RETURN QUERY SELECT p.* FROM mailer._preview_message(s.message_id, s.template, s.subject, COALESCE(s.variables, '{}'),
        _preview_step.step > 1, in_thread) p;
END;
$$;
COMMENT ON FUNCTION _preview_step(bigint, text, integer) IS
'What a lead gets as a step; in the thread of the subject that went out last, or else of the one that the steps before would give';

CREATE FUNCTION _campaign_exists(campaign_id bigint) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM mailer.campaign c WHERE c.campaign_id = _campaign_exists.campaign_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('campaign %s does not exist', COALESCE(_campaign_exists.campaign_id::text, 'NULL')),
            HINT = 'SELECT campaign_id, name, state FROM mailer.campaign_progress lists them.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _campaign_exists(bigint) IS 'Error 42704 unless there is such a campaign';

CREATE FUNCTION campaign_preview(campaign_id bigint, address text, step integer DEFAULT 1)
    RETURNS TABLE (subject text, body_text text, body_html text, missing text[])
LANGUAGE mailer_plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key CONSTANT text := mailer._address_key(mailer._needed_address(campaign_preview.address));
BEGIN
    PERFORM mailer._campaign_exists(campaign_preview.campaign_id);
    IF NOT EXISTS (SELECT FROM mailer.lead l WHERE l.campaign_id = campaign_preview.campaign_id AND l.address_key = key) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('campaign %s has no lead "%s"', campaign_preview.campaign_id, campaign_preview.address),
            HINT = 'View mailer.lead_status lists the leads.';
    END IF;
    RETURN QUERY SELECT p.* FROM mailer._preview_step(campaign_preview.campaign_id, key, campaign_preview.step) p;
END;
$$;
COMMENT ON FUNCTION campaign_preview(bigint, text, integer) IS
'Renders what a lead would get at a step of a campaign, with its own variant and variables and the sender of its mailbox, and lists variables and included templates that are
missing; sends nothing and stores nothing. address: of the lead. step: its place, 1 for the first mail.
A step without a subject is shown with the subject of its thread. Until a mailbox is chosen, the sender is the first of the campaign''s mailboxes.
Errors: 42704 no such campaign, lead or step, 22004 address is NULL, 22023 not an address, 55000 the campaign has no mailbox.';

CREATE FUNCTION campaign_test(campaign_id bigint, address text, step integer DEFAULT 1) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key text := mailer._address_key(mailer._needed_address(campaign_test.address));
    c mailer.campaign;
    s record;
    pool text[];
    test_id bigint;
    test_subject text;
BEGIN
    PERFORM mailer._campaign_exists(campaign_test.campaign_id);
    SELECT x.* INTO c FROM mailer.campaign x WHERE x.campaign_id = campaign_test.campaign_id;
    -- Somebody who is no lead gets what the first lead gets.
    IF NOT EXISTS (SELECT FROM mailer.lead l WHERE l.campaign_id = c.campaign_id AND l.address_key = key) THEN
        key := COALESCE((SELECT m.address_key FROM mailer.message m LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
            WHERE m.campaign_id = c.campaign_id AND m.step_id = 0 AND o.reason IS DISTINCT FROM 'invalid_address'
            ORDER BY m.message_id LIMIT 1), key);
    END IF;
    s := mailer._step_for(c.campaign_id, key, campaign_test.step);
    IF campaign_test.step > 1 AND s.message_id IS NOT NULL THEN
        test_subject := (SELECT p.subject FROM mailer._preview_step(c.campaign_id, key, campaign_test.step) p);
    END IF;
    SELECT array_agg(b.name ORDER BY b.mailbox_id) INTO pool
    FROM mailer.lane l JOIN mailer.mailbox b ON b.mailbox_id = COALESCE(s.mailbox_id, b.mailbox_id) AND (s.mailbox_id IS NOT NULL OR b.mailbox_id = ANY (l.pool))
    WHERE l.lane_id = c.lane_id;
    test_id := mailer.enqueue(campaign_test.address, template => s.template, variables => COALESCE(s.variables, '{}'), mailboxes => pool,
        priority => 4);
    UPDATE mailer.message m
    SET options = jsonb_build_object('test_of', c.campaign_id), subject = COALESCE(test_subject, s.subject)
    WHERE m.message_id = test_id;
    PERFORM mailer._log_event('campaign_tested', jsonb_build_object('step', campaign_test.step), message_id => test_id,
        campaign_id => c.campaign_id);
    RETURN test_id;
END;
$$;
COMMENT ON FUNCTION campaign_test(bigint, text, integer) IS
'Sends a step of a campaign to an address of your own, at once, and returns the message id: with the campaign''s headers, reply_to and
unsubscribe link, from one of its mailboxes, in any state of the campaign. No lead, cap, count or report of the campaign includes it; its
mailbox counts it like any other mail. address: the recipient; a lead gets its own mail, any other address that of the first lead. step: its
place, 1 for the first mail. A follow-up has the subject of its thread, but no earlier mail to refer to. The unsubscribe link works.
Errors: 42704 no such campaign or step, 22004 address is NULL, 22023 not an address, 55000 the database isn''t armed.';
