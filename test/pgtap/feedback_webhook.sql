-- mailer.ingest_webhook: the documented payloads of each provider, their own judgements, batches, repeats, signatures.
SET search_path = pg_catalog, public;
BEGIN;
SELECT no_plan();
\ir fixture.psql
\ir feedback.psql

-- A sent mail, and what a webhook that names it has for an effect: kind, hard, address, code, enhanced code.
CREATE FUNCTION pg_temp.hook(provider text, body text, headers jsonb DEFAULT '{}') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pg_temp.sent_mail('{ada@example.org}');
    own text := btrim(pg_temp.id_of(id), '<>');
    added bigint[];
BEGIN
    INSERT INTO mailer.provider_message VALUES ('provider-' || id, id);
    added := ARRAY(SELECT f.id FROM mailer.ingest_webhook(provider, convert_to(replace(replace(body, '$OWN', own), '$ID', 'provider-' || id), 'UTF8'), headers) f);
    RETURN (SELECT string_agg(concat_ws(' ', f.kind, CASE WHEN f.is_hard THEN 'hard' END, f.address, f.code, f.enhanced_code,
                CASE WHEN NOT f.is_counted THEN 'not counted' END), '; ' ORDER BY f.feedback_id)
            FROM mailer.feedback f WHERE f.feedback_id = ANY (added));
END;
$$;

SELECT is(pg_temp.hook('ses', '{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"General","feedbackId":"f1","bouncedRecipients":[{"emailAddress":"ada@example.org","action":"failed","status":"5.1.1","diagnosticCode":"smtp; 550 5.1.1 user unknown"}]},"mail":{"messageId":"$ID"}}'),
    'bounce hard ada@example.org 550 5.1.1', 'ses: a permanent bounce, by the id of the 250');
SELECT is(pg_temp.hook('ses', '{"Type":"Notification","MessageId":"1","Message":"{\"eventType\":\"Bounce\",\"bounce\":{\"bounceType\":\"Permanent\",\"bounceSubType\":\"General\",\"bouncedRecipients\":[{\"emailAddress\":\"ada@example.org\",\"status\":\"5.2.2\",\"diagnosticCode\":\"smtp; 552 5.2.2 mailbox full\"}]},\"mail\":{\"messageId\":\"$ID\"}}"}'),
    'bounce ada@example.org 552 5.2.2', 'ses in SNS: it goes by the recipient''s code, not by bounceType');
SELECT is(pg_temp.hook('ses', '{"notificationType":"Bounce","bounce":{"bounceType":"Transient","bounceSubType":"General","bouncedRecipients":[{"emailAddress":"ada@example.org"}]},"mail":{"messageId":"$ID"}}'),
    'auto_reply ada@example.org', 'ses: Transient, General without a code is an automatic answer');
SELECT is(pg_temp.hook('ses', '{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"OnAccountSuppressionList","bouncedRecipients":[{"emailAddress":"ada@example.org","status":"5.1.1"}]},"mail":{"messageId":"$ID"}}'),
    'bounce hard ada@example.org 5.1.1 not counted', 'ses: its own suppression list marks, and is not counted');
SELECT is(pg_temp.hook('ses', '{"notificationType":"Complaint","complaint":{"complainedRecipients":[{"emailAddress":"ada@example.org"}],"complaintFeedbackType":"abuse"},"mail":{"messageId":"$ID"}}'),
    'complaint ada@example.org', 'ses: a complaint');
SELECT is(pg_temp.hook('ses', '{"notificationType":"Delivery","delivery":{"recipients":["ada@example.org"],"smtpResponse":"250 2.6.0 ok"},"mail":{"messageId":"$ID"}}'),
    'delivered ada@example.org 250 2.6.0', 'ses: a delivery');
SELECT is(pg_temp.hook('ses', '{"Type":"SubscriptionConfirmation","SubscribeURL":"https://sns.example"}'), NULL, 'ses: a subscription is no feedback');

SELECT is(pg_temp.hook('postmark', '{"RecordType":"Bounce","ID":42,"Type":"HardBounce","MessageID":"$ID","Email":"ada@example.org","Details":"smtp;550 5.1.1 The account does not exist."}'),
    'bounce hard ada@example.org 550 5.1.1', 'postmark: HardBounce');
