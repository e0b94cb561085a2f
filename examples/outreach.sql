-- Outreach: three mails from twenty mailboxes to the leads of a table, in one thread each, until somebody answers.
--
-- Run it with psql in an empty database: psql -f examples/outreach.sql
-- The mailboxes are made up. Without mail servers, let the database keep what it would send:
-- ALTER DATABASE … SET mailer.delivery = 'capture', before. doc/sequences.md goes through such a campaign until its end.

\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS mailer;

-- Twenty accounts, each with a limit of its own that grows from 10 a day by 5 to 40, and two minutes between mails.
SELECT mailer.mailbox_create(format('sales%s', n), 'smtp.example.com', 465,
                             from_address => format('sales%s@example.com', n), from_name => (ARRAY['Anna', 'Ben', 'Chiara', 'Dmitri'])[n % 4 + 1],
                             daily_limit => 40, ramp_start => 10, ramp_step => 5, gap => '2 min', timezone => 'Europe/Warsaw',
                             is_default => false)
FROM generate_series(1, 20) n;
-- The signature is the mailbox's: templates place it with {{sender.signature}}.
SELECT mailer.mailbox_alter(format('sales%s', n), jsonb_build_object('signature_text', (ARRAY['Anna', 'Ben', 'Chiara', 'Dmitri'])[n % 4 + 1] || E'\nExample Ltd.'))
FROM generate_series(1, 20) n;
-- Real accounts have a password or OAuth2, and an inbox that is read for replies:
--   SELECT mailer.mailbox_set_password('sales1', '…');
--   SELECT mailer.mailbox_alter('sales1', '{"imap_host": "imap.example.com"}');

-- Where the link to unsubscribe leads: behind it calls mailer.unsubscribe(token). For all sessions: ALTER DATABASE … SET.
SET mailer.unsubscribe_url = 'https://www.example.com/unsubscribe?token={token}';

-- What they say. A follow-up whose subject is empty answers in the thread.
SELECT mailer.template_set('question',
    subject   => 'A question about {{company}}',
    body_text => E'Dear {{name}},\n\nwho looks after the invoices of {{company}}?\n\n{{sender.signature}}\n');
SELECT mailer.template_set('question, short',
    subject   => '{{company}} and its invoices',
    body_text => E'Dear {{name}},\n\nmay I show you something?\n\n{{sender.signature}}\n');
SELECT mailer.template_set('reminder', subject => '', body_text => E'Dear {{name}},\n\ndid my mail reach you?\n\n{{sender.signature}}\n');
SELECT mailer.template_set('goodbye',
    subject   => 'Before I go, {{name}}',
    body_text => E'Dear {{name}},\n\nthis is the last one.\n\n{{sender.signature}}\n');

-- The application's own table of people.
CREATE TABLE prospect (
    prospect_id bigint PRIMARY KEY,
    name        text NOT NULL,
    company     text NOT NULL,
    address     text NOT NULL,
    timezone    text
);
INSERT INTO prospect
SELECT n, 'Person ' || n, 'Company ' || n, format('person%s@company%s.example', n, n), CASE WHEN n % 5 = 0 THEN 'America/New_York' END
FROM generate_series(1, 500) n;

-- The campaign: on weekdays from nine to five on the lead's own clock, at most 60 new leads a day, not on holidays, and not to
-- anybody who got mail of another campaign within two weeks.
SELECT mailer.campaign_create('autumn', 'question',
    mailboxes       => ARRAY(SELECT format('sales%s', n) FROM generate_series(1, 20) n),
    window_start    => '09:00', window_end => '17:00', timezone => 'Europe/Warsaw', gap => '30 s',
    max_new_per_day => 60, cooldown => '14 days', skip_dates => '{2026-12-24,2026-12-25}',
    -- Replies come by mailer.ingest() here; with imap_host leave this out, and follow-ups wait for inboxes that were read.
    max_silence     => NULL) AS campaign_id \gset
SELECT mailer.campaign_step_set(:campaign_id, 2, 'reminder', '3 days', working_days => true);
SELECT mailer.campaign_step_set(:campaign_id, 3, 'goodbye', '7 days');
SELECT mailer.campaign_variant_set(:campaign_id, 1, 'long', 'question', 1);
SELECT mailer.campaign_variant_set(:campaign_id, 1, 'short', 'question, short', 1);

-- The import. Running it again adds nobody twice.
SELECT mailer.campaign_add_many(:campaign_id, array_agg(p.address ORDER BY p.prospect_id),
    array_agg(jsonb_build_object('name', p.name, 'company', p.company) ORDER BY p.prospect_id),
    external_ids => array_agg(p.prospect_id::text ORDER BY p.prospect_id), timezones => array_agg(p.timezone ORDER BY p.prospect_id))
FROM prospect AS p;

-- Before it starts: what somebody would get, and when everything would go if nobody answers, or if one in ten does.
SELECT * FROM mailer.campaign_preview(:campaign_id, 'person1@company1.example', 2);
SELECT step, count(*), min(slot_at), max(slot_at) FROM mailer.campaign_forecast(:campaign_id) GROUP BY step ORDER BY step;
SELECT count(*) AS mails, max(slot_at) AS finished FROM mailer.campaign_forecast(:campaign_id, '{"reply_rate": 0.1}');

SELECT mailer.campaign_start(:campaign_id);

-- A person wrote to somebody on the telephone: no mail to her any more. Another one asked to be written to in May.
SELECT mailer.lead_stop(:campaign_id, 'person2@company2.example', 'called us');
SELECT mailer.lead_hold(:campaign_id, 'person3@company3.example');
SELECT mailer.lead_update(:campaign_id, 'person3@company3.example', label => 'call in May');

-- The report: numbers of the campaign, by step and variant, by day, and what became of each lead.
SELECT state, total, pending, sent, replied, bounced, next_at, blocked_by FROM mailer.campaign_status(:campaign_id);
SELECT step, variant, total, sent, replied, bounced, unsubscribed FROM mailer.campaign_step_status ORDER BY step, variant;
SELECT day, new, follow_ups, replied, bounced FROM mailer.campaign_day_numbers ORDER BY day;
SELECT p.name, l.state, l.step, l.mailbox, l.variant, l.due_at, l.label, l.reason
FROM mailer.lead_status AS l JOIN prospect AS p ON p.prospect_id::text = l.external_id
WHERE l.state <> 'waiting' OR l.step > 1 ORDER BY p.prospect_id LIMIT 20;
