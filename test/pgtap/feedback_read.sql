-- mailer.read_feedback: what a received mail means by itself. The rules have their tests in test/core; here is what SQL sees.
SET search_path = pg_catalog, public;
SELECT plan(6);

SELECT is((SELECT array_agg(f::text) FROM mailer.read_feedback(convert_to($m$Return-Path: <>
From: MAILER-DAEMON@mx.example.com
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com
Original-Envelope-Id: 7.0a1b

Final-Recipient: rfc822; ada@example.org
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 User unknown

Final-Recipient: rfc822; bob@example.org
Action: delayed
Status: 4.4.1

--b
Content-Type: text/rfc822-headers

Message-ID: <7.0a1b2c@example.com>

--b--
$m$, 'UTF8')) f),
    ARRAY['(bounce,ada@example.org,t,550,5.1.1,"550 5.1.1 User unknown",7.0a1b2c@example.com,7.0a1b)',
          '(delay,bob@example.org,f,,4.4.1,4.4.1,7.0a1b2c@example.com,7.0a1b)'],
    'a bounce has a row for each recipient, with all columns');
SELECT is((SELECT kind FROM mailer.read_feedback(convert_to(E'From: ada@example.org\nIn-Reply-To: <7@example.com>\n\nYes!\n', 'UTF8'))), 'reply',
    'a mail with In-Reply-To is a reply');
SELECT is_empty($$SELECT * FROM mailer.read_feedback(convert_to(E'From: ada@example.org\nSubject: Hello\n\nYes!\n', 'UTF8'))$$,
    'other mail has no rows');
SELECT is_empty($$SELECT * FROM mailer.read_feedback('')$$, 'nothing has no rows');
SELECT is_empty($$SELECT * FROM mailer.read_feedback(NULL)$$, 'NULL has no rows');
SELECT is_empty($$SELECT * FROM mailer.read_feedback(decode(repeat('00ff0a3c', 5000), 'hex'))$$, 'octets of any kind are harmless');
SELECT * FROM finish();