SELECT is(pg_temp.hook('postmark', format('{"RecordType":"Bounce","ID":43,"Type":"%s","MessageID":"$ID","Email":"ada@example.org","Details":"later"}', t)), 'bounce ada@example.org', 'postmark: ' || t || ' is soft')
FROM unnest('{Transient,Blocked,DnsError,SoftBounce}'::text[]) t;
SELECT is(pg_temp.hook('postmark', '{"RecordType":"Bounce","ID":44,"Type":"AutoResponder","MessageID":"$ID","Email":"ada@example.org"}'), 'auto_reply ada@example.org', 'postmark: AutoResponder is an automatic answer');
SELECT is(pg_temp.hook('postmark', '{"RecordType":"Bounce","ID":45,"Type":"ManuallyDeactivated","MessageID":"$ID","Email":"ada@example.org"}'), 'bounce hard ada@example.org not counted', 'postmark: ManuallyDeactivated is not counted');
SELECT is(pg_temp.hook('postmark', '{"RecordType":"SpamComplaint","ID":46,"MessageID":"$ID","Email":"ada@example.org"}'), 'complaint ada@example.org', 'postmark: SpamComplaint');

SELECT is(pg_temp.hook('sendgrid', '[{"event":"bounce","email":"ada@example.org","smtp-id":"<$OWN>","sg_event_id":"e1","type":"bounce","status":"5.1.1","reason":"550 5.1.1 The email account that you tried to reach does not exist."},{"event":"processed","email":"ada@example.org"}]'),
    'bounce hard ada@example.org 550 5.1.1', 'sendgrid: a batch, by our Message-ID');
SELECT is(pg_temp.hook('sendgrid', '[{"event":"bounce","email":"ada@example.org","sg_message_id":"$ID.filter0001.16648.5515E0B88.0","type":"blocked","reason":"550 5.1.1 user unknown"}]'),
    'bounce ada@example.org 550 5.1.1', 'sendgrid: blocked is soft');
SELECT is(pg_temp.hook('sendgrid', '[{"event":"dropped","email":"ada@example.org","smtp-id":"<$OWN>","reason":"Bounced Address","status":"5.0.0"}]'),
    'bounce hard ada@example.org 5.0.0 not counted', 'sendgrid: dropped is not counted');
SELECT is(pg_temp.hook('sendgrid', '[{"event":"spamreport","email":"ada@example.org","smtp-id":"<$OWN>"},{"event":"deferred","email":"ada@example.org","smtp-id":"<$OWN>","response":"400 try again later"}]'),
    'complaint ada@example.org; delay ada@example.org 400', 'sendgrid: spam report and delay');

SELECT is(pg_temp.hook('mailgun', '{"signature":{},"event-data":{"event":"failed","severity":"permanent","reason":"bounce","id":"m1","recipient":"ada@example.org","delivery-status":{"code":550,"message":"5.1.1 The email account that you tried to reach does not exist."},"message":{"headers":{"message-id":"$OWN"}}}}'),
    'bounce hard ada@example.org 550 5.1.1', 'mailgun: a permanent failure');
SELECT is(pg_temp.hook('mailgun', '{"event-data":{"event":"failed","severity":"temporary","reason":"generic","id":"m2","recipient":"ada@example.org","delivery-status":{"code":452,"message":"4.2.2 over quota"},"message":{"headers":{"message-id":"$OWN"}}}}'),
    'bounce ada@example.org 452 4.2.2', 'mailgun: a temporary one is soft');
SELECT is(pg_temp.hook('mailgun', '{"event-data":{"event":"failed","severity":"permanent","reason":"suppress-bounce","id":"m3","recipient":"ada@example.org","delivery-status":{"code":605,"description":"Not delivering to previously bounced address"},"message":{"headers":{"message-id":"$OWN"}}}}'),
    'bounce hard ada@example.org not counted', 'mailgun: suppress-bounce is not counted');

