-- report(): one page for people who don't ask databases questions: how campaigns and mailboxes stand, what was sent,
-- what waits and why, what went wrong.
--
-- Read only, and one snapshot: every number on a page belongs to the same moment. It may take a second or two with long
-- campaigns, for their forecasts are computed again; charts are drawn for the first dozen that run. 71_report_parts.sql
-- has the parts; every name and reply passes _html().

CREATE FUNCTION _report_counts() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT '<div class="tiles">' || string_agg(format('<div class="card %s"><b>%s</b><span>%s</span></div>', t.kind || CASE WHEN t.n > 0 THEN ' some' ELSE '' END, mailer._html_number(t.n), t.said), '' ORDER BY t.place) || '</div>'
    FROM mailer.status() s
    CROSS JOIN LATERAL (VALUES (1, 'sent', s.sent, 'sent'), (2, 'pending', s.pending, 'waiting'), (3, 'sending', s.sending, 'on their way'), (4, 'failed', s.failed, 'failed'),
        (5, 'cancelled', s.cancelled, 'cancelled'), (6, 'unconfirmed', s.unconfirmed, 'unconfirmed')) t(place, kind, n, said)
$$;
COMMENT ON FUNCTION _report_counts() IS 'Part of the report: messages by state';

CREATE FUNCTION _report_alerts() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT COALESCE(string_agg(format('<div class="alert %s"><b>%s</b> %s%s<p class="hint">%s</p></div>', h.severity, mailer._html_name(h.subject),
        mailer._html(h.problem), COALESCE(', since ' || mailer._html_time(h.since), ''), mailer._html(h.hint)), E'\n' ORDER BY h.n), '<div class="alert fine">Nothing needs looking after.</div>')
    FROM mailer.health() WITH ORDINALITY h(severity, subject, problem, since, hint, n)
$$;
COMMENT ON FUNCTION _report_alerts() IS 'Part of the report: what mailer.health() says';

CREATE FUNCTION _report_campaign(r mailer.campaign_summary, is_drawn boolean) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    c mailer.campaign;
    slots timestamptz[] := '{}';
    finish text;
BEGIN
    SELECT * INTO c FROM mailer.campaign a WHERE a.campaign_id = r.campaign_id;
    IF is_drawn AND c.state IN ('r', 'p', 'd') AND r.pending > 0 THEN
        SELECT COALESCE(array_agg(f.slot_at ORDER BY f.slot_at), '{}') INTO slots FROM mailer.campaign_forecast(r.campaign_id) f WHERE f.slot_at IS NOT NULL;
    END IF;
    finish := CASE
        WHEN c.state = 'c' THEN 'done ' || mailer._html_time(c.completed_at)
        WHEN cardinality(slots) = 0 THEN CASE WHEN r.pending > 0 AND is_drawn THEN 'never, as things are' END
        WHEN c.state = 'r' THEN mailer._html_time(slots[cardinality(slots)])
        ELSE mailer._html_time(slots[cardinality(slots)]) || ', if it went on now' END
        || CASE WHEN cardinality(slots) BETWEEN 1 AND r.pending - 1 THEN format(', and %s have no slot in the plan', mailer._html_number(r.pending - cardinality(slots))) ELSE '' END;
    RETURN format('<article class="card campaign"><h3>%s<span class="pill %s">%s</span></h3>%s<p>%s</p>%s<dl>%s</dl></article>',
        mailer._html_name(r.name), r.state, r.state,
        mailer._html_bar('{sent,failed,unconfirmed,cancelled}', ARRAY[r.sent, r.failed, r.unconfirmed, r.cancelled], r.total), mailer._html(r.progress),
        CASE WHEN is_drawn AND r.total > r.pending + r.sending OR cardinality(slots) > 0
             THEN mailer._svg_campaign(r.campaign_id, COALESCE(c.started_at, mailer._now()), COALESCE(c.completed_at, mailer._now()), r.total, slots) ELSE '' END,
        (SELECT string_agg(format('<dt>%s</dt><dd>%s</dd>', d.term, d.said), '' ORDER BY d.place) FROM (VALUES
            -- Without the gate's own time, which is on the campaign's clock: Next mail has it on the page's.
            (1, 'Waits for', mailer._html(CASE WHEN c.state IN ('r', 'p', 'd') THEN regexp_replace(r.blocked_by, ' (until|at) (Mon|Tue|Wed|Thu|Fri|Sat|Sun) .*$', '') END)),
            (2, 'Next mail', mailer._html_time(r.next_at)),
            (3, 'Will be done', finish),
            (4, 'Today', CASE WHEN c.state = 'r' THEN mailer._html_number(r.sent_today) || COALESCE(' of ' || mailer._html_number(r.max_per_day), '') END),
            (5, 'Pace', mailer._html(format('a mail every %s ± %s %%, %s, %s', mailer._span_words(c.gap), round(100 * c.jitter),
                CASE WHEN c.window_start = c.window_end THEN 'round the clock' ELSE to_char(c.window_start, 'HH24:MI') || '–' || to_char(c.window_end, 'HH24:MI') END, c.timezone))),
            (6, 'Missed', CASE WHEN r.missed_slots > 0 THEN mailer._html(format('%s slots, so about %s later than planned at first', r.missed_slots, mailer._span_words(make_interval(secs => LEAST(r.missed_slots * LEAST(extract(epoch FROM c.gap), 3155760000), 3155760000)::double precision)))) END)
        ) d(place, term, said) WHERE d.said <> ''));
