-- render, template_preview, message_source: what a mail says and which bytes it is.
SET client_min_messages = error;
CREATE EXTENSION mailer;
RESET client_min_messages;
SELECT mailer.pause('nothing here is for sending');

SELECT mailer.render('{{#items}}{{name}} {{n}}; {{/items}}{{^items}}none{{/items}}', '{"items": [{"name": "a", "n": 1.50}, {"name": "<b>", "n": true}]}');
SELECT mailer.render('{{x}} {{{x}}}', '{"x": "<&>"}', true);
SELECT mailer.render('{{x}}', '{"x": "<&>"}');
SELECT mailer.render('{{x}}{{y.z}}', NULL) AS missing, mailer.render(NULL, '{}') IS NULL AS null_source;
SELECT mailer.render('{{x}}', '[]');
SELECT mailer.render('{{#x}}', '{}');
SELECT mailer.render(E'one\ntwo {{=', '{}');

-- Partials are stored templates, in the kind of body that they are written for.
SELECT mailer.template_set('foot', 'Foot', 'text of {{who}}', '<i>{{who}}</i>');
SELECT mailer.template_set('ticket', 'Ticket {{id}}', 'Hello {{> foot}}', '<p>{{> foot}}</p>');
SELECT * FROM mailer.template_preview('ticket', '{"id": 7, "who": "A & B"}');
SELECT mailer.render('{{> foot}}|{{>*which}}|{{> none}}', '{"who": "x", "which": "foot"}');
SELECT mailer.template_set('foot', 'Foot', 'changed');
SELECT body_text, body_html FROM mailer.template_preview('ticket', '{}');
SELECT mailer.template_preview('none', '{}');
SELECT mailer.template_preview(NULL, '{}');
SELECT mailer.template_set('broken', 'S', '{{#x}}');

-- The bytes of a mail. Ids, date and boundary are blanked out.
CREATE FUNCTION source(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(regexp_replace(replace(convert_from(mailer.message_source(id), 'UTF8'), E'\r\n', E'\n'),
        '(?n)^Date: .*$', 'Date: …', 'g'), '<\d+\.[0-9a-f]{16}@', '<…@', 'g'), '"=_[0-9a-f]+', '"=_…', 'g')
$$;
SELECT mailer.enqueue('ada@example.com', 'Subject', 'Body') AS id \gset
SELECT mailer.message_source(:id);
SELECT mailer.mailbox_create('sales', 'smtp.example.com', from_address => 'sales@example.com', from_name => 'Søren', timezone => 'UTC');
SELECT mailer.mailbox_create('help', 'smtp.example.com', from_address => 'help@example.org', timezone => 'UTC');
SELECT mailer.enqueue('Zoë <zoe@example.com>, bob@example.com', 'Grüße {{n}}', 'Line one' || E'\n' || '.dot {{n}}', variables => '{"n": 5}',
    cc => 'carol@example.com', bcc => 'hidden@example.com', reply_to => 'desk@example.com', headers => '{"X-Ticket": "156"}', mailbox => 'help') AS id \gset
SELECT source(:id);
SELECT mailer.message_source(:id) = mailer.message_source(:id) AS is_stable, position('hidden' IN source(:id)) AS hidden_at;
-- Literal text is sent as it is.
SELECT mailer.enqueue('ada@example.com', 'Hi {{name}}', 'Body {{name}}') AS id \gset
SELECT source(:id) ~ 'Subject: Hi \{\{name\}\}' AS is_literal;
-- A conversation hangs together, by recipient.
SELECT mailer.enqueue('ada@example.com', 'One', 'Body', thread_key => 'ticket 156') AS one \gset
SELECT mailer.enqueue('bob@example.com', 'Two', 'Body', thread_key => 'ticket 156') AS two \gset
SELECT mailer.enqueue('ada@example.com', 'Three', 'Body', thread_key => 'ticket 156') AS three \gset
SELECT n, source(id) ~ ('(?n)^In-Reply-To: <thread\.[0-9a-f]+@') AS replies_to_root,
    position((SELECT internet_message_id FROM mailer.message WHERE message_id = :one) IN convert_from(mailer.message_source(id), 'UTF8')) > 0 AS names_one
FROM (VALUES (1, :one), (2, :two), (3, :three)) v(n, id);
-- Mail that nobody wrote by hand says so.
SELECT mailer.enqueue_batch('{ada@example.com}', 'Subject', 'Body') AS batch \gset
SELECT source(message_id) ~ '(?n)^Auto-Submitted: auto-generated$' AS is_auto FROM mailer.message WHERE batch_id = :batch;
SELECT source(:one) ~ 'Auto-Submitted' AS is_auto;
SELECT mailer.message_source(999);
SELECT mailer.message_source(NULL);
UPDATE mailer.message SET purged_at = now(), body_text = NULL WHERE message_id = :one;
SELECT mailer.message_source(:one);

-- Addresses as SQL sees them.
SELECT v, p.* FROM (VALUES ('Ada <ADA@Example.COM>'), ('ada@bücher.example'), ('nobody'), ('a@b, c@d'), (NULL)) l(v), mailer._parse_address(v) p;
SELECT mailer._address_key('ADA@Example.com'), mailer._address_key('nobody') IS NULL AS is_none;
DROP FUNCTION source;
DROP EXTENSION mailer CASCADE;