SELECT is(pg_temp.hook('brevo', '{"event":"hard_bounce","email":"ada@example.org","id":1,"message-id":"<$OWN>","reason":"550 5.1.1 unknown user"}'), 'bounce hard ada@example.org 550 5.1.1', 'brevo: hard_bounce');
SELECT is(pg_temp.hook('brevo', '{"event":"soft_bounce","email":"ada@example.org","message-id":"<$OWN>","reason":"mailbox full"}'), 'bounce ada@example.org', 'brevo: soft_bounce');
SELECT is(pg_temp.hook('brevo', '{"event":"spam","email":"ada@example.org","message-id":"<$OWN>"}'), 'complaint ada@example.org', 'brevo: spam');
SELECT is(pg_temp.hook('mailjet', '[{"event":"bounce","email":"ada@example.org","hard_bounce":true,"blocked":false,"error":"user unknown","MessageID":7,"Message_GUID":"$ID"}]'), 'bounce hard ada@example.org', 'mailjet: bounce');
SELECT is(pg_temp.hook('mailjet', '{"event":"blocked","email":"ada@example.org","error":"preblocked","Message_GUID":"$ID"}'), 'bounce ada@example.org not counted', 'mailjet: blocked is not counted');
SELECT is(pg_temp.hook('mailjet', '{"event":"unsub","email":"ada@example.org","Message_GUID":"$ID"}'), 'unsubscribe ada@example.org', 'mailjet: unsub');

-- The same by webhook and by mail counts once.
SELECT pg_temp.sent_mail('{bea@example.org}') AS twice \gset
SELECT count(*) FROM mailer.ingest(pg_temp.bounce(pg_temp.id_of(:twice), 'bea@example.org')) \g /dev/null
SELECT is_empty(format($$SELECT * FROM mailer.ingest_webhook('brevo', convert_to('{"event":"hard_bounce","email":"bea@example.org","message-id":"%s"}', 'UTF8'), '{}')$$, pg_temp.id_of(:twice)),
    'the same report by two ways counts once');

-- Signatures, over what really came.
SELECT is(mailer.webhook_has_secret('mailgun'), false, 'no secret is set yet');
SELECT mailer.webhook_set_secret('mailgun', 'key') \g /dev/null
SELECT is(mailer.webhook_has_secret('mailgun'), true, 'now one is');
SELECT throws_ok('SELECT mailer.webhook_has_secret(''nobody'')', '22023', '"nobody" is not a provider');
SELECT throws_ok($$SELECT pg_temp.hook('mailgun', '{"signature":{"timestamp":"1","token":"a","signature":"00"},"event-data":{"event":"failed"}}')$$, '28000', 'the webhook is not signed by mailgun');
SELECT is(pg_temp.hook('mailgun', format('{"signature":{"timestamp":"1","token":"a","signature":"%s"},"event-data":{"event":"complained","recipient":"ada@example.org","message":{"headers":{"message-id":"$OWN"}}}}',
    encode(mailer._hmac_sha256('key', '1a'), 'hex'))), 'complaint ada@example.org', 'mailgun: signed');