END;
$$;
COMMENT ON FUNCTION _report_campaign(campaign_summary, boolean) IS 'Part of the report: one campaign against its forecast';

CREATE FUNCTION _report_campaigns() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT COALESCE('<div class="pair">' || string_agg(mailer._report_campaign(p.r, p.place <= 12), E'\n' ORDER BY p.place) || '</div>', '<p class="soft">There is no campaign.</p>')
        || CASE WHEN max(p.total) > 40 THEN format('<p class="soft">And %s more: see view campaign_progress.</p>', max(p.total) - 40) ELSE '' END
    FROM (
        SELECT r, count(*) OVER () AS total, row_number() OVER (ORDER BY array_position('{running,paused,draft,completed,cancelled}', r.state), r.campaign_id DESC) AS place
        FROM mailer._campaign_rows() r JOIN mailer.campaign c ON c.campaign_id = r.campaign_id
        WHERE c.state IN ('r', 'p', 'd') OR c.completed_at > mailer._now() - interval '7 days'
    ) p WHERE p.place <= 40
$$;
COMMENT ON FUNCTION _report_campaigns() IS 'Part of the report: campaigns that run, wait or ended lately';

CREATE FUNCTION _report_mailboxes() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT COALESCE('<div class="card">' || mailer._html_table('{Mailbox,State,Used today,Inbox,Bounced,Last mail}', array_agg(x.cell ORDER BY b.mailbox, x.n)) || '</div>', '<p class="soft">There is no mailbox.</p>')
    FROM mailer.mailbox_status b
    CROSS JOIN LATERAL (VALUES
        (1, mailer._html_name(b.mailbox)),
        (2, format('<span><span class="pill %s">%s</span>%s</span>', CASE b.state WHEN 'ready' THEN 'fine' WHEN 'waiting for its gap' THEN 'fine' WHEN 'in trouble' THEN 'critical' ELSE 'warning' END,
            mailer._html(b.state), COALESCE(' ' || mailer._html(b.reason), ''))),
        (3, '<span>' || mailer._html_number(b.used_today) || COALESCE(' of ' || mailer._html_number(b.limit_today), ', no limit') || CASE WHEN b.warmup_today > 0 THEN ', warm-up ' || b.warmup_today ELSE '' END
            || CASE WHEN b.limit_today > 0 THEN mailer._html_bar(ARRAY[CASE WHEN b.used_today >= b.limit_today THEN 'full' WHEN b.used_today >= 0.9 * b.limit_today THEN 'near' ELSE 'used' END],
                ARRAY[LEAST(b.used_today, b.limit_today)::bigint], b.limit_today) ELSE '' END || '</span>'),
        (4, CASE WHEN b.listen_state <> 'off' THEN format('<span><span class="pill %s">%s</span>%s%s</span>',
            CASE b.listen_state WHEN 'listening' THEN 'fine' WHEN 'in trouble' THEN 'critical' ELSE '' END, mailer._html(b.listen_state),
            COALESCE(' ' || mailer._html(left(b.listen_error, 300)), ''), COALESCE(', read ' || mailer._html_time(b.last_heard_at), '')) END),
        (5, CASE WHEN b.bounce_rate IS NOT NULL OR b.shield IS NOT NULL THEN '<span>' || mailer._html(concat_ws(', ', round(100 * b.bounce_rate, 1) || ' % of 30 days', 'shield ' || b.shield)) || '</span>' END),
        (6, mailer._html_time(b.last_used_at))) x(n, cell)
