-- What the shields remember: how the last mails of a campaign or mailbox fared since somebody last resumed it.

ALTER TABLE campaign ADD COLUMN shield numeric DEFAULT 0.05,
    ADD CONSTRAINT "shield is a share" CHECK (shield > 0 AND shield <= 1);
COMMENT ON COLUMN campaign.shield IS 'Share of hard bounces and permanent refusals above which it stops until it is resumed; NULL: never';
ALTER TABLE mailbox ADD COLUMN shield numeric,
    ADD CONSTRAINT "shield is a share" CHECK (shield > 0 AND shield <= 1);
ALTER TABLE mailbox ADD COLUMN return_path text,
    ADD COLUMN dsn text DEFAULT 'failure',
    ADD CONSTRAINT "return_path is an address" CHECK (return_path ~ '^[^@[:space:]<>]+@[^@[:space:]<>{}]+$' AND length(return_path) <= 200),
    ADD CONSTRAINT "dsn is never, or failure and delay" CHECK (dsn ~ '^(never|(failure|delay|success)(,(failure|delay|success))*)$');
COMMENT ON COLUMN mailbox.return_path IS 'Envelope sender, to which bounces go; {token} in it names the mail (VERP). NULL: from_address';
COMMENT ON COLUMN mailbox.dsn IS 'Which reports the server is asked for where it offers DSN (RFC 3461); NULL: it is not asked';
COMMENT ON COLUMN mailbox.shield IS 'The same for all mail of the mailbox; NULL: never';

CREATE TABLE shield (
    scope         "char" NOT NULL,
    id            bigint NOT NULL,
    since         timestamptz NOT NULL,
    counted       bigint NOT NULL DEFAULT 0,
    messages      bigint[] NOT NULL DEFAULT '{}',
    faults        boolean[] NOT NULL DEFAULT '{}',
    row_code      text,
    row_messages  bigint[] NOT NULL DEFAULT '{}',
    complaints_at bigint[] NOT NULL DEFAULT '{}',
    shut_at       timestamptz,
    shut_reason   text,
    PRIMARY KEY (scope, id),
    CONSTRAINT "scope is c campaign or m mailbox" CHECK (scope IN ('c', 'm')),
    CONSTRAINT "every message counts as a fault or not" CHECK (cardinality(messages) = cardinality(faults)),
    CONSTRAINT "a shut shield has a reason" CHECK ((shut_at IS NULL) = (shut_reason IS NULL))
);
COMMENT ON TABLE shield IS 'How the last 200 mails of a campaign or mailbox fared, and whether that shut its shield';
COMMENT ON COLUMN shield.since IS 'When it was last resumed: counts begin there';
COMMENT ON COLUMN shield.counted IS 'Mails settled since then';
COMMENT ON COLUMN shield.faults IS 'Of each message: it was refused permanently, or bounced hard';
COMMENT ON COLUMN shield.row_messages IS 'Messages refused in a row with row_code, with no recipient accepted in between';
COMMENT ON COLUMN shield.complaints_at IS 'Complaints, by what was counted when they came';

DO $$
BEGIN
    PERFORM pg_catalog.pg_extension_config_dump('mailer.shield', '');
END $$;
