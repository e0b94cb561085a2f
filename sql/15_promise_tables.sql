-- What a standby must know to decide, when it is promoted, whether it may send: promises, and what became of them.
--
-- The sender writes both, in short transactions of its own; nobody else does, but for arm() and resolve_held(). They
-- reach the standbys as every row does, and that is their purpose (src/core/standby/promise.hpp). Neither is dumped: a
-- restored database has no standbys yet, and is held as a copy.

CREATE TABLE promise (
    name       text PRIMARY KEY,
    until      timestamptz NOT NULL,
    is_joining boolean NOT NULL
);
COMMENT ON TABLE promise IS 'To which standbys this server has promised that until then no final dot is sent of a claim that they don''t have on disk. Never dumped';
COMMENT ON COLUMN promise.name IS 'The standby''s replication slot, else its application_name';
COMMENT ON COLUMN promise.until IS 'When it ends unless it is renewed, which happens while mail is due';
COMMENT ON COLUMN promise.is_joining IS 'The sender waits for it already; after a promotion it may not continue on its own yet';

CREATE TABLE promotion (
    is_only_row    boolean PRIMARY KEY DEFAULT true,
    promoted_at    timestamptz NOT NULL,
    timeline       bigint NOT NULL,
    is_held        boolean NOT NULL,
    held_epochs    bigint[] NOT NULL,
    promised_until timestamptz,
    names          text[] NOT NULL,
    CONSTRAINT "there is one row at most" CHECK (is_only_row),
    CONSTRAINT "epochs are held iff something is held" CHECK (is_held = (held_epochs <> '{}'))
);
COMMENT ON TABLE promotion IS 'The last promotion of this server: a row is here iff it was promoted since the extension was created. Never dumped';
COMMENT ON COLUMN promotion.promoted_at IS 'What was due by then is held, if anything is; what becomes due later, or was queued later, is not';
COMMENT ON COLUMN promotion.held_epochs IS 'The epochs of the queue rows in question';
COMMENT ON COLUMN promotion.promised_until IS 'Until when the old primary had promised to wait for this server; NULL: it had not';
COMMENT ON COLUMN promotion.names IS 'The standbys that the old primary had promised to wait for, this server among them or not';
