-- Batches, campaigns, suppressions, captured mail and counts.

-- ── Batches and campaigns ──────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE batch_entry (
    batch_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane_id    bigint NOT NULL,
    tenant_id    bigint NOT NULL,
    principal_id bigint NOT NULL,
    label      text,
    gap        interval NOT NULL DEFAULT '0',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "gap is 0 to 100 years" CHECK (extract(epoch FROM gap) BETWEEN 0 AND 3155760000)
);
CREATE INDEX batch_entry_time ON batch_entry USING brin (created_at) WITH (autosummarize = on);
CREATE INDEX batch_entry_label ON batch_entry (label) WHERE label IS NOT NULL;
COMMENT ON TABLE batch_entry IS 'Several messages about one event: one result each and one summary';

CREATE TABLE campaign (
    campaign_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane_id      bigint NOT NULL UNIQUE,
    name         text NOT NULL,
    list         text,
    template     text NOT NULL,
    window_start time NOT NULL,
    window_end   time NOT NULL,
    allowed_days integer NOT NULL,
    gap          interval NOT NULL,
    jitter       numeric NOT NULL,
    max_per_day  integer,
    timezone     text NOT NULL,
    starts_at    timestamptz,
    ends_at      timestamptz,
    skip_dates   date[] NOT NULL DEFAULT '{}',
    cooldown     interval,
    max_new_per_day integer,
    prefer       text NOT NULL DEFAULT 'follow_ups',
    max_silence  interval DEFAULT '10 min',
    auto_reply_delay interval DEFAULT '7 days',
    stop_on      text[] NOT NULL DEFAULT '{reply,bounce,complaint,unsubscribe}',
    reply_to     text,
    headers      jsonb NOT NULL DEFAULT '{}',
    state        "char" NOT NULL DEFAULT 'd',
    state_reason text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL,
    started_at   timestamptz,
    completed_at timestamptz,
    CONSTRAINT "state is d draft, r running, p paused, c completed or x cancelled" CHECK (state IN ('d', 'r', 'p', 'c', 'x')),
    CONSTRAINT "allowed_days is a non-empty set of weekdays, bit 0 Monday" CHECK (allowed_days BETWEEN 1 AND 127),
    CONSTRAINT "gap is 0 to 100 years" CHECK (extract(epoch FROM gap) BETWEEN 0 AND 3155760000),
    CONSTRAINT "jitter is 0 to 0.9" CHECK (jitter >= 0 AND jitter <= 0.9),
    CONSTRAINT "starts_at is a time from 1970 to 9999" CHECK (starts_at >= '1970-01-01 00:00:00+00' AND starts_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT "name is 1 to 200 characters" CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT "list is 1 to 200 characters" CHECK (length(list) BETWEEN 1 AND 200),
    CONSTRAINT "max_per_day is positive" CHECK (max_per_day > 0),
    CONSTRAINT "max_new_per_day is not negative" CHECK (max_new_per_day >= 0),
    CONSTRAINT "prefer is follow_ups or new" CHECK (prefer IN ('follow_ups', 'new')),
    CONSTRAINT "cooldown is more than 0 and at most 100 years" CHECK (extract(epoch FROM cooldown) > 0 AND extract(epoch FROM cooldown) <= 3155760000),
    CONSTRAINT "max_silence is more than 0 and at most 100 years" CHECK (extract(epoch FROM max_silence) > 0 AND extract(epoch FROM max_silence) <= 3155760000),
    CONSTRAINT "auto_reply_delay is 0 to 100 years" CHECK (extract(epoch FROM auto_reply_delay) BETWEEN 0 AND 3155760000),
    CONSTRAINT "ends_at is a time from 1970 to 9999" CHECK (ends_at >= '1970-01-01 00:00:00+00' AND ends_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT "stop_on names reply, bounce, complaint, unsubscribe" CHECK (stop_on <@ '{reply,bounce,complaint,unsubscribe}'),
    CONSTRAINT "there are at most 1000 skip_dates" CHECK (cardinality(skip_dates) <= 1000),
    CONSTRAINT "the window is to the minute" CHECK (extract(second FROM window_start) = 0 AND extract(second FROM window_end) = 0),
    CONSTRAINT "completed_at is there iff completed" CHECK ((state = 'c') = (completed_at IS NOT NULL))
);
CREATE UNIQUE INDEX "a campaign's name is its own until it is cancelled" ON campaign (name) WHERE state <> 'x';
COMMENT ON TABLE campaign IS 'The same template to many leads at a pace: window, weekdays, gap, caps and time zone. Its mailboxes are its lane''s pool';
COMMENT ON COLUMN campaign.list IS 'The mailing list that its leads are on: what their links unsubscribe from. NULL: from all campaigns';
COMMENT ON COLUMN campaign.window_end IS 'End of the local window; at or before window_start it is on the next day, and still of the day on which the window starts';
COMMENT ON COLUMN campaign.allowed_days IS 'Weekdays on which a window may start, as bits: Monday is bit 0';
COMMENT ON COLUMN campaign.jitter IS 'Part of the gap by which each slot is moved at most, either way';
COMMENT ON COLUMN campaign.ends_at IS 'No mail goes from then on; what is left is cancelled (campaign_ended)';
COMMENT ON COLUMN campaign.skip_dates IS 'Local dates on which no window starts: holidays';
COMMENT ON COLUMN campaign.cooldown IS 'An address that got mail of another campaign waits for this long after it';
COMMENT ON COLUMN campaign.max_new_per_day IS 'Most first mails a day of the window; 0: none';
COMMENT ON COLUMN campaign.prefer IS 'What goes first at a slot: follow_ups or new';
COMMENT ON COLUMN campaign.max_silence IS 'A follow-up goes only when its mailbox''s inbox was read to the end within this; NULL: feedback comes another way';
COMMENT ON COLUMN campaign.auto_reply_delay IS 'How long a lead''s follow-ups wait after an automatic answer';
COMMENT ON COLUMN campaign.stop_on IS 'What ends a lead''s sequence';
COMMENT ON COLUMN campaign.max_per_day IS 'Most mails a day of the window; NULL is no limit';

CREATE TABLE campaign_day (
    campaign_id bigint NOT NULL,
    day         date NOT NULL,
    used        integer NOT NULL,
    new_used    integer NOT NULL DEFAULT 0,
    day_limit   integer,
    PRIMARY KEY (campaign_id, day),
    CONSTRAINT "used is at most the day's limit" CHECK (used <= day_limit),
    CONSTRAINT "used is not negative" CHECK (used >= 0)
);
COMMENT ON COLUMN campaign_day.new_used IS 'How many of them were first mails';
COMMENT ON TABLE campaign_day IS 'Messages reserved by a campaign on one of its days (a window past midnight belongs to the day it starts on)';

CREATE TABLE missed_slot_log (
    campaign_id bigint NOT NULL,
    from_at     timestamptz NOT NULL,
    to_at       timestamptz NOT NULL,
    slot_count  bigint NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (campaign_id, from_at),
    CONSTRAINT "an interval has slots and runs forward" CHECK (slot_count > 0 AND from_at <= to_at)
);
COMMENT ON TABLE missed_slot_log IS 'Slots that passed unused, by interval and reason; they are never made up for';

-- ── Suppression, capture, counts ───────────────────────────────────────────────────────────────────────────────────

CREATE TABLE suppression (
    address_key text COLLATE "C" NOT NULL,
    scope       text NOT NULL DEFAULT 'all',
    address     text NOT NULL,
    reason      text,
    expires_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text NOT NULL,
    tenant_id   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (address_key, scope, tenant_id),
    CONSTRAINT "expires_at is a time from 1970 to 9999" CHECK (expires_at >= '1970-01-01 00:00:00+00' AND expires_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT "scope is all, bulk, campaigns, list:NAME, category:NAME or campaign:ID"
        CHECK (scope ~ '^(all|bulk|campaigns|list:.+|category:.+|campaign:[0-9]+)$')
);
COMMENT ON TABLE suppression IS 'Addresses that get no mail, or none of a scope; checked when a mail is about to go';
COMMENT ON COLUMN suppression.tenant_id IS 'Whose mail it stops: that of the tenant whose mail was refused, bounced or unsubscribed; 0 is everybody''s, which only operators say';

CREATE TABLE signing_key (
    is_only_row boolean PRIMARY KEY DEFAULT true,
    key         bytea NOT NULL,
    CONSTRAINT "there is one row" CHECK (is_only_row)
);
COMMENT ON TABLE signing_key IS 'Key of unsubscribe tokens; kept like a password';

CREATE TABLE captured_mail (
    message_id    bigint NOT NULL,
    attempt       integer NOT NULL,
    captured_at   timestamptz NOT NULL,
    mailbox_id    bigint NOT NULL,
    envelope_from text NOT NULL,
    envelope_to   text[] NOT NULL,
    source        bytea NOT NULL,
    PRIMARY KEY (message_id, attempt)
);
COMMENT ON TABLE captured_mail IS 'Mails that mailer.delivery = capture kept here instead of sending them';

CREATE TABLE tally (
    scope       "char" NOT NULL,
    id          bigint NOT NULL,
    queued      bigint NOT NULL DEFAULT 0,
    sent        bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0,
    cancelled   bigint NOT NULL DEFAULT 0,
    unconfirmed bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, id),
    CONSTRAINT "scope is a all, c campaign or b batch" CHECK (scope IN ('a', 'c', 'b'))
);
COMMENT ON TABLE tally IS 'Counts by state for the database (scope a, id 0), each campaign and each batch, folded from tally_delta by the engine. Not dumped: recounted when the row of scope a is missing';

CREATE TABLE tally_delta (
    campaign_id bigint,
    batch_id    bigint,
    queued      bigint NOT NULL DEFAULT 0,
    sent        bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0,
    cancelled   bigint NOT NULL DEFAULT 0,
    unconfirmed bigint NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE tally_delta IS 'Changes of the counts that are not yet folded into tally: one row a statement. A delta counts for the database and for its campaign or batch';
COMMENT ON COLUMN tally.queued IS 'Messages in queue_entry now, pending or sending: settling is queued - 1 and another + 1, so the five add up to all there are';
COMMENT ON COLUMN tally_delta.queued IS 'Change of the messages in queue_entry, pending or sending';

-- What a dump carries: every row that users made or that history is. Not: secrets, arming, tally.
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['control', 'mailbox', 'mailbox_state', 'mailbox_day', 'template', 'template_attachment', 'template_history', 'lane', 'lane_state', 'message',
        'message_attachment', 'queue_entry', 'outcome', 'recipient', 'attempt', 'event', 'batch_entry', 'campaign', 'campaign_day',
        'missed_slot_log', 'suppression', 'captured_mail', 'message_id_seq', 'event_id_seq', 'mailbox_mailbox_id_seq',
        'lane_lane_id_seq', 'batch_entry_batch_id_seq', 'campaign_campaign_id_seq', 'template_history_history_id_seq']
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump('mailer.' || t, CASE t
            WHEN 'lane' THEN 'WHERE lane_id <> 1'       -- the default stream is made by the script
            ELSE '' END);
    END LOOP;
END $$;

-- Lane 1 is the default stream: mail that names no mailbox.
INSERT INTO lane (kind, pool_key) VALUES ('s', 'default');
