-- mailer.notify_trigger: mails whom a row concerns, and never fails the statement.
SET client_min_messages = error;
CREATE EXTENSION mailer;
RESET client_min_messages;
SELECT mailer.pause('nothing here is for sending');
SELECT mailer.template_set('ticket', 'Ticket {{new.id}}', 'Hello {{name}}: {{new.title}}, was {{old.title}}');
CREATE TABLE ticket (id integer PRIMARY KEY, title text);
CREATE FUNCTION stakeholders(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE sql AS $$
    SELECT 'agent' || n || '@example.com', jsonb_build_object('name', 'agent ' || n) FROM generate_series(1, 2) n
    UNION ALL SELECT 'nobody', NULL UNION ALL SELECT NULL, NULL
$$;
CREATE TRIGGER tell AFTER INSERT ON ticket FOR EACH ROW
    EXECUTE FUNCTION mailer.notify_trigger('ticket', 'stakeholders', '5 s', 'ticket {{id}} {{new.title}}');
-- Who fires it needs no right on mailer; the mails say who it was, and belong to the owner of the table.
CREATE ROLE regress_mailer_clerk;
GRANT SELECT, INSERT, UPDATE, DELETE ON ticket TO regress_mailer_clerk;
SET ROLE regress_mailer_clerk;
INSERT INTO ticket VALUES (156, 'broken');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body');
RESET ROLE;
SELECT label, total, pending, failed, gap, created_by FROM mailer.batch;
SELECT m.addresses, m.variables, s.queued_by, s.tenant FROM mailer.message m JOIN mailer.message_status s USING (message_id) ORDER BY message_id;

-- With the old row and the operation; a rollback takes the mails along.
CREATE FUNCTION watchers(new_row jsonb, old_row jsonb, operation text) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE sql AS $$
    SELECT lower(operation) || '@example.com', jsonb_build_object('has_new', new_row IS NOT NULL, 'has_old', old_row IS NOT NULL)
$$;
CREATE TRIGGER watch AFTER UPDATE OR DELETE ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket', 'watchers');
BEGIN;
UPDATE ticket SET title = 'lost';
ROLLBACK;
UPDATE ticket SET title = 'fixed';
DELETE FROM ticket;
SELECT addresses, variables FROM mailer.message WHERE address_key ~ '^(update|delete)' ORDER BY message_id;

-- A BEFORE trigger passes the row on unchanged.
CREATE TRIGGER before_it BEFORE INSERT OR UPDATE ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket', 'watchers');
INSERT INTO ticket VALUES (1, 'first');
UPDATE ticket SET title = 'second' RETURNING *;
DROP TRIGGER before_it ON ticket;
DROP TRIGGER watch ON ticket;

-- Failures: each leaves the row, an event, and no mail.
SELECT count(*) AS before FROM mailer.message \gset
\set VERBOSITY terse
CREATE OR REPLACE FUNCTION stakeholders(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no such team' USING HINT = 'Make one.'; END $$;
INSERT INTO ticket VALUES (2, 'raises');
CREATE OR REPLACE FUNCTION stakeholders(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE sql AS $$
    SELECT 'ada@example.com', '[]'::jsonb $$;
INSERT INTO ticket VALUES (3, 'variables of a wrong shape');
CREATE OR REPLACE FUNCTION stakeholders(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb) LANGUAGE sql AS $$
    SELECT 'ada@example.com', 'null'::jsonb FROM ticket WHERE 1 / (id - 4) > 0 $$;
INSERT INTO ticket VALUES (4, 'divides by zero');
DROP FUNCTION stakeholders;
INSERT INTO ticket VALUES (5, 'no function');
CREATE FUNCTION stakeholders(new_row jsonb) RETURNS integer LANGUAGE sql AS 'SELECT 1';
INSERT INTO ticket VALUES (6, 'wrong result');
DROP FUNCTION stakeholders;
CREATE FUNCTION stakeholders(new_row jsonb) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'ada@example.com' $$;
DELETE FROM mailer.template;
INSERT INTO ticket VALUES (7, 'no template');
DROP TRIGGER tell ON ticket;
CREATE TRIGGER t1 AFTER INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket');
CREATE TRIGGER t2 AFTER INSERT ON ticket FOR EACH STATEMENT EXECUTE FUNCTION mailer.notify_trigger('ticket', 'stakeholders');
CREATE TRIGGER t3 AFTER INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket', 'stakeholders', 'often');
CREATE TRIGGER t4 AFTER INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket', 'stakeholders', '', '{{#id}}');
CREATE TRIGGER t5 AFTER INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket', 'stakeholders', '', '', 'none');
CREATE TRIGGER t6 AFTER INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket', 'a.b.c.d');
INSERT INTO ticket VALUES (8, 'everything else');
\set VERBOSITY default
SELECT id, title FROM ticket ORDER BY id;
SELECT count(*) - :before AS more FROM mailer.message;
SELECT detail ->> 'trigger' AS trigger, detail ->> 'table' AS "table", detail ->> 'sqlstate' AS sqlstate, detail ->> 'message' AS message
FROM mailer.event_log WHERE kind = 'notification_failed' ORDER BY id;

-- The application's own error stays its own, and the event of a rolled-back statement goes with it.
INSERT INTO ticket VALUES (8, 'twice');
SELECT count(*) FROM mailer.event WHERE kind = 'notification_failed';

-- Being cancelled is not swallowed.
DROP TABLE ticket;
CREATE TABLE ticket (id integer);
CREATE FUNCTION slow(new_row jsonb) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'ada@example.com' FROM generate_series(1, 1000000000) n WHERE n < 0 $$;
CREATE TRIGGER tell AFTER INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket', 'slow');
SET statement_timeout = '100ms';
INSERT INTO ticket VALUES (9);
RESET statement_timeout;
SELECT count(*) FROM ticket;

-- An unqualified name means the function beside the table, whatever the search_path of who inserts.
SELECT mailer.template_set('ticket', 'Ticket {{new.id}}', 'Hello');
CREATE SCHEMA evil;
CREATE FUNCTION evil.beside(new_row jsonb) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'evil@example.com' $$;
CREATE FUNCTION beside(new_row jsonb) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'good@example.com' $$;
DROP TRIGGER tell ON ticket;
CREATE TRIGGER tell AFTER INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket', 'beside');
SET search_path = evil, public;
INSERT INTO ticket VALUES (10);
RESET search_path;
SELECT addresses FROM mailer.message ORDER BY message_id DESC LIMIT 1;
SELECT mailer.notify_trigger();
SELECT invariant, violations, sample FROM mailer.verify() WHERE violations <> 0;
DROP TABLE ticket;
DROP ROLE regress_mailer_clerk;
DROP SCHEMA evil CASCADE;
DROP FUNCTION stakeholders, watchers, slow, beside;
DROP EXTENSION mailer CASCADE;
