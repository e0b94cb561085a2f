-- top(): the state of things as lines of plain text, for a terminal that shows them again and again (scripts/top, \watch).
--
-- Every line is as wide as asked for at most, and holds no control character but the colours that were asked for: names
-- and replies are strangers' words, and a terminal obeys. It must stay cheap enough to be asked every second: no forecasts.

-- How many columns a terminal gives a character; what combines with the one before takes none.
CREATE FUNCTION _columns_of(letter text) RETURNS integer
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN letter ~ E'[\\u0300-\\u036F\\u200B-\\u200D\\u20D0-\\u20FF\\uFE00-\\uFE0F]' THEN 0
        WHEN letter ~ E'[\\u1100-\\u115F\\u2E80-\\u303E\\u3041-\\uA4CF\\uAC00-\\uD7A3\\uF900-\\uFAFF\\uFE30-\\uFE6F\\uFF00-\\uFF60\\uFFE0-\\uFFE6\\U0001F300-\\U0001FAFF\\U00020000-\\U0003FFFD]' THEN 2
        ELSE 1 END
$$;
COMMENT ON FUNCTION _columns_of(text) IS 'Columns of a terminal that a character takes';

CREATE FUNCTION _cell(said text, width integer, is_right boolean DEFAULT false) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    WITH letter AS (
        SELECT l.letter, l.n, sum(mailer._columns_of(l.letter)) OVER (ORDER BY l.n) AS upto, sum(mailer._columns_of(l.letter)) OVER () AS whole
        FROM unnest(string_to_array(left(regexp_replace(COALESCE(said, ''), E'[\\u0001-\\u001F\\u007F-\\u009F\\u061C\\u200E\\u200F\\u2028-\\u202E\\u2066-\\u2069]', '·', 'g'), 500), NULL))
             WITH ORDINALITY l(letter, n)
    ), kept AS (
        SELECT string_agg(l.letter, '' ORDER BY l.n) || CASE WHEN max(l.whole) > width THEN '…' ELSE '' END AS said,
               COALESCE(max(l.upto), 0) + CASE WHEN max(l.whole) > width THEN 1 ELSE 0 END AS columns
        FROM letter l WHERE l.whole <= width OR l.upto < width
    )
    SELECT CASE WHEN is_right THEN repeat(' ', GREATEST(width - k.columns, 0)::integer) || COALESCE(k.said, '')
                ELSE COALESCE(k.said, '') || repeat(' ', GREATEST(width - k.columns, 0)::integer) END
    FROM kept k
$$;
COMMENT ON FUNCTION _cell(text, integer, boolean) IS 'Text cut and padded to exactly so many columns of a terminal, without a control character';

CREATE FUNCTION _top_time(at timestamptz) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT to_char(at, CASE WHEN at::date = mailer._now()::date THEN 'HH24:MI:SS' WHEN abs(extract(epoch FROM mailer._bounded(at) - mailer._now())) < 6 * 86400 THEN 'Dy HH24:MI' ELSE 'FMDD Mon' END)
$$;
COMMENT ON FUNCTION _top_time(timestamptz) IS 'A time in at most nine letters';

