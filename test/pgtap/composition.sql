-- What mails say and whom they are for: headers, addresses, options, alternatives, attachments of templates and recipients.
BEGIN;
SET client_min_messages = warning;
SELECT no_plan();

SELECT mailer.mailbox_create('desk', 'smtp.example.com', from_address => 'Help Desk <desk@example.com>') AS desk \gset
SELECT mailer.mailbox_alter('desk', '{"allowed_from": ["@brand.example", "*@Other.example", "boss@example.com"], "signature_text": "-- The desk", "signature_html": "<b>The desk</b>"}') \g /dev/null
CREATE FUNCTION pg_temp.source(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT replace(convert_from(mailer.message_source(id), 'UTF8'), E'\r\n', E'\n') $$;
CREATE FUNCTION pg_temp.mail(headers jsonb DEFAULT '{}', html text DEFAULT NULL, variables jsonb DEFAULT '{}', attachments mailer.attachment[] DEFAULT '{}',
    options jsonb DEFAULT NULL, reply_to text DEFAULT NULL, subject text DEFAULT 'S', cc text DEFAULT NULL, bcc text DEFAULT NULL, recipient text DEFAULT 'ada@example.com')
RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.source(mailer.enqueue(recipient, subject, CASE WHEN html IS NULL THEN 'B' END, html, headers => headers, variables => variables,
        attachments => attachments, options => options, reply_to => reply_to, cc => cc, bcc => bcc)) $$;

-- Headers
SELECT ok(pg_temp.mail('{"List-Unsubscribe": "<https://example.com/u/dG9rZW4=?utm=mail>"}') ~ '\nList-Unsubscribe: <https://example.com/u/dG9rZW4=\?utm=mail>\n',
    'a URL with =? in it stays in a structured header');
SELECT throws_ok(format('SELECT mailer.enqueue(''a@example.com'', ''s'', ''b'', headers => %L)', jsonb_build_object('X-Token', repeat('x', 999))), '22023', NULL,
    'a word that no line can hold is refused');
SELECT ok(pg_temp.mail(subject => E'a\tb') ~ '\nSubject: a b\n', 'a tab in a subject is a blank');
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', E'a\nb', 'b')$$, '22023', NULL, 'a line end in a subject is refused');
SELECT ok(pg_temp.mail('{"X-User": "{{id}}"}', variables => '{"id": "7\n8", "name": "Ada", "at": "ada@example.com"}', reply_to => '{{name}} <{{at}}>',
    attachments => ARRAY[mailer.attach('{{name}}.txt', 'x')]) ~ '(?s)\nReply-To: Ada <ada@example.com>\n.*\nX-User: 7 8\n.*filename=Ada.txt', 'a line end from a variable is a blank');
SELECT ok(pg_temp.mail('{"X-User": "{{id}}"}') ~ '\nX-User: \{\{id\}\}\n', 'without variables they are literal');
SELECT throws_ok($$SELECT pg_temp.mail(variables => '{"who": "eve@evil.example, Bob"}', reply_to => '{{who}} <bob@example.com>')$$, '22023', NULL,
    'a variable adds no address to reply_to');

-- Addresses
SELECT is(mailer.address('eve@evil.example, Bob', 'bob@example.com'), '"eve@evil.example, Bob" <bob@example.com>', 'a name adds no address');
SELECT is(mailer.address(NULL, 'bob@example.com'), 'bob@example.com', 'without a name there is the address alone');
SELECT is(mailer.address('Ada', NULL), NULL, 'without an address there is none');
SELECT throws_ok($$SELECT mailer.address('Ada', 'a@example.com, b@example.com')$$, '22023', NULL, 'it takes one address');
SELECT mailer.enqueue_batch(ARRAY['eve@evil.example, Bob <bob@example.com>', mailer.address('Bob, B.', 'bob@example.com')], 'S', 'B') AS batch \gset
SELECT results_eq(format('SELECT header_to, s.state FROM mailer.message_status s JOIN mailer.message m USING (message_id) WHERE m.batch_id = %s ORDER BY message_id', :batch),
    $$VALUES ('eve@evil.example, Bob <bob@example.com>', 'failed'), ('"Bob, B." <bob@example.com>', 'pending')$$, 'an element of a batch is one address');
SELECT ok(pg_temp.mail(recipient => NULL, bcc => 'x@example.com') ~ '\nTo: undisclosed-recipients:;\n', 'a mail may have hidden recipients alone');
SELECT ok(pg_temp.mail(recipient => 'undisclosed-recipients:;', bcc => 'x@example.com') ~ '\nTo: undisclosed-recipients:;\n', 'and say so itself');
SELECT ok(pg_temp.mail(recipient => NULL, cc => 'x@example.com') ~ '\nCc: x@example.com\n', 'or copies alone');
SELECT throws_ok($$SELECT mailer.enqueue(NULL, 'S', 'B')$$, '22004', NULL, 'somebody must get it');
SELECT throws_ok($$SELECT mailer.enqueue('undisclosed-recipients:;', 'S', 'B')$$, '22023', NULL, 'a group without members is nobody');

-- Options
SELECT ok(pg_temp.mail() ~ '\nFrom: Help Desk <desk@example.com>\n', 'the name in from_address is kept');
SELECT ok(pg_temp.mail(options => '{"from_name": "Ada of Brand", "from_address": "ada@brand.example", "sender": "boss@example.com", "language": "de", "dsn": "failure,delay"}')
    ~ '(?s)\nFrom: Ada of Brand <ada@brand.example>\nSender: boss@example.com\n.*\nContent-Language: de\n', 'a mail may have another From within what the mailbox allows');
SELECT lives_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b', options => '{"from_address": "x@other.example"}')$$, 'a whole domain is allowed by *@domain too');
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b', options => '{"from_address": "ceo@example.com"}')$$, '22023',
    'mailbox "desk" may not send as ceo@example.com', 'and not beyond');
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b', options => '{"form_name": "x"}')$$, '22023', 'there is no option "form_name"', 'an unknown option is an error');
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b', options => '{"from_name": "a\nb"}')$$, '22023', NULL, 'a name is one line');
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b', options => '{"dsn": "sometimes"}')$$, '22023', NULL, 'dsn takes four words');
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b', options => '{"language": "deutsch!"}')$$, '22023', NULL, 'a language is a tag');
SELECT mailer.enqueue('a@example.com', 's', 'b', options => '{"dsn": "never"}') AS id \gset
SELECT is((SELECT options FROM mailer.message WHERE message_id = :id), '{"dsn": "never"}', 'dsn is stored');

