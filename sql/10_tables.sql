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
    machine           text NOT NULL,
    timeline          bigint NOT NULL,
    armed_at          timestamptz NOT NULL DEFAULT now(),
    armed_by          text NOT NULL DEFAULT current_user,
    CONSTRAINT "there is one row" CHECK (is_only_row),
    CONSTRAINT "the current epoch is adopted" CHECK (epoch = ANY (adopted))
);
COMMENT ON TABLE arming IS 'Clone guard: the epochs whose queue rows may be sent, bound to this very cluster and database. Never dumped: a restored or copied database is held until mailer.arm()';
