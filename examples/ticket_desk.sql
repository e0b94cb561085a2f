-- A help desk: a ticket is inserted, and every stakeholder gets a mail, five seconds apart, in the background.
--
-- Run it with psql in an empty database: psql -v smtp_port=2525 -f examples/ticket_desk.sql
-- It expects an SMTP server on this machine that wants neither TLS nor a login, such as
-- test/servers/catchall.py; scripts/quickstart starts one and plays the whole story.

\if :{?smtp_port}
\else
    \set smtp_port 2525
\endif
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS mailer;

-- The account that sends. The first mailbox is the default for mail that names none.
SELECT mailer.mailbox_create('desk', 'localhost', :smtp_port,
                             from_address => 'desk@example.com', from_name => 'Help Desk', tls => 'none');

-- What they get. {{…}} is Mustache, and the variables come with each recipient.
SELECT mailer.template_set('ticket opened',
    subject   => 'Ticket {{id}}: {{title}}',
    body_text => E'Hello {{name}},\n\n{{opened_by}} opened ticket {{id}}: {{title}}\n\n{{#is_urgent}}It is urgent.\n\n{{/is_urgent}}Your Help Desk\n',
    body_html => '<p>Hello {{name}},</p><p>{{opened_by}} opened ticket {{id}}: <b>{{title}}</b></p>{{#is_urgent}}<p>It is urgent.</p>{{/is_urgent}}<p>Your Help Desk</p>');

-- The application's own tables.
CREATE TABLE agent (
    agent_id bigint PRIMARY KEY,
    name     text NOT NULL,
    address  text NOT NULL
);
CREATE TABLE ticket (
    id        bigint PRIMARY KEY,
    title     text NOT NULL,
    opened_by text NOT NULL,
    priority  text NOT NULL DEFAULT 'normal'
);

INSERT INTO agent (agent_id, name, address) VALUES
    (1, 'Ada',    'Ada Lovelace <ada@example.com>'),
    (2, 'Bjørn',  'bjorn@example.com'),
    (3, 'Chiara', 'chiara@example.com'),
    (4, 'Dmitri', 'dmitri@example.com'),
    (5, 'Esra',   'esra@example.com'),
    (6, 'Former', 'former.colleague@example.com'),
    (7, 'Grażyna', 'grazyna@example.com'),
    (8, 'Hiroko', 'hiroko@example.com');

-- The recipients of mail about a ticket, and their variables: one row per recipient.
CREATE FUNCTION ticket_stakeholders(new_row jsonb) RETURNS TABLE (recipient text, variables jsonb)
LANGUAGE sql STABLE AS $$
    SELECT a.address,
           jsonb_build_object('name', a.name, 'id', new_row->'id', 'title', new_row->'title',
                              'opened_by', new_row->'opened_by', 'is_urgent', new_row->>'priority' = 'urgent')
    FROM agent AS a
    ORDER BY a.agent_id
$$;

-- Template, recipients, gap, label of the batch: nothing else to write, and a failure in it never fails an insert.
CREATE TRIGGER ticket_mail AFTER INSERT ON ticket
    FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger('ticket opened', 'ticket_stakeholders', '5 s', 'ticket {{id}}');
