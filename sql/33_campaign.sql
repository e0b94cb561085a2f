-- Campaigns: create, alter, start, pause, resume, cancel.
--
-- draft → running ⇄ paused → completed | cancelled (doc/states.md). Only these functions and the engine (which completes)
-- change a campaign's state; each change is one row of event_log with who and why, and ends in _changed(), so the
-- engine acts on it with its next message. Cancelling settles what is pending here, set-based; what the engine holds at
-- that moment it hands back and cancels itself.
--
-- Who adds leads holds FOR KEY SHARE on the campaign's row until commit: pause and resume (FOR NO KEY UPDATE) never wait
-- for a long load; cancel (FOR UPDATE) does, and so must the engine's completing, so that nothing is added behind
-- their backs.

CREATE FUNCTION _weekdays(days text[]) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    day text;
    place integer;
    bits integer := 0;
BEGIN
    FOREACH day IN ARRAY COALESCE(days, '{}') LOOP
        place := array_position(ARRAY['MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN'], upper(btrim(day)));
        IF place IS NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('"%s" is not a weekday', day),
                HINT = 'Weekdays are MON, TUE, WED, THU, FRI, SAT and SUN.';
        END IF;
        bits := bits | (1 << (place - 1));
    END LOOP;
    IF bits = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a campaign without an allowed day can send nothing',
            HINT = 'Weekdays are MON, TUE, WED, THU, FRI, SAT and SUN.';
    END IF;
    RETURN bits;
END;
$$;
COMMENT ON FUNCTION _weekdays(text[]) IS 'Weekdays as a set of bits, Monday is bit 0; error 22023 for what is none';

CREATE FUNCTION _weekday_names(bits integer) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ARRAY(SELECT d.day FROM pg_catalog.unnest(ARRAY['MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN'])
                                    WITH ORDINALITY d(day, place)
                 WHERE bits & (1 << (d.place::integer - 1)) <> 0 ORDER BY d.place)
$$;
COMMENT ON FUNCTION _weekday_names(integer) IS 'The opposite of _weekdays';

CREATE FUNCTION _check_headers(headers jsonb) RETURNS void
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_check_headers';
COMMENT ON FUNCTION _check_headers(jsonb) IS 'Error 22004, 22023 or 54000 unless it is an object of headers that mailer.enqueue() would take';
REVOKE ALL ON FUNCTION _check_headers(jsonb) FROM PUBLIC;

-- The row, locked against other changes of state; or an error that says what is there instead.
CREATE FUNCTION _campaign_to_change(campaign_id bigint, allowed "char"[], doing text) RETURNS mailer.campaign
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found_row mailer.campaign;
BEGIN
    SELECT c.* INTO found_row FROM mailer.campaign c WHERE c.campaign_id = _campaign_to_change.campaign_id FOR NO KEY UPDATE;
    IF found_row.campaign_id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('campaign %s does not exist', COALESCE(_campaign_to_change.campaign_id::text, 'NULL')),
            HINT = 'SELECT campaign_id, name, state FROM mailer.campaign_progress lists them.';
    END IF;
    IF NOT found_row.state = ANY (allowed) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('campaign %s "%s" is %s: it cannot be %s', found_row.campaign_id, found_row.name,
                mailer._campaign_state(found_row.state), doing),
            HINT = CASE mailer._campaign_state(found_row.state)
                WHEN 'draft' THEN 'Start it with mailer.campaign_start().'
                WHEN 'running' THEN 'It is running already; mailer.campaign_pause() holds it.'
                WHEN 'paused' THEN 'Let it go on with mailer.campaign_resume().'
                WHEN 'completed' THEN 'Adding a lead or retrying failed ones sets it running again.'
                ELSE 'A cancelled campaign stays cancelled: make a new one.' END;
    END IF;
    RETURN found_row;
END;
$$;
COMMENT ON FUNCTION _campaign_to_change(bigint, "char"[], text) IS 'A campaign, locked for a change of state; error 42704 when there is none, 55000 when it is in another state than the allowed ones';