SELECT mailer.webhook_set_secret('postmark', 'user:word') \g /dev/null
SELECT throws_ok($$SELECT pg_temp.hook('postmark', '{"RecordType":"SpamComplaint"}', '{"Authorization": "Basic eA=="}')$$, '28000', NULL, 'postmark: another password');
SELECT is(pg_temp.hook('postmark', '{"RecordType":"SpamComplaint","ID":1,"MessageID":"$ID","Email":"ada@example.org"}', '{"authorization": "Basic dXNlcjp3b3Jk"}'), 'complaint ada@example.org', 'postmark: user and password of the URL');
SELECT mailer.webhook_set_secret('sendgrid', 'bm8ga2V5') \g /dev/null
SELECT throws_ok($$SELECT pg_temp.hook('sendgrid', '[]', '{"X-Twilio-Email-Event-Webhook-Signature": "AAAA", "X-Twilio-Email-Event-Webhook-Timestamp": "1"}')$$, '28000', NULL, 'sendgrid: what isn''t signed by the key');
SELECT mailer.webhook_set_secret('sendgrid', 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE5AMJoCzLqFWGEnh+vrORpwNINVSIcYENxVsNkv1JWxU7mV/E5GXpeNooGxbvbRsLAtU2iBnYnTGL+N1rrBaPfQ==') \g /dev/null
SELECT lives_ok($$SELECT * FROM mailer.ingest_webhook('sendgrid', '[]', '{"x-twilio-email-event-webhook-signature": "MEUCIQCr2kgIjssEwuSAHkv3dWzAWNlvXpn2MA66HZXZSV/1vwIgdOGVNvOIvXus7tjp7j+FrR7LJFOluc1y+ZzITeS9w6Q=", "x-twilio-email-event-webhook-timestamp": "1"}')$$,
    'sendgrid: signed by the key');
SELECT throws_ok($$SELECT * FROM mailer.ingest_webhook('sendgrid', '[ ]', '{"x-twilio-email-event-webhook-signature": "MEUCIQCr2kgIjssEwuSAHkv3dWzAWNlvXpn2MA66HZXZSV/1vwIgdOGVNvOIvXus7tjp7j+FrR7LJFOluc1y+ZzITeS9w6Q=", "x-twilio-email-event-webhook-timestamp": "1"}')$$,
    '28000', NULL, 'sendgrid: over the raw bytes');
-- SNS signs names and values of its fields, with SHA-1 or SHA-256; this certificate was made for the test.
SELECT mailer.webhook_set_secret('ses', $pem$-----BEGIN CERTIFICATE-----
MIIDDzCCAfegAwIBAgIUUMrJQD/+bf9jy5dajRoVQaE21W0wDQYJKoZIhvcNAQEL
BQAwFjEUMBIGA1UEAwwLc25zLmV4YW1wbGUwIBcNMjYxMTMwMTU1MzA3WhgPMjEy
NjExMDYxNTUzMDdaMBYxFDASBgNVBAMMC3Nucy5leGFtcGxlMIIBIjANBgkqhkiG
9w0BAQEFAAOCAQ8AMIIBCgKCAQEAikKKN72duUVAWnmk/6SUM+ylstSVRiepyol4
CgCwoKyD0GeOInByyo/jElY6dO7og6DWaBiZmfw3WYckjVkA9J7k8P3yj17UU/KT
NzQ3QbIf5LRelV5sOc2/eOzcCV7u5BdDbMn1KSglZEygPAgTnmSUvkaR5bNziJsr
3RJnmwi9ghve1Mex8tm/2+oCpAc1Zlt+VOMgWn2R+QRc5N2LUMuxhBFUvgSHQ67I
B+XWzCOiidN3mKaIb/aJi6wvtLsrGKhXVCz/dcnWSwgQT0deEHZEz+V8wUFoSnFS
13K/3W/8RSv+4kit7inZ/Kvf5zzmVkcoccUW1ZG+zolpv4yGGQIDAQABo1MwUTAd
BgNVHQ4EFgQUsbmubYikj9dMdKD+Rk4XCQZ3/6UwHwYDVR0jBBgwFoAUsbmubYik
j9dMdKD+Rk4XCQZ3/6UwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOC
AQEACojjb805wC6f4P+0ha2dkb6eW9c+irG1m3k+UPZ81fA8xzvka5IKDT6MSITN
gNPD9MuG2dshjkgO4BwzpCG3uOJarFk87xScH0TalatYXSwsG9SdTEBHGuaqPtCm
qxjRSikB9FjYicOoHHSqZETRx4LfM8rbmOw3t45nBBIVx+mYzY3gDtwZwzFzZ7Y0
rLrnBszVrvQeRQ/n3mLrZB2A1yXCocxBtkUACb0D+w9/EBVrFGKrenG4I4Zeu8pO
DS54J0RpvyS/lmrZYZvvxdGsOsu4fjS7nC6UEOv+iPyDGJ261vU75eJ5xePI/fC3
z7lrqXEqYPT0rG47GvHrgehdaA==
-----END CERTIFICATE-----
$pem$) \g /dev/null
SELECT lives_ok(format('SELECT * FROM mailer.ingest_webhook(''ses'', convert_to(%L, ''UTF8''), ''{}'')', b), 'ses: signed by SNS, version ' || v)
FROM (VALUES (1, $b${"Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Subject": "Amazon SES", "Timestamp": "2026-11-30T15:00:00.000Z", "Message": "{\"notificationType\":\"Complaint\",\"complaint\":{\"complainedRecipients\":[]},\"mail\":{\"messageId\":\"x\"}}", "SignatureVersion": "1", "Signature": "KtnX33c5uGU3mDxx9d6TRr+HjVNBP/ToY0dGUFcmtXzQsY8D4kVlNJTOcTsgyAEAmT87M7az5w7fs1AXWSkz4xy/63GpKz+hO4XDae8XyNmvHh3rxg84WXAiSQ1ZgxVEa7XsJyQa0Car3iTsPLRma5DKhFPEoqIYtVom8f3CYL+rMb9t4HBEB5rjdHIJxkqz5ME+H0nUn6ex7DtMg++BNK9GWnBCtUj6EhJ5S5/zHq2wlBWVcFOkKVr0sx36JLKym5Nsew2gOMYyYE7IJmXmSjWpT3HUsbOtghP+zLdhvQfMvlKSz3THxrYRoZ/FKM/S2a3ueclp3tIQsyZ+iUfNCA=="}$b$), (2, $b${"Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Subject": "Amazon SES", "Timestamp": "2026-11-30T15:00:00.000Z", "Message": "{\"notificationType\":\"Complaint\",\"complaint\":{\"complainedRecipients\":[]},\"mail\":{\"messageId\":\"x\"}}", "SignatureVersion": "2", "Signature": "HuRjHD6VQCrtLb9udJZ/MTGM1pMIGtJQKDB52oeCh6gFMjbGJQyAHfzW4pS0vzdb4eQjGtf7yFSDvJEVdR5p+eO1s20B+UTbM+dsRAJXLzmt1HJKWyyxpa80tLe6iwpyb/imo9Ba1rFmZoRcOdrOinFU379M6gjo7qPNxfaa03qC1GBjz4uRfSJmO61jxhqY0EOyIlNiPLuA7fBViF3Zv8NnbyLtryAq5DkjYjToGq+T4QQaQXm91xPbAQ5Rz61PgiLn6Uxm1nrql+1d/ATaPBMOuHlfLFy4+6MflF4bkG3n0Josao6/NaF8uNvYNnf2L330M1retGuKuV3IpbvNpQ=="}$b$)) s(v, b);
SELECT throws_ok(format('SELECT * FROM mailer.ingest_webhook(''ses'', convert_to(%L, ''UTF8''), ''{}'')', $b${"Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Subject": "Amazon SEX", "Timestamp": "2026-11-30T15:00:00.000Z", "Message": "{\"notificationType\":\"Complaint\",\"complaint\":{\"complainedRecipients\":[]},\"mail\":{\"messageId\":\"x\"}}", "SignatureVersion": "2", "Signature": "HuRjHD6VQCrtLb9udJZ/MTGM1pMIGtJQKDB52oeCh6gFMjbGJQyAHfzW4pS0vzdb4eQjGtf7yFSDvJEVdR5p+eO1s20B+UTbM+dsRAJXLzmt1HJKWyyxpa80tLe6iwpyb/imo9Ba1rFmZoRcOdrOinFU379M6gjo7qPNxfaa03qC1GBjz4uRfSJmO61jxhqY0EOyIlNiPLuA7fBViF3Zv8NnbyLtryAq5DkjYjToGq+T4QQaQXm91xPbAQ5Rz61PgiLn6Uxm1nrql+1d/ATaPBMOuHlfLFy4+6MflF4bkG3n0Josao6/NaF8uNvYNnf2L330M1retGuKuV3IpbvNpQ=="}$b$), '28000', NULL, 'ses: another subject');
SELECT throws_ok($$SELECT * FROM mailer.ingest_webhook('ses', '{"notificationType":"Complaint"}', '{}')$$, '28000', NULL, 'ses: not signed at all');
SELECT throws_ok($$SELECT * FROM mailer.ingest_webhook('nobody', '{}', '{}')$$, '22023', '"nobody" is not a provider');
SELECT throws_ok($$SELECT * FROM mailer.ingest_webhook('brevo', 'x', '{}')$$, '22023', 'the webhook''s body is not JSON');
SELECT throws_ok($$SELECT * FROM mailer.ingest_webhook('brevo', '\xff', '{}')$$, '22023', 'the webhook''s body is not UTF-8');
SELECT is_empty(format($$SELECT * FROM mailer.ingest_webhook('brevo', %L, '{}')$$, b), 'what is no event is none: ' || b)
FROM unnest('{"[]","[1,null,\"x\"]","{}","null","{\"event\":7,\"email\":[]}"}'::text[]) b;
SELECT * FROM finish();
ROLLBACK;
