-- mailer.enqueue: what becomes of a call, and what it refuses.
SET client_min_messages = error;
CREATE EXTENSION mailer;
RESET client_min_messages;
SELECT mailer.pause('nothing here is for sending');
SELECT mailer.mailbox_create('sales', 'smtp.example.com', from_address => 'sales@example.com', timezone => 'UTC');
SELECT mailer.mailbox_create('help', 'smtp.example.com', from_address => 'help@example.org', timezone => 'UTC');
SELECT mailer.template_set('welcome', 'Welcome {{name}}', 'Hello {{name}}');

-- One row of content, one in the queue, one in the counts.
SELECT mailer.enqueue('Ada <ada@Example.COM>', 'Subject', 'Body') AS id;
SELECT addresses, roles, address_key, header_to, header_cc, subject, body_text, (SELECT p.name = current_user FROM mailer.principal p WHERE p.id = principal_id) AS is_mine,
    internet_message_id ~ '^<1\.[0-9a-f]{16}@example\.com>$' AS is_unguessable FROM mailer.message;
SELECT lane_id, priority, due_at <= now() AS is_due, state, attempt_count FROM mailer.queue_entry;
SELECT pending, sent FROM mailer.status();

-- Recipients: roles, duplicates, hidden copies.
SELECT mailer.enqueue('ada@example.com, "Bob, B." <bob@example.com>', 'Subject', 'Body',
    cc => 'ADA@example.com, carol@bücher.example', bcc => 'dave@example.com', reply_to => 'Desk <desk@example.com>') AS id \gset
SELECT addresses, roles, header_to, header_cc, reply_to FROM mailer.message WHERE message_id = :id;
SELECT mailer.enqueue(string_agg('u' || n || '@example.com', ', '), 'Subject', 'Body') IS NOT NULL AS hundred FROM generate_series(1, 100) n;
SELECT mailer.enqueue(string_agg('u' || n || '@example.com', ', '), 'Subject', 'Body') FROM generate_series(1, 101) n;
SELECT mailer.enqueue(NULL, 'Subject', 'Body');
SELECT mailer.enqueue('', 'Subject', 'Body');
SELECT mailer.enqueue('nobody', 'Subject', 'Body');
SELECT mailer.enqueue(E'ada@example.com\r\nBcc: eve@example.com', 'Subject', 'Body');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', cc => 'nobody');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', reply_to => '<>');
SELECT mailer.enqueue(repeat('x', 100000) || '@example.com', 'Subject', 'Body') IS NULL AS never;

-- Content: subject and body, or a template.
SELECT mailer.enqueue('ada@example.com');
SELECT mailer.enqueue('ada@example.com', 'Subject');
SELECT mailer.enqueue('ada@example.com', '', '') IS NOT NULL AS may_be_empty;
SELECT mailer.enqueue('ada@example.com', E'Subject\nBcc: eve@example.com', 'Body');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', template => 'welcome');
SELECT mailer.enqueue('ada@example.com', template => 'none');
SELECT mailer.enqueue('ada@example.com', template => 'welcome', variables => '[1]');
SELECT mailer.enqueue('ada@example.com', template => 'welcome', variables => '"x"');
SELECT mailer.enqueue('ada@example.com', template => 'welcome', variables => (repeat('{"a":', 600) || '1' || repeat('}', 600))::jsonb);
SELECT mailer.enqueue('ada@example.com', 'Hi {{name}}', 'Body', variables => '{"name": "Ada"}') IS NOT NULL AS own_template;
SELECT mailer.enqueue('ada@example.com', 'Hi {{#name}}', 'Body', variables => '{"name": "Ada"}');
SELECT mailer.enqueue('ada@example.com', 'Hi {{#name}}', 'Body') IS NOT NULL AS literal;

-- NULL stands for the default everywhere.
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS id \gset
SELECT priority, lane_id, kind FROM mailer.queue_entry JOIN mailer.message USING (message_id, lane_id) WHERE message_id = :id;

