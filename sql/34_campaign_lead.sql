-- The leads of a campaign: add one, add many, send failed ones again.
--
-- A lead is a message; that it gets in once is the unique index on (campaign_id, address_key) alone, so adding is safe
-- while others add, send, pause or restart. A bad address is a message too, settled at once as failed, and
-- never an error. These functions never touch what the engine writes, and lock the campaign's row FOR KEY SHARE only
-- (see 33_campaign.sql).

CREATE FUNCTION _message_id_domain(lane_id bigint) RETURNS text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_message_id_domain';
COMMENT ON FUNCTION _message_id_domain(bigint) IS 'What stands behind the @ of a Message-ID, as in enqueue(): the domain of the lane''s first mailbox, mailer.invalid while there is none';
REVOKE ALL ON FUNCTION _message_id_domain(bigint) FROM PUBLIC;

CREATE FUNCTION _campaign_for_leads(campaign_id bigint, OUT lane_id bigint, OUT state "char", OUT template text,
    OUT starts_at timestamptz, OUT domain text, OUT epoch bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    SELECT c.lane_id, c.state, c.template, c.starts_at,
           mailer._message_id_domain(c.lane_id),
           (SELECT a.epoch FROM mailer.arming a)
    INTO lane_id, state, template, starts_at, domain, epoch
    FROM mailer.campaign c WHERE c.campaign_id = _campaign_for_leads.campaign_id
    FOR KEY SHARE OF c;
    IF lane_id IS NULL OR state = 'x' THEN
        PERFORM mailer._campaign_to_change(_campaign_for_leads.campaign_id, '{d,r,p,c}', 'added to');
    END IF;
END;
$$;
COMMENT ON FUNCTION _campaign_for_leads(bigint) IS 'What adding leads needs of a campaign, which can''t be cancelled or completed until the transaction ends. Errors: 42704, 55000 it is cancelled';

-- A completed campaign that has something to do again is running again.
CREATE FUNCTION _campaign_reopen(campaign_id bigint, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE mailer.campaign c SET state = 'r', state_reason = NULL, completed_at = NULL
    WHERE c.campaign_id = _campaign_reopen.campaign_id AND c.state = 'c';
    IF FOUND THEN
        PERFORM mailer._log_event('campaign_reopened', jsonb_build_object('reason', reason, 'from', 'completed', 'to', 'running'),
            campaign_id => _campaign_reopen.campaign_id);
        PERFORM mailer._changed();
    END IF;
END;
$$;
COMMENT ON FUNCTION _campaign_reopen(bigint, text) IS 'Sets a completed campaign running again; nothing for any other';

-- Whether a campaign has leads already is asked by index: a planner that expects to meet one of them soon would read the
-- whole table to find that there is none.
CREATE FUNCTION _store_leads(campaign_id bigint, lane_id bigint, principal_id bigint, template text, domain text, epoch bigint,
    due_at timestamptz, recipients text[], variables jsonb[], external_ids text[], lane_ids bigint[], mailbox_ids bigint[],
    timezones text[], not_before timestamptz[], priorities integer[]) RETURNS bigint[]
LANGUAGE c VOLATILE SET enable_seqscan = off AS 'MODULE_PATHNAME', 'mailer_store_leads';
COMMENT ON FUNCTION _store_leads(bigint, bigint, bigint, text, text, bigint, timestamptz, text[], jsonb[], text[], bigint[], bigint[], text[],
    timestamptz[], integer[]) IS
'Writes the leads that are new to a campaign: how many are queued, how many have failed (invalid_address), and the id of the first or 0';

CREATE FUNCTION _own_of_leads(campaign_id bigint, lead_count integer, timezones text[], not_before timestamptz[], priorities integer[],
    mailboxes text[], OUT lane_ids bigint[], OUT mailbox_ids bigint[]) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wrong text;
BEGIN
    SELECT what INTO wrong FROM (VALUES ('timezones', cardinality(timezones)), ('not_before', cardinality(not_before)),
        ('priorities', cardinality(priorities)), ('mailboxes', cardinality(mailboxes))) x(what, count) WHERE count <> lead_count LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'array_subscript_error', MESSAGE = format('recipients and %s must be of one length', wrong),
            HINT = 'Give one for every recipient, or leave the parameter out.';
    END IF;
    IF EXISTS (SELECT FROM unnest(priorities) p WHERE p NOT BETWEEN 0 AND 4) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'priority is 0 to 4';
    END IF;
    IF EXISTS (SELECT FROM unnest(not_before) t WHERE NOT isfinite(t) OR t < '1970-01-01 00:00+00' OR t >= '9000-01-01 00:00+00') THEN
        RAISE EXCEPTION USING ERRCODE = 'datetime_field_overflow', MESSAGE = 'not_before must be a time from 1970 to 8999';
    END IF;
    PERFORM mailer._zone_or_default(z) FROM (SELECT DISTINCT unnest(timezones) AS z) x WHERE z IS NOT NULL;
    IF array_remove(timezones, NULL) = '{}' AND array_remove(mailboxes, NULL) = '{}' OR timezones IS NULL AND mailboxes IS NULL THEN
        RETURN;
    END IF;
    WITH named AS (
        SELECT o.place, o.timezone, CASE WHEN o.mailbox IS NOT NULL THEN mailer._mailbox_id(o.mailbox) END AS mailbox_id
        FROM (SELECT g.place, timezones[g.place] AS timezone, mailboxes[g.place] AS mailbox FROM generate_series(1, lead_count) g(place)) o
    ), kinds AS MATERIALIZED (
        SELECT d.timezone, d.mailbox_id, mailer._campaign_lane(_own_of_leads.campaign_id, d.mailbox_id, d.timezone, false) AS lane_id
        FROM (SELECT DISTINCT n.timezone, n.mailbox_id FROM named n WHERE num_nonnulls(n.timezone, n.mailbox_id) > 0) d
    )
    SELECT array_agg(k.lane_id ORDER BY n.place), array_agg(n.mailbox_id ORDER BY n.place) INTO lane_ids, mailbox_ids
    FROM named n LEFT JOIN kinds k ON k.timezone IS NOT DISTINCT FROM n.timezone AND k.mailbox_id IS NOT DISTINCT FROM n.mailbox_id;
END;
$$;
COMMENT ON FUNCTION _own_of_leads(bigint, integer, text[], timestamptz[], integer[], text[]) IS
'The lanes and mailboxes of leads that have a clock or a mailbox of their own; errors 2202E arrays of other lengths, 22023 and 22008 bad values, 42704 no such mailbox';

CREATE FUNCTION _add_leads(campaign_id bigint, recipients text[], variables jsonb[], external_ids text[], timezones text[] DEFAULT NULL,
    not_before timestamptz[] DEFAULT NULL, priorities integer[] DEFAULT NULL, mailboxes text[] DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql
AS $$
DECLARE
    c record := mailer._campaign_for_leads(_add_leads.campaign_id);
    due_at timestamptz := GREATEST(mailer._now(), c.starts_at);
    stored bigint[];
    own record;
BEGIN
    own := mailer._own_of_leads(_add_leads.campaign_id, cardinality(_add_leads.recipients), _add_leads.timezones, _add_leads.not_before,
        _add_leads.priorities, _add_leads.mailboxes);
    stored := mailer._store_leads(_add_leads.campaign_id, c.lane_id, mailer._principal(), c.template, c.domain, c.epoch, due_at,
        _add_leads.recipients, _add_leads.variables, _add_leads.external_ids, own.lane_ids, own.mailbox_ids, _add_leads.timezones,
        _add_leads.not_before, _add_leads.priorities);
    IF stored[1] > 0 THEN
        IF EXISTS (SELECT FROM mailer.campaign_variant v WHERE v.campaign_id = _add_leads.campaign_id AND v.step_id = 0) THEN
            PERFORM mailer._draw_variants(_add_leads.campaign_id, 0, stored[3]);
        END IF;
        PERFORM mailer._wake(l.lane_id, due_at) FROM (SELECT DISTINCT unnest(own.lane_ids) AS lane_id) l WHERE l.lane_id IS NOT NULL;
        IF c.state = 'c' THEN
            PERFORM mailer._campaign_reopen(_add_leads.campaign_id, 'leads added');
        END IF;
        PERFORM mailer._wake(c.lane_id, due_at);
    END IF;
    RETURN stored;
END;
$$;
COMMENT ON FUNCTION _add_leads(bigint, text[], jsonb[], text[], text[], timestamptz[], integer[], text[]) IS 'Adds leads to a campaign, opens it again where it was completed, and wakes the worker; what _store_leads tells';

CREATE FUNCTION campaign_add(campaign_id bigint, recipient text, variables jsonb DEFAULT '{}', external_id text DEFAULT NULL,
    timezone text DEFAULT NULL, not_before timestamptz DEFAULT NULL, priority integer DEFAULT NULL, mailbox text DEFAULT NULL) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(campaign_add.variables) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'variables must be a JSON object';
    END IF;
    RETURN NULLIF((mailer._add_leads(campaign_add.campaign_id, ARRAY[campaign_add.recipient], ARRAY[campaign_add.variables],
        ARRAY[campaign_add.external_id], ARRAY[campaign_add.timezone], ARRAY[campaign_add.not_before], ARRAY[campaign_add.priority],
        ARRAY[campaign_add.mailbox]))[3], 0);
END;
$$;
COMMENT ON FUNCTION campaign_add(bigint, text, jsonb, text, text, timestamptz, integer, text) IS
'Adds a lead to a campaign and returns its message id; NULL if this address is already in the campaign, whatever its state.
recipient: one address, a name allowed. variables: for the template. external_id: the application''s own key.
timezone: the lead''s own time zone, for the window. not_before: earliest time. priority: 0 to 4, higher goes first (2). mailbox: the
one that its mails go from; NULL: one of the campaign''s. A bad address is recorded as failed (invalid_address) and is no error. Adding to a completed campaign sets it running again.
Errors: 42704 no such campaign, 55000 it is cancelled, 22023 variables is not an object.';

CREATE FUNCTION campaign_add_many(campaign_id bigint, recipients text[], variables mailer.json_list DEFAULT NULL,
    external_ids text[] DEFAULT NULL, timezones text[] DEFAULT NULL, not_before timestamptz[] DEFAULT NULL,
    priorities integer[] DEFAULT NULL, mailboxes text[] DEFAULT NULL) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    given CONSTANT jsonb[] := campaign_add_many.variables;
    stored bigint[];
BEGIN
    IF cardinality(given) <> cardinality(campaign_add_many.recipients)
       OR cardinality(campaign_add_many.external_ids) <> cardinality(campaign_add_many.recipients) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'array_subscript_error',
            MESSAGE = 'recipients, variables and external_ids must be of one length',
            DETAIL = format('There are %s recipients, %s variables and %s external_ids.',
                cardinality(campaign_add_many.recipients), COALESCE(cardinality(given)::text, 'no'),
                COALESCE(cardinality(campaign_add_many.external_ids)::text, 'no')),
            HINT = 'Give one for every recipient, or leave the parameter out.';
    END IF;
    IF EXISTS (SELECT FROM unnest(given) v WHERE jsonb_typeof(v) <> 'object') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'each of variables must be a JSON object';
    END IF;
    stored := mailer._add_leads(campaign_add_many.campaign_id, COALESCE(campaign_add_many.recipients, '{}'),
        given, campaign_add_many.external_ids, campaign_add_many.timezones, campaign_add_many.not_before,
        campaign_add_many.priorities, campaign_add_many.mailboxes);
    RETURN stored[1] + stored[2];
END;
$$;
COMMENT ON FUNCTION campaign_add_many(bigint, text[], mailer.json_list, text[], text[], timestamptz[], integer[], text[]) IS
'Adds leads to a campaign, in the order of the array, and returns how many were new; leads that are already in it are left unchanged.
variables, external_ids, timezones, not_before, priorities, mailboxes: one for each recipient, or NULL (see mailer.campaign_add()).
 Bad addresses are recorded as failed (invalid_address) and count as new.
Errors: 42704 no such campaign, 55000 it is cancelled, 2202E the arrays differ in length, 22023 one of variables is not an object.';

CREATE FUNCTION campaign_retry_failed(campaign_id bigint) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    retried_count bigint;
BEGIN
    PERFORM mailer._campaign_for_leads(campaign_retry_failed.campaign_id);
    retried_count := cardinality(mailer._put_back(ARRAY(
            SELECT o.message_id FROM mailer.outcome o JOIN mailer.message m ON m.message_id = o.message_id
            WHERE m.campaign_id = campaign_retry_failed.campaign_id AND o.state = 'f' ORDER BY o.message_id),
        'failed', 'failed ones are tried again'));
    IF retried_count > 0 THEN
        PERFORM mailer._log_event('campaign_retried', jsonb_build_object('messages', retried_count), campaign_id => campaign_retry_failed.campaign_id);
    END IF;
    RETURN retried_count;
END;
$$;
COMMENT ON FUNCTION campaign_retry_failed(bigint) IS
'Queues the failed mails of a campaign again, before new leads and through every gate, and returns how many. It leaves out bad
addresses, mails whose content was purged, and leads whose sequence has ended, by a reply or otherwise (mailer.lead_restore() resumes one). Suppressions that their refusals caused (hard_bounce) are lifted. A completed campaign returns to running.
Errors: 42704 no such campaign, 55000 it is cancelled.';
