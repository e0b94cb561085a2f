-- Listening: how far each folder has been read, and how it goes. The first is dumped: a restored database goes on where its dump was taken.

CREATE TABLE listen_cursor (
    mailbox_id   bigint NOT NULL,
    folder       text NOT NULL,
    uid_validity bigint NOT NULL,
    last_uid     bigint NOT NULL,
    PRIMARY KEY (mailbox_id, folder)
);
COMMENT ON TABLE listen_cursor IS 'Up to which mail each folder was read; written in the transaction that stores what was read';
COMMENT ON COLUMN listen_cursor.uid_validity IS 'Of RFC 9051: with another one all UIDs mean other mails, and the folder is read again';

CREATE TABLE mailbox_listen (
    mailbox_id      bigint PRIMARY KEY,
    pid             integer NOT NULL,
    state           text NOT NULL,
    error           text,
    hint            text,
    listening_since timestamptz,
    last_heard_at   timestamptz,
    failed_since    timestamptz,
    retry_at        timestamptz,
    missing_folders text[],
    read_count      bigint NOT NULL DEFAULT 0,
    skipped_count   bigint NOT NULL DEFAULT 0,
    turn_ended_at   timestamptz,
    CONSTRAINT "state is connecting, listening or in trouble" CHECK (state IN ('connecting', 'listening', 'in trouble'))
);
COMMENT ON TABLE mailbox_listen IS 'How the listening to each mailbox goes: written by the listener alone';
COMMENT ON COLUMN mailbox_listen.pid IS 'The process that listens: what it wrote counts while it is there';
COMMENT ON COLUMN mailbox_listen.turn_ended_at IS 'Where listeners take turns (mailer.max_listeners): when this one left until its next; what it wrote counts meanwhile';
COMMENT ON COLUMN mailbox_listen.skipped_count IS 'Mails that could not be taken in: passed, and counted here';

DO $$ BEGIN PERFORM pg_catalog.pg_extension_config_dump('mailer.listen_cursor', ''); END $$;
