-- notify(): one call for one thing that happened to one user. It writes the item, its row of the inbox, and sees to a mail.
--
-- What makes it safe under concurrency, numbered because tests cite it:
--   N1  A collapse_key has one open inbox row and one gathering mail: two partial unique indexes. Who makes one, makes the
--       others wait for its commit; then they join it.
--   N2  Who adds an item to a gathering mail holds the mail's row FOR KEY SHARE until commit. Many can at a time; the engine
--       closes the mail FOR UPDATE, or, when somebody holds it, queues a successor for what commits later (64_digest.sql).
--       So no item is forgotten, none is mailed twice, and the engine never waits for an application's transaction.
--   N3  Mails count against the rate limit under the lock of one row per user and category (notification_pace).
-- Two transactions that notify the same users in opposite orders can still meet in a deadlock, as with any rows; the trigger
-- (66_community_trigger.sql) then notifies without collapsing rather than not at all.

-- Everything that decides what becomes of a notification, in one query.
CREATE FUNCTION _notification_rules(for_user text, for_category text, for_template text, OUT rules mailer.category, OUT in_app boolean,
    OUT digest text, OUT address text, OUT address_key text, OUT contact_name text, OUT template text, OUT has_html boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    found_row record;
BEGIN
    LOOP
        SELECT c AS rules, p.in_app_enabled, p.email_enabled, p.digest, u.address, u.address_key, u.name, u.locale, t.name AS template,
            t.body_html IS NOT NULL AS has_html
        INTO found_row
        FROM mailer.category c
        LEFT JOIN mailer.preference p ON p.user_id = for_user AND p.category = c.name
        LEFT JOIN mailer.contact u ON u.user_id = for_user
        LEFT JOIN mailer.template t ON t.name = for_template
        WHERE c.name = for_category;
        EXIT WHEN FOUND;
        PERFORM mailer._check_category(for_category);
        INSERT INTO mailer.category (name, created_at) VALUES (for_category, mailer._now()) ON CONFLICT DO NOTHING;
    END LOOP;
    IF found_row.template IS NULL THEN
        PERFORM mailer._check_template_exists(for_template);
    END IF;
    rules := found_row.rules;
    in_app := rules.is_required OR COALESCE(found_row.in_app_enabled, true);
    digest := COALESCE(found_row.digest, 'immediate');
    IF rules.is_required OR COALESCE(found_row.email_enabled, true) THEN
        address := found_row.address;
        address_key := found_row.address_key;
        contact_name := found_row.name;
    END IF;
    template := found_row.template;
    has_html := found_row.has_html;
    IF found_row.locale IS NOT NULL THEN
        template := mailer._localized_template(template, found_row.locale);
    END IF;
END;
$$;
COMMENT ON FUNCTION _notification_rules(text, text, text) IS
'The category''s rules (made on first use), what the user wants, where mail goes (address NULL: none) and the template in the user''s language. Error 42704 no such template';

CREATE FUNCTION _localized_template(name text, locale text) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT COALESCE(
        (SELECT t.name FROM mailer.template t WHERE t.name = _localized_template.name || '.' || locale),
        (SELECT t.name FROM mailer.template t WHERE t.name = _localized_template.name || '.' || split_part(replace(locale, '_', '-'), '-', 1)),
        _localized_template.name)
$$;
COMMENT ON FUNCTION _localized_template(text, text) IS 'The template "NAME.pt-BR", else "NAME.pt", else NAME';

-- ── The inbox ──────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION _open_notification(for_user text, rules mailer.category, key text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    known_id bigint;
    known_at timestamptz;
    at CONSTANT timestamptz := mailer._now();
BEGIN
    LOOP
        IF key IS NOT NULL THEN
            SELECT n.notification_id, n.created_at INTO known_id, known_at FROM mailer.notification n
            WHERE n.user_id = for_user AND n.category = rules.name AND n.collapse_key = key AND n.is_open;
            IF known_at + rules.rate_period > at THEN
                RETURN known_id;
            ELSIF known_id IS NOT NULL THEN
                UPDATE mailer.notification n SET is_open = false WHERE n.notification_id = known_id;
            END IF;
        END IF;
        INSERT INTO mailer.notification (user_id, category, collapse_key, is_open, created_at)
        VALUES (for_user, rules.name, key, key IS NOT NULL, at)
        ON CONFLICT (user_id, category, collapse_key) WHERE is_open DO NOTHING
        RETURNING notification_id INTO known_id;
        IF FOUND THEN
            -- Ids only: whoever listens sees nothing of others' content.
            IF rules.is_announced THEN
                PERFORM pg_notify('mailer_inbox', json_build_object('user_id', for_user, 'notification_id', known_id)::text);
            END IF;
            RETURN known_id;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION _open_notification(text, mailer.category, text) IS 'The inbox row for an item: the open one of its collapse_key, else a new one, which is announced to listeners at commit';

-- ── The mail ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- The gathering mail of a group, held until commit (N2); NULL when there is none.
CREATE FUNCTION _join_mail(for_user text, for_category text, grp text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    mail_id bigint;
BEGIN
    SELECT n.message_id INTO mail_id FROM mailer.notification_mail n
    WHERE n.user_id = for_user AND n.category = for_category AND n.mail_group = grp AND n.is_open
    FOR KEY SHARE;
    -- Settled without having been looked at: somebody cancelled it, or the address is suppressed.
    IF mail_id IS NOT NULL AND NOT EXISTS (SELECT FROM mailer.queue_entry q WHERE q.message_id = mail_id) THEN
        PERFORM mailer._close_mail(mail_id);
        RETURN NULL;
    END IF;
    RETURN mail_id;
END;
$$;
COMMENT ON FUNCTION _join_mail(text, text, text) IS 'The mail that gathers for a group, which from now on can''t close before this transaction ends; NULL when there is none';

CREATE FUNCTION _close_mail(mail_id bigint) RETURNS void
LANGUAGE sql
AS $$
    WITH closed AS (
        UPDATE mailer.notification_mail n SET is_open = false WHERE n.message_id = mail_id AND n.is_open RETURNING n.*
    )
    UPDATE mailer.notification_item i SET message_id = mail_id
    FROM closed c
    WHERE i.user_id = c.user_id AND i.category = c.category AND i.mail_group = c.mail_group AND i.message_id IS NULL
$$;
COMMENT ON FUNCTION _close_mail(bigint) IS 'Ends a mail''s gathering: the items that wait are its own from now on';

CREATE FUNCTION _gather(for_user text, for_category text, grp text, unread_only boolean) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    mail_id bigint;
BEGIN
    LOOP
        IF mailer._join_mail(for_user, for_category, grp) IS NOT NULL THEN
            RETURN NULL;
        END IF;
        INSERT INTO mailer.notification_mail (message_id, user_id, category, mail_group, is_open, unread_only, created_at)
        VALUES (nextval('mailer.message_id_seq'), for_user, for_category, grp, true, _gather.unread_only, mailer._now())
        ON CONFLICT (user_id, category, mail_group) WHERE is_open DO NOTHING
        RETURNING message_id INTO mail_id;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN mail_id;
END;
$$;
COMMENT ON FUNCTION _gather(text, text, text, boolean) IS 'Joins the gathering mail of a group (then NULL), or makes one and gives its message id, which is still to be queued';

-- Counts one more mail (N3). Fits: NULL. Over the limit: when the mail of the rest goes.
CREATE FUNCTION _count_mail(for_user text, rules mailer.category) RETURNS timestamptz
LANGUAGE plpgsql
AS $$
DECLARE
    pace mailer.notification_pace;
    at CONSTANT timestamptz := mailer._now();
BEGIN
    -- A period begins with its first mail. Was the last one over its limit, then the mail of the rest, sent at its end, is the
    -- first of the next.
    INSERT INTO mailer.notification_pace AS p (user_id, category, period_at, mail_count) VALUES (for_user, rules.name, at, 1)
    ON CONFLICT (user_id, category) DO UPDATE
    SET (period_at, mail_count) = (SELECT
            CASE WHEN at < p.period_at + rules.rate_period THEN p.period_at
                 WHEN p.mail_count > rules.rate_limit AND at < p.period_at + 2 * rules.rate_period THEN p.period_at + rules.rate_period
                 ELSE at END,
            CASE WHEN at < p.period_at + rules.rate_period THEN LEAST(p.mail_count, rules.rate_limit) + 1
                 WHEN p.mail_count > rules.rate_limit AND at < p.period_at + 2 * rules.rate_period THEN 2
                 ELSE 1 END)
    RETURNING * INTO pace;
    RETURN CASE WHEN pace.mail_count > rules.rate_limit THEN pace.period_at + rules.rate_period END;
END;
$$;
COMMENT ON FUNCTION _count_mail(text, mailer.category) IS 'Counts a mail to a user against the category''s rate limit; NULL when it may go, else the end of the period';

-- Which mail takes the item, and whether that one is still to be queued.
CREATE FUNCTION _plan_mail(for_user text, rules mailer.category, digest text, key text, is_alone boolean, OUT mail_group text,
    OUT mail_id bigint, OUT due_at timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    at CONSTANT timestamptz := mailer._now();
    unread_only CONSTANT boolean := rules.mail_delay > interval '0';
    rest_at timestamptz;
BEGIN
    IF digest <> 'immediate' THEN
        mail_group := 'digest';
        IF is_alone THEN
            RETURN;  -- goes with whatever digest is next
        END IF;
        mail_id := mailer._gather(for_user, rules.name, mail_group, unread_only);
        IF mail_id IS NOT NULL THEN
            due_at := mailer._digest_at(for_user, rules.name);
        END IF;
        RETURN;
    END IF;
    IF key IS NULL OR is_alone THEN
        mail_id := nextval('mailer.message_id_seq');
        due_at := at + rules.mail_delay;
    ELSE
        mail_group := 'key:' || key;
        mail_id := mailer._gather(for_user, rules.name, mail_group, unread_only);
        due_at := at + GREATEST(rules.mail_delay, rules.collapse_window);
    END IF;
    IF mail_id IS NULL OR rules.rate_limit IS NULL OR is_alone THEN
        RETURN;
    END IF;
    rest_at := mailer._count_mail(for_user, rules);
    IF rest_at IS NOT NULL THEN
        -- Nobody has seen the mail just made: the others wait for this transaction (N1), then come to the same end.
        DELETE FROM mailer.notification_mail n WHERE n.message_id = mail_id;
        mail_group := 'rest';
        mail_id := mailer._gather(for_user, rules.name, mail_group, unread_only);
        due_at := rest_at;
    END IF;
END;
$$;
COMMENT ON FUNCTION _plan_mail(text, mailer.category, text, text, boolean) IS
'Chooses the mail of an item: mail_group NULL is a mail of its own; mail_id NULL means that the group''s mail waits already, else it is to be queued for due_at. is_alone: takes no lock that others may hold';

CREATE FUNCTION _lane_domain(lane bigint) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT COALESCE(
            (SELECT substring(b.from_address from '[^@]+$')
             FROM mailer.lane l JOIN mailer.mailbox b ON CASE WHEN l.pool IS NULL THEN b.is_default ELSE b.mailbox_id = l.pool[1] END
             WHERE l.lane_id = lane ORDER BY b.mailbox_id LIMIT 1),
            'localhost.localdomain'));
END;
$$;
COMMENT ON FUNCTION _lane_domain(bigint) IS 'What stands behind the @ of a Message-ID: the domain of the lane''s first mailbox';

-- The message and its queue entry, as enqueue would write them. queued_by is the extension''s owner, for its own functions are
-- what runs when the mail is sent.
CREATE FUNCTION _queue_notification(mail_id bigint, lane bigint, address text, address_key text, contact_name text, template text,
    has_html boolean, variables jsonb, is_late_bound boolean, thread text, category text, due_at timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
    INSERT INTO mailer.message (message_id, created_at, queued_by, lane_id, addresses, roles, address_key, header_to,
        internet_message_id, template, subject, body_text, body_html, variables, headers, send_at, thread_key, loader, send_if, category)
    VALUES (mail_id, mailer._now(), current_user, lane, ARRAY[address], 't', address_key, mailer._header_to(address, contact_name),
        mailer._new_internet_message_id(mail_id, mailer._lane_domain(lane)), template,
        CASE WHEN template IS NULL THEN '{{{subject}}}' END, CASE WHEN template IS NULL THEN '{{{body_text}}}' END,
        CASE WHEN template IS NULL AND has_html THEN '{{{body_html}}}' END, variables, '{"Auto-Submitted": "auto-generated"}',
        CASE WHEN due_at > mailer._now() THEN due_at END, thread,
        CASE WHEN is_late_bound THEN 'mailer._notification_variables' END,
        CASE WHEN is_late_bound THEN 'mailer._notification_is_wanted' END, category);
    INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, epoch)
    SELECT mail_id, lane, 2, GREATEST(due_at, mailer._now()), a.epoch FROM mailer.arming a;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'mail can''t be queued: this database isn''t armed',
            HINT = 'Ask an operator to call mailer.arm().';
    END IF;
    INSERT INTO mailer.tally_delta (queued) VALUES (1);
    PERFORM mailer._wake(lane, due_at);
END;
$$;
COMMENT ON FUNCTION _queue_notification(bigint, bigint, text, text, text, text, boolean, jsonb, boolean, text, text, timestamptz) IS
'Queues a notification mail under an id drawn before. template NULL: the loader renders it. is_late_bound: it is looked at again when it is sent. Error 55000 not armed';

-- ── notify ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION _check_notification(for_user text, variables jsonb, key text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    PERFORM mailer._check_user(for_user);
    IF jsonb_typeof(variables) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'variables must be a JSON object',
            HINT = 'Write ''{"post": "Hello"}'', or use jsonb_build_object().';
    ELSIF length(key) > 500 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'collapse_key must not be longer than 500 characters',
            HINT = 'Name what it is about, such as ''post 17''.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_notification(text, jsonb, text) IS 'Errors 22004 and 22023 for what notify() can''t take';

CREATE FUNCTION _notify(for_user text, for_category text, for_template text, variables jsonb, actor text, key text, is_alone boolean DEFAULT false)
    RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    r record;
    rules mailer.category;
    plan record;
    inbox_id bigint;
    item mailer.notification_item;
    is_late_bound boolean;
BEGIN
    IF actor = for_user THEN
        RETURN NULL;
    END IF;
    PERFORM mailer._check_notification(for_user, variables, key);
    key := NULLIF(key, '');
    SELECT * INTO r FROM mailer._notification_rules(for_user, for_category, for_template);
    rules := r.rules;
    IF NOT r.in_app AND r.address IS NULL THEN
        RETURN NULL;
    END IF;
    IF r.in_app THEN
        inbox_id := mailer._open_notification(for_user, rules, CASE WHEN NOT is_alone THEN key END);
    END IF;
    IF r.address IS NULL THEN
        SELECT NULL::text AS mail_group, NULL::bigint AS mail_id, NULL::timestamptz AS due_at INTO plan;
    ELSE
        SELECT * INTO plan FROM mailer._plan_mail(for_user, rules, r.digest, key, is_alone);
    END IF;

    INSERT INTO mailer.notification_item (notification_id, user_id, category, template, variables, actor_id, collapse_key, created_at,
        mail_group, message_id)
    VALUES (inbox_id, for_user, for_category, r.template, COALESCE(variables, '{}'), actor, key, mailer._now(), plan.mail_group,
        CASE WHEN plan.mail_group IS NULL THEN plan.mail_id END)
    RETURNING * INTO item;

    IF plan.mail_id IS NOT NULL THEN
        is_late_bound := plan.mail_group IS NOT NULL OR rules.mail_delay > interval '0';
        IF is_late_bound AND plan.mail_group IS NULL THEN
            INSERT INTO mailer.notification_mail (message_id, user_id, category, is_open, unread_only, created_at)
            VALUES (plan.mail_id, for_user, for_category, false, true, mailer._now());
        END IF;
        PERFORM mailer._queue_notification(plan.mail_id, rules.lane_id, r.address, r.address_key, r.contact_name,
            mailer._mail_template(plan.mail_group, rules, r.template), r.has_html,
            CASE WHEN is_late_bound THEN '{}' ELSE mailer._own_variables(item, r.contact_name) END, is_late_bound,
            COALESCE(item.variables ->> 'thread_key', key), CASE WHEN NOT rules.is_required THEN rules.name END, plan.due_at);
    END IF;
    RETURN inbox_id;
END;
$$;
COMMENT ON FUNCTION _notify(text, text, text, jsonb, text, text, boolean) IS
'The work of notify(), for all of its forms. is_alone: after a deadlock, neither collapses nor counts against the rate limit, so that it waits for nobody';

CREATE FUNCTION notify(user_id text, category text, template text, variables jsonb DEFAULT '{}', actor_id text DEFAULT NULL,
    collapse_key text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$ SELECT mailer._notify(user_id, category, template, variables, actor_id, collapse_key) $$;
CREATE FUNCTION notify(user_id integer, category text, template text, variables jsonb DEFAULT '{}', actor_id integer DEFAULT NULL,
    collapse_key text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$ SELECT mailer._notify(user_id::text, category, template, variables, actor_id::text, collapse_key) $$;
CREATE FUNCTION notify(user_id bigint, category text, template text, variables jsonb DEFAULT '{}', actor_id bigint DEFAULT NULL,
    collapse_key text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$ SELECT mailer._notify(user_id::text, category, template, variables, actor_id::text, collapse_key) $$;
CREATE FUNCTION notify(user_id uuid, category text, template text, variables jsonb DEFAULT '{}', actor_id uuid DEFAULT NULL,
    collapse_key text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$ SELECT mailer._notify(user_id::text, category, template, variables, actor_id::text, collapse_key) $$;

DO $$
DECLARE
    form regprocedure;
BEGIN
    FOR form IN SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'mailer'::regnamespace AND p.proname = 'notify' LOOP
        EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS %L', form,
'Tells a user that something happened: in the inbox, by mail, or both, as the user wants it (mailer.preference_set). Gives the id of the
inbox row; NULL when there is none, because the user gets it by mail only, wants nothing of it, or did it himself (actor_id = user_id).
category: made on first use; mailer.category_set() gives it limits. template: its subject is the title in the inbox.
variables: for the template, which sees besides: actor (variables'' own, else the contact''s name, else the id; the first of several),
others_count, count, items (each with its variables and actor), and name, the user''s. thread_key among the variables threads mails.
collapse_key: what it is about; several are one row of the inbox until it is read, or rate_period is over, and one mail.
Mail goes to the address of mailer.contact_set(); without one there is only the inbox. Marked Auto-Submitted: auto-generated.
Errors: 22004 no user or category, 22023 variables is not an object, 42704 no such template, 55000 the database isn''t armed.');
    END LOOP;
END $$;