CREATE FUNCTION top(width integer DEFAULT 100, is_coloured boolean DEFAULT false) RETURNS TABLE (line text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    wide CONSTANT integer := LEAST(GREATEST(COALESCE(width, 100), 60), 400);
    name_wide CONSTANT integer := LEAST(GREATEST(wide / 4, 14), 32);
    rest_wide CONSTANT integer := wide - name_wide - 43;
    is_on CONSTANT boolean := COALESCE(is_coloured, false);
    bold CONSTANT text := CASE WHEN is_on THEN E'\x1b[1m' ELSE '' END;
    dim CONSTANT text := CASE WHEN is_on THEN E'\x1b[2m' ELSE '' END;
    red CONSTANT text := CASE WHEN is_on THEN E'\x1b[31m' ELSE '' END;
    green CONSTANT text := CASE WHEN is_on THEN E'\x1b[32m' ELSE '' END;
    yellow CONSTANT text := CASE WHEN is_on THEN E'\x1b[33m' ELSE '' END;
    plain CONSTANT text := CASE WHEN is_on THEN E'\x1b[0m' ELSE '' END;
    s record;
    r record;
BEGIN
    SELECT * INTO s FROM mailer.status();
    RETURN QUERY SELECT bold || mailer._cell(format('mailer in %s, %s', current_database(), to_char(mailer._now(), 'FMDD Mon HH24:MI:SS')), wide / 2) || plain
        || mailer._cell(s.worker, wide - wide / 2, true);
    RETURN QUERY SELECT mailer._cell(format('unconfirmed %s   failed %s   waiting %s   on their way %s   sent %s   cancelled %s', s.unconfirmed, s.failed, s.pending, s.sending, s.sent, s.cancelled), wide);
    RETURN QUERY SELECT mailer._cell(format('last minute: %s   last 5 minutes: %s%s',
            string_agg(a.recent || ' ' || a.outcome, ' ' ORDER BY a.place) FILTER (WHERE a."window" = '1m' AND (a.recent > 0 OR a.place = 1)),
            to_char(sum(a.recent) FILTER (WHERE a."window" = '5m' AND a.outcome = 'sent') / 5.0, 'FM999990.0') || ' sent a minute',
            COALESCE('   next due ' || mailer._top_time(s.next_due_at), '')), wide)
        FROM (SELECT m.*, array_position('{sent,failed,retry,requeued,unconfirmed}', m.outcome) AS place FROM mailer._metric_attempts() m) a;

    -- What needs a person comes before what goes well: a terminal of 24 lines shows the top.
    FOR r IN SELECT h.*, row_number() OVER () AS n FROM mailer.health() h LIMIT 6 LOOP
        IF r.n = 1 THEN
            RETURN QUERY SELECT ''::text;
        END IF;
        line := CASE r.severity WHEN 'critical' THEN red WHEN 'warning' THEN yellow ELSE dim END || mailer._cell(r.severity, 8) || plain || ' '
            || mailer._cell(r.subject || ': ' || r.problem, wide - 9);
        RETURN NEXT;
    END LOOP;

    RETURN QUERY SELECT ''::text;
    RETURN QUERY SELECT dim || mailer._cell('CAMPAIGN', name_wide) || ' ' || mailer._cell('STATE', 9) || ' ' || mailer._cell('PROGRESS', 21) || ' '
        || mailer._cell('NEXT', 9) || ' ' || mailer._cell('WAITS FOR', rest_wide) || plain;
    FOR r IN
        SELECT p.*, count(*) OVER () AS total FROM mailer._campaign_rows() p JOIN mailer.campaign c ON c.campaign_id = p.campaign_id
        WHERE c.state IN ('d', 'r', 'p') OR c.completed_at > mailer._now() - interval '1 day'
        ORDER BY array_position('{running,paused,draft,completed}', p.state), p.campaign_id DESC LIMIT 20
    LOOP
        line := mailer._cell(r.name, name_wide) || ' ' || CASE r.state WHEN 'running' THEN green WHEN 'paused' THEN yellow ELSE dim END || mailer._cell(r.state, 9) || plain || ' '
            || repeat('█', COALESCE(8 * (r.total - r.pending - r.sending) / NULLIF(r.total, 0), 0)::integer)
            || repeat('░', 8 - COALESCE(8 * (r.total - r.pending - r.sending) / NULLIF(r.total, 0), 0)::integer) || ' '
            || mailer._cell(format('%s/%s', r.sent, r.total), 12) || ' ' || mailer._cell(mailer._top_time(r.next_at), 9) || ' '
            || mailer._cell(CASE WHEN r.state IN ('completed', 'cancelled') THEN '' ELSE r.blocked_by END, rest_wide);
        RETURN NEXT;
    END LOOP;

    RETURN QUERY SELECT ''::text;
    RETURN QUERY SELECT dim || mailer._cell('MAILBOX', name_wide) || ' ' || mailer._cell('STATE', 9) || ' ' || mailer._cell('TODAY', 21) || ' '
        || mailer._cell('LAST', 9) || ' ' || mailer._cell('WHY', rest_wide) || plain;
    FOR r IN SELECT * FROM mailer.mailbox_status b ORDER BY array_position('{in trouble,paused}', b.state), b.last_used_at DESC NULLS LAST, b.mailbox LIMIT 20 LOOP
        line := mailer._cell(r.mailbox, name_wide) || ' '
            || CASE r.state WHEN 'in trouble' THEN red WHEN 'paused' THEN yellow WHEN 'day''s limit reached' THEN yellow ELSE green END
            || mailer._cell(CASE r.state WHEN 'in trouble' THEN 'trouble' WHEN 'day''s limit reached' THEN 'full' WHEN 'waiting for its gap' THEN 'in gap' ELSE r.state END, 9) || plain || ' '
            || CASE WHEN r.limit_today > 0 THEN repeat('█', LEAST(8 * r.used_today / r.limit_today, 8)) || repeat('░', 8 - LEAST(8 * r.used_today / r.limit_today, 8)) ELSE repeat(' ', 8) END || ' '
            || mailer._cell(r.used_today || COALESCE('/' || r.limit_today, ''), 12) || ' ' || mailer._cell(mailer._top_time(r.last_used_at), 9) || ' '
            || mailer._cell(COALESCE(r.reason, CASE WHEN r.sending > 0 THEN r.sending || ' on their way' END), rest_wide);
        RETURN NEXT;
    END LOOP;

END;
$$;
COMMENT ON FUNCTION top(integer, boolean) IS
'Returns the current state as lines of text, width columns wide (60 to 400): counts, rates, campaigns, mailboxes, alerts. scripts/top shows them live;
in psql: \t \a and SELECT line FROM mailer.top() \watch 2. is_coloured adds ANSI colours; nothing else in a line is a control character.';
