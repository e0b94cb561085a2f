-- Templates: stored Mustache text by name. They are rendered when a mail is sent, so changing one changes every mail
-- that still waits. That a template parses is checked here, at the door, by the renderer itself.

CREATE FUNCTION _check_attachments(attachments mailer.attachment[]) RETURNS void
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_check_attachments';
COMMENT ON FUNCTION _check_attachments(mailer.attachment[]) IS 'Error 22023 when one of them can''t be attached or two have one content id, 54000 when they are too large';

CREATE FUNCTION _template_attachment_facts(template text) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_agg(jsonb_build_object('filename', a.filename, 'content_type', a.content_type, 'content_id', a.content_id,
        'is_alternative', a.is_alternative, 'sha256', encode(sha256(a.content), 'hex')) ORDER BY a.n)
    FROM mailer.template_attachment a WHERE a.template = _template_attachment_facts.template
$$;
COMMENT ON FUNCTION _template_attachment_facts(text) IS 'What goes along with a template now, as template_history keeps it';

CREATE FUNCTION template_set(name text, subject text, body_text text DEFAULT NULL, body_html text DEFAULT NULL,
    attachments mailer.attachment[] DEFAULT '{}', is_strict boolean DEFAULT false, is_shared boolean DEFAULT true)
    RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    was_there boolean;
BEGIN
    PERFORM mailer._check_name('name', template_set.name);
    PERFORM mailer._check_text('subject', template_set.subject, 65536);
    IF num_nulls(template_set.name, template_set.subject) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a template needs a name and a subject';
    END IF;
    IF num_nonnulls(template_set.body_text, template_set.body_html) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('template "%s" has no body', template_set.name),
            HINT = 'Give body_text, body_html or both.';
    END IF;
    PERFORM mailer._check_template(part)
    FROM unnest(ARRAY[template_set.subject, template_set.body_text, template_set.body_html]) part WHERE part IS NOT NULL;

    PERFORM mailer._check_attachments(template_set.attachments);
    -- clock_timestamp: what two calls in one transaction replace must not be replaced at one time.
    INSERT INTO mailer.template_history (name, subject, body_text, body_html, is_strict, attachments, replaced_at)
    SELECT t.name, t.subject, t.body_text, t.body_html, t.is_strict, mailer._template_attachment_facts(t.name), clock_timestamp()
    FROM mailer.template t WHERE t.name = template_set.name;
    was_there := FOUND;
    INSERT INTO mailer.template (name, subject, body_text, body_html, updated_at, updated_by, is_strict, is_shared)
    VALUES (template_set.name, template_set.subject, template_set.body_text, template_set.body_html, mailer._now(), mailer._caller_name(),
        COALESCE(template_set.is_strict, false), COALESCE(template_set.is_shared, true))
    ON CONFLICT (name) DO UPDATE
    SET subject = excluded.subject, body_text = excluded.body_text, body_html = excluded.body_html,
        updated_at = excluded.updated_at, updated_by = excluded.updated_by, is_strict = excluded.is_strict,
        is_shared = excluded.is_shared;
    DELETE FROM mailer.template_attachment a WHERE a.template = template_set.name;
    INSERT INTO mailer.template_attachment (template, n, filename, content_type, content_id, is_alternative, content)
    SELECT template_set.name, a.n, COALESCE(a.filename, ''), a.content_type, a.content_id, COALESCE(a.is_alternative, false), a.content
    FROM unnest(template_set.attachments) WITH ORDINALITY AS a(filename, content, content_type, content_id, is_alternative, n);
    PERFORM mailer._log_event('template_set', jsonb_build_object('name', template_set.name, 'is_new', NOT was_there));
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION template_set(text, text, text, text, mailer.attachment[], boolean, boolean) IS
'Stores a Mustache template, or replaces it, also for waiting mails. subject and body_text are rendered as plain text, body_html with
everything escaped but {{{raw}}}. {{> other}} includes another stored template. Try it with mailer.template_preview().
attachments are sent with every mail of the template, for example a logo that body_html shows by its content_id. With is_strict, a mail in which a variable is
missing fails (render_error) instead of being sent with a blank in its place.
is_shared: false restricts it to operators and the tenants of mailer.grant_template(), also when another template includes it.
Errors: 22004 a name, subject or body is missing, 42601 the template doesn''t parse (the message says why).';

REVOKE ALL ON FUNCTION _check_attachments(mailer.attachment[]), _template_attachment_facts(text) FROM PUBLIC;