CREATE FUNCTION campaign_create(name text, template text, mailboxes text[] DEFAULT NULL, window_start time DEFAULT '09:00',
    window_end time DEFAULT '17:00', allowed_days text[] DEFAULT '{MON,TUE,WED,THU,FRI}', gap interval DEFAULT '90 s',
    jitter double precision DEFAULT 0.2, max_per_day integer DEFAULT NULL, timezone text DEFAULT NULL,
    starts_at timestamptz DEFAULT NULL, reply_to text DEFAULT NULL, headers jsonb DEFAULT '{}', list text DEFAULT NULL,
    ends_at timestamptz DEFAULT NULL, skip_dates date[] DEFAULT '{}', cooldown interval DEFAULT NULL,
    shield double precision DEFAULT 0.05, max_new_per_day integer DEFAULT NULL, prefer text DEFAULT 'follow_ups', max_silence interval DEFAULT '10 min',
    auto_reply_delay interval DEFAULT '7 days', stop_on text[] DEFAULT '{reply,bounce,complaint,unsubscribe}') RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    new_id bigint := nextval(pg_get_serial_sequence('mailer.campaign', 'campaign_id'));
    new_lane bigint;
BEGIN
    PERFORM mailer._check_name('name', campaign_create.name);
    PERFORM mailer._check_campaign(campaign_create.template, campaign_create.headers);
    IF campaign_create.list IS NOT NULL THEN
        PERFORM mailer._check_name('list', campaign_create.list);
    END IF;
    PERFORM mailer._check_share('shield', campaign_create.shield::numeric);
    PERFORM mailer._check_pace(campaign_create.name, campaign_create.window_start, campaign_create.window_end, campaign_create.gap,
        campaign_create.jitter::numeric, campaign_create.max_per_day, campaign_create.starts_at);
    PERFORM mailer._check_sequence(campaign_create.starts_at, campaign_create.ends_at, campaign_create.skip_dates,
        campaign_create.cooldown, campaign_create.max_new_per_day, campaign_create.prefer, campaign_create.max_silence,
        campaign_create.auto_reply_delay, campaign_create.stop_on);
    INSERT INTO mailer.lane (kind, campaign_id, pool) VALUES ('c', new_id, mailer._pool(campaign_create.mailboxes))
    RETURNING lane_id INTO new_lane;
    INSERT INTO mailer.campaign (campaign_id, lane_id, name, template, window_start, window_end, allowed_days, gap, jitter,
        max_per_day, timezone, starts_at, reply_to, headers, list, ends_at, skip_dates, cooldown, max_new_per_day, prefer,
        max_silence, auto_reply_delay, stop_on, shield, created_at, created_by)
    OVERRIDING SYSTEM VALUE
    VALUES (new_id, new_lane, campaign_create.name, campaign_create.template, campaign_create.window_start,
        campaign_create.window_end, mailer._weekdays(campaign_create.allowed_days), campaign_create.gap,
        campaign_create.jitter::numeric, campaign_create.max_per_day, mailer._zone_or_default(campaign_create.timezone),
        campaign_create.starts_at, mailer._bare_address(campaign_create.reply_to, 'reply_to'), campaign_create.headers,
        campaign_create.list, campaign_create.ends_at, COALESCE(campaign_create.skip_dates, '{}'), campaign_create.cooldown,
        campaign_create.max_new_per_day, COALESCE(campaign_create.prefer, 'follow_ups'), campaign_create.max_silence,
        campaign_create.auto_reply_delay, COALESCE(campaign_create.stop_on, '{}'), campaign_create.shield::numeric, mailer._now(), mailer._caller_name())
    ON CONFLICT (name) WHERE state <> 'x' DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_object',
            MESSAGE = format('campaign "%s" already exists', campaign_create.name),
            HINT = 'Take another name, or change that one with mailer.campaign_alter().';
    END IF;
    PERFORM mailer._log_event('campaign_created', jsonb_build_object('name', campaign_create.name), campaign_id => new_id);
    PERFORM mailer._changed();
    RETURN new_id;
END;
$$;
COMMENT ON FUNCTION campaign_create(text, text, text[], time, time, text[], interval, double precision, integer, text, timestamptz, text, jsonb, text,
    timestamptz, date[], interval, double precision, integer, text, interval, interval, text[]) IS
