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
    kind text DEFAULT 'normal', loader text DEFAULT NULL, send_if text DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_enqueue';
COMMENT ON FUNCTION enqueue(text, text, text, text, text, jsonb, text, text[], text, text, text, jsonb, mailer.attachment[],
    timestamptz, timestamptz, int, text, text, text, text, text, text) IS
'Queues one mail in the current transaction and gives its message id. recipient, cc and bcc are address lists (100 addresses in all,
duplicates count once); subject and a body, or a template with variables. Literal subject and bodies are sent as they are, unless
variables or a loader are given: then they are templates themselves. The same idempotency_key and content give the same id again.
Errors: 22023 a bad address, header, attachment or combination; 22004 no recipient; 42704 no such template or mailbox; 42883 no such
loader or send_if; 23505 the idempotency key stands for other content; 54000 too large; 55000 the database isn''t armed.';
REVOKE ALL ON FUNCTION enqueue(text, text, text, text, text, jsonb, text, text[], text, text, text, jsonb, mailer.attachment[],
    timestamptz, timestamptz, int, text, text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION attach(filename text, content bytea, content_type text DEFAULT NULL, content_id text DEFAULT NULL)
    RETURNS mailer.attachment
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_attach';
COMMENT ON FUNCTION attach(text, bytea, text, text) IS
'A file to send along, for the parameter attachments. Without content_type it is guessed from the name; with a content_id it is an
inline image, shown in HTML by <img src="cid:…">. Error 22023 when name, type or id can''t stand in a header.';
REVOKE ALL ON FUNCTION attach(text, bytea, text, text) FROM PUBLIC;

-- ── What a mail says ───────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION render(source text, variables jsonb, is_html boolean DEFAULT false) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_render';
COMMENT ON FUNCTION render(text, jsonb, boolean) IS
'Renders a Mustache source with variables (a JSON object; NULL is {}), escaping for HTML when is_html. {{> name}} takes in a stored
template. NULL for a NULL source. Errors: 42601 the source doesn''t parse, 22023 variables is no object, 54000 a limit.';
REVOKE ALL ON FUNCTION render(text, jsonb, boolean) FROM PUBLIC;

CREATE FUNCTION template_preview(name text, variables jsonb, OUT subject text, OUT body_text text, OUT body_html text)
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_template_preview';
COMMENT ON FUNCTION template_preview(text, jsonb) IS
'What a stored template says with these variables; sends nothing. Errors: 42704 no such template, 22004 name is NULL, 22023 variables
is no object, 54000 a limit.';
REVOKE ALL ON FUNCTION template_preview(text, jsonb) FROM PUBLIC;

CREATE FUNCTION message_source(message_id bigint) RETURNS bytea
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_message_source';
COMMENT ON FUNCTION message_source(bigint) IS
'The bytes of a message as they go over the wire (not dot-stuffed), from the mailbox that sent it or the first that would. A template is
rendered as it is now; a loader isn''t called, the stored variables stand in. Errors: 42704 no such message, 55000 purged, or no mailbox.';
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
    send_if text DEFAULT NULL, recipient_variables jsonb[] DEFAULT NULL, gap interval DEFAULT '0', label text DEFAULT NULL)
    RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_enqueue_batch';
COMMENT ON FUNCTION enqueue_batch(text[], text, text, text, text, jsonb, text, text[], text, text, text, jsonb,
    mailer.attachment[], timestamptz, timestamptz, int, text, text, text, text, text, text, jsonb[], interval, text) IS
'Queues one mail to each of the recipients and gives the batch id, for batch_status(). The same address twice is one mail; a bad address
is recorded as failed (invalid_address) and the rest goes on. recipient_variables are merged over variables, one element a recipient.
gap is the least time between two mails of the batch, from the previous actual send. Attachments are stored once. With an
idempotency_key the same content gives the same batch again. Errors: as enqueue(), but for the recipients; 2202E when recipients and
recipient_variables differ in length.';
REVOKE ALL ON FUNCTION enqueue_batch(text[], text, text, text, text, jsonb, text, text[], text, text, text, jsonb,
    mailer.attachment[], timestamptz, timestamptz, int, text, text, text, text, text, text, jsonb[], interval, text) FROM PUBLIC;

CREATE FUNCTION batch_cancel(batch_id bigint) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_batch_cancel';
COMMENT ON FUNCTION batch_cancel(bigint) IS
'Cancels what is pending of a batch and gives how many that were; what is on its way goes on. Errors: 42704 no such batch.';
REVOKE ALL ON FUNCTION batch_cancel(bigint) FROM PUBLIC;

-- ── Afterwards ─────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION cancel(message_id bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_cancel';
COMMENT ON FUNCTION cancel(bigint) IS
'Cancels a pending message (reason by_user). False when it isn''t pending: unknown, on its way, or settled. Errors: 22004 NULL.';
REVOKE ALL ON FUNCTION cancel(bigint) FROM PUBLIC;

CREATE FUNCTION retry(message_id bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_retry';
COMMENT ON FUNCTION retry(bigint) IS
'Queues a failed message again with fresh attempts, or makes one that waits after a failure due now. False for everything else, and for
a bad address, purged content or a cancelled campaign. What its refusal had suppressed (hard_bounce) is lifted. In a campaign it goes before new leads, through
every gate; a completed campaign runs again.';
REVOKE ALL ON FUNCTION retry(bigint) FROM PUBLIC;

CREATE FUNCTION resolve(message_id bigint, outcome text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_resolve';
COMMENT ON FUNCTION resolve(bigint, text) IS
'Says what became of an unconfirmed message: sent (it has arrived) or resend (it has not: it is queued again).
Errors: 42704 no such message, 55000 it is not unconfirmed, 22023 another outcome.';
REVOKE ALL ON FUNCTION resolve(bigint, text) FROM PUBLIC;

CREATE FUNCTION notify_trigger() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_notify_trigger';
COMMENT ON FUNCTION notify_trigger() IS
'For CREATE TRIGGER … AFTER INSERT OR UPDATE … FOR EACH ROW EXECUTE FUNCTION mailer.notify_trigger(template, recipients_function
[, gap [, label template [, mailbox]]]): mails everybody whom recipients_function(new_row jsonb [, old_row jsonb, operation text])
RETURNS TABLE (recipient text, variables jsonb) names. The template sees those variables, and new and old. A failure never fails the
statement: it is rolled back, told as a WARNING, and an event notification_failed. Firing it needs no right on mailer.';
REVOKE ALL ON FUNCTION notify_trigger() FROM PUBLIC;
