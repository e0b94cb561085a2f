-- Lanes, messages and what becomes of them.

-- ── Lanes: everything that waits, waits in one ─────────────────────────────────────────────────────────────────────

CREATE TABLE lane (
    lane_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        "char" NOT NULL,
    tenant_id   bigint NOT NULL DEFAULT 1,
    campaign_id bigint,
    is_follow_up boolean NOT NULL DEFAULT false,
    mailbox_id  bigint,
    timezone    text,
    batch_id    bigint UNIQUE,
    pool        bigint[],
    pool_key    text,
    gap         interval NOT NULL DEFAULT '0',
    CONSTRAINT "kind is c campaign, b batch or s stream" CHECK (kind IN ('c', 'b', 's')),
    CONSTRAINT "a campaign's lane names its campaign" CHECK ((kind = 'c') = (campaign_id IS NOT NULL)),
    CONSTRAINT "a batch's lane names its batch" CHECK ((kind = 'b') = (batch_id IS NOT NULL)),
    CONSTRAINT "a stream is known by its pool" CHECK ((kind = 's') = (pool_key IS NOT NULL)),
    CONSTRAINT "a tenant has one stream for a pool" UNIQUE (tenant_id, pool_key),
    CONSTRAINT "gap is 0 to 100 years" CHECK (extract(epoch FROM gap) BETWEEN 0 AND 3155760000),
    CONSTRAINT "a pool names at least one mailbox" CHECK (cardinality(pool) > 0)
);
COMMENT ON TABLE lane IS 'A line in which messages wait: one or several per campaign, one per gapped batch, and one per tenant and pool of mailboxes for all other mail';
COMMENT ON COLUMN lane.tenant_id IS 'Whose mail waits in it; campaigns are the operators'' (1)';
COMMENT ON COLUMN lane.is_follow_up IS 'It holds the later steps of a campaign, which go from the mailbox of the first';
COMMENT ON COLUMN lane.mailbox_id IS 'Of a campaign: the one mailbox that its mail goes from; NULL in the main lane, whose pool serves it';
COMMENT ON COLUMN lane.timezone IS 'Of a campaign: the clock of its leads, by which the window is read; NULL: the campaign''s own';
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