'Creates a campaign, in state draft, and returns its id. Then call mailer.campaign_add_many(), mailer.campaign_start().
name: can be reused once a campaign of that name is cancelled. template: the one that every lead gets (mailer.template_set()). mailboxes: names, used in turn; NULL is the default ones.
window_start, window_end: local times between which it sends, to the minute; equal is the whole day, past midnight belongs to the day it starts on.
allowed_days: weekdays of the window''s start. gap: between two mails, varied by ± jitter (a fraction). max_per_day: most mails a day of the window.
timezone: NULL takes mailer.timezone, stored here. starts_at: not before. reply_to: one address. headers: extra headers, a JSON object.
list: the mailing list that the link in its mails unsubscribes from; NULL: from all campaigns. Mails see the link as {{unsubscribe_url}} too.
shield: share of hard bounces and permanent refusals at which it stops until mailer.campaign_resume(); NULL: never.
list: campaigns of one list share unsubscriptions and replies. ends_at: no mail is sent after it. skip_dates: holidays, on which no window starts.
cooldown: an address that another campaign mailed waits for this long. max_new_per_day: most first mails a day (0: none). prefer: what is sent
first at a slot, follow_ups or new. max_silence: follow-ups wait for an inbox that was read within this; NULL: feedback comes by ingest.
auto_reply_delay: how long follow-ups wait after an automatic answer. stop_on: what ends a sequence (reply, bounce, complaint, unsubscribe).
Errors: 42704 no such template or mailbox, 42710 the name is taken, 22023 a bad value or one out of range.';

CREATE FUNCTION _check_campaign(template text, headers jsonb) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM mailer.template t WHERE t.name = _check_campaign.template) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('template "%s" does not exist', COALESCE(template, 'NULL')),
            HINT = 'Store it with mailer.template_set() first.';
    END IF;
    PERFORM mailer._check_headers(headers);
END;
$$;
COMMENT ON FUNCTION _check_campaign(text, jsonb) IS 'Error 42704 when the template isn''t there, 22023 when the headers can''t be sent';

CREATE FUNCTION campaign_alter(campaign_id bigint, settings jsonb) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known constant text[] := ARRAY['name', 'template', 'mailboxes', 'window_start', 'window_end', 'allowed_days', 'gap',
        'jitter', 'max_per_day', 'timezone', 'starts_at', 'reply_to', 'headers', 'list', 'ends_at', 'skip_dates',
        'cooldown', 'max_new_per_day', 'prefer', 'max_silence', 'auto_reply_delay', 'stop_on', 'shield'];
    old mailer.campaign;
    new_row mailer.campaign;
    strange text;