-- Bodies and attachments
SELECT ok(pg_temp.mail(html => '<p>Hello <b>Ada</b></p><p>Bye</p>') ~ '(?s)multipart/alternative.*text/plain.*\n\nHello Ada\n\nBye\n.*text/html', 'HTML alone gets a text beside it');
SELECT ok(pg_temp.mail(attachments => ARRAY[mailer.attach('b.csv', convert_to('größe', 'UTF8'), 'text/csv')]) ~ 'text/csv; charset=utf-8', 'UTF-8 text says so');
SELECT ok(pg_temp.mail(html => '<p>x</p>', attachments => ARRAY[mailer.attach(NULL, 'BEGIN:VCALENDAR', 'text/calendar; method=REQUEST', is_alternative => true)])
    ~ '(?s)text/plain.*text/html.*text/calendar; method=REQUEST', 'an invitation is a further alternative');
SELECT throws_ok($$SELECT mailer.attach('a', 'x', is_alternative => true)$$, '22023', NULL, 'an alternative has a type');
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', NULL, 'h', attachments => ARRAY[mailer.attach('a', 'x', content_id => 'logo'), mailer.attach('b', 'y', content_id => '<logo>')])$$,
    '22023', NULL, 'a content id is given once');
SELECT ok(pg_temp.mail(html => '<img src="cid:logo">', attachments => ARRAY[mailer.attach('a.png', 'x', content_id => 'logo')]) ~ '(?s)cid:logo@example.com.*Content-ID: <logo@example.com>',
    'a content id is completed');
SELECT mailer.enqueue_batch('{ada@example.com,bob@example.com}', 'S', 'B', headers => '{"X-All": "1", "X-One": "all"}', attachments => ARRAY[mailer.attach('all.txt', 'for all')],
    recipient_headers => ARRAY[NULL, '{"X-One": "bob"}']::jsonb[],
    recipient_attachments => ARRAY[to_jsonb(mailer.attach('ada.txt', 'for ada')), jsonb_build_array(jsonb_build_object('filename', 'bob.txt', 'content', encode('for bob', 'base64')))]) AS batch \gset
