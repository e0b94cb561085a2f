-- Accounts that send, their secrets and counters, and templates.

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
    files_by        bigint,
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
    is_shared       boolean NOT NULL DEFAULT true,
    paused_at       timestamptz,
    pause_reason    text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    mended_at       timestamptz,
    provider        text,
    secret_expires_at timestamptz,
    imap_host       text,
    imap_port       integer,
    imap_tls        text,
    imap_folders    text[],
    -- How it connects and logs in
    login_mechanism text NOT NULL DEFAULT 'auto',
    client_cert_file text,
    client_key_file text,
    min_tls         text,
    source_address  text,
    proxy           text,
    connect_timeout interval,
    pipelining      boolean NOT NULL DEFAULT true,
    -- What it may send
    max_recipients  integer,
    allowed_from    text[],
    signature_text  text,
    signature_html  text,
    rate            text,
    -- Another database of mailer that it hands its mail to, instead of a mail server
    connection      text,
    forward_mailbox text,
    CONSTRAINT "login_mechanism is one that is known" CHECK (login_mechanism IN ('auto', 'plain', 'login', 'cram-md5', 'xoauth2', 'oauthbearer', 'external')),
    CONSTRAINT "min_tls is a version of TLS" CHECK (min_tls IN ('1.0', '1.1', '1.2', '1.3')),
    CONSTRAINT "connect_timeout is 1 s to 10 min" CHECK (connect_timeout BETWEEN interval '1 s' AND interval '10 min'),
    CONSTRAINT "max_recipients is 1 to 1000" CHECK (max_recipients BETWEEN 1 AND 1000),
    CONSTRAINT "rate is 1 to 1000000 for a second, minute, hour or day" CHECK (rate ~ '^([1-9][0-9]{0,5}|1000000)/(s|min|h|d)$'),
    CONSTRAINT "a client key has a certificate" CHECK (client_key_file IS NULL OR client_cert_file IS NOT NULL),
    CONSTRAINT "name is 1 to 200 characters" CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT "port is a TCP port" CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT "tls is starttls, implicit, opportunistic or none" CHECK (tls IN ('starttls', 'implicit', 'opportunistic', 'none')),
    CONSTRAINT "auth is password or xoauth2" CHECK (auth IN ('password', 'xoauth2')),
    CONSTRAINT "daily_limit is not negative" CHECK (daily_limit >= 0),
    CONSTRAINT "a ramp has a start, a step and a first day" CHECK (num_nulls(ramp_start, ramp_step, ramp_from) IN (0, 3)),
    CONSTRAINT "a ramp grows from a start above zero" CHECK (ramp_start > 0 AND ramp_step >= 0),
    CONSTRAINT "gap is 0 to 100 years" CHECK (extract(epoch FROM gap) BETWEEN 0 AND 3155760000),
    CONSTRAINT "ramp_from is a day from 1970 to 9999" CHECK (ramp_from BETWEEN '1970-01-01' AND '9999-12-31'),
    CONSTRAINT "max_connections is 1 to 1000" CHECK (max_connections BETWEEN 1 AND 1000),
    CONSTRAINT "max_per_connection is positive" CHECK (max_per_connection > 0),
    CONSTRAINT "idle_seconds is 0 to 300" CHECK (idle_seconds BETWEEN 0 AND 300),
    CONSTRAINT "imap_port is a TCP port" CHECK (imap_port BETWEEN 1 AND 65535),
    CONSTRAINT "imap_tls is none, starttls or implicit" CHECK (imap_tls IN ('none', 'starttls', 'implicit')),
    CONSTRAINT "forward_mailbox is of a forwarder" CHECK (connection IS NOT NULL OR forward_mailbox IS NULL),
    CONSTRAINT "a reason is there iff the mailbox is paused" CHECK ((paused_at IS NULL) = (pause_reason IS NULL))
);
COMMENT ON TABLE mailbox IS 'An SMTP account that mail is sent from, with its limits. Settings only: what the engine counts is in mailbox_state and mailbox_day';
COMMENT ON COLUMN mailbox.mended_at IS 'When settings or password were last changed, or it was resumed: the engine closes a breaker that opened before';
COMMENT ON COLUMN mailbox.provider IS 'microsoft365 or google: where servers, endpoints and scopes that aren''t set come from';
COMMENT ON COLUMN mailbox.imap_host IS 'IMAP server of the same account: setting it starts the listening';
COMMENT ON COLUMN mailbox.imap_folders IS 'Folders to listen to; NULL: INBOX, junk and sent mail as far as they are found';
COMMENT ON COLUMN mailbox.gap IS 'Least time between the final reply to one mail and the start of the next from this mailbox';
COMMENT ON COLUMN mailbox.rate IS 'Most messages in a second, minute, hour or day over all connections, spaced evenly: 14/s; NULL is no limit';
COMMENT ON COLUMN mailbox.daily_limit IS 'Most messages in one calendar day of timezone, warm-up and campaign mails included; NULL is no limit';
COMMENT ON COLUMN mailbox.ramp_from IS 'First local day of the ramp: day n''s limit is least(daily_limit, ramp_start + n × ramp_step), n being the earlier days since then on which it sent something';
COMMENT ON COLUMN mailbox.tls IS 'starttls, implicit (port 465), opportunistic (used when offered) or none; the first two verify the certificate, against ca_file where set';
COMMENT ON COLUMN mailbox.auth IS 'What the secret is: a password, or an OAuth2 token (xoauth2)';
COMMENT ON COLUMN mailbox.is_shared IS 'False: only operators and tenants of grant_mailbox() send from it';
COMMENT ON COLUMN mailbox.files_by IS 'Principal that named files of the server: they are read while its role may read such files';
COMMENT ON COLUMN mailbox.login_mechanism IS 'auto, plain, login, cram-md5, xoauth2, oauthbearer or external; auto takes what fits the secret and the server';
COMMENT ON COLUMN mailbox.client_cert_file IS 'File on the server (PEM) with the certificate that the mailbox shows to the mail server; its key is there too, or in client_key_file';
COMMENT ON COLUMN mailbox.min_tls IS 'Oldest version of TLS that is accepted; NULL is 1.2';
COMMENT ON COLUMN mailbox.source_address IS 'Local IP address that connections come from; NULL is the system''s choice';
COMMENT ON COLUMN mailbox.proxy IS 'socks5h://host:port or http://host:port to connect through';
COMMENT ON COLUMN mailbox.connect_timeout IS 'How long each address of the host has for the connection, and then for its greeting; NULL is 30 s and 5 min';
COMMENT ON COLUMN mailbox.max_recipients IS 'Most recipients in one transaction: a mail to more is split; NULL is no limit but the server''s';
COMMENT ON COLUMN mailbox.allowed_from IS 'What a mail may name as From and Sender beside from_address: addresses, and @example.com for all of a domain';
COMMENT ON COLUMN mailbox.signature_text IS 'What templates see as {{sender.signature}}; in HTML bodies it is signature_html';
COMMENT ON COLUMN mailbox.connection IS 'Of a forwarder: libpq''s connection string of the database that it hands its mail to, without a password; NULL: it sends by SMTP';
COMMENT ON COLUMN mailbox.forward_mailbox IS 'Of a forwarder: the mailbox that sends over there; NULL is the default pool of that database';
COMMENT ON COLUMN mailbox.password_file IS 'File on the server that holds the secret; NULL takes mailbox_secret';
COMMENT ON COLUMN mailbox.max_per_connection IS 'Mails after which a connection is closed and opened again';
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
    connections      integer,
    connections_since timestamptz,
    connections_next_at timestamptz,
    connections_pause interval,
    connections_reason text,
    CONSTRAINT "lowered connections are known in full iff there are any"
        CHECK (num_nulls(connections, connections_since, connections_next_at, connections_pause, connections_reason) IN (0, 5)),
    CONSTRAINT "connections is positive" CHECK (connections > 0),
    CONSTRAINT "breaker_failures is not negative" CHECK (breaker_failures >= 0),
    CONSTRAINT "an open breaker has a reason" CHECK ((breaker_until IS NULL) = (breaker_reason IS NULL))
);
COMMENT ON TABLE mailbox_state IS 'What the engine remembers of a mailbox: earliest next mail (gap), last use, circuit breaker, and how many connections its server takes';
COMMENT ON COLUMN mailbox_state.connections IS 'How many worked when its server turned one more away; NULL: none was. One more is tried at connections_next_at, and one more each 30 s until it has all (_lowered_until())';
COMMENT ON COLUMN mailbox_state.connections_pause IS 'From the last lowering to connections_next_at: twice as long each time, up to 10 min';

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
    updated_by text NOT NULL,
    is_strict  boolean NOT NULL DEFAULT false,
    is_shared  boolean NOT NULL DEFAULT true,
    CONSTRAINT "name is 1 to 200 characters" CHECK (length(name) BETWEEN 1 AND 200)
);
COMMENT ON COLUMN template.is_strict IS 'A mail of it fails (render_error) when a variable that it names is missing';
COMMENT ON TABLE template IS 'Mustache templates by name; rendered when a mail is sent';
COMMENT ON COLUMN template.is_shared IS 'False: only operators and tenants of grant_template() use it, also inside other templates';

CREATE TABLE template_attachment (
    template     text NOT NULL,
    n            integer NOT NULL,
    filename     text NOT NULL,
    content_type text,
    content_id   text,
    is_alternative boolean NOT NULL DEFAULT false,
    content      bytea NOT NULL,
    PRIMARY KEY (template, n)
);
ALTER TABLE template_attachment ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON TABLE template_attachment IS 'Files and inline images that go along with every mail of a template';

CREATE TABLE template_history (
    history_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    subject     text NOT NULL,
    body_text   text,
    body_html   text,
    is_strict   boolean NOT NULL,
    attachments jsonb,
    replaced_at timestamptz NOT NULL
);
CREATE INDEX template_history_name ON template_history (name, replaced_at);
COMMENT ON TABLE template_history IS 'What templates said before they were replaced, so that message_source() shows a mail as it was sent; purge() deletes what is older than its cutoff';
COMMENT ON COLUMN template_history.attachments IS 'Names, types and SHA-256 of what went along then: enough to say that it is no longer the same';