BEGIN
    IF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'settings must be a JSON object',
            HINT = 'For example ''{"gap": "2 min", "max_per_day": 50}''.';
    END IF;
    SELECT k INTO strange FROM jsonb_object_keys(settings) k WHERE NOT k = ANY (known) ORDER BY k LIMIT 1;
    IF strange IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('a campaign has no setting "%s"', strange),
            HINT = 'Settings are: ' || array_to_string(known, ', ') || '.';
    END IF;
    old := mailer._campaign_to_change(campaign_alter.campaign_id, '{d,r,p,c}', 'altered');

    new_row := mailer._campaign_with(old, settings);
    IF settings ? 'allowed_days' THEN
        new_row.allowed_days := mailer._weekdays(mailer._text_array(settings, 'allowed_days'));
    END IF;
    PERFORM mailer._check_name('name', new_row.name);
    PERFORM mailer._check_campaign(new_row.template, new_row.headers);
    PERFORM mailer._check_share('shield', new_row.shield);
    PERFORM mailer._check_pace(new_row.name, new_row.window_start, new_row.window_end, new_row.gap, new_row.jitter, new_row.max_per_day,
        new_row.starts_at);
    new_row.prefer := COALESCE(new_row.prefer, 'follow_ups');
    new_row.skip_dates := COALESCE(new_row.skip_dates, '{}');
    new_row.stop_on := COALESCE(new_row.stop_on, '{}');
    PERFORM mailer._check_sequence(new_row.starts_at, new_row.ends_at, new_row.skip_dates, new_row.cooldown,
        new_row.max_new_per_day, new_row.prefer, new_row.max_silence, new_row.auto_reply_delay, new_row.stop_on);
    BEGIN
        UPDATE mailer.campaign c
        SET name = new_row.name, template = new_row.template, window_start = new_row.window_start,
            window_end = new_row.window_end, allowed_days = new_row.allowed_days, gap = new_row.gap, jitter = new_row.jitter,
            max_per_day = new_row.max_per_day, timezone = mailer._zone_or_default(new_row.timezone),
            starts_at = new_row.starts_at, reply_to = mailer._bare_address(new_row.reply_to, 'reply_to'),
            headers = new_row.headers, list = new_row.list, ends_at = new_row.ends_at, skip_dates = new_row.skip_dates,
            cooldown = new_row.cooldown, max_new_per_day = new_row.max_new_per_day, prefer = new_row.prefer,
            max_silence = new_row.max_silence, auto_reply_delay = new_row.auto_reply_delay, stop_on = new_row.stop_on,
            shield = new_row.shield
        WHERE c.campaign_id = old.campaign_id;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('campaign "%s" already exists', new_row.name);
    END;
    IF settings ? 'mailboxes' THEN
        UPDATE mailer.lane l SET pool = mailer._pool(mailer._text_array(settings, 'mailboxes'))
        WHERE l.campaign_id = old.campaign_id AND l.mailbox_id IS NULL;
    END IF;
    IF old.state <> 'd' AND settings ?| '{mailboxes,max_silence,stop_on}' THEN
        PERFORM mailer._check_replies_heard(old.campaign_id);
    END IF;
    IF new_row.starts_at IS DISTINCT FROM old.starts_at THEN
        -- What was never tried waits for the start; a retry keeps the time of its own.
        UPDATE mailer.queue_entry q SET due_at = GREATEST(mailer._now(), new_row.starts_at)
        WHERE q.lane_id = old.lane_id AND q.state = 'p' AND q.try_count = 0
          AND (q.due_at = old.starts_at OR q.due_at < new_row.starts_at);
        PERFORM mailer._wake(old.lane_id, GREATEST(mailer._now(), new_row.starts_at));
    END IF;
    IF new_row.ends_at IS NOT NULL THEN
        PERFORM mailer._wake(0, new_row.ends_at);
    END IF;
    PERFORM mailer._log_event('campaign_altered', jsonb_build_object('settings', settings), campaign_id => old.campaign_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION campaign_alter(bigint, jsonb) IS
'Changes settings of a campaign from its next slot on: a JSON object of parameter names of mailer.campaign_create() and values.
Settings: name, template, mailboxes, window_start, window_end, allowed_days, gap, jitter, max_per_day, timezone, starts_at, reply_to, headers, list,
ends_at, skip_dates, cooldown, max_new_per_day, prefer, max_silence, auto_reply_delay, stop_on, shield.
Errors: 42704 no such campaign, template or mailbox, 22023 an unknown setting or a bad value, 55000 it is cancelled, or no listener reads the
replies to its follow-ups.';

CREATE FUNCTION _text_array(settings jsonb, key text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    CASE jsonb_typeof(settings -> key)
        WHEN 'null' THEN RETURN NULL;
        WHEN 'array' THEN RETURN ARRAY(SELECT jsonb_array_elements_text(settings -> key));
        ELSE RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" must be a JSON array', key);
    END CASE;
END;
$$;
COMMENT ON FUNCTION _text_array(jsonb, text) IS 'Array of texts under a key of a JSON object; NULL for null, error 22023 for anything else';

CREATE FUNCTION _change_campaign(old mailer.campaign, new_state "char", reason text, kind text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    UPDATE mailer.campaign c
    SET state = new_state,
        state_reason = reason,
        started_at = CASE new_state WHEN 'r' THEN COALESCE(c.started_at, mailer._now()) ELSE c.started_at END,
        completed_at = NULL
    WHERE c.campaign_id = old.campaign_id;
    PERFORM mailer._log_event(kind,
        jsonb_build_object('reason', reason, 'from', mailer._campaign_state(old.state), 'to', mailer._campaign_state(new_state)),
        campaign_id => old.campaign_id);
    PERFORM mailer._wake(old.lane_id, GREATEST(mailer._now(), old.starts_at));
    IF old.ends_at IS NOT NULL THEN
        PERFORM mailer._wake(0, old.ends_at);
    END IF;
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION _change_campaign(campaign, "char", text, text) IS 'Writes a new state, the event of it, and tells the engine';

-- Blanks in real mail: told before they are sent. The first ten thousand leads are enough to know.
CREATE FUNCTION _warn_of_gaps(campaign_id bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found record;
BEGIN
    SELECT count(*) AS leads, count(*) FILTER (WHERE cardinality(p.missing) > 0) AS lacking,
           (SELECT array_agg(DISTINCT n) FROM unnest(string_to_array(string_agg(array_to_string(p.missing, ','), ',') FILTER (WHERE cardinality(p.missing) > 0), ',')) n) AS names
    INTO found
    FROM (SELECT m.template, COALESCE(m.variables, '{}') AS variables FROM mailer.message m
          WHERE m.campaign_id = _warn_of_gaps.campaign_id AND EXISTS (SELECT FROM mailer.queue_entry q WHERE q.message_id = m.message_id) LIMIT 10000) l
    CROSS JOIN LATERAL mailer.template_preview(l.template, l.variables) p;
    IF found.lacking > 0 THEN
        RAISE WARNING USING MESSAGE = format('%s of %s leads lack variables that the template names', found.lacking, found.leads),
            DETAIL = 'Missing: ' || left(array_to_string(found.names, ', '), 200) || '. They are left blank.',
            HINT = 'mailer.template_preview(name, variables) shows a mail and what it misses; {{#name}}…{{/name}} guards a variable.';
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING MESSAGE = 'the mails of this campaign could not be tried', DETAIL = SQLERRM;
END;
$$;
COMMENT ON FUNCTION _warn_of_gaps(bigint) IS 'A WARNING with a count when leads lack variables that the template names';

CREATE FUNCTION campaign_start(campaign_id bigint) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._check_follow_ups(campaign_start.campaign_id);
    PERFORM mailer._change_campaign(mailer._campaign_to_change(campaign_start.campaign_id, '{d}', 'started'),
        'r', NULL, 'campaign_started');
    PERFORM mailer._warn_of_gaps(campaign_start.campaign_id);
    IF COALESCE(current_setting('mailer.unsubscribe_url', true), '') = '' THEN
        RAISE WARNING USING
            MESSAGE = 'the mails of this campaign carry no way to unsubscribe',
            DETAIL = 'mailer.unsubscribe_url is not set, so they have no List-Unsubscribe header (RFC 2369, RFC 8058), and {{unsubscribe_url}} is empty; large providers ask for the header.',
            HINT = 'ALTER DATABASE … SET mailer.unsubscribe_url = ''https://…?token={token}'', and call mailer.unsubscribe(token) behind it.';
    END IF;
END;
$$;
COMMENT ON FUNCTION campaign_start(bigint) IS
'Sets a draft campaign running: it sends from the first slot that its window, days and caps allow. Without leads it stays running and waits for some.
Errors: 42704 no such campaign, 55000 it is not a draft, or it has follow-ups and no listener reads the replies to its mailboxes.';

CREATE FUNCTION campaign_pause(campaign_id bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._change_campaign(mailer._campaign_to_change(campaign_pause.campaign_id, '{r}', 'paused'),
        'p', mailer._reason(campaign_pause.reason), 'campaign_paused');
END;
$$;
COMMENT ON FUNCTION campaign_pause(bigint, text) IS
'Pauses a running campaign from the next mail on. Slots that pass meanwhile are counted as missed and not made up for.
Errors: 42704 no such campaign, 55000 it is not running.';

CREATE FUNCTION campaign_resume(campaign_id bigint) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF mailer._shield_open('c', campaign_resume.campaign_id) THEN
        PERFORM mailer._log_event('shield_opened', campaign_id => campaign_resume.campaign_id);
        PERFORM mailer._changed();
        IF EXISTS (SELECT FROM mailer.campaign c WHERE c.campaign_id = campaign_resume.campaign_id AND c.state = 'r') THEN
            RETURN;
        END IF;
    END IF;
    PERFORM mailer._change_campaign(mailer._campaign_to_change(campaign_resume.campaign_id, '{p}', 'resumed'),
        'r', NULL, 'campaign_resumed');
END;
$$;
COMMENT ON FUNCTION campaign_resume(bigint) IS
'Resumes a campaign that was paused, or whose shield is shut, at its normal gap. Errors: 42704 no such campaign, 55000 it is not paused.';

CREATE FUNCTION campaign_cancel(campaign_id bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    old mailer.campaign;
BEGIN
    -- Waits for transactions that are adding leads, so that theirs are cancelled too.
    PERFORM FROM mailer.campaign c WHERE c.campaign_id = campaign_cancel.campaign_id FOR UPDATE;
    old := mailer._campaign_to_change(campaign_cancel.campaign_id, '{d,r,p}', 'cancelled');
    PERFORM mailer._end(ARRAY(SELECT q.message_id FROM mailer.queue_entry q WHERE q.state = 'p'
            AND q.lane_id IN (SELECT l.lane_id FROM mailer.lane l WHERE l.campaign_id = old.campaign_id)),
        'campaign_cancelled', by_role => mailer._caller_name());
    PERFORM mailer._change_campaign(old, 'x', mailer._reason(campaign_cancel.reason),
        'campaign_cancelled');
END;
$$;
COMMENT ON FUNCTION campaign_cancel(bigint, text) IS
'Ends a campaign permanently: all waiting messages are settled as cancelled (campaign_cancelled), and only mail at the final dot is still sent.
Errors: 42704 no such campaign, 55000 it is completed or cancelled.';
