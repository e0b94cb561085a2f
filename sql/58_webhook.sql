-- What providers tell by webhooks: each event becomes an item of feedback, matched and acted on like a mail.
--
-- A provider's own judgement is used where it is better than ours, and only there. What its own suppression list
-- caused marks the message and is not counted by shields: nothing was sent. Where a secret is set, the request must be
-- signed with it, over the raw bytes.

CREATE TABLE webhook_secret (
    provider text PRIMARY KEY,
    secret   text NOT NULL,
    set_at   timestamptz NOT NULL
);
COMMENT ON TABLE webhook_secret IS 'What webhooks of a provider are signed with. Never dumped, never shown';

CREATE FUNCTION _is_signed(key bytea, message bytea, signature bytea, is_sha1 boolean) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'mailer_is_signed';
COMMENT ON FUNCTION _is_signed(bytea, bytea, bytea, boolean) IS 'Whether a message is signed (RSA or ECDSA, SHA-256 or SHA-1) by the owner of a certificate or public key, in PEM or DER';

CREATE FUNCTION _is_hard(code integer, enhanced_code text, words text) RETURNS boolean
LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'mailer_is_hard';
COMMENT ON FUNCTION _is_hard(integer, text, text) IS 'Whether a server''s words and codes say that the address is dead: the judgement on bounces and replies';