$$;
COMMENT ON FUNCTION _report_mailboxes() IS 'Part of the report: mailboxes, their quotas and troubles, whether they are listened to, and what bounced';

-- The first message of a lane stands for it: what holds it holds those behind it.
CREATE FUNCTION _report_waiting() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    WITH RECURSIVE hop (lane_id, n) AS (
        (SELECT q.lane_id, 1 FROM mailer.queue_entry q WHERE q.state = 'p' ORDER BY q.lane_id LIMIT 1)
        UNION ALL
        SELECT (SELECT q.lane_id FROM mailer.queue_entry q WHERE q.state = 'p' AND q.lane_id > h.lane_id ORDER BY q.lane_id LIMIT 1), h.n + 1
        FROM hop h WHERE h.lane_id IS NOT NULL AND h.n < 1000
    ), first AS (
        SELECT h.lane_id, d.message_id, d.due_at
        FROM hop h
        CROSS JOIN LATERAL (SELECT q.message_id, q.due_at FROM mailer.queue_entry q WHERE q.lane_id = h.lane_id AND q.state = 'p'
                            ORDER BY q.priority, q.due_at LIMIT 1) d
        ORDER BY d.due_at LIMIT 25
    )
    SELECT COALESCE('<div class="card">' || mailer._html_table('{Line,First mail,Waits for,Used,Opens}', array_agg(x.cell ORDER BY f.due_at, f.lane_id, x.n)) || '</div>', '<p class="soft">Nothing waits.</p>')
    FROM first f
    JOIN mailer.queue v ON v.message_id = f.message_id
    LEFT JOIN LATERAL (
        SELECT e.* FROM mailer.explain(f.message_id) WITH ORDINALITY e(gate, is_open, limit_value, used, opens_at, detail, n)
        WHERE NOT e.is_open AND e.gate NOT LIKE '%:%' ORDER BY e.n LIMIT 1
    ) g ON true
    CROSS JOIN LATERAL (VALUES
        (1, mailer._html_name(v.lane)),
        (2, '<span>' || f.message_id || ', due ' || mailer._html_time(f.due_at) || '</span>'),
        (3, '<span>' || mailer._html(COALESCE(g.detail, (SELECT 'a sender: ' || w.worker FROM mailer.worker_status w WHERE NOT w.is_running), 'nothing: its turn is next')) || '</span>'), (4, mailer._html(concat_ws(' of ', g.used, g.limit_value))),
        (5, CASE WHEN g.gate IS NULL THEN '' WHEN g.opens_at IS NULL THEN 'when a person changes it' ELSE mailer._html_time(g.opens_at) END)) x(n, cell)
$$;
COMMENT ON FUNCTION _report_waiting() IS 'Part of the report: the first shut gate of what waits, line by line';

CREATE FUNCTION _report_problems() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET enable_seqscan = off
AS $$
    SELECT COALESCE('<div class="card">' || mailer._html_table('{When,Mail,To,From,Ended,Reply}', array_agg(x.cell ORDER BY a.finished_at DESC, a.message_id, x.n)) || '</div>', '<p class="soft">None in the last two days.</p>')
    FROM (SELECT t.* FROM mailer.attempt t WHERE t.finished_at > mailer._now() - interval '2 days' AND t.finished_at <= mailer._now() AND t.outcome <> 'sent'
          ORDER BY t.finished_at DESC LIMIT 20) a
    LEFT JOIN mailer.message m ON m.message_id = a.message_id
    LEFT JOIN mailer.mailbox b ON b.mailbox_id = a.mailbox_id
    CROSS JOIN LATERAL (VALUES
        (1, mailer._html_time(a.finished_at)), (2, a.message_id::text), (3, mailer._html_name(m.addresses[1] || CASE WHEN cardinality(m.addresses) > 1 THEN ' and others' ELSE '' END)),
        (4, mailer._html_name(b.name)),
        (5, format('<span class="pill %s">%s</span>', CASE a.outcome WHEN 'failed' THEN 'critical' WHEN 'unconfirmed' THEN 'warning' ELSE '' END,
            CASE a.outcome WHEN 'retry' THEN 'to be tried again' WHEN 'requeued' THEN 'put back' ELSE mailer._html(a.outcome) END)),
        (6, mailer._html(COALESCE(left(a.reply, 300), 'no reply, at ' || a.stage)))) x(n, cell)
