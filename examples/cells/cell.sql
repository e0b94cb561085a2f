-- One cell: a database that has tenants, their mailboxes and their mail. Run it as a superuser in each of them:
--
--   psql -d CELL -v name=cell1 -f cell.sql
--
-- `front` is the role that the database in front comes with, `relay` the one that other cells hand mail over with when a
-- tenant has moved. A tenant's mailbox has the tenant's name, and lives in one cell at a time.
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS mailer;
SELECT format('CREATE ROLE %I LOGIN', r) FROM unnest(ARRAY['front', 'relay']) r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) \gexec
SELECT mailer.grant_sender('front');
SELECT mailer.grant_viewer('front');
SELECT mailer.grant_sender('relay');

CREATE SCHEMA cells;
GRANT USAGE ON SCHEMA cells TO front;

CREATE TABLE cells.self (name text NOT NULL);
INSERT INTO cells.self VALUES (:'name');

CREATE TABLE cells.tenant (
    name    text PRIMARY KEY,
    state   text NOT NULL CHECK (state IN ('arriving', 'here', 'gone')),
    mailbox jsonb NOT NULL  -- its settings, so that they can move along; the password does not
);
-- Keys of calls that another cell has taken before the tenant came here: a call that is repeated queues nothing.
CREATE TABLE cells.known_key (tenant text, key text, message_id bigint NOT NULL, PRIMARY KEY (tenant, key));
GRANT SELECT ON cells.self, cells.known_key TO front;
GRANT SELECT, UPDATE ON cells.tenant TO front;  -- UPDATE: FOR SHARE asks for it

-- What the front calls. The row lock makes a tenant that leaves wait for the calls that run, and turns later ones away.
CREATE FUNCTION cells.enqueue(tenant text, recipient text, subject text, body_text text, idempotency_key text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    now_is text;
    known bigint;
BEGIN
    IF idempotency_key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'a call through the front needs an idempotency_key',
            DETAIL = 'PL/Proxy commits in the cell before the caller knows: after a lost answer only the key tells whether the mail is queued.';
    END IF;
    SELECT t.state INTO now_is FROM cells.tenant t WHERE t.name = tenant FOR SHARE;
    IF now_is IS DISTINCT FROM 'here' THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('tenant "%s" is not in %s', tenant, (SELECT name FROM cells.self)),
            DETAIL = COALESCE('It is ' || now_is || '.', 'It was never here.'), HINT = 'It may be moving: call again in a moment, with the same key.';
    END IF;
    SELECT k.message_id INTO known FROM cells.known_key k WHERE k.tenant = enqueue.tenant AND k.key = enqueue.idempotency_key;
    RETURN COALESCE(known, mailer.enqueue(recipient, subject, body_text, mailbox => tenant, idempotency_key => tenant || '/' || enqueue.idempotency_key));
END $$;

CREATE FUNCTION cells.status(OUT cell text, OUT pending bigint, OUT sending bigint, OUT sent bigint, OUT failed bigint, OUT unconfirmed bigint,
    OUT worker text) LANGUAGE sql AS $$
    SELECT (SELECT name FROM cells.self), s.pending, s.sending, s.sent, s.failed, s.unconfirmed, s.worker FROM mailer.status() s
$$;
CREATE FUNCTION cells.health(OUT cell text, OUT severity text, OUT subject text, OUT problem text, OUT hint text) RETURNS SETOF record
LANGUAGE sql AS $$
    SELECT (SELECT name FROM cells.self), h.severity, h.subject, h.problem, h.hint FROM mailer.health() h
$$;
CREATE FUNCTION cells.metrics(OUT cell text, OUT metrics text) LANGUAGE sql AS $$
    SELECT (SELECT name FROM cells.self), mailer.metrics()
$$;

-- ── A tenant comes and goes: called when a tenant is added and by move_tenant, as a superuser. Each may be repeated. ──────────────

CREATE FUNCTION cells.arrive(tenant text, mailbox jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cells.tenant AS t VALUES (arrive.tenant, 'arriving', arrive.mailbox)
    ON CONFLICT (name) DO UPDATE SET state = 'arriving', mailbox = excluded.mailbox WHERE t.state = 'gone';
    IF EXISTS (SELECT FROM mailer.mailbox_status m WHERE m.mailbox = arrive.tenant AND m.kind = 'forward') THEN
        -- It comes back. Refused (55000) while something waits here that may have been handed over already.
        PERFORM mailer.mailbox_pause(tenant, 'it comes back');
        PERFORM mailer.mailbox_alter(tenant, '{"connection": null, "forward_mailbox": null}');
        PERFORM mailer.mailbox_resume(tenant);
    ELSIF NOT EXISTS (SELECT FROM mailer.mailbox_status m WHERE m.mailbox = arrive.tenant) THEN
        PERFORM mailer.mailbox_create(tenant, arrive.mailbox ->> 'host', from_address => arrive.mailbox ->> 'from_address', is_default => false);
    END IF;
    PERFORM mailer.mailbox_alter(tenant, arrive.mailbox);
END $$;

CREATE FUNCTION cells.open(tenant text) RETURNS void LANGUAGE sql AS $$
    UPDATE cells.tenant t SET state = 'here' WHERE t.name = open.tenant;
$$;

-- From here on its mailbox hands over what waits in it, each mail when it is due.
CREATE FUNCTION cells.leave(tenant text, connection text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE cells.tenant t SET state = 'gone' WHERE t.name = leave.tenant;
    PERFORM mailer.mailbox_alter(tenant, jsonb_build_object('connection', leave.connection, 'forward_mailbox', leave.tenant));
END $$;

CREATE FUNCTION cells.keys(tenant text) RETURNS TABLE (key text, message_id bigint) LANGUAGE sql AS $$
    SELECT substr(m.idempotency_key, length(keys.tenant) + 2), m.message_id FROM mailer.message_status m
    WHERE starts_with(m.idempotency_key, keys.tenant || '/')
    UNION ALL SELECT k.key, k.message_id FROM cells.known_key k WHERE k.tenant = keys.tenant
$$;
REVOKE ALL ON FUNCTION cells.arrive(text, jsonb), cells.open(text), cells.leave(text, text), cells.keys(text) FROM PUBLIC;