-- Where it waits: a stream for each pool, whatever the order of its names.
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', mailbox => 'help') AS id \gset
SELECT pool, pool_key, internet_message_id ~ '@example.org>$' AS has_its_domain FROM mailer.message JOIN mailer.lane USING (lane_id) WHERE message_id = :id;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', mailboxes => '{sales,help}') IS NOT NULL AS ok;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', mailboxes => '{help,sales,help}') AS id \gset
SELECT pool, pool_key FROM mailer.message JOIN mailer.lane USING (lane_id) WHERE message_id = :id;
SELECT count(*) FROM mailer.lane;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', mailbox => 'none');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', mailbox => 'help', mailboxes => '{sales}');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', mailboxes => '{}');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', mailboxes => '{NULL}');

-- When.
BEGIN;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', send_at => now() + interval '24 h', expires_at => now() + interval '48 h',
    priority => 4, kind => 'warmup') AS id \gset
SELECT due_at - now() AS due_in, q.expires_at - now() AS expires_in, priority, kind
    FROM mailer.queue_entry q JOIN mailer.message USING (message_id) WHERE message_id = :id;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', send_at => now() - interval '1 day') AS id \gset
SELECT due_at = now() AS is_now FROM mailer.queue_entry WHERE message_id = :id;
COMMIT;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', send_at => now() + interval '1 day', expires_at => now());
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', expires_at => now());
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', send_at => 'infinity');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', priority => 5);
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', kind => 'bulk');

-- Headers and keys.
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', headers => '{"X-Ticket": "156"}') IS NOT NULL AS ok;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', headers => '{"X-Ticket": 156}');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', headers => '{"Bcc": "eve@example.com"}');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', headers => '{"X-Ticket": "1\r\nBcc: eve@example.com"}');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', headers => '[]');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', external_id => '');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', thread_key => repeat('k', 501));

-- Attachments.
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', attachments => ARRAY[mailer.attach('a.txt', 'abc'),
    mailer.attach('logo.png', '\x89', 'image/png', 'logo')]) AS id \gset
SELECT n, filename, content_type, content_id, content FROM mailer.message_attachment WHERE message_id = :id ORDER BY n;
SELECT mailer.attach('a.txt', NULL);
SELECT mailer.attach('a.txt', 'abc', E'text/plain\r\nX: y');
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', attachments => ARRAY[NULL::mailer.attachment]);
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', attachments => ARRAY[ROW('a.txt', NULL, NULL, NULL, NULL)::mailer.attachment]);
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body', attachments => ARRAY[mailer.attach('a.bin', convert_to(repeat('x', 20000000), 'UTF8'))]);

