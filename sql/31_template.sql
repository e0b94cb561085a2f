-- Templates: stored Mustache text by name. They are rendered when a mail is sent, so changing one changes every mail
-- that still waits. That a template parses is checked here, at the door, by the renderer itself.

CREATE FUNCTION template_set(name text, subject text, body_text text DEFAULT NULL, body_html text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    was_there boolean;
BEGIN
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

    was_there := EXISTS (SELECT FROM mailer.template t WHERE t.name = template_set.name);
    INSERT INTO mailer.template (name, subject, body_text, body_html, updated_at, updated_by)
    VALUES (template_set.name, template_set.subject, template_set.body_text, template_set.body_html, mailer._now(), mailer._caller_name())
    ON CONFLICT (name) DO UPDATE
    SET subject = excluded.subject, body_text = excluded.body_text, body_html = excluded.body_html,
        updated_at = excluded.updated_at, updated_by = excluded.updated_by;
    PERFORM mailer._log_event('template_set', jsonb_build_object('name', template_set.name, 'is_new', NOT was_there));
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION template_set(text, text, text, text) IS
'Stores a Mustache template, or replaces it: also for mails that wait. subject and body_text are rendered as plain text, body_html with
everything escaped but {{{raw}}}. {{> other}} takes in another stored template. Try it with mailer.template_preview().
Errors: 22004 a name, subject or body is missing, 42601 the template doesn''t parse (the message says why).';