-- A parameter with one JSON object for each recipient: whatever a driver makes of such a list. Stored nowhere.
CREATE TYPE json_list;
CREATE FUNCTION _json_list_in(cstring) RETURNS json_list LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_json_list_in';
CREATE FUNCTION _json_list_out(json_list) RETURNS cstring LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_json_list_out';
CREATE TYPE json_list (INPUT = _json_list_in, OUTPUT = _json_list_out, LIKE = jsonb[], STORAGE = extended);
COMMENT ON TYPE json_list IS 'One JSON value for each recipient: a jsonb[], a text[] of JSON, a JSON array, or either of them as a text without a type';
COMMENT ON FUNCTION _json_list_in(cstring) IS 'Reads a json_list: an array as SQL writes it, or a JSON array';
COMMENT ON FUNCTION _json_list_out(json_list) IS 'Writes a json_list as an array of jsonb';
CREATE FUNCTION _json_list(jsonb) RETURNS json_list LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_json_list_of_jsonb';
COMMENT ON FUNCTION _json_list(jsonb) IS 'A JSON array as a json_list; error 22023 for anything else';
-- The same octets: PostgreSQL wants functions where one of the types is an array.
CREATE FUNCTION _json_list(jsonb[]) RETURNS json_list LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_json_list_as_it_is';
COMMENT ON FUNCTION _json_list(jsonb[]) IS 'An array as a json_list';
CREATE FUNCTION _json_array(json_list) RETURNS jsonb[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_json_list_as_it_is';
COMMENT ON FUNCTION _json_array(json_list) IS 'A json_list as an array';
CREATE CAST (jsonb[] AS json_list) WITH FUNCTION _json_list(jsonb[]) AS IMPLICIT;
CREATE CAST (json_list AS jsonb[]) WITH FUNCTION _json_array(json_list) AS ASSIGNMENT;
CREATE CAST (jsonb AS json_list) WITH FUNCTION _json_list(jsonb) AS IMPLICIT;
CREATE FUNCTION _json_list(text[]) RETURNS json_list LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT $1::jsonb[]::mailer.json_list';
COMMENT ON FUNCTION _json_list(text[]) IS 'Texts that are JSON as a json_list';
CREATE CAST (text[] AS json_list) WITH FUNCTION _json_list(text[]) AS IMPLICIT;

CREATE TYPE attachment AS (filename text, content bytea, content_type text, content_id text, is_alternative boolean);
COMMENT ON TYPE attachment IS 'A file to attach; created by mailer.attach(). With a content_id it is an inline image, with is_alternative an alternative form of the body';

CREATE SEQUENCE message_id_seq AS bigint;
COMMENT ON SEQUENCE message_id_seq IS 'Message ids';

CREATE TABLE message (
    message_id        bigint PRIMARY KEY DEFAULT nextval('message_id_seq'),
    created_at        timestamptz NOT NULL DEFAULT now(),
    tenant_id         bigint NOT NULL,
    principal_id      bigint NOT NULL,
    lane_id           bigint NOT NULL,
    campaign_id       bigint,
    step_id           bigint NOT NULL DEFAULT 0,
    variant           text,
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
    options           jsonb,
    is_raw            boolean,
    loaded_variables  jsonb,
    purged_at         timestamptz,
    CONSTRAINT "kind is n normal or w warm-up" CHECK (kind IN ('n', 'w')),
    CONSTRAINT "send_at is a time from 1970 to 9999" CHECK (send_at >= '1970-01-01 00:00:00+00' AND send_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT "expires_at is a time from 1970 to 9999" CHECK (expires_at >= '1970-01-01 00:00:00+00' AND expires_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT "subject is at most 64 kB" CHECK (octet_length(subject) <= 65536),
    CONSTRAINT "there are 1 to 100 recipients" CHECK (cardinality(addresses) BETWEEN 1 AND 100),
    CONSTRAINT "every address has a role: t to, c cc, b bcc" CHECK (length(roles) = cardinality(addresses) AND roles ~ '^[tcb]+$'),
    CONSTRAINT "a key has the hash of what it stands for" CHECK ((idempotency_key IS NULL) = (content_hash IS NULL)),
    CONSTRAINT "a message is of a campaign or of a batch, not of both" CHECK (campaign_id IS NULL OR batch_id IS NULL)
);
ALTER SEQUENCE message_id_seq OWNED BY message.message_id;
CREATE UNIQUE INDEX message_idempotency_key ON message (idempotency_key, tenant_id) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX "a lead gets a campaign's mail once" ON message (campaign_id, address_key, step_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX message_batch ON message (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX message_external_id ON message (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX message_thread ON message (thread_key, address_key, tenant_id, message_id) WHERE thread_key IS NOT NULL;
COMMENT ON TABLE message IS 'What was asked for: one row a message, written once by enqueue; content is cleared by purge(), the rest is the ledger of who was to get what';
COMMENT ON COLUMN message.tenant_id IS 'The tenant that it belongs to; a campaign''s mails are the operators'' (1), whichever role added the lead';
COMMENT ON COLUMN message.principal_id IS 'Who queued it; loader and send_if run as the role that this principal stands for';
COMMENT ON COLUMN message.step_id IS 'Of a campaign: the step of campaign_step; 0 is the first';
COMMENT ON COLUMN message.variant IS 'Of a campaign: which variant of the step the lead gets; NULL where the step has none';
COMMENT ON COLUMN message.addresses IS 'Envelope recipients (RFC 5321 Mailbox, A-label domain), in order; roles has one letter for each';
COMMENT ON COLUMN message.address_key IS 'Identity of the first recipient (mailer._address_key), for uniqueness and suppression; compared by octets, whatever the locale';
COMMENT ON COLUMN message.internet_message_id IS 'The Message-ID header: stable over retries, restarts and mailboxes';
COMMENT ON COLUMN message.attachments_of IS 'Message whose rows in message_attachment go along (a batch stores its attachments once); NULL is none';
COMMENT ON COLUMN message.category IS 'Notification category, when mailer.notify() made the mail: scopes unsubscribing';
COMMENT ON COLUMN message.content_hash IS 'What idempotency_key stands for: the same key with another hash is an error';
COMMENT ON COLUMN message.options IS 'What is rarely asked for: from_name, from_address, sender, dsn, language; and test_of, the campaign of which it shows a mail';
COMMENT ON COLUMN message.is_raw IS 'True: the mail was given ready-made (enqueue_raw) and is the attachment numbered 0';
COMMENT ON COLUMN message.loaded_variables IS 'What the loader gave at the last try, for message_source()';
COMMENT ON COLUMN message.loader IS 'Function, by qualified name, that gives the variables when the mail is about to go; send_if says whether it is to go at all';

CREATE TABLE message_attachment (
    message_id   bigint NOT NULL,
    n            integer NOT NULL,
    filename     text NOT NULL,
    content_type text,
    content_id   text,
    content      bytea NOT NULL,
    is_alternative boolean,
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
    slot_at       timestamptz,
    reserved_day  date,
    campaign_day  date,
    age_from      timestamptz,
    is_repeatable boolean,
    CONSTRAINT "state is p pending or s sending" CHECK (state IN ('p', 's')),
    CONSTRAINT "priority is 0 to 4" CHECK (priority BETWEEN 0 AND 4),
    CONSTRAINT "due_at is a time from 1970 to 9999" CHECK (due_at >= '1970-01-01 00:00:00+00' AND due_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT "expires_at is a time from 1970 to 9999" CHECK (expires_at >= '1970-01-01 00:00:00+00' AND expires_at < '10000-01-01 00:00:00+00'),
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
COMMENT ON COLUMN queue_entry.epoch IS 'The arming epoch under which it was queued: rows of an epoch that was not adopted are not sent';
COMMENT ON COLUMN queue_entry.crash_count IS 'How often a sender died while it held the message';
COMMENT ON COLUMN queue_entry.try_count IS 'Tries logged in attempt, those that consumed no attempt included';
COMMENT ON COLUMN queue_entry.token IS 'Drawn at the claim; a settle with another token changes nothing (a stale owner can''t write)';
COMMENT ON COLUMN queue_entry.reserved_day IS 'Day of mailbox_day that the claim counted on, to be given back when nothing was sent';
COMMENT ON COLUMN queue_entry.is_repeatable IS 'Of a claim: a forwarder has it, so that handing it over again after a crash does no harm';
COMMENT ON COLUMN queue_entry.slot_at IS 'Of a campaign''s claim: the slot that it took, from which the next step counts';
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
    fingerprint   bigint,
    PRIMARY KEY (message_id, attempt)
);
CREATE INDEX attempt_time ON attempt USING brin (finished_at) WITH (autosummarize = on);
CREATE INDEX attempt_unprepared ON attempt (finished_at) WHERE stage = 'prepare';
-- Among millions that went well, report() looks for the latest that didn't.
CREATE INDEX attempt_unsent ON attempt (finished_at) WHERE outcome <> 'sent';
COMMENT ON TABLE attempt IS 'Append-only log: one row a try, with the mail server''s words and the times';
COMMENT ON COLUMN attempt.fingerprint IS 'Of the octets that this try sent: message_source() compares what it makes with it';
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
