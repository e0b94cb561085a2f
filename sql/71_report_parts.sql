-- What the pages of mailer.report() are made of: escaping, the style sheet, bars and charts.
--
-- Whatever users or mail servers wrote goes through _html() and nothing else does; a function here that gives markup says so
-- in its name (_html_*, _svg_*). Charts are inline SVG that stretches with the page, so words stand beside them as HTML, where
-- they keep their size on a phone. No script, no outside resource, no colour that isn't in the style sheet.

-- Characters that HTML forbids become U+FFFD: a mail server's reply may hold anything.
CREATE FUNCTION _html(said text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT replace(replace(replace(replace(replace(
        regexp_replace(COALESCE(said, ''), E'[\\u0001-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\ufffe\\uffff]', E'\uFFFD', 'g'),
        '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
$$;
COMMENT ON FUNCTION _html(text) IS 'Text as HTML shows it, in an element or in a quoted attribute; NULL is empty';

-- Isolated, so that a name written from right to left, or with a direction override in it, disturbs only itself.
CREATE FUNCTION _html_name(said text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT '<bdi>' || mailer._html(said) || '</bdi>'
$$;
COMMENT ON FUNCTION _html_name(text) IS 'A name that users gave, as HTML';

CREATE FUNCTION _html_time(at timestamptz) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format('<time datetime="%s">%s</time>', to_char(b.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        to_char(b.at, CASE WHEN b.at::date = mailer._now()::date THEN 'HH24:MI' WHEN abs(extract(epoch FROM b.at - mailer._now())) < 300 * 86400 THEN 'FMDD Mon HH24:MI'
                           ELSE 'FMDD Mon YYYY' END))
    FROM (SELECT mailer._bounded(at) AS at) b WHERE b.at IS NOT NULL
$$;
COMMENT ON FUNCTION _html_time(timestamptz) IS 'A time as HTML, in the session''s time zone: today''s without the date; NULL stays NULL';

CREATE FUNCTION _span_words(span interval) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT COALESCE(NULLIF(concat_ws(' ', NULLIF(t.s / 86400, 0) || ' d', NULLIF(t.s % 86400 / 3600, 0) || ' h', NULLIF(t.s % 3600 / 60, 0) || ' min', NULLIF(t.s % 60 + t.part, 0) || ' s'), ''), '0 s')
    FROM (SELECT trunc(x.s)::bigint AS s, CASE WHEN x.s < 60 THEN trim_scale(round(x.s - trunc(x.s), 3)) ELSE 0 END AS part
          FROM (SELECT extract(epoch FROM span)::numeric AS s) x) t
$$;
COMMENT ON FUNCTION _span_words(interval) IS 'A span as people write it: 1 h 3 min';

CREATE FUNCTION _html_number(n numeric) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT replace(to_char(n, 'FM999,999,999,999,990'), ',', '&#8239;')
$$;
COMMENT ON FUNCTION _html_number(numeric) IS 'A whole number with its thousands apart';

-- Cells are markup already; the heads are repeated in each cell, for a phone shows a row as a card.
CREATE FUNCTION _html_table(heads text[], body text[]) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT '<table><thead><tr>' || (SELECT string_agg('<th scope="col">' || h.head || '</th>', '' ORDER BY h.n) FROM unnest(heads) WITH ORDINALITY h(head, n))
        || '</tr></thead><tbody>' || (
            SELECT string_agg('<tr>' || r.cells || '</tr>', E'\n' ORDER BY r.row_no) FROM (
                SELECT (c.n - 1) / cardinality(heads) AS row_no,
                       string_agg(format('<td data-head="%s">%s</td>', heads[(c.n - 1) % cardinality(heads) + 1], COALESCE(c.cell, '')), '' ORDER BY c.n) AS cells
                FROM unnest(body) WITH ORDINALITY c(cell, n) GROUP BY 1
            ) r)
        || '</tbody></table>'
$$;
COMMENT ON FUNCTION _html_table(text[], text[]) IS 'A table of markup cells, row after row in one array';

-- Parts of a whole, one colour each: kinds and counts side by side.
CREATE FUNCTION _html_bar(kinds text[], counts bigint[], whole bigint) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT '<div class="bar">' || COALESCE(string_agg(format('<i class="%s" style="width:%s%%" title="%s %s"></i>', k.kind, round(100.0 * k.n / whole, 2), k.n, k.kind), '' ORDER BY k.place), '') || '</div>'
    FROM unnest(kinds, counts) WITH ORDINALITY k(kind, n, place) WHERE k.n > 0 AND whole > 0
$$;
COMMENT ON FUNCTION _html_bar(text[], bigint[], bigint) IS 'A bar of several colours, as markup';

CREATE FUNCTION _report_nice(most numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE
AS $$
    SELECT min(s.step) FROM (SELECT p.n * m.x AS step FROM unnest(ARRAY[1, 2, 4, 6, 10, 20]) m(x),
        (SELECT power(10::numeric, GREATEST(floor(log(GREATEST(most, 1))), 0)) AS n) p) s WHERE s.step >= GREATEST(most, 1)
$$;
COMMENT ON FUNCTION _report_nice(numeric) IS 'A round number that a chart''s axis ends at';

-- Words of a chart stand around it: the axis' end above, times below.
CREATE FUNCTION _html_chart(svg text, said text, axis text, below text[]) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format('<figure><figcaption>%s</figcaption><div class="chart"><span class="axis">%s</span>%s</div><div class="below">%s</div></figure>', said, axis, svg,
        (SELECT string_agg('<span>' || b.word || '</span>', '' ORDER BY b.n) FROM unnest(below) WITH ORDINALITY b(word, n)))
$$;
COMMENT ON FUNCTION _html_chart(text, text, text, text[]) IS 'A chart with its caption and axis labels, as markup';

-- Tries by the hour, stacked. The log's end is found by its BRIN index, whatever the planner thinks of it.
CREATE FUNCTION _svg_hours(hours integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET enable_seqscan = off
AS $$
    WITH slot AS (
        SELECT i, date_trunc('hour', mailer._now()) - make_interval(hours => hours - 1 - i) AS at FROM generate_series(0, hours - 1) i
    ), tried AS (
        SELECT date_trunc('hour', a.finished_at) AS at, count(*) AS n, count(*) FILTER (WHERE a.outcome = 'sent') AS sent,
               count(*) FILTER (WHERE a.outcome = 'failed') AS failed, count(*) FILTER (WHERE a.outcome = 'unconfirmed') AS unconfirmed,
               count(*) FILTER (WHERE a.outcome IN ('retry', 'requeued')) AS retry
        FROM mailer.attempt a
        WHERE a.finished_at >= (SELECT min(s.at) FROM slot s) AND a.finished_at <= mailer._now() GROUP BY 1
    ), most AS (
        SELECT mailer._report_nice(max(t.n)) AS n, COALESCE(sum(t.sent), 0) AS sent, COALESCE(sum(t.failed), 0) AS failed,
               COALESCE(sum(t.unconfirmed), 0) AS unconfirmed, COALESCE(sum(t.retry), 0) AS retry FROM tried t
    ), part AS (
        SELECT s.i, p.kind, p.n, sum(p.n) OVER (PARTITION BY s.i ORDER BY p.place) - p.n AS under,
               format('%s: %s sent, %s failed, %s to be tried again, %s unconfirmed', to_char(s.at, 'FMDD Mon HH24:MI'), t.sent, t.failed, t.retry, t.unconfirmed) AS said
        FROM slot s JOIN tried t ON t.at = s.at
        CROSS JOIN LATERAL (VALUES (1, 'sent', t.sent), (2, 'failed', t.failed), (3, 'unconfirmed', t.unconfirmed), (4, 'retry', t.retry)) p(place, kind, n)
    )
    SELECT mailer._html_chart(
        format('<svg viewBox="0 0 %s 100" preserveAspectRatio="none" role="img" aria-label="Tries by the hour">', hours)
            || format('<path class="grid" d="M0 .5H%1$sM0 50H%1$sM0 99.5H%1$s"/>', hours)
            || COALESCE((SELECT string_agg(format('<rect class="%s" x="%s" y="%s" width=".8" height="%s"><title>%s</title></rect>', p.kind, p.i + 0.1,
                   round(100 - 100 * (p.under + p.n) / m.n, 2), round(100 * p.n / m.n, 2), p.said), '' ORDER BY p.i, p.under) FROM part p WHERE p.n > 0), '')
            || '</svg>',
        format('<b>Tries by the hour</b>, last %s hours <span class="key"><i class="sent"></i>%s sent <i class="failed"></i>%s failed <i class="retry"></i>%s to be tried again <i class="unconfirmed"></i>%s unconfirmed</span>',
            hours, mailer._html_number(m.sent), mailer._html_number(m.failed), mailer._html_number(m.retry), mailer._html_number(m.unconfirmed)),
        mailer._html_number(m.n),
        ARRAY[(SELECT to_char(s.at, 'FMDD Mon HH24:MI') FROM slot s WHERE s.i = 0), (SELECT to_char(s.at, 'FMDD Mon HH24:MI') FROM slot s WHERE s.i = hours / 2), 'now'])
    FROM most m
$$;
COMMENT ON FUNCTION _svg_hours(integer) IS 'Chart of the report: tries by the hour and how they ended';

-- From the mailboxes' day counters: the cheapest history there is.
CREATE FUNCTION _svg_days(days integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    WITH slot AS (
        SELECT i, mailer._now()::date - (days - 1 - i) AS day FROM generate_series(0, days - 1) i
    ), used AS (
        SELECT s.i, s.day, COALESCE(sum(d.used - d.warmup), 0) AS n, COALESCE(sum(d.warmup), 0) AS warmup
        FROM slot s LEFT JOIN mailer.mailbox_day d ON d.day = s.day GROUP BY s.i, s.day
    ), most AS (
        SELECT mailer._report_nice(max(u.n + u.warmup)) AS n, sum(u.n + u.warmup) AS total, sum(u.warmup) AS warmup FROM used u
    )
    SELECT mailer._html_chart(
        format('<svg viewBox="0 0 %s 100" preserveAspectRatio="none" role="img" aria-label="Mails a day">', days)
            || format('<path class="grid" d="M0 .5H%1$sM0 50H%1$sM0 99.5H%1$s"/>', days)
            || (SELECT COALESCE(string_agg(format('<g><title>%s: %s mails, %s of them warm-up</title><rect class="mail" x="%s" y="%s" width=".8" height="%s"/><rect class="warmup" x="%s" y="%s" width=".8" height="%s"/></g>',
                   to_char(u.day, 'FMDD Mon'), u.n + u.warmup, u.warmup, u.i + 0.1, round(100 - 100 * u.n / m.n, 2), round(100 * u.n / m.n, 2),
                   u.i + 0.1, round(100 - 100 * (u.n + u.warmup) / m.n, 2), round(100 * u.warmup / m.n, 2)), '' ORDER BY u.i), '') FROM used u WHERE u.n + u.warmup > 0)
            || '</svg>',
        format('<b>Mails a day</b>, last %s days, by the mailboxes'' calendars <span class="key"><i class="mail"></i>%s mails%s</span>', days, mailer._html_number(m.total),
            CASE WHEN m.warmup > 0 THEN ', <i class="warmup"></i>' || mailer._html_number(m.warmup) || ' of them warm-up' ELSE '' END),
        mailer._html_number(m.n),
        ARRAY[(SELECT to_char(s.day, 'FMDD Mon') FROM slot s WHERE s.i = 0), (SELECT to_char(s.day, 'FMDD Mon') FROM slot s WHERE s.i = days / 2), 'today'])
    FROM most m
$$;
COMMENT ON FUNCTION _svg_days(integer) IS 'Chart of the report: mails a day of all mailboxes';

-- Settled so far as an area, the plan for the rest as a dashed line, and the line between the two is now.
CREATE FUNCTION _svg_campaign(campaign_id bigint, since timestamptz, until timestamptz, total bigint, slots timestamptz[]) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    WITH sample AS (  -- of many messages each n-th: thousands draw the same line as millions, which take seconds to read
        SELECT GREATEST(1, total / 5000) AS each
    ), settled AS MATERIALIZED (
        SELECT mailer._bounded(LEAST(o.settled_at, until)) AS at, t.each AS n
        FROM sample t JOIN mailer.message m ON m.campaign_id = _svg_campaign.campaign_id AND m.message_id % t.each = 0
        JOIN mailer.outcome o ON o.message_id = m.message_id
    ), span AS (
        SELECT b.from_at, GREATEST(b.to_at, b.from_at + interval '1 min') AS to_at, b.done
        FROM (SELECT LEAST(mailer._bounded(since), min(s.at), until) AS from_at, GREATEST(until, slots[cardinality(slots)]) AS to_at, COALESCE(sum(s.n), 0) AS done FROM settled s) b
    ), place AS (  -- two hundred steps are as fine as a screen shows
        SELECT 'done' AS line, s.n, round(200 * extract(epoch FROM s.at - p.from_at)::numeric / extract(epoch FROM p.to_at - p.from_at)::numeric) / 2.0 AS x FROM settled s, span p
        UNION ALL
        SELECT 'plan', 1, round(200 * extract(epoch FROM f.at - p.from_at)::numeric / extract(epoch FROM p.to_at - p.from_at)::numeric) / 2.0 FROM unnest(slots) f(at), span p
    ), point AS (
        SELECT g.line, g.x, sum(g.n) OVER (PARTITION BY g.line ORDER BY g.x) + CASE g.line WHEN 'plan' THEN p.done ELSE 0 END AS y
        FROM (SELECT l.line, l.x, sum(l.n) AS n FROM place l GROUP BY 1, 2) g, span p
    ), drawn AS (
        SELECT string_agg(format('H%sV%s', round(q.x, 1), round(100 - 100.0 * q.y / total, 1)), '' ORDER BY q.x) FILTER (WHERE q.line = 'done') AS done,
               string_agg(format('H%sV%s', round(q.x, 1), round(100 - 100.0 * q.y / total, 1)), '' ORDER BY q.x) FILTER (WHERE q.line = 'plan') AS plan FROM point q
    ), now_at AS (
        SELECT round(100 * extract(epoch FROM until - p.from_at)::numeric / extract(epoch FROM p.to_at - p.from_at)::numeric, 1) AS x,
               round(100 - 100.0 * p.done / total, 1) AS y FROM span p
    )
    SELECT mailer._html_chart(
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="Settled mails over time, and the plan for the rest"><path class="grid" d="M0 .5H100M0 50H100M0 99.5H100"/>'
            || format('<path class="area" d="M0 100%sH%sV100Z"/>', d.done, n.x)
            || COALESCE(format('<path class="plan" d="M%s %s%s"/>', n.x, n.y, d.plan), '')
            || format('<path class="now" d="M%s 0V100"/></svg>', n.x),
        '<span class="key"><i class="area"></i>settled <i class="plan"></i>plan <i class="now"></i>now</span>', mailer._html_number(total),
        ARRAY[mailer._html_time(p.from_at), mailer._html_time(p.to_at)])
    FROM drawn d, now_at n, span p WHERE total > 0
$$;
COMMENT ON FUNCTION _svg_campaign(bigint, timestamptz, timestamptz, bigint, timestamptz[]) IS 'Chart of the report: a campaign''s settled mails over time, and its forecast';

CREATE FUNCTION _report_style() RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT $css$
:root { color-scheme: light dark; --page: #f5f6f8; --card: #fff; --ink: #1d2530; --soft: #5d6876; --line: #dfe3e9; --accent: #2b66b1;
  --sent: #2f8f67; --failed: #cc4238; --unconfirmed: #d18b16; --retry: #8b97a8; --warmup: #9a7fd1; --area: #2f8f6733; --none: #e9ecf1;
  --critical: #b3261e; --critical-page: #fdeceb; --warning: #8a5a00; --warning-page: #fdf3dd; --info: #2b5d9b; --info-page: #e9f1fb; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1b2129; --ink: #e4e8ee; --soft: #9aa6b5; --line: #303946; --accent: #7fb2f0;
  --sent: #4fb88a; --failed: #ec7268; --unconfirmed: #e2ab4b; --retry: #7d8a9c; --warmup: #b09be6; --area: #4fb88a33; --none: #2a323d;
  --critical: #ff9d95; --critical-page: #3b1d1c; --warning: #f1c36d; --warning-page: #362a12; --info: #9cc4f7; --info-page: #1a2a3f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
main, header, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.75rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 0; display: flex; gap: .6rem; align-items: baseline; justify-content: space-between; }
p { margin: .35rem 0; } .soft, footer, time { color: var(--soft); } time { white-space: nowrap; } td time { color: inherit; }
footer { padding-block: 2rem; font-size: .85rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: .7rem; margin-top: 1.2rem; }
.tiles .card { padding: .7rem .9rem; } .tiles b { display: block; font-size: 1.5rem; line-height: 1.2; font-weight: 650; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .85rem; } .tiles .some.failed b { color: var(--failed); } .tiles .some.unconfirmed b { color: var(--warning); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .8rem; align-items: start; }
.pill { display: inline-block; padding: .05rem .55rem; border-radius: 1rem; font-size: .8rem; font-weight: 600; white-space: nowrap; background: var(--none); color: var(--soft); }
.critical { color: var(--critical); background: var(--critical-page); } .warning { color: var(--warning); background: var(--warning-page); }
.info, .running { color: var(--info); background: var(--info-page); } .fine, .completed { color: var(--sent); background: var(--area); }
.alert { border-radius: 10px; padding: .6rem .9rem; margin: .45rem 0; } .alert b { font-weight: 650; } .alert p { margin: 0; color: var(--ink); } .alert .hint { color: var(--soft); }
.bar { display: flex; height: .7rem; border-radius: .35rem; overflow: hidden; background: var(--none); margin: .5rem 0; } .bar i { min-width: 2px; }
td .bar { min-width: 6rem; height: .5rem; margin: .35rem 0 0; }
i.sent, i.mail { background: var(--sent); } i.failed, i.full { background: var(--failed); } i.unconfirmed, i.near { background: var(--unconfirmed); }
i.retry, i.cancelled { background: var(--retry); } i.warmup { background: var(--warmup); } i.used { background: var(--accent); } i.area { background: var(--area); border: 1px solid var(--sent); }
figure { margin: .8rem 0 0; } figcaption { font-size: .85rem; color: var(--soft); } figcaption b { color: var(--ink); font-weight: 600; }
.key { display: block; } .key i { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin: 0 .3rem 0 .5rem; vertical-align: -1px; } .key i:first-child { margin-left: 0; }
.key i.plan { height: 0; border-radius: 0; border-top: 2px dashed var(--accent); vertical-align: 3px; width: 1.1rem; }
.key i.now { width: 0; border-radius: 0; border-left: 2px dotted var(--soft); }
.chart { position: relative; margin-top: .45rem; } .axis { position: absolute; top: 2px; left: 4px; font-size: .75rem; color: var(--soft); background: var(--card); padding: 0 .2rem; }
svg { display: block; width: 100%; height: 150px; } .campaign svg { height: 110px; }
.below { display: flex; justify-content: space-between; font-size: .75rem; color: var(--soft); }
rect.sent, rect.mail { fill: var(--sent); } rect.failed { fill: var(--failed); } rect.unconfirmed { fill: var(--unconfirmed); } rect.retry { fill: var(--retry); } rect.warmup { fill: var(--warmup); }
path { vector-effect: non-scaling-stroke; fill: none; } .grid { stroke: var(--line); } svg .area { fill: var(--area); stroke: var(--sent); stroke-width: 1.5; }
svg .plan { stroke: var(--accent); stroke-width: 2; stroke-dasharray: 5 4; } .now { stroke: var(--soft); stroke-dasharray: 2 3; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: .6rem 0 0; font-size: .9rem; } dt { color: var(--soft); } dd { margin: 0; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; } th { text-align: left; white-space: nowrap; font-weight: 600; color: var(--soft); font-size: .8rem; }
th, td { padding: .4rem .6rem .4rem 0; vertical-align: top; border-bottom: 1px solid var(--line); } tr:last-child td { border-bottom: 0; } td[data-head="To"] { min-width: 11rem; }
@media (max-width: 42rem) {
  main, header, footer { padding-inline: .8rem; } thead { display: none; } tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); } tr:last-child { border: 0; }
  td { display: grid; grid-template-columns: 6.2rem 1fr; gap: .5rem; border: 0; padding: .1rem 0; } td > * { grid-column: 2; } td::before { content: attr(data-head); color: var(--soft); font-size: .85rem; } td:empty { display: none; }
  td .pill { justify-self: start; } }
@media print { :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc; --accent: #2b66b1; --sent: #2f8f67; --failed: #cc4238;
    --unconfirmed: #d18b16; --retry: #8b97a8; --warmup: #9a7fd1; --area: #2f8f6733; --none: #e9ecf1; --critical: #b3261e; --critical-page: #fdeceb; --warning: #8a5a00;
    --warning-page: #fdf3dd; --info: #2b5d9b; --info-page: #e9f1fb; }
  body { font-size: 10.5pt; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .card, .alert, tr, figure { break-inside: avoid; } h2 { break-after: avoid; } }
$css$
$$;
COMMENT ON FUNCTION _report_style() IS 'The style sheet of mailer.report()';
