-- Who the users are, which categories there are, and what each user wants to hear of, and how.
--
-- An application calls these from its own pages: contact_set when somebody signs up, preference_set from the settings page,
-- category_set once, in a migration. What already waits follows: a new address, zone or preference holds for it too.

CREATE FUNCTION _check_user(user_id text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF user_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'user_id must not be NULL';
    ELSIF length(user_id) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'user_id must have 1 to 200 characters',
            HINT = 'Pass the key by which the application knows the user.';
    END IF;
    PERFORM mailer._check_name('user_id', user_id);
END;
$$;
COMMENT ON FUNCTION _check_user(text) IS 'Error 22004 or 22023 unless it can be a user''s id';

CREATE FUNCTION contact_set(user_id text, address text, name text DEFAULT NULL, timezone text DEFAULT NULL,
    locale text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bare text := mailer._bare_address(contact_set.address, 'address');
BEGIN
    PERFORM mailer._check_user(contact_set.user_id);
    PERFORM mailer._check_text('name', contact_set.name, 65536), mailer._check_text('locale', contact_set.locale, 100);
    contact_set.user_id := mailer._user_key(contact_set.user_id);
    IF contact_set.timezone <> '' THEN
        PERFORM mailer._check_zone(contact_set.timezone);
    END IF;
    INSERT INTO mailer.contact AS c (user_id, address, address_key, name, timezone, locale, created_at)
    VALUES (contact_set.user_id, bare, mailer._address_key(bare), NULLIF(contact_set.name, ''), NULLIF(contact_set.timezone, ''),
        NULLIF(contact_set.locale, ''), mailer._now())
    ON CONFLICT (user_id) DO UPDATE
    SET address = excluded.address, address_key = excluded.address_key,
        name = NULLIF(COALESCE(contact_set.name, c.name), ''), timezone = NULLIF(COALESCE(contact_set.timezone, c.timezone), ''),
        locale = NULLIF(COALESCE(contact_set.locale, c.locale), '');
    IF bare IS NULL THEN
        PERFORM mailer._cancel_contact_mails(contact_set.user_id);
    ELSE
        PERFORM mailer._readdress_mails(contact_set.user_id);
    END IF;
    PERFORM mailer._reschedule_digests(contact_set.user_id, NULL);
END;
$$;
COMMENT ON FUNCTION contact_set(text, text, text, text, text) IS
'Sets how to reach a user; call it again when something changes. Waiting mails and digests go to the new address.
address: NULL notifies in the application only, and cancels waiting mails (contact_gone). name, timezone, locale: if left out or NULL, they stay
as they are; an empty text removes them.
timezone: the time zone of digests; without one mailer.timezone. locale: such as pt-BR, also written pt_br, uses the template "NAME.pt-BR"
or "NAME.pt" if it exists.
Errors: 22004 no user_id, 22023 a bad address or time zone.';

-- Notification mails that gather, or wait to see whether something is still unread, and aren't with the engine.
CREATE FUNCTION _waiting_mails(for_user text) RETURNS SETOF bigint
LANGUAGE sql
AS $$
    SELECT q.message_id
    FROM mailer.notification_mail n JOIN mailer.queue_entry q ON q.message_id = n.message_id
    WHERE n.user_id = for_user AND q.state = 'p'
    ORDER BY q.message_id FOR UPDATE OF q
$$;
COMMENT ON FUNCTION _waiting_mails(text) IS 'A user''s notification mails that gather or wait, locked';

-- Their one recipient follows the contact.
CREATE FUNCTION _readdress_mails(for_user text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE mailer.message m
    SET addresses = ARRAY[c.address], address_key = c.address_key, header_to = mailer._header_to(c.address, c.name)
    FROM mailer.contact c, mailer._waiting_mails(for_user) w(message_id)
    WHERE c.user_id = for_user AND c.address IS NOT NULL AND m.message_id = w.message_id AND m.address_key <> c.address_key;
END;
$$;
COMMENT ON FUNCTION _readdress_mails(text) IS 'Has the mails that wait for a user go to the contact''s address of now';

-- What the engine holds already is stopped by _notification_is_wanted().
CREATE FUNCTION _cancel_contact_mails(for_user text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM mailer._close_mail(e.message_id)
    FROM unnest(mailer._end(ARRAY(SELECT w.message_id FROM mailer._waiting_mails(for_user) w(message_id)), 'contact_gone',
        by_role => mailer._caller_name())) e(message_id);
END;
$$;
COMMENT ON FUNCTION _cancel_contact_mails(text) IS 'Cancels the mails that wait for a user who has no address any more (contact_gone)';

CREATE FUNCTION _header_to(address text, name text) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_header_to';
COMMENT ON FUNCTION _header_to(text, text) IS 'Name and address as one mailbox of RFC 5322, section 3.4; the name is quoted';

-- ── Categories ─────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION category_set(name text, is_required boolean DEFAULT NULL, rate_limit integer DEFAULT NULL,
    rate_period interval DEFAULT NULL, mail_delay interval DEFAULT NULL, mailbox text DEFAULT NULL,
    digest_template text DEFAULT NULL, digest_hour integer DEFAULT NULL, collapse_window interval DEFAULT NULL,
    is_announced boolean DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM mailer._check_category(category_set.name);
    PERFORM mailer._check_number('rate_limit', category_set.rate_limit, 0), mailer._check_number('digest_hour', category_set.digest_hour, 0, 23),
        mailer._check_span('rate_period', category_set.rate_period, false), mailer._check_span('mail_delay', category_set.mail_delay),
        mailer._check_span('collapse_window', category_set.collapse_window);
    IF category_set.digest_template <> '' THEN
        PERFORM mailer._check_template_exists(category_set.digest_template);
    END IF;
    INSERT INTO mailer.category AS c (name, is_required, rate_limit, rate_period, mail_delay, collapse_window, lane_id, digest_template,
        digest_hour, is_announced, created_at)
    VALUES (category_set.name, COALESCE(category_set.is_required, false), NULLIF(category_set.rate_limit, 0),
        COALESCE(category_set.rate_period, '1 hour'), COALESCE(category_set.mail_delay, '0'),
        COALESCE(category_set.collapse_window, '10 s'), mailer._stream_lane(NULLIF(category_set.mailbox, '')),
        NULLIF(category_set.digest_template, ''), COALESCE(category_set.digest_hour, 8), COALESCE(category_set.is_announced, true),
        mailer._now())
    ON CONFLICT (name) DO UPDATE
    SET is_required = COALESCE(category_set.is_required, c.is_required),
        rate_limit = NULLIF(COALESCE(category_set.rate_limit, c.rate_limit), 0),
        rate_period = COALESCE(category_set.rate_period, c.rate_period),
        mail_delay = COALESCE(category_set.mail_delay, c.mail_delay),
        collapse_window = COALESCE(category_set.collapse_window, c.collapse_window),
        lane_id = CASE WHEN category_set.mailbox IS NULL THEN c.lane_id ELSE excluded.lane_id END,
        digest_template = NULLIF(COALESCE(category_set.digest_template, c.digest_template), ''),
        digest_hour = COALESCE(category_set.digest_hour, c.digest_hour),
        is_announced = COALESCE(category_set.is_announced, c.is_announced);
    PERFORM mailer._log_event('category_set', jsonb_build_object('name', category_set.name, 'is_required', category_set.is_required,
        'rate_limit', category_set.rate_limit, 'rate_period', category_set.rate_period, 'mail_delay', category_set.mail_delay,
        'mailbox', category_set.mailbox, 'digest_template', category_set.digest_template, 'digest_hour', category_set.digest_hour,
        'collapse_window', category_set.collapse_window, 'is_announced', category_set.is_announced));
END;
$$;
COMMENT ON FUNCTION category_set(text, boolean, integer, interval, interval, text, text, integer, interval, boolean) IS
'Creates a category of notifications, or changes its settings: those left out, or NULL, stay as they are. A new one isn''t required, has no
rate_limit, a rate_period of an hour, no mail_delay, the default mailboxes, no digest_template, digest_hour 8, a collapse_window of 10 s, and
is announced.
is_required: users can''t switch it off. rate_limit: most mails to one user in rate_period; further ones are sent as one mail when the period ends; 0 is no limit.
mail_delay: above 0, the mail is sent after this time, and only if still unread. mailbox: the account that sends; an empty text is the default ones.
digest_template: for mails that collect several notifications, sees items; an empty text lists their titles. digest_hour: local hour of daily digests.
collapse_window: how long the mail of a collapse_key waits for more of the same.
is_announced: false omits the NOTIFY for a busy category; commits with a NOTIFY wait for each other, and PREPARE TRANSACTION refuses them.
Errors: 22004 no name, 22023 a bad value, 42704 no such mailbox or template.';

CREATE FUNCTION _check_category(name text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF name IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a category needs a name';
    ELSIF length(name) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a category''s name must have 1 to 200 characters';
    END IF;
    PERFORM mailer._check_name('a category''s name', name);
END;
$$;
COMMENT ON FUNCTION _check_category(text) IS 'Error 22004 or 22023 unless it can be a category''s name';

CREATE FUNCTION _check_template_exists(name text) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM mailer.template t WHERE t.name = _check_template_exists.name) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('template "%s" does not exist', COALESCE(name, 'NULL')),
            HINT = 'Store it with mailer.template_set().';
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_template_exists(text) IS 'Error 42704 when no template has this name';

CREATE FUNCTION _stream_lane(mailbox text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    members bigint[] := CASE WHEN mailbox IS NOT NULL THEN mailer._pool(ARRAY[mailbox]) END;
    found_lane bigint;
BEGIN
    IF members IS NULL THEN
        RETURN 1;
    END IF;
    LOOP
        SELECT l.lane_id INTO found_lane FROM mailer.lane l WHERE l.tenant_id = 1 AND l.pool_key = members[1]::text;
        IF found_lane IS NULL THEN
            INSERT INTO mailer.lane (kind, pool, pool_key) VALUES ('s', members, members[1]::text)
            ON CONFLICT (tenant_id, pool_key) DO NOTHING RETURNING lane_id INTO found_lane;
        END IF;
        EXIT WHEN found_lane IS NOT NULL;
    END LOOP;
    RETURN found_lane;
END;
$$;
COMMENT ON FUNCTION _stream_lane(text) IS 'The operators'' lane of ordinary mail from this mailbox, made when it is first needed; NULL is the default pool''s';

-- ── Preferences ────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION preference_set(user_id text, category text, email_enabled boolean DEFAULT NULL, in_app_enabled boolean DEFAULT NULL,
    digest text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM mailer._check_user(preference_set.user_id);
    preference_set.user_id := mailer._user_key(preference_set.user_id);
    PERFORM mailer._check_category(preference_set.category);
    IF preference_set.digest NOT IN ('immediate', 'hourly', 'daily') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" is not a way to get digests', preference_set.digest),
            HINT = 'Choose immediate, hourly or daily.';
    END IF;
    IF false IN (preference_set.email_enabled, preference_set.in_app_enabled)
       AND EXISTS (SELECT FROM mailer.category c WHERE c.name = preference_set.category AND c.is_required) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('category "%s" is required: it can''t be switched off', preference_set.category),
            HINT = 'Leave email_enabled and in_app_enabled on; a digest may be chosen.';
    END IF;
    IF EXISTS (SELECT FROM mailer.category) AND NOT EXISTS (SELECT FROM mailer.category c WHERE c.name = preference_set.category) THEN
        RAISE NOTICE USING MESSAGE = format('there is no category "%s" yet', preference_set.category),
            DETAIL = 'The preference is stored, and applies to what is notified under exactly this name.',
            HINT = format('Known are: %s. mailer.category_set() makes one.',
                (SELECT string_agg(format('"%s"', k.name), ', ') FROM (SELECT c.name FROM mailer.category c ORDER BY c.name LIMIT 20) k));
    END IF;
    INSERT INTO mailer.preference AS p (user_id, category, email_enabled, in_app_enabled, digest, updated_at)
    VALUES (preference_set.user_id, preference_set.category, COALESCE(preference_set.email_enabled, true),
        COALESCE(preference_set.in_app_enabled, true), COALESCE(preference_set.digest, 'immediate'), mailer._now())
    ON CONFLICT (user_id, category) DO UPDATE
    SET email_enabled = COALESCE(preference_set.email_enabled, p.email_enabled),
        in_app_enabled = COALESCE(preference_set.in_app_enabled, p.in_app_enabled),
        digest = COALESCE(preference_set.digest, p.digest), updated_at = excluded.updated_at;
    -- Switching mail on again takes back what the unsubscribe link did to this user. An unsubscription is of the address: another
    -- contact with the same address can't lift it, and where several were switched off only unsuppress() does.
    IF preference_set.email_enabled THEN
        DELETE FROM mailer.suppression s USING mailer.contact c, mailer.preference p
        WHERE c.user_id = preference_set.user_id AND s.address_key = c.address_key
          AND s.scope = 'category:' || preference_set.category AND s.reason = 'unsubscribed' AND s.tenant_id = mailer._user_tenant(c.user_id)
          AND p.user_id = c.user_id AND p.category = preference_set.category AND p.unsubscribed_at IS NOT NULL
          AND NOT EXISTS (
              SELECT FROM mailer.contact o JOIN mailer.preference x ON x.user_id = o.user_id
              WHERE o.address_key = c.address_key AND o.user_id <> c.user_id AND mailer._user_tenant(o.user_id) = s.tenant_id
                AND x.category = p.category AND x.unsubscribed_at IS NOT NULL);
        UPDATE mailer.preference p SET unsubscribed_at = NULL
        WHERE p.user_id = preference_set.user_id AND p.category = preference_set.category AND p.unsubscribed_at IS NOT NULL;
    END IF;
    PERFORM mailer._reschedule_digests(preference_set.user_id, preference_set.category);
    IF preference_set.digest IN ('hourly', 'daily') THEN
        PERFORM mailer._gather_waiting(preference_set.user_id, preference_set.category);
    END IF;
END;
$$;
COMMENT ON FUNCTION preference_set(text, text, boolean, boolean, text) IS
'Sets how a user gets a category: by mail, in the application, both (the default) or neither. A parameter that is left out,
or NULL, stays as it is.
digest: immediate sends each mail, hourly collects until the full hour, daily until category_set''s digest_hour, in the user''s time zone.
Waiting mail follows: single mails are collected in the digest. A category that category_set doesn''t know draws a NOTICE. email_enabled => true also ends an unsubscription by link from this category.
Errors: 22004 no user or category, 22023 a bad digest, 55000 the category is required.';

-- A digest that gathers already moves to where the preference and the zone of now put it.
CREATE FUNCTION _reschedule_digests(for_user text, for_category text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    waiting record;
    new_due timestamptz;
BEGIN
    FOR waiting IN
        SELECT n.category, q.message_id, q.lane_id, q.due_at
        FROM mailer.notification_mail n JOIN mailer.queue_entry q ON q.message_id = n.message_id
        WHERE n.user_id = for_user AND n.is_open AND n.mail_group = 'digest' AND q.state = 'p' AND q.try_count = 0
          AND (for_category IS NULL OR n.category = for_category)
        ORDER BY q.message_id FOR UPDATE OF q
    LOOP
        new_due := mailer._digest_at(for_user, waiting.category);
        IF new_due <> waiting.due_at THEN
            UPDATE mailer.queue_entry q SET due_at = new_due WHERE q.message_id = waiting.message_id;
            PERFORM mailer._wake(waiting.lane_id, new_due);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _reschedule_digests(text, text) IS 'Moves a user''s waiting digests (of one category, or all) to the time that preference and zone say now';

-- Mails that were to go at once, and haven't: what they tell goes with the digest. A mail that somebody's transaction is adding to is left
-- as it is (N2 in 62_notify.sql).
CREATE FUNCTION _gather_waiting(for_user text, for_category text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    waiting bigint[];
BEGIN
    waiting := ARRAY(
        SELECT i.message_id FROM mailer.notification n JOIN mailer.notification_item i ON i.notification_id = n.notification_id
        WHERE n.user_id = for_user AND n.category = for_category AND i.message_id IS NOT NULL
        UNION
        SELECT i.message_id FROM mailer.notification_item i
        WHERE i.user_id = for_user AND i.category = for_category AND i.message_id IS NOT NULL AND i.notification_id IS NULL
        UNION ALL
        SELECT n.message_id FROM (
            SELECT m.message_id FROM mailer.notification_mail m
            WHERE m.user_id = for_user AND m.category = for_category AND m.is_open AND m.mail_group LIKE 'key:%'
            FOR UPDATE SKIP LOCKED) n);
    -- Those of before a mail closed are its own, whatever group they were in.
    PERFORM mailer._close_mail(m.message_id) FROM mailer.notification_mail m
    WHERE m.message_id = ANY (waiting) AND m.is_open
      AND EXISTS (SELECT FROM mailer.queue_entry q WHERE q.message_id = m.message_id AND q.state = 'p' AND q.try_count = 0);
    waiting := mailer._end(ARRAY(SELECT q.message_id FROM mailer.queue_entry q
        WHERE q.message_id = ANY (waiting) AND q.state = 'p' AND q.try_count = 0), 'gathered', by_role => mailer._caller_name());
    IF cardinality(waiting) = 0 THEN
        RETURN;
    END IF;
    UPDATE mailer.notification_item i SET message_id = NULL, mail_group = 'digest' WHERE i.message_id = ANY (waiting);
    PERFORM mailer._queue_digest(for_user, for_category, EXISTS (
        SELECT FROM mailer.notification_item i JOIN mailer.template t ON t.name = i.template
        WHERE i.user_id = for_user AND i.category = for_category AND i.mail_group = 'digest' AND i.message_id IS NULL
          AND t.body_html IS NOT NULL));
END;
$$;
COMMENT ON FUNCTION _gather_waiting(text, text) IS 'Ends a user''s waiting mails of a category (gathered) and has the digest tell what they were to tell';
