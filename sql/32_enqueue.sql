-- One mail, several mails about one event, and what may be done to them afterwards. All of it is C, for two reasons: the
-- role that queues must be seen before the owner's rights are taken (loaders run as that role later), and an
-- enqueue should cost little more than the insert that it is.
--
-- None is STRICT: most parameters have a default, and a NULL stands for it.

-- ── One mail ───────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION enqueue(recipient text, subject text DEFAULT NULL, body_text text DEFAULT NULL, body_html text DEFAULT NULL,
    template text DEFAULT NULL, variables jsonb DEFAULT '{}', mailbox text DEFAULT NULL, mailboxes text[] DEFAULT NULL,
    cc text DEFAULT NULL, bcc text DEFAULT NULL, reply_to text DEFAULT NULL, headers jsonb DEFAULT '{}',
    attachments mailer.attachment[] DEFAULT '{}', send_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL,
    priority int DEFAULT 2, idempotency_key text DEFAULT NULL, external_id text DEFAULT NULL, thread_key text DEFAULT NULL,
    kind text DEFAULT 'normal', loader text DEFAULT NULL, send_if text DEFAULT NULL, options jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_enqueue';
COMMENT ON FUNCTION enqueue(text, text, text, text, text, jsonb, text, text[], text, text, text, jsonb, mailer.attachment[],
    timestamptz, timestamptz, int, text, text, text, text, text, text, jsonb) IS
'Queues one mail in the current transaction and returns its message id. recipient, cc and bcc are address lists (100 addresses in all,
duplicates count once); recipient may be NULL when another is given. Pass names that users chose through mailer.address().
Subject and a body, or a template with variables. Literal subject and bodies are sent unchanged, unless variables or a loader are given:
then they are templates themselves, and so are headers, file names and reply_to. The same idempotency_key and content return the same id
again, also after a cancel (with a NOTICE). Mails with the same thread_key are one thread: each refers to the one before in Message-ID,
In-Reply-To and References. external_id is the application''s own id, shown in every view. options: from_name, from_address and sender (within the mailbox''s allowed_from), dsn
(never, or failure, delay, success with commas), language (Content-Language).
Errors: 22023 a bad address, header, attachment or combination; 22004 no recipient; 42704 no such template or mailbox; 42883 no such
loader or send_if; 23505 the idempotency key belongs to other content; 54000 too large; 55000 the database isn''t armed.';
REVOKE ALL ON FUNCTION enqueue(text, text, text, text, text, jsonb, text, text[], text, text, text, jsonb, mailer.attachment[],
    timestamptz, timestamptz, int, text, text, text, text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION attach(filename text, content bytea, content_type text DEFAULT NULL, content_id text DEFAULT NULL,
    is_alternative boolean DEFAULT false) RETURNS mailer.attachment
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_attach';
COMMENT ON FUNCTION attach(text, bytea, text, text, boolean) IS
'Creates an attachment, for the parameter attachments. Without content_type the type is guessed from the name; with a content_id it is an
inline image, shown in HTML by <img src="cid:…">. With is_alternative it is an alternative form of the body; a mail reader shows the best one that
it knows: an invitation (text/calendar; method=REQUEST), AMP (text/x-amp-html). Error 22023 when name, type or id can''t stand in a header.';
REVOKE ALL ON FUNCTION attach(text, bytea, text, text, boolean) FROM PUBLIC;

CREATE FUNCTION enqueue_raw(recipients text[], source bytea, mailbox text DEFAULT NULL, send_at timestamptz DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL, priority int DEFAULT 2, idempotency_key text DEFAULT NULL, external_id text DEFAULT NULL,
    kind text DEFAULT 'normal', options jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_enqueue_raw';
COMMENT ON FUNCTION enqueue_raw(text[], bytea, text, timestamptz, timestamptz, int, text, text, text, jsonb) IS
'Queues a mail that was composed elsewhere (signed, encrypted) and returns its message id. It is sent octet for octet; only a missing Date and
Message-ID are put in front, and line ends become CRLF. recipients are the envelope, one address an element; To and Cc are those of the
source. The mailbox must allow From and Sender (from_address, allowed_from). options: dsn.
Errors: 22023 a bad address, no From, a Bcc, a line of more than 998 octets, or a From that isn''t allowed; 42704 no such mailbox; 23505 the
idempotency key belongs to other content; 54000 too large; 55000 the database isn''t armed.';
REVOKE ALL ON FUNCTION enqueue_raw(text[], bytea, text, timestamptz, timestamptz, int, text, text, text, jsonb) FROM PUBLIC;

-- ── What a mail says ───────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION render(source text, variables jsonb, is_html boolean DEFAULT false) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_render';
COMMENT ON FUNCTION render(text, jsonb, boolean) IS
'Renders a Mustache source with variables (a JSON object; NULL is {}), escaping for HTML when is_html. {{> name}} includes a stored
template. Returns NULL for a NULL source. Errors: 42601 the source doesn''t parse, 22023 variables is no object, 54000 a limit.';
REVOKE ALL ON FUNCTION render(text, jsonb, boolean) FROM PUBLIC;

CREATE FUNCTION template_preview(name text, variables jsonb, OUT subject text, OUT body_text text, OUT body_html text, OUT missing text[])
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_template_preview';
COMMENT ON FUNCTION template_preview(text, jsonb) IS
'Renders a stored template with these variables, and lists the variables that are missing, and as "> name" the templates that it includes and that don''t exist; sends nothing. Errors: 42704 no such template, 22004 name is NULL, 22023 variables
is no object, 54000 a limit.';
REVOKE ALL ON FUNCTION template_preview(text, jsonb) FROM PUBLIC;

CREATE FUNCTION message_source(message_id bigint) RETURNS bytea
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_message_source';
COMMENT ON FUNCTION message_source(bigint) IS
'Returns the bytes of a message as they went over the wire (not dot-stuffed): composed again from the stored content, with the template as it was then, and
compared with what the last try sent. If something that is not stored has changed since (the mailbox''s name, a setting, an attachment of the
template), the error says so. A mail that was not sent yet is composed as it would be sent now, from the mailbox that has claimed it or the first that would;
a loader isn''t called, the stored variables are used. Errors: 42704 no such message, 55000 purged, no mailbox, or it can''t be shown.';
REVOKE ALL ON FUNCTION message_source(bigint) FROM PUBLIC;

CREATE FUNCTION _check_template(source text) RETURNS void
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_check_template';
COMMENT ON FUNCTION _check_template(text) IS 'Error 42601 when it isn''t a Mustache template, 54000 when it is too large or nested too deeply';
REVOKE ALL ON FUNCTION _check_template(text) FROM PUBLIC;

-- ── One event, several recipients ──────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION enqueue_batch(recipients text[], subject text DEFAULT NULL, body_text text DEFAULT NULL,
    body_html text DEFAULT NULL, template text DEFAULT NULL, variables jsonb DEFAULT '{}', mailbox text DEFAULT NULL,
    mailboxes text[] DEFAULT NULL, cc text DEFAULT NULL, bcc text DEFAULT NULL, reply_to text DEFAULT NULL,
    headers jsonb DEFAULT '{}', attachments mailer.attachment[] DEFAULT '{}', send_at timestamptz DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL, priority int DEFAULT 2, idempotency_key text DEFAULT NULL,
    external_id text DEFAULT NULL, thread_key text DEFAULT NULL, kind text DEFAULT 'normal', loader text DEFAULT NULL,
    send_if text DEFAULT NULL, recipient_variables mailer.json_list DEFAULT NULL, gap interval DEFAULT '0', label text DEFAULT NULL,
    recipient_headers mailer.json_list DEFAULT NULL, recipient_attachments mailer.json_list DEFAULT NULL, options jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_enqueue_batch';
COMMENT ON FUNCTION enqueue_batch(text[], text, text, text, text, jsonb, text, text[], text, text, text, jsonb,
    mailer.attachment[], timestamptz, timestamptz, int, text, text, text, text, text, text, mailer.json_list, interval, text, mailer.json_list, mailer.json_list, jsonb) IS
'Queues one mail to each of the recipients and returns the batch id, for batch_status(). An element is one address, with or without a name
(mailer.address()); the same address twice is one mail; a bad address is recorded as failed (invalid_address) and the others are queued.
recipient_variables and recipient_headers are merged over variables and headers, one element per recipient; recipient_attachments are added to
attachments: an element is to_jsonb(mailer.attach(…)), or a JSON array of such. Each may be a jsonb[] or one JSON array.
gap is the least time between two mails of the batch, from the previous actual send. Attachments are stored once. With an
idempotency_key the same content returns the same batch again. Errors: as enqueue(), but for the recipients; 2202E when recipients and
an array with one element for each differ in length.';
REVOKE ALL ON FUNCTION enqueue_batch(text[], text, text, text, text, jsonb, text, text[], text, text, text, jsonb,
    mailer.attachment[], timestamptz, timestamptz, int, text, text, text, text, text, text, mailer.json_list, interval, text, mailer.json_list, mailer.json_list, jsonb) FROM PUBLIC;

CREATE FUNCTION batch_cancel(batch_id bigint) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_batch_cancel';
COMMENT ON FUNCTION batch_cancel(bigint) IS
'Cancels the pending messages of a batch and returns how many there were; messages being sent continue. Errors: 42704 no such batch.';
REVOKE ALL ON FUNCTION batch_cancel(bigint) FROM PUBLIC;

-- ── Afterwards ─────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION cancel(message_id bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_cancel';
COMMENT ON FUNCTION cancel(bigint) IS
'Cancels a pending message (reason by_user). Returns false if it isn''t pending: unknown, being sent, or settled. Errors: 22004 NULL.';
REVOKE ALL ON FUNCTION cancel(bigint) FROM PUBLIC;

CREATE FUNCTION retry(message_id bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_retry';
COMMENT ON FUNCTION retry(bigint) IS
'Queues a failed message again with fresh attempts, or makes a message that waits after a failure due now. Returns false for all others, and for
a bad address, purged content, a cancelled campaign, or a lead whose sequence has ended (mailer.lead_restore() resumes it). A suppression that its refusal caused (hard_bounce) is lifted. In a campaign it is sent before new leads, through
every gate; a completed campaign runs again.';
REVOKE ALL ON FUNCTION retry(bigint) FROM PUBLIC;

CREATE FUNCTION resolve(message_id bigint, outcome text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_resolve';
COMMENT ON FUNCTION resolve(bigint, text) IS
'Records the result of an unconfirmed message: sent (it arrived) or resend (it did not arrive and is queued again).
Errors: 42704 no such message, 55000 it is not unconfirmed, or is to be sent again to a lead whose sequence has ended, 22023 another outcome.';
REVOKE ALL ON FUNCTION resolve(bigint, text) FROM PUBLIC;

CREATE FUNCTION notify_trigger() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_notify_trigger';
COMMENT ON FUNCTION notify_trigger() IS
'For CREATE TRIGGER … AFTER INSERT OR UPDATE … FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger(template, recipients_function
[, gap [, label template [, mailbox]]]): mails all recipients that recipients_function(new_row jsonb [, old_row jsonb, operation text])
RETURNS TABLE (recipient text, variables jsonb) returns. The template sees those variables, and new and old. A failure never fails the
statement: it is rolled back and reported as a WARNING and an event notification_failed. Firing the trigger needs no right on mailer.';
REVOKE ALL ON FUNCTION notify_trigger() FROM PUBLIC;
