-- What sequences share: lanes of a campaign, draws of variants, and the checks of a campaign's settings for them.

CREATE FUNCTION _campaign_lane(campaign_id bigint, mailbox_id bigint, timezone text, is_follow_up boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found_id bigint;
BEGIN
    FOR attempt IN 1..2 LOOP
        SELECT l.lane_id INTO found_id FROM mailer.lane l
        WHERE l.campaign_id = _campaign_lane.campaign_id AND l.is_follow_up = _campaign_lane.is_follow_up
          AND COALESCE(l.mailbox_id, 0) = COALESCE(_campaign_lane.mailbox_id, 0)
          AND COALESCE(l.timezone, '') = COALESCE(_campaign_lane.timezone, '');
        EXIT WHEN FOUND;
        INSERT INTO mailer.lane (kind, campaign_id, is_follow_up, mailbox_id, timezone, pool)
        SELECT 'c', c.campaign_id, _campaign_lane.is_follow_up, _campaign_lane.mailbox_id, _campaign_lane.timezone,
               CASE WHEN _campaign_lane.mailbox_id IS NULL THEN main.pool ELSE ARRAY[_campaign_lane.mailbox_id] END
        FROM mailer.campaign c JOIN mailer.lane main ON main.lane_id = c.lane_id
        WHERE c.campaign_id = _campaign_lane.campaign_id
        ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN found_id;
END;
$$;
COMMENT ON FUNCTION _campaign_lane(bigint, bigint, text, boolean) IS
'The lane of a campaign for first mails or follow-ups, from one mailbox (NULL: its pool), on a clock (NULL: its own); made when it is new';

-- The same lead gets the same variant of a step, as long as the weights stay; a name that it has already comes first.
CREATE FUNCTION _draw_variant(campaign_id bigint, step_id bigint, address_key text, variant text,
    OUT variant text, OUT template text) RETURNS record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT v.variant, v.template
    FROM (
        SELECT o.variant, o.template, o.weight, sum(o.weight) OVER (ORDER BY o.variant) AS upto, sum(o.weight) OVER () AS total
        FROM mailer.campaign_variant o WHERE o.campaign_id = $1 AND o.step_id = $2
    ) v
    WHERE v.variant = $4
       OR v.weight > 0 AND (abs(hashtextextended($3, $1 * 1000003 + $2) % v.total)) >= v.upto - v.weight
          AND (abs(hashtextextended($3, $1 * 1000003 + $2) % v.total)) < v.upto
    ORDER BY v.variant = $4 DESC NULLS LAST LIMIT 1
$$;
COMMENT ON FUNCTION _draw_variant(bigint, bigint, text, text) IS
'Which variant of a step a lead gets: one by weight, drawn from its address; the one that it has where the step has that too. None: NULL';

CREATE FUNCTION _check_sequence(starts_at timestamptz, ends_at timestamptz, skip_dates date[], cooldown interval,
    max_new_per_day integer, prefer text, max_silence interval, auto_reply_delay interval, stop_on text[]) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    fault text := CASE
        WHEN ends_at < '1970-01-01 00:00+00' OR ends_at >= '10000-01-01 00:00+00' THEN 'ends_at must be a time from 1970 to 9999'
        WHEN ends_at <= starts_at THEN 'a campaign can''t end before it starts'
        WHEN cardinality(skip_dates) > 1000 THEN 'there are at most 1000 skip_dates'
        WHEN array_position(skip_dates, NULL) IS NOT NULL OR 'infinity' = ANY (skip_dates) OR '-infinity' = ANY (skip_dates)
            THEN 'skip_dates are dates'
        WHEN max_new_per_day < 0 THEN 'max_new_per_day is 0 or more'
        WHEN prefer NOT IN ('follow_ups', 'new') THEN format('"%s" is nothing to prefer', prefer)
        WHEN NOT stop_on <@ '{reply,bounce,complaint,unsubscribe}' THEN format('"%s" ends no sequence',
            (SELECT s FROM unnest(stop_on) s WHERE s IS NULL OR NOT s = ANY ('{reply,bounce,complaint,unsubscribe}') LIMIT 1))
        END;
BEGIN
    PERFORM mailer._check_span('cooldown', cooldown, false), mailer._check_span('max_silence', max_silence, false),
        mailer._check_span('auto_reply_delay', auto_reply_delay);
    IF fault IS NOT NULL THEN
        PERFORM mailer._refuse(fault, CASE WHEN fault LIKE '%prefer%' THEN 'prefer is follow_ups or new.'
            WHEN fault LIKE '%sequence' THEN 'stop_on holds reply, bounce, complaint and unsubscribe, or some of them.'
            WHEN fault LIKE '%skip_dates%' THEN 'For example {2027-01-01, 2027-12-25}: days on which nothing is sent.'
            WHEN fault LIKE 'max_new%' THEN 'NULL is no limit.' END,
            CASE WHEN fault LIKE '%starts' THEN format('starts_at is %s, ends_at is %s.', starts_at, ends_at) END);
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_sequence(timestamptz, timestamptz, date[], interval, integer, text, interval, interval, text[]) IS
'Error 22023 unless these settings of a campaign are what they may be';

-- Follow-ups stop when somebody answers: so somebody has to listen to the mailboxes that they go from.
-- Asked at the start, and again when a step or a setting that matters to it is changed later.
CREATE FUNCTION _check_replies_heard(campaign_id bigint) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c mailer.campaign;
    deaf text;
BEGIN
    SELECT x.* INTO c FROM mailer.campaign x WHERE x.campaign_id = _check_replies_heard.campaign_id;
    IF c.max_silence IS NULL OR NOT 'reply' = ANY (c.stop_on)
       OR NOT EXISTS (SELECT FROM mailer.campaign_step s WHERE s.campaign_id = c.campaign_id) THEN
        RETURN;
    END IF;
    SELECT string_agg(b.name, ', ' ORDER BY b.name) INTO deaf
    FROM mailer.lane l JOIN mailer.mailbox b ON CASE WHEN l.pool IS NULL THEN b.is_default ELSE b.mailbox_id = ANY (l.pool) END
    CROSS JOIN LATERAL mailer._heard(b.mailbox_id) h
    WHERE l.lane_id = c.lane_id AND NOT h.is_listened_to;
    IF deaf IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('campaign %s has follow-ups, but no listener reads the replies to: %s', c.campaign_id, deaf),
            DETAIL = 'A follow-up must not be sent to a person who has replied.',
            HINT = 'Set imap_host with mailer.mailbox_alter(), or set the campaign''s max_silence to null if replies arrive by '
                'mailer.ingest() or a webhook, or leave reply out of its stop_on.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_replies_heard(bigint) IS
'Error 55000 if a campaign has follow-ups that wait for its inboxes to be read, and no listener reads the replies to one of its mailboxes';

CREATE FUNCTION _check_follow_ups(campaign_id bigint) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c mailer.campaign;
    step_count integer;
BEGIN
    PERFORM mailer._check_replies_heard(_check_follow_ups.campaign_id);
    SELECT x.* INTO c FROM mailer.campaign x WHERE x.campaign_id = _check_follow_ups.campaign_id;
    SELECT count(*) INTO step_count FROM mailer.campaign_step s WHERE s.campaign_id = c.campaign_id;
    IF step_count > 0 AND c.max_per_day IS NOT NULL THEN
        RAISE NOTICE '% a day with % steps is about % new leads a day', c.max_per_day, step_count + 1,
            LEAST(GREATEST(1, round(c.max_per_day / (step_count + 1.0))), c.max_new_per_day);
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_follow_ups(bigint) IS
'Before a campaign with follow-ups starts: error 55000 if no listener reads the replies to one of its mailboxes; a notice of its steady rate';

REVOKE ALL ON FUNCTION _campaign_lane(bigint, bigint, text, boolean), _draw_variant(bigint, bigint, text, text),
    _check_sequence(timestamptz, timestamptz, date[], interval, integer, text, interval, interval, text[]),
    _check_replies_heard(bigint), _check_follow_ups(bigint) FROM PUBLIC;

CREATE FUNCTION _heard(mailbox_id bigint, OUT heard_at timestamptz, OUT error text, OUT is_listened_to boolean) RETURNS record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT l.last_heard_at, CASE WHEN b.imap_host IS NULL THEN 'no listener reads it' ELSE COALESCE(l.error, '') END,
           b.imap_host IS NOT NULL
    FROM mailer.mailbox b LEFT JOIN mailer.mailbox_listen l ON l.mailbox_id = b.mailbox_id
    WHERE b.mailbox_id = _heard.mailbox_id
$$;
COMMENT ON FUNCTION _heard(bigint) IS 'When the inbox of a mailbox was last read to the end, what keeps it from being read, and whether a listener should read it';
REVOKE ALL ON FUNCTION _heard(bigint) FROM PUBLIC;