CREATE FUNCTION _check_provider(provider text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF provider IS NULL OR provider NOT IN ('ses', 'postmark', 'sendgrid', 'mailgun', 'brevo', 'mailjet') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" is not a provider', COALESCE(provider, 'NULL')),
            HINT = 'Providers are ses, postmark, sendgrid, mailgun, brevo and mailjet.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_provider(text) IS 'Error 22023 unless it is a provider whose webhooks are known';

CREATE FUNCTION webhook_set_secret(provider text, secret text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM mailer._check_provider(webhook_set_secret.provider);
    DELETE FROM mailer.webhook_secret w WHERE w.provider = webhook_set_secret.provider;
    INSERT INTO mailer.webhook_secret (provider, secret, set_at)
    SELECT webhook_set_secret.provider, webhook_set_secret.secret, mailer._now() WHERE webhook_set_secret.secret IS NOT NULL;
    PERFORM mailer._log_event('webhook_secret_set', jsonb_build_object('provider', webhook_set_secret.provider,
        'is_set', webhook_set_secret.secret IS NOT NULL));
END;
$$;
COMMENT ON FUNCTION webhook_set_secret(text, text) IS
'Sets the secret that a provider''s webhooks are signed with; NULL removes it. Without one, mailer.ingest_webhook() verifies nothing, and the
caller has to verify the origin. ses: the certificate of SNS in PEM. sendgrid: the public key, in base64. mailgun: the signing key.
postmark, brevo, mailjet: user:password of the URL, or a bearer token. Errors: 22023 no such provider.';

CREATE FUNCTION webhook_has_secret(provider text) RETURNS boolean
LANGUAGE mailer_plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._check_provider(webhook_has_secret.provider);
    RETURN EXISTS (SELECT FROM mailer.webhook_secret w WHERE w.provider = webhook_has_secret.provider);
END;
$$;
COMMENT ON FUNCTION webhook_has_secret(text) IS
'Whether mailer.webhook_set_secret() set a secret for the webhooks of a provider; check it for webhooks from the internet before
mailer.ingest_webhook(). Errors: 22023 no such provider.';

CREATE FUNCTION _header(headers jsonb, name text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT COALESCE(h.value #>> '{0}', h.value #>> '{}')
    FROM jsonb_each(CASE jsonb_typeof(headers) WHEN 'object' THEN headers ELSE '{}' END) h WHERE lower(h.key) = lower(name) LIMIT 1
$$;
COMMENT ON FUNCTION _header(jsonb, text) IS 'A header of a request, whatever its case; of several values the first';

CREATE FUNCTION _bytes(base64 text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT
AS $$
BEGIN
    RETURN decode(base64, 'base64');
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN '';
END;
$$;
COMMENT ON FUNCTION _bytes(text) IS 'Octets of a text in base64; none where it isn''t';

-- What SNS signs: names and values of these fields, a line each.
CREATE FUNCTION _sns_text(note jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT string_agg(f.name || E'\n' || (note ->> f.name) || E'\n', '' ORDER BY f.place)
    FROM unnest(ARRAY['Message', 'MessageId', 'Subject', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type']) WITH ORDINALITY f(name, place)
    WHERE note ? f.name
$$;
COMMENT ON FUNCTION _sns_text(jsonb) IS 'The text that the signature of an SNS notification is over';

CREATE FUNCTION _is_webhook_signed(provider text, secret text, body bytea, content jsonb, headers jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT COALESCE(CASE provider
        WHEN 'ses' THEN mailer._is_signed(convert_to(secret, 'UTF8'), convert_to(mailer._sns_text(content), 'UTF8'),
            mailer._bytes(content ->> 'Signature'), content ->> 'SignatureVersion' = '1')
        WHEN 'sendgrid' THEN mailer._is_signed(mailer._bytes(secret),
            convert_to(mailer._header(headers, 'X-Twilio-Email-Event-Webhook-Timestamp'), 'UTF8') || body,
            mailer._bytes(mailer._header(headers, 'X-Twilio-Email-Event-Webhook-Signature')), false)
        WHEN 'mailgun' THEN encode(mailer._hmac_sha256(convert_to(secret, 'UTF8'),
                convert_to((content #>> '{signature,timestamp}') || (content #>> '{signature,token}'), 'UTF8')), 'hex') = content #>> '{signature,signature}'
        ELSE sha256(convert_to(mailer._header(headers, 'Authorization'), 'UTF8')) IN (
            sha256(convert_to('Basic ' || translate(encode(convert_to(secret, 'UTF8'), 'base64'), E'\n', ''), 'UTF8')),
            sha256(convert_to('Bearer ' || secret, 'UTF8'))) END, false)
$$;
COMMENT ON FUNCTION _is_webhook_signed(text, text, bytea, jsonb, jsonb) IS 'Whether a webhook is from whom it says';

CREATE FUNCTION _webhook_item(kind text, address text, is_hard boolean, code integer, enhanced_code text, words text, is_counted boolean,
    event_id text, ids text[]) RETURNS mailer._feedback_item
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT ROW(kind, left(address, 320), NULL, COALESCE(is_hard, false) AND kind = 'bounce',
        CASE WHEN code BETWEEN 200 AND 599 THEN code ELSE (regexp_match(words, '(?:^|[^0-9.])([2-5][0-5][0-9])(?:[ -]|$)'))[1]::integer END,
        COALESCE((regexp_match(enhanced_code, '^[245]\.[0-9]{1,3}\.[0-9]{1,3}$'))[1], (regexp_match(words, '(?:^|[^0-9.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])'))[1]),
        NULLIF(left(btrim(regexp_replace(words, '[[:cntrl:][:space:]]+', ' ', 'g')), 1000), ''), false, false, is_counted, NULL, event_id, NULL, '{}', NULL,
        array_remove(ids, NULL), '{}', true, NULL)::mailer._feedback_item
$$;
COMMENT ON FUNCTION _webhook_item(text, text, boolean, integer, text, text, boolean, text, text[]) IS 'One event of a webhook as feedback';

CREATE FUNCTION _ses_items(note jsonb) RETURNS SETOF mailer._feedback_item
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    kind text := COALESCE(note ->> 'notificationType', note ->> 'eventType');
    ids text[] := ARRAY[note #>> '{mail,messageId}', note #>> '{mail,commonHeaders,messageId}'];
    subtype text := note #>> '{bounce,bounceSubType}';
    is_own_list boolean := COALESCE(note #>> '{bounce,bounceSubType}' IN ('Suppressed', 'OnAccountSuppressionList'), false);
    r jsonb;
BEGIN
    FOR r IN SELECT jsonb_array_elements(COALESCE(note #> '{bounce,bouncedRecipients}', '[]')) LOOP
        -- The recipient's code says it; Transient, General without one is an automatic answer as often as not.
        IF note #>> '{bounce,bounceType}' = 'Transient' AND subtype = 'General' AND NOT r ?| ARRAY['status', 'diagnosticCode'] THEN
            RETURN NEXT mailer._webhook_item('auto_reply', r ->> 'emailAddress', false, NULL, NULL, 'Transient, General', true, note #>> '{bounce,feedbackId}', ids);
        ELSE
            RETURN NEXT mailer._webhook_item('bounce', r ->> 'emailAddress',
                CASE WHEN is_own_list THEN true
                     WHEN r ?| ARRAY['status', 'diagnosticCode'] THEN mailer._is_hard(NULL, r ->> 'status', COALESCE(r ->> 'diagnosticCode', ''))
                     ELSE note #>> '{bounce,bounceType}' = 'Permanent' AND subtype IN ('General', 'NoEmail') END,
                NULL, r ->> 'status', COALESCE(regexp_replace(r ->> 'diagnosticCode', '^smtp; *', ''), subtype), NOT is_own_list, note #>> '{bounce,feedbackId}', ids);
        END IF;
    END LOOP;
    IF COALESCE(note #>> '{complaint,complaintFeedbackType}', '') <> 'not-spam' THEN
        FOR r IN SELECT jsonb_array_elements(COALESCE(note #> '{complaint,complainedRecipients}', '[]')) LOOP
            RETURN NEXT mailer._webhook_item('complaint', r ->> 'emailAddress', false, NULL, NULL, note #>> '{complaint,complaintFeedbackType}', true,
                note #>> '{complaint,feedbackId}', ids);
        END LOOP;
    END IF;
    FOR r IN SELECT jsonb_array_elements(COALESCE(note #> '{deliveryDelay,delayedRecipients}', '[]')) LOOP
        RETURN NEXT mailer._webhook_item('delay', r ->> 'emailAddress', false, NULL, r ->> 'status', COALESCE(r ->> 'diagnosticCode', note #>> '{deliveryDelay,delayType}'),
            true, note #>> '{deliveryDelay,timestamp}', ids);
    END LOOP;
    IF kind = 'Delivery' THEN
        FOR r IN SELECT jsonb_array_elements(COALESCE(note #> '{delivery,recipients}', '[]')) LOOP
            RETURN NEXT mailer._webhook_item('delivered', r #>> '{}', false, NULL, NULL, note #>> '{delivery,smtpResponse}', true, NULL, ids);
        END LOOP;
    END IF;
END;
$$;
COMMENT ON FUNCTION _ses_items(jsonb) IS 'Events of Amazon SES, by notification or by event publishing';

CREATE FUNCTION _postmark_item(e jsonb) RETURNS mailer._feedback_item
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._webhook_item(
        CASE WHEN e ->> 'RecordType' = 'Delivery' THEN 'delivered'
             WHEN e ->> 'RecordType' = 'SpamComplaint' OR e ->> 'Type' = 'SpamComplaint' THEN 'complaint'
             WHEN e ->> 'RecordType' = 'SubscriptionChange' AND e ->> 'SuppressSending' = 'true' AND e ->> 'SuppressionReason' = 'ManualSuppression' THEN 'unsubscribe'
             WHEN e ->> 'RecordType' = 'Bounce' THEN CASE e ->> 'Type' WHEN 'AutoResponder' THEN 'auto_reply' WHEN 'Unsubscribe' THEN 'unsubscribe'
                 WHEN 'ChallengeVerification' THEN NULL WHEN 'Subscribe' THEN NULL ELSE 'bounce' END END,
        COALESCE(e ->> 'Email', e ->> 'Recipient'), e ->> 'Type' IN ('HardBounce', 'BadEmailAddress', 'ManuallyDeactivated'), NULL, NULL,
        COALESCE(NULLIF(e ->> 'Details', ''), e ->> 'Description'), e ->> 'Type' IS DISTINCT FROM 'ManuallyDeactivated', e ->> 'ID',
        ARRAY[e ->> 'MessageID'] || ARRAY(SELECT x[1] FROM regexp_matches(left(e ->> 'Content', 20000), 'Message-ID:\s*<([^<>\s]+)>', 'gi') x))
$$;
COMMENT ON FUNCTION _postmark_item(jsonb) IS 'An event of Postmark';

CREATE FUNCTION _sendgrid_item(e jsonb) RETURNS mailer._feedback_item
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._webhook_item(
        CASE e ->> 'event' WHEN 'bounce' THEN 'bounce' WHEN 'blocked' THEN 'bounce' WHEN 'dropped' THEN 'bounce' WHEN 'deferred' THEN 'delay'
            WHEN 'delivered' THEN 'delivered' WHEN 'spamreport' THEN 'complaint' WHEN 'unsubscribe' THEN 'unsubscribe' WHEN 'group_unsubscribe' THEN 'unsubscribe' END,
        e ->> 'email',
        CASE WHEN e ->> 'event' = 'dropped' THEN e ->> 'reason' IN ('Bounced Address', 'Invalid')
             WHEN e ->> 'type' = 'blocked' OR e ->> 'event' = 'blocked' THEN false
             ELSE mailer._is_hard(NULL, e ->> 'status', COALESCE(e ->> 'reason', '')) END,
        NULL, e ->> 'status', COALESCE(e ->> 'reason', e ->> 'response'), e ->> 'event' <> 'dropped', e ->> 'sg_event_id',
        ARRAY[btrim(e ->> 'smtp-id', '<> '), split_part(e ->> 'sg_message_id', '.', 1)])
$$;
COMMENT ON FUNCTION _sendgrid_item(jsonb) IS 'An event of SendGrid';

CREATE FUNCTION _mailgun_item(e jsonb) RETURNS mailer._feedback_item
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._webhook_item(
        CASE e ->> 'event' WHEN 'failed' THEN 'bounce' WHEN 'complained' THEN 'complaint' WHEN 'unsubscribed' THEN 'unsubscribe' WHEN 'delivered' THEN 'delivered' END,
        e ->> 'recipient',
        e ->> 'severity' = 'permanent' AND (e ->> 'reason' = 'suppress-bounce'
            OR mailer._is_hard((e #>> '{delivery-status,code}')::numeric::integer, e #>> '{delivery-status,enhanced-code}', d.words)),
        (e #>> '{delivery-status,code}')::numeric::integer, e #>> '{delivery-status,enhanced-code}', d.words,
        COALESCE(e ->> 'reason', '') NOT LIKE 'suppress-%', e ->> 'id', ARRAY[btrim(e #>> '{message,headers,message-id}', '<> ')])
    FROM (SELECT COALESCE(NULLIF(e #>> '{delivery-status,message}', ''), e #>> '{delivery-status,description}', '') AS words) d
$$;
COMMENT ON FUNCTION _mailgun_item(jsonb) IS 'An event of Mailgun';

CREATE FUNCTION _brevo_item(e jsonb) RETURNS mailer._feedback_item
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._webhook_item(
        CASE lower(replace(e ->> 'event', '_', '')) WHEN 'hardbounce' THEN 'bounce' WHEN 'softbounce' THEN 'bounce' WHEN 'invalidemail' THEN 'bounce' WHEN 'invalid' THEN 'bounce'
            WHEN 'blocked' THEN 'bounce' WHEN 'error' THEN 'bounce' WHEN 'deferred' THEN 'delay' WHEN 'delivered' THEN 'delivered' WHEN 'spam' THEN 'complaint'
            WHEN 'complaint' THEN 'complaint' WHEN 'unsubscribed' THEN 'unsubscribe' WHEN 'unsubscribe' THEN 'unsubscribe' END,
        e ->> 'email', lower(replace(e ->> 'event', '_', '')) IN ('hardbounce', 'invalidemail', 'invalid'), NULL, NULL, e ->> 'reason',
        lower(e ->> 'event') <> 'blocked', COALESCE(e ->> 'ts_event', e ->> 'id'), ARRAY[btrim(e ->> 'message-id', '<> ')])
$$;
COMMENT ON FUNCTION _brevo_item(jsonb) IS 'An event of Brevo';

CREATE FUNCTION _mailjet_item(e jsonb) RETURNS mailer._feedback_item
LANGUAGE sql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._webhook_item(
        CASE e ->> 'event' WHEN 'bounce' THEN 'bounce' WHEN 'blocked' THEN 'bounce' WHEN 'spam' THEN 'complaint' WHEN 'unsub' THEN 'unsubscribe' WHEN 'sent' THEN 'delivered' END,
        e ->> 'email', e ->> 'event' = 'bounce' AND e ->> 'hard_bounce' = 'true', NULL, NULL, concat_ws(': ', e ->> 'error', NULLIF(e ->> 'comment', '')),
        e ->> 'event' <> 'blocked', e ->> 'time', ARRAY[e ->> 'Message_GUID', e ->> 'MessageID', btrim(e ->> 'CustomID', '<> ')])
$$;
COMMENT ON FUNCTION _mailjet_item(jsonb) IS 'An event of Mailjet';

CREATE FUNCTION _webhook_items(provider text, content jsonb) RETURNS SETOF mailer._feedback_item
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    e jsonb;
BEGIN
    FOR e IN SELECT jsonb_array_elements(CASE jsonb_typeof(content) WHEN 'array' THEN content ELSE jsonb_build_array(content) END) LOOP
        CONTINUE WHEN jsonb_typeof(e) <> 'object';
        CASE provider
            WHEN 'ses' THEN RETURN QUERY SELECT i.* FROM mailer._ses_items(CASE WHEN e ->> 'Type' = 'Notification' THEN mailer._json(e ->> 'Message') ELSE e END) i;
            WHEN 'postmark' THEN RETURN NEXT mailer._postmark_item(e);
            WHEN 'sendgrid' THEN RETURN NEXT mailer._sendgrid_item(e);
            WHEN 'mailgun' THEN RETURN NEXT mailer._mailgun_item(COALESCE(e -> 'event-data', e));
            WHEN 'brevo' THEN RETURN NEXT mailer._brevo_item(e);
            ELSE RETURN NEXT mailer._mailjet_item(e);
        END CASE;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _webhook_items(text, jsonb) IS 'The events of a webhook as feedback; kind NULL: it is none';

CREATE FUNCTION _json(content text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN content::jsonb;
EXCEPTION WHEN data_exception OR statement_too_complex THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the webhook''s body is not JSON', DETAIL = left(SQLERRM, 200);
END;
$$;
COMMENT ON FUNCTION _json(text) IS 'A text as JSON; error 22023 when it isn''t one';

CREATE FUNCTION ingest_webhook(provider text, body bytea, headers jsonb DEFAULT '{}') RETURNS SETOF mailer.feedback_log
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    content jsonb;
    secret text;
    f mailer._feedback_item;
    added bigint;
BEGIN
    PERFORM mailer._check_provider(ingest_webhook.provider), mailer._need('body', body IS NULL);
    BEGIN
        content := mailer._json(convert_from(body, 'UTF8'));
    EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the webhook''s body is not UTF-8';
    END;
    SELECT w.secret INTO secret FROM mailer.webhook_secret w WHERE w.provider = ingest_webhook.provider;
    IF secret IS NOT NULL AND NOT mailer._is_webhook_signed(ingest_webhook.provider, secret, body, content, headers) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_authorization_specification', MESSAGE = format('the webhook is not signed by %s', ingest_webhook.provider),
            HINT = 'Pass the body as the raw bytes that came, and all headers; mailer.webhook_set_secret() sets what it is signed with.';
    END IF;
    FOR f IN SELECT i.* FROM mailer._webhook_items(ingest_webhook.provider, content) i WHERE i.kind IS NOT NULL LOOP
        added := mailer._take_feedback(f, NULL, ingest_webhook.provider);
        IF added IS NOT NULL THEN
            RETURN QUERY SELECT l.* FROM mailer.feedback_log l WHERE l.id = added;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION ingest_webhook(text, bytea, jsonb) IS
'Processes the request of a provider''s webhook (ses, also in SNS; postmark, sendgrid, mailgun, brevo, mailjet), batches too, and returns the rows of
feedback_log that it added. body: the raw bytes. headers: of the request, an object. If mailer.webhook_set_secret() set a secret, the signature is
verified. Refusals by the provider''s own suppression list are logged and not counted by shields.
Errors: 22004 body is NULL, 22023 no such provider, or not JSON; 28000 it is not signed.';

REVOKE ALL ON FUNCTION _is_signed(bytea, bytea, bytea, boolean), _is_hard(integer, text, text), _check_provider(text), _header(jsonb, text), _bytes(text),
    _sns_text(jsonb), _is_webhook_signed(text, text, bytea, jsonb, jsonb),
    _webhook_item(text, text, boolean, integer, text, text, boolean, text, text[]), _ses_items(jsonb), _postmark_item(jsonb), _sendgrid_item(jsonb),
    _mailgun_item(jsonb), _brevo_item(jsonb), _mailjet_item(jsonb), _webhook_items(text, jsonb), _json(text) FROM PUBLIC;
