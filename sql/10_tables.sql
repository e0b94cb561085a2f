-- The tables. What an application writes (message, attachment, batch, campaign, mailbox, template, suppression …) and
-- what the engine alone writes (queue claims, outcome, attempt, *_state, *_day, tally) are kept apart, so that a user's
-- statement and the engine never wait for each other for longer than one short transaction.
--
-- Views are the reading interface (40_views.sql); no table is granted to anybody. States are "char" with a CHECK:
--   message:  p pending   s sending   S sent   f failed   c cancelled   u unconfirmed   (doc/states.md)
--   campaign: d draft     r running   p paused   c completed   x cancelled
-- Functions named by users (loader, send_if) are text: a regproc column would stop pg_upgrade.
-- There are no foreign keys on the hot path; verify() proves what they would (doc/decisions).

-- ── Control ────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE control (
    is_only_row  boolean PRIMARY KEY DEFAULT true,
    paused_at    timestamptz NOT NULL,
    paused_by    text NOT NULL,
    pause_reason text NOT NULL,
    CONSTRAINT "there is one row at most" CHECK (is_only_row)
);
COMMENT ON TABLE control IS 'Database-wide switch: a row is here iff mailer.pause() is in force';

CREATE TABLE arming (
    is_only_row       boolean PRIMARY KEY DEFAULT true,
    epoch             bigint NOT NULL,
    adopted           bigint[] NOT NULL,
    system_identifier bigint NOT NULL,
    database_oid      oid NOT NULL,
    control_inode     bigint NOT NULL,
    armed_at          timestamptz NOT NULL DEFAULT now(),
    armed_by          text NOT NULL DEFAULT session_user,
    CONSTRAINT "there is one row" CHECK (is_only_row),
    CONSTRAINT "the current epoch is adopted" CHECK (epoch = ANY (adopted))
);
COMMENT ON TABLE arming IS 'Clone guard: the epochs whose queue rows may be sent, bound to this very cluster and database. Never dumped: a restored or copied database is held until mailer.arm()';

-- ── Accounts that send ─────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE mailbox (
    mailbox_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    host            text NOT NULL,
    port            integer NOT NULL DEFAULT 587,
    tls             text NOT NULL DEFAULT 'starttls',
    username        text,
    auth            text NOT NULL DEFAULT 'password',
    password_file   text,
    ca_file         text,
    helo_name       text,
    from_address    text NOT NULL,
    from_name       text,
    daily_limit     integer,
    ramp_start      integer,
    ramp_step       integer,
    ramp_from       date,
    gap             interval NOT NULL DEFAULT '0',
    max_connections integer NOT NULL DEFAULT 1,
    max_per_connection integer NOT NULL DEFAULT 100,
    idle_seconds    integer NOT NULL DEFAULT 25,
    timezone        text NOT NULL,
    is_default      boolean NOT NULL,
    paused_at       timestamptz,
    pause_reason    text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    mended_at       timestamptz,
    CONSTRAINT "name is 1 to 200 characters" CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT "port is a TCP port" CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT "tls is starttls, implicit, opportunistic or none" CHECK (tls IN ('starttls', 'implicit', 'opportunistic', 'none')),
    CONSTRAINT "auth is password or xoauth2" CHECK (auth IN ('password', 'xoauth2')),
    CONSTRAINT "daily_limit is not negative" CHECK (daily_limit >= 0),
    CONSTRAINT "a ramp has a start, a step and a first day" CHECK (num_nulls(ramp_start, ramp_step, ramp_from) IN (0, 3)),
    CONSTRAINT "a ramp grows from a start above zero" CHECK (ramp_start > 0 AND ramp_step >= 0),
    CONSTRAINT "gap is not negative" CHECK (gap >= interval '0'),
    CONSTRAINT "max_connections is 1 to 1000" CHECK (max_connections BETWEEN 1 AND 1000),
    CONSTRAINT "max_per_connection is positive" CHECK (max_per_connection > 0),
    CONSTRAINT "idle_seconds is 0 to 300" CHECK (idle_seconds BETWEEN 0 AND 300),
    CONSTRAINT "a reason is there iff the mailbox is paused" CHECK ((paused_at IS NULL) = (pause_reason IS NULL))
);
COMMENT ON TABLE mailbox IS 'An SMTP account that mail is sent from, with its limits. Settings only: what the engine counts is in mailbox_state and mailbox_day';
COMMENT ON COLUMN mailbox.mended_at IS 'When somebody last changed settings or password, or resumed it: a circuit breaker that opened before is closed by the engine';
COMMENT ON COLUMN mailbox.gap IS 'Least time between the final reply to one mail and the start of the next from this mailbox';
COMMENT ON COLUMN mailbox.daily_limit IS 'Most messages in one calendar day of timezone, warm-up and campaign mails included; NULL is no limit';
COMMENT ON COLUMN mailbox.ramp_from IS 'First local day of the ramp: day n''s limit is least(daily_limit, ramp_start + n × ramp_step), n = 0 on this day';
COMMENT ON COLUMN mailbox.tls IS 'starttls, implicit (port 465), opportunistic (used when offered) or none; the first two verify the certificate, against ca_file where set';
COMMENT ON COLUMN mailbox.auth IS 'What the secret is: a password, or an OAuth2 token (xoauth2)';
COMMENT ON COLUMN mailbox.password_file IS 'File on the server that holds the secret; NULL takes mailbox_secret';
COMMENT ON COLUMN mailbox.max_per_connection IS 'Mails after which a connection is closed and opened anew';
COMMENT ON COLUMN mailbox.idle_seconds IS 'How long an idle connection is kept';

