-- pg_cron beside mailer: a newsletter every Monday, a report every morning, retention every night, and sending
-- where the library can't be preloaded.
--
-- Run it with psql in the database that holds pg_cron (cron.database_name) and mailer. Each job is one statement, so that the
-- procedures may commit as they go, and each can be run twice without harm: pg_cron skips a run while the last one
-- lasts, and what a job makes has a name or a key that it can have only once. Times of schedules are cron.timezone's.

\set ON_ERROR_STOP on
SELECT count(*) = 1 AS has_cron FROM pg_extension WHERE extname = 'pg_cron' \gset
\if :has_cron
\else
    \echo 'pg_cron is not in this database: add it to shared_preload_libraries, then CREATE EXTENSION pg_cron.'
    \quit
\endif

-- Only where mailer isn't in shared_preload_libraries: a session sends for most of each minute. It waits for gaps and
-- slots meanwhile; with a live worker the call is a NOTICE and nothing.
SELECT cron.schedule('mailer: send', '* * * * *', $$CALL mailer.run(max_time => '50 s')$$);

-- Content and attempts of mail that was settled three months ago go, in committed batches; who got what stays.
SELECT cron.schedule('mailer: retention', '30 2 * * *', $$CALL mailer.purge('90 days')$$);

-- A recurring campaign is a function that makes the week's one. Its name is unique: a second run in a week ends with an
-- error and nothing done, and a lead gets each week's mail once.
CREATE TABLE IF NOT EXISTS subscriber (
    address text PRIMARY KEY,
    name    text NOT NULL
);
CREATE OR REPLACE FUNCTION start_newsletter(on_day date DEFAULT current_date) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    campaign bigint := mailer.campaign_create('newsletter ' || to_char(on_day, 'IYYY-"W"IW'), 'newsletter',
                                              window_start => '08:00', window_end => '18:00', gap => '30 s', timezone => 'Europe/Warsaw');
BEGIN
    PERFORM mailer.campaign_add_many(campaign, array_agg(s.address ORDER BY s.address),
                                     array_agg(jsonb_build_object('name', s.name) ORDER BY s.address))
    FROM subscriber AS s HAVING count(*) > 0;
    PERFORM mailer.campaign_start(campaign);
    RETURN campaign;
END;
$$;
SELECT mailer.template_set('newsletter', 'News of the week', E'Dear {{name}},\n\nnothing happened.\n');
SELECT cron.schedule('newsletter', '0 6 * * 1', 'SELECT start_newsletter()');

-- The report as an attachment, once a day whatever happens: the key is the day's.
CREATE OR REPLACE FUNCTION mail_report(recipient text, on_day date DEFAULT current_date) RETURNS bigint
LANGUAGE sql AS $$
    SELECT mailer.enqueue(recipient, 'Mail report of ' || on_day, 'The report is attached; open it in a browser.',
                          attachments => ARRAY[mailer.attach('report.html', convert_to(mailer.report(), 'UTF8'), 'text/html; charset=utf-8')])
    WHERE NOT EXISTS (SELECT FROM mailer.message_status AS m WHERE m.recipient = mail_report.recipient AND m.subject = 'Mail report of ' || on_day)
$$;
SELECT cron.schedule('mailer: report', '0 7 * * *', $$SELECT mail_report('boss@example.com')$$);

SELECT jobid, schedule, command FROM cron.job ORDER BY jobid;