$$;
COMMENT ON FUNCTION _report_problems() IS 'Part of the report: the latest tries that didn''t end well';

CREATE FUNCTION _report_feedback() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET enable_seqscan = off
AS $$
    SELECT COALESCE('<div class="card">' || mailer._html_table('{When,What,About,Mail,Mailbox,Words}', array_agg(x.cell ORDER BY f.at DESC, f.feedback_id DESC, x.n)) || '</div>', '<p class="soft">Nothing in the last week.</p>')
    FROM (SELECT b.* FROM mailer.feedback b WHERE b.at > mailer._now() - interval '7 days' AND b.at <= mailer._now() AND b.kind <> 'delivered'
          ORDER BY b.at DESC, b.feedback_id DESC LIMIT 20) f
    LEFT JOIN mailer.mailbox m ON m.mailbox_id = f.mailbox_id
    CROSS JOIN LATERAL (VALUES
        (1, mailer._html_time(f.at)),
        (2, format('<span class="pill %s">%s</span>', CASE WHEN f.is_hard OR f.kind = 'complaint' THEN 'critical' WHEN f.kind IN ('bounce', 'unsubscribe') THEN 'warning' WHEN f.kind = 'reply' THEN 'fine' ELSE '' END,
            CASE WHEN f.is_hard THEN 'bounced' WHEN f.kind = 'bounce' THEN 'bounced for now' WHEN f.kind = 'auto_reply' THEN 'automatic answer' ELSE mailer._html(f.kind) END
            || CASE WHEN f.is_guess THEN ', a guess' ELSE '' END)),
        (3, mailer._html_name(f.address)), (4, f.message_id::text), (5, mailer._html_name(m.name)),
        (6, mailer._html(left(concat_ws(' ', f.enhanced_code, f.words), 300)))) x(n, cell)
$$;
COMMENT ON FUNCTION _report_feedback() IS 'Part of the report: the latest bounces, complaints and answers';

CREATE FUNCTION report() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT format(E'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
        || E'<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''"><meta name="referrer" content="no-referrer">\n'
        || E'<title>Mail of %1$s</title><style>%2$s</style></head>\n<body><header><h1>Mail of %1$s</h1>\n<p class="soft">%3$s, times are %4$s. Sender: %5$s%6$s</p></header>\n<main>\n%7$s\n',
        mailer._html(current_database()), mailer._report_style(), to_char(mailer._now(), 'FMDD FMMonth YYYY, HH24:MI'), mailer._html(current_setting('TimeZone')),
        mailer._html((SELECT w.worker FROM mailer.worker_status w)), COALESCE('. Next mail due ' || mailer._html_time((SELECT s.next_due_at FROM mailer.status() s)), ''),
        mailer._report_counts())
        || E'<h2>Needs looking after</h2>\n' || mailer._report_alerts()
        || E'\n<h2>Campaigns</h2>\n' || mailer._report_campaigns()
        || E'\n<h2>Sent and failed</h2>\n<div class="pair"><div class="card">' || mailer._svg_hours(48) || E'</div>\n<div class="card">' || mailer._svg_days(30) || E'</div></div>'
        || E'\n<h2>Mailboxes</h2>\n' || mailer._report_mailboxes()
        || E'\n<h2>Why things wait</h2>\n' || mailer._report_waiting()
        || E'\n<h2>What came back</h2>\n' || mailer._report_feedback()
        || E'\n<h2>Latest problems</h2>\n' || mailer._report_problems()
        || format(E'\n</main><footer>mailer %s on PostgreSQL %s. SELECT mailer.report() makes this page; nothing on it is loaded from elsewhere.</footer></body></html>\n',
            (SELECT mailer._html(e.extversion) FROM pg_extension e WHERE e.extname = 'mailer'), mailer._html(split_part(current_setting('server_version'), ' ', 1)))
$$;
COMMENT ON FUNCTION report() IS
'Returns one self-contained HTML page: alerts, campaigns compared with their forecast, mail sent, mailboxes, why mail waits, feedback, latest problems.
Times are in the session''s time zone. psql -XAtc ''SELECT mailer.report()'' > report.html. With very long campaigns it takes seconds, because it computes the forecasts again.';