CREATE TABLE mailbox_secret (
    mailbox_id bigint PRIMARY KEY,
    password   text NOT NULL,
    set_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE mailbox_secret IS 'SMTP passwords and OAuth2 tokens. Read by the engine alone; never dumped, never shown';

CREATE TABLE mailbox_state (
    mailbox_id       bigint PRIMARY KEY,
    next_at          timestamptz,
    last_used_at     timestamptz,
    breaker_failures integer NOT NULL DEFAULT 0,
    breaker_until    timestamptz,
    breaker_since    timestamptz,
    breaker_reason   text,
    CONSTRAINT "breaker_failures is not negative" CHECK (breaker_failures >= 0),
    CONSTRAINT "an open breaker has a reason" CHECK ((breaker_until IS NULL) = (breaker_reason IS NULL))
);
COMMENT ON TABLE mailbox_state IS 'What the engine remembers of a mailbox: earliest next mail (gap), last use, circuit breaker';

CREATE TABLE mailbox_day (
    mailbox_id bigint NOT NULL,
    day        date NOT NULL,
    used       integer NOT NULL,
    warmup     integer NOT NULL DEFAULT 0,
    day_limit  integer,
    PRIMARY KEY (mailbox_id, day),
    CONSTRAINT "used is at most the day's limit" CHECK (used <= day_limit),
    CONSTRAINT "used is not negative" CHECK (used >= 0),
    CONSTRAINT "warm-up mails count among the used" CHECK (warmup BETWEEN 0 AND used)
);
COMMENT ON TABLE mailbox_day IS 'Messages reserved for a mailbox on one of its local days: counted with the claim, given back when nothing was sent';

-- ── Templates ──────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE template (
    name       text PRIMARY KEY,
    subject    text NOT NULL,
    body_text  text,
    body_html  text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL DEFAULT session_user,
    CONSTRAINT "name is 1 to 200 characters" CHECK (length(name) BETWEEN 1 AND 200)
);
COMMENT ON TABLE template IS 'Mustache templates by name; rendered when a mail is sent';

-- ── Lanes: everything that waits, waits in one ─────────────────────────────────────────────────────────────────────

CREATE TABLE lane (
    lane_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        "char" NOT NULL,
    campaign_id bigint UNIQUE,
    batch_id    bigint UNIQUE,
    pool        bigint[],
    pool_key    text UNIQUE,
    gap         interval NOT NULL DEFAULT '0',
    CONSTRAINT "kind is c campaign, b batch or s stream" CHECK (kind IN ('c', 'b', 's')),
    CONSTRAINT "a campaign's lane names its campaign" CHECK ((kind = 'c') = (campaign_id IS NOT NULL)),
    CONSTRAINT "a batch's lane names its batch" CHECK ((kind = 'b') = (batch_id IS NOT NULL)),
    CONSTRAINT "a stream is known by its pool" CHECK ((kind = 's') = (pool_key IS NOT NULL)),
    CONSTRAINT "a pool names at least one mailbox" CHECK (cardinality(pool) > 0)
);
COMMENT ON TABLE lane IS 'A line in which messages wait: one per campaign, per gapped batch, and per pool of mailboxes for all other mail';
COMMENT ON COLUMN lane.pool IS 'Mailboxes that serve the lane; NULL is the default pool (every mailbox with is_default)';
COMMENT ON COLUMN lane.pool_key IS 'Of a stream: ''default'', or the sorted mailbox ids joined by commas';

CREATE TABLE lane_state (
    lane_id      bigint PRIMARY KEY,
    next_at      timestamptz,
    gap_from     timestamptz,
    next_ordinal bigint NOT NULL DEFAULT 1,
    plan_key     bigint,
    CONSTRAINT "ordinals count from 1" CHECK (next_ordinal > 0)
);
COMMENT ON TABLE lane_state IS 'Of a campaign: its stored next slot (next_at), what the gap was counted from, the slot''s ordinal and which settings it was placed by (plan_key); of a gapped batch: the earliest next mail';

-- ── Messages ───────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TYPE attachment AS (filename text, content bytea, content_type text, content_id text);
COMMENT ON TYPE attachment IS 'A file to send along; made by mailer.attach(). With a content_id it is an inline image';

CREATE SEQUENCE message_id_seq AS bigint;
COMMENT ON SEQUENCE message_id_seq IS 'Message ids';

CREATE TABLE message (
    message_id        bigint PRIMARY KEY DEFAULT nextval('message_id_seq'),
    created_at        timestamptz NOT NULL DEFAULT now(),
    queued_by         text NOT NULL,
    lane_id           bigint NOT NULL,
    campaign_id       bigint,
    batch_id          bigint,
    kind              "char" NOT NULL DEFAULT 'n',
    addresses         text[] NOT NULL,
    roles             text NOT NULL,
    address_key       text COLLATE "C" NOT NULL,
    header_to         text NOT NULL,
    header_cc         text,
    reply_to          text,
    internet_message_id text NOT NULL,
    subject           text,
    body_text         text,
    body_html         text,
    template          text,
    variables         jsonb,
    headers           jsonb,
    attachments_of    bigint,
    send_at           timestamptz,
    expires_at        timestamptz,
    idempotency_key   text,
    content_hash      bytea,
    external_id       text,
    thread_key        text,
    loader            text,
    send_if           text,
    category          text,
    purged_at         timestamptz,
    CONSTRAINT "kind is n normal or w warm-up" CHECK (kind IN ('n', 'w')),
    CONSTRAINT "there are 1 to 100 recipients" CHECK (cardinality(addresses) BETWEEN 1 AND 100),
    CONSTRAINT "every address has a role: t to, c cc, b bcc" CHECK (length(roles) = cardinality(addresses) AND roles ~ '^[tcb]+$'),
    CONSTRAINT "a key has the hash of what it stands for" CHECK ((idempotency_key IS NULL) = (content_hash IS NULL)),
    CONSTRAINT "a message is of a campaign or of a batch, not of both" CHECK (campaign_id IS NULL OR batch_id IS NULL)
);
ALTER SEQUENCE message_id_seq OWNED BY message.message_id;
CREATE UNIQUE INDEX message_idempotency_key ON message (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX "a lead gets a campaign's mail once" ON message (campaign_id, address_key) WHERE campaign_id IS NOT NULL;
CREATE INDEX message_batch ON message (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX message_external_id ON message (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX message_thread ON message (thread_key, address_key, message_id) WHERE thread_key IS NOT NULL;
COMMENT ON TABLE message IS 'What was asked for: one row a message, written once by enqueue; content is cleared by purge(), the rest is the ledger of who was to get what';
COMMENT ON COLUMN message.queued_by IS 'Role that queued; loader and send_if run as this role';
COMMENT ON COLUMN message.addresses IS 'Envelope recipients (RFC 5321 Mailbox, A-label domain), in order; roles has one letter for each';
COMMENT ON COLUMN message.address_key IS 'Identity of the first recipient (mailer._address_key), for uniqueness and suppression; compared by octets, whatever the locale';
COMMENT ON COLUMN message.internet_message_id IS 'The Message-ID header: stable over retries, restarts and mailboxes';
COMMENT ON COLUMN message.attachments_of IS 'Message whose rows in message_attachment go along (a batch stores its attachments once); NULL is none';
COMMENT ON COLUMN message.category IS 'Notification category, when mailer.notify() made the mail: scopes unsubscribing';
COMMENT ON COLUMN message.content_hash IS 'What idempotency_key stands for: the same key with another hash is an error';
COMMENT ON COLUMN message.loader IS 'Function, by qualified name, that gives the variables when the mail is about to go; send_if says whether it is to go at all';

CREATE TABLE message_attachment (
    message_id   bigint NOT NULL,
    n            integer NOT NULL,
    filename     text NOT NULL,
    content_type text,
    content_id   text,
    content      bytea NOT NULL,
    PRIMARY KEY (message_id, n)
);
ALTER TABLE message_attachment ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON TABLE message_attachment IS 'Attachments and inline images, kept uncompressed (they rarely compress) and apart from the message row';

CREATE TABLE queue_entry (
    message_id    bigint PRIMARY KEY,
    lane_id       bigint NOT NULL,
    priority      smallint NOT NULL,
    due_at        timestamptz NOT NULL,
    expires_at    timestamptz,
    epoch         bigint NOT NULL,
    state         "char" NOT NULL DEFAULT 'p',
    attempt_count smallint NOT NULL DEFAULT 0,
    try_count     integer NOT NULL DEFAULT 0,
    crash_count   smallint NOT NULL DEFAULT 0,
    token         bigint,
    mailbox_id    bigint,
    claimed_at    timestamptz,
    reserved_day  date,
    campaign_day  date,
    age_from      timestamptz,
    CONSTRAINT "state is p pending or s sending" CHECK (state IN ('p', 's')),
    CONSTRAINT "priority is 0 to 4" CHECK (priority BETWEEN 0 AND 4),
    CONSTRAINT "counts are not negative" CHECK (attempt_count >= 0 AND try_count >= attempt_count AND crash_count >= 0),
    CONSTRAINT "a row is claimed iff it has a token, a mailbox, a time and a reserved day" CHECK (
        (state = 's') = (token IS NOT NULL) AND (token IS NULL) = (mailbox_id IS NULL)
        AND (token IS NULL) = (claimed_at IS NULL) AND (token IS NULL) = (reserved_day IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.2);
CREATE INDEX queue_entry_ready ON queue_entry (lane_id, priority, due_at, message_id) WHERE state = 'p';
CREATE INDEX queue_entry_claimed ON queue_entry (lane_id, message_id) WHERE state = 's';
CREATE INDEX queue_entry_expiry ON queue_entry (expires_at) WHERE state = 'p' AND expires_at IS NOT NULL;
COMMENT ON TABLE queue_entry IS 'The hot table: one narrow row a message that is pending or sending, gone when it is settled';
COMMENT ON COLUMN queue_entry.attempt_count IS 'Attempts consumed: tries that the recipient''s server refused for now';
COMMENT ON COLUMN queue_entry.priority IS '4 goes first, within its lane';
COMMENT ON COLUMN queue_entry.epoch IS 'The arming epoch under which it was queued: rows of an epoch that nobody adopted are not sent';
COMMENT ON COLUMN queue_entry.crash_count IS 'How often a sender died while it held the message';
COMMENT ON COLUMN queue_entry.try_count IS 'Tries logged in attempt, those that consumed no attempt included';
COMMENT ON COLUMN queue_entry.token IS 'Drawn at the claim; a settle with another token changes nothing (a stale owner can''t write)';
COMMENT ON COLUMN queue_entry.reserved_day IS 'Day of mailbox_day that the claim counted on, to be given back when nothing was sent';
COMMENT ON COLUMN queue_entry.age_from IS 'Of a message that was queued again: since then mailer.max_age counts; NULL: since it was first due';
COMMENT ON COLUMN queue_entry.campaign_day IS 'Day of campaign_day that the claim counted on';

CREATE SEQUENCE event_id_seq AS bigint;
COMMENT ON SEQUENCE event_id_seq IS 'One order over outcome and event: the ids of event_log';

CREATE TABLE outcome (
    message_id    bigint PRIMARY KEY,
    event_id      bigint NOT NULL DEFAULT nextval('event_id_seq') UNIQUE,
    state         "char" NOT NULL,
    reason        text,
    settled_at    timestamptz NOT NULL,
    mailbox_id    bigint,
    attempt_count smallint NOT NULL DEFAULT 0,
    try_count     integer NOT NULL DEFAULT 0,
    code          smallint,
    enhanced_code text,
    reply         text,
    settled_by    text,
    CONSTRAINT "state is S sent, f failed, c cancelled or u unconfirmed" CHECK (state IN ('S', 'f', 'c', 'u')),
    CONSTRAINT "what was not simply sent has a reason" CHECK (state = 'S' OR reason IS NOT NULL)
);
CREATE INDEX outcome_time ON outcome USING brin (settled_at) WITH (autosummarize = on);
CREATE INDEX outcome_unconfirmed ON outcome (settled_at) WHERE state = 'u';
COMMENT ON TABLE outcome IS 'The final state of a message, one row; a row here and one in queue_entry exclude each other';
COMMENT ON COLUMN outcome.settled_by IS 'Role that settled it by a statement; NULL: the engine did';

CREATE TABLE recipient (
    message_id    bigint NOT NULL,
    n             integer NOT NULL,
    state         "char" NOT NULL,
    code          smallint,
    enhanced_code text,
    reply         text,
    PRIMARY KEY (message_id, n),
    CONSTRAINT "state is p pending, S sent, f failed, c cancelled or u unconfirmed" CHECK (state IN ('p', 'S', 'f', 'c', 'u'))
);
COMMENT ON TABLE recipient IS 'State of one recipient (n counts from 1 in message.addresses) where it can differ from the message''s: written only for messages with several, after the first try';

CREATE TABLE attempt (
    message_id    bigint NOT NULL,
    attempt       integer NOT NULL,
    mailbox_id    bigint,
    started_at    timestamptz NOT NULL,
    dot_at        timestamptz,
    finished_at   timestamptz NOT NULL,
    stage         text NOT NULL,
    code          smallint,
    enhanced_code text,
    reply         text,
    outcome       text NOT NULL,
    PRIMARY KEY (message_id, attempt)
);
CREATE INDEX attempt_time ON attempt USING brin (finished_at) WITH (autosummarize = on);
CREATE INDEX attempt_unprepared ON attempt (finished_at) WHERE stage = 'prepare';
COMMENT ON TABLE attempt IS 'Append-only log: one row a try, with the mail server''s words and the times';
COMMENT ON COLUMN attempt.dot_at IS 'When the final dot left; NULL: it never did, so nothing can have been taken';

CREATE TABLE event (
    event_id    bigint PRIMARY KEY DEFAULT nextval('event_id_seq'),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind        text NOT NULL,
    message_id  bigint,
    batch_id    bigint,
    campaign_id bigint,
    mailbox_id  bigint,
    by_role     text,
    detail      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX event_time ON event USING brin (at) WITH (autosummarize = on);
COMMENT ON TABLE event IS 'Everything that changed and is not a message''s outcome: campaigns, mailboxes, switches, trigger failures, engine trouble';

-- ── Batches and campaigns ──────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE batch_entry (
    batch_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane_id    bigint NOT NULL,
    label      text,
    gap        interval NOT NULL DEFAULT '0',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    CONSTRAINT "gap is not negative" CHECK (gap >= interval '0')
);
CREATE INDEX batch_entry_time ON batch_entry USING brin (created_at) WITH (autosummarize = on);
CREATE INDEX batch_entry_label ON batch_entry (label) WHERE label IS NOT NULL;
COMMENT ON TABLE batch_entry IS 'Several messages about one event: one result each and one summary';

CREATE TABLE campaign (
    campaign_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane_id      bigint NOT NULL UNIQUE,
    name         text NOT NULL UNIQUE,
    template     text NOT NULL,
    window_start time NOT NULL,
    window_end   time NOT NULL,
    allowed_days integer NOT NULL,
    gap          interval NOT NULL,
    jitter       numeric NOT NULL,
    max_per_day  integer,
    timezone     text NOT NULL,
    starts_at    timestamptz,
    reply_to     text,
    headers      jsonb NOT NULL DEFAULT '{}',
    state        "char" NOT NULL DEFAULT 'd',
    state_reason text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL DEFAULT session_user,
    started_at   timestamptz,
    completed_at timestamptz,
    CONSTRAINT "state is d draft, r running, p paused, c completed or x cancelled" CHECK (state IN ('d', 'r', 'p', 'c', 'x')),
    CONSTRAINT "allowed_days is a non-empty set of weekdays, bit 0 Monday" CHECK (allowed_days BETWEEN 1 AND 127),
    CONSTRAINT "gap is not negative" CHECK (gap >= interval '0'),
    CONSTRAINT "jitter is at least 0 and below 1" CHECK (jitter >= 0 AND jitter < 1),
    CONSTRAINT "max_per_day is positive" CHECK (max_per_day > 0),
    CONSTRAINT "the window is to the minute" CHECK (extract(second FROM window_start) = 0 AND extract(second FROM window_end) = 0),
    CONSTRAINT "completed_at is there iff completed" CHECK ((state = 'c') = (completed_at IS NOT NULL))
);
COMMENT ON TABLE campaign IS 'The same template to many leads at a pace: window, weekdays, gap, caps and time zone. Its mailboxes are its lane''s pool';
COMMENT ON COLUMN campaign.window_end IS 'End of the local window; at or before window_start it is on the next day, and still of the day on which the window starts';
COMMENT ON COLUMN campaign.allowed_days IS 'Weekdays on which a window may start, as bits: Monday is bit 0';
COMMENT ON COLUMN campaign.jitter IS 'Part of the gap by which each slot is moved at most, either way';
COMMENT ON COLUMN campaign.max_per_day IS 'Most mails a day of the window; NULL is no limit';

CREATE TABLE campaign_day (
    campaign_id bigint NOT NULL,
    day         date NOT NULL,
    used        integer NOT NULL,
    day_limit   integer,
    PRIMARY KEY (campaign_id, day),
    CONSTRAINT "used is at most the day's limit" CHECK (used <= day_limit),
    CONSTRAINT "used is not negative" CHECK (used >= 0)
);
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
    created_by  text NOT NULL DEFAULT session_user,
    PRIMARY KEY (address_key, scope),
    CONSTRAINT "scope is all, bulk, category:NAME or campaign:ID" CHECK (scope ~ '^(all|bulk|category:.+|campaign:[0-9]+)$')
);
COMMENT ON TABLE suppression IS 'Addresses that get no mail, or none of a scope; checked when a mail is about to go';

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
    FOREACH t IN ARRAY ARRAY['control', 'mailbox', 'mailbox_state', 'mailbox_day', 'template', 'lane', 'lane_state', 'message',
        'message_attachment', 'queue_entry', 'outcome', 'recipient', 'attempt', 'event', 'batch_entry', 'campaign', 'campaign_day',
        'missed_slot_log', 'suppression', 'captured_mail', 'message_id_seq', 'event_id_seq', 'mailbox_mailbox_id_seq',
        'lane_lane_id_seq', 'batch_entry_batch_id_seq', 'campaign_campaign_id_seq']
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump('mailer.' || t, CASE t
            WHEN 'lane' THEN 'WHERE lane_id <> 1'       -- the default stream is made by the script
            ELSE '' END);
    END LOOP;
END $$;

-- Lane 1 is the default stream: mail that names no mailbox.
INSERT INTO lane (kind, pool_key) VALUES ('s', 'default');