SELECT results_eq(format($$SELECT s ~ 'X-One: all', s ~ 'X-One: bob', s ~ 'X-All: 1', s ~ 'for all', s ~ 'ada.txt', s ~ 'for bob'
        FROM mailer.message m, pg_temp.source(m.message_id) s WHERE batch_id = %s ORDER BY m.message_id$$, :batch),
    'VALUES (true, false, true, true, true, false), (false, true, true, true, false, true)', 'recipients have headers and attachments of their own, beside those of all');
SELECT throws_ok($$SELECT mailer.enqueue_batch('{ada@example.com}', 'S', 'B', recipient_attachments => '{"{\"filename\": \"x\"}"}')$$, '22004', NULL, 'an attachment has content');
SELECT throws_ok($$SELECT mailer.enqueue_batch('{ada@example.com}', 'S', 'B', recipient_headers => '{"{}", "{}"}')$$, '2202E', NULL, 'there is one element a recipient');

-- Templates
SELECT mailer.template_set('letter', 'Hi {{name}}', 'Dear {{name}}, {{sender.name}} {{sender.signature}}', '<img src="cid:logo">{{{sender.signature}}}',
    attachments => ARRAY[mailer.attach('logo.png', 'PNG', content_id => 'logo')], is_strict => true) \g /dev/null
SELECT ok(pg_temp.source(mailer.enqueue('ada@example.com', template => 'letter', variables => '{"name": "Ada"}'))
    ~ '(?s)Dear Ada, Help Desk -- The desk.*<b>The desk</b>.*Content-ID: <logo@example.com>', 'a template brings its logo, and sees who sends');
SELECT throws_ok($$SELECT pg_temp.source(mailer.enqueue('ada@example.com', template => 'letter'))$$, '22023', NULL, 'a strict template misses nothing');
SELECT is((SELECT missing FROM mailer.template_preview('letter', '{}')), '{name}', 'a preview names what is missing');
SELECT mailer.template_set('letter', 'Hi', 'Dear {{name}}') \g /dev/null
SELECT ok(pg_temp.source(mailer.enqueue('ada@example.com', template => 'letter')) !~ 'logo', 'setting a template again replaces its attachments');
SELECT throws_ok($$SELECT mailer.template_set('t', 's', 'b', attachments => ARRAY[mailer.attach('a', 'x', content_id => 'l'), mailer.attach('b', 'x', content_id => 'l')])$$,
    '22023', NULL, 'attachments of a template are checked');

-- Ready-made mail
SELECT mailer.enqueue_raw('{ada@example.com,bob@example.com}', convert_to(E'From: desk@example.com\r\nSubject: Signed\r\n\r\n  to the octet \r\n', 'UTF8')) AS raw \gset
SELECT ok(pg_temp.source(:raw) ~ '^Date: [^\n]+\nMessage-ID: <[^\n]+@example.com>\nFrom: desk@example.com\nSubject: Signed\n\n  to the octet \n$', 'a ready-made mail is kept to the octet');
SELECT results_eq(format('SELECT subject, addresses FROM mailer.message WHERE message_id = %s', :raw), $$VALUES ('Signed', '{ada@example.com,bob@example.com}'::text[])$$, 'and can be found');
SELECT throws_ok($$SELECT mailer.enqueue_raw('{a@example.com}', 'From: eve@evil.example')$$, '22023', 'mailbox "desk" may not send as eve@evil.example', 'its From is what the mailbox allows');
SELECT throws_ok($$SELECT mailer.enqueue_raw('{a@example.com}', E'From: desk@example.com\nBcc: x@example.com\n\nb')$$, '22023', NULL, 'it has no Bcc');
SELECT throws_ok($$SELECT mailer.enqueue_raw('{"a@example.com, b@example.com"}', 'From: desk@example.com')$$, '22023', NULL, 'an element is one address');

-- Redirection
SET LOCAL mailer.redirect_to = 'test@example.com';
SELECT ok(convert_from(mailer.message_source(mailer.enqueue('ada@example.com', 'S', 'B', bcc => 'josé@example.com')), 'UTF8') ~ '^X-Mailer-Redirected-From: [ -~\r\n]+\r\nDate: ',
    'whom a redirected mail was for is ASCII');

SELECT * FROM finish();
ROLLBACK;