-- Late-bound functions are found by the caller's search_path and kept by their full name.
CREATE SCHEMA desk;
CREATE FUNCTION desk.load(message_id bigint, variables jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT variables';
CREATE FUNCTION desk.is_open(message_id bigint, variables jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true';
SET search_path = desk, public;
SELECT mailer.enqueue('ada@example.com', template => 'welcome', loader => 'load', send_if => 'is_open') AS id \gset
RESET search_path;
SELECT loader, send_if FROM mailer.message WHERE message_id = :id;
SELECT mailer.enqueue('ada@example.com', template => 'welcome', loader => 'load');
SELECT mailer.enqueue('ada@example.com', template => 'welcome', loader => 'desk.is_open');

-- With the caller: commits, rolls back, savepoints too.
SELECT count(*) AS before FROM mailer.message \gset
BEGIN;
SELECT mailer.enqueue('kept@example.com', 'Subject', 'Body') IS NOT NULL AS ok;
SAVEPOINT s;
SELECT mailer.enqueue('lost@example.com', 'Subject', 'Body') IS NOT NULL AS ok;
ROLLBACK TO s;
COMMIT;
BEGIN;
SELECT mailer.enqueue('lost@example.com', 'Subject', 'Body') IS NOT NULL AS ok;
ROLLBACK;
SELECT count(*) - :before AS more FROM mailer.message;

-- Rights: a sender needs none on the tables, and nobody else may call. An operator of the caller's own isn't looked at.
CREATE ROLE regress_mailer_sender;
CREATE ROLE regress_mailer_nobody;
SELECT mailer.grant_sender('regress_mailer_sender');
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO regress_mailer_sender;
CREATE FUNCTION evil.nope(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.nope);
SET ROLE regress_mailer_sender;
SET search_path = evil, pg_catalog;
SELECT mailer.enqueue('ada@example.com', template => 'welcome', mailbox => 'help', idempotency_key => 'evil') AS id \gset
SELECT mailer.enqueue('ada@example.com', template => 'welcome', mailbox => 'help', idempotency_key => 'evil') OPERATOR(pg_catalog.=) :id AS is_same;
SELECT current_user, current_setting('search_path');
SELECT mailer.enqueue('bad', 'Subject', 'Body');
SELECT current_user, current_setting('search_path');
SELECT count(*) FROM mailer.message;
RESET search_path;
SET ROLE regress_mailer_nobody;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body');
RESET ROLE;
SELECT queued_by, tenant FROM mailer.message_status WHERE message_id = :id;

-- A database that isn't armed queues nothing.
BEGIN;
DELETE FROM mailer.arming;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body');
ROLLBACK;

-- The tables' constraints hold for every mail, also those that come and go; so do triggers that somebody adds.
ALTER TABLE mailer.message ADD CONSTRAINT "no such subject" CHECK (subject <> 'forbidden');
\set VERBOSITY terse
SELECT mailer.enqueue('ada@example.com', 'forbidden', 'Body');
\set VERBOSITY default
SELECT mailer.enqueue('ada@example.com', 'allowed', 'Body') IS NOT NULL AS ok;
ALTER TABLE mailer.message DROP CONSTRAINT "no such subject";
SELECT mailer.enqueue('ada@example.com', 'forbidden', 'Body') IS NOT NULL AS ok;
ALTER TABLE mailer.message ADD COLUMN note text DEFAULT 'noted';
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body') AS id \gset
SELECT note FROM mailer.message WHERE message_id = :id;
ALTER TABLE mailer.message DROP COLUMN note;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'a row of %', TG_TABLE_NAME; RETURN NEW; END $$;
CREATE TRIGGER tell BEFORE INSERT ON mailer.queue_entry FOR EACH ROW EXECUTE FUNCTION tell();
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body') IS NOT NULL AS ok;
SELECT mailer.enqueue_batch('{ada@example.com,bob@example.com}', 'Subject', 'Body') IS NOT NULL AS ok;
DROP TRIGGER tell ON mailer.queue_entry;
DROP FUNCTION tell;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body') IS NOT NULL AS ok;
-- A long text goes out of line, and a plan or a cursor of the caller's sees the row at once.
SELECT mailer.enqueue('ada@example.com', 'Long', string_agg(md5(n::text), '')) AS id FROM generate_series(1, 10000) n \gset
SELECT length(body_text) FROM mailer.message WHERE message_id = :id;
DO $$ DECLARE id bigint; BEGIN
    id := mailer.enqueue('ada@example.com', 'Subject', 'Body');
    ASSERT EXISTS (SELECT FROM mailer.message m JOIN mailer.queue_entry q USING (message_id) WHERE m.message_id = id);
    ASSERT mailer.cancel(id);
END $$;
SELECT invariant, violations, sample FROM mailer.verify() WHERE violations <> 0;
DROP OWNED BY regress_mailer_sender, regress_mailer_nobody;
DROP ROLE regress_mailer_sender, regress_mailer_nobody;
DROP SCHEMA evil, desk CASCADE;
DROP EXTENSION mailer CASCADE;
