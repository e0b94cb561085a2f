-- Mails that gather: when they are due, whether they still go when their time has come, and what they say then.
--
-- A gathering mail is an ordinary message in the queue. What a scheduler would do, its send_if and loader do, which the engine runs
-- after the claim, each in a transaction of its own: _notification_is_wanted() ends the gathering and makes the waiting items
-- the mail's own; _notification_variables() renders them. Both give the same answer when they run again after a crash or a
-- retry, so a digest is one mail however often its sender dies, and there is nothing to schedule.

-- The next full local hour, or the next time that a local clock shows the hour. Hours are counted forward from what the clock
-- shows, so a doubled hour has a digest in each pass; days are counted by the calendar, so each has one digest, and where the
-- hour is missing in spring it comes at the moment that takes its place.
CREATE FUNCTION _next_digest(digest text, from_at timestamptz, zone text, hour integer) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    clock CONSTANT timestamp := from_at AT TIME ZONE zone;
    candidate timestamptz;
BEGIN
    IF digest = 'hourly' THEN
        RETURN from_at + (date_trunc('hour', clock) + interval '1 hour' - clock);
    ELSIF digest = 'daily' THEN
        FOR day IN 0..2 LOOP
            candidate := (clock::date + day + make_interval(hours => hour)) AT TIME ZONE zone;
            EXIT WHEN candidate > from_at;
        END LOOP;
        RETURN candidate;
    END IF;
    RETURN from_at;
END;
$$;
COMMENT ON FUNCTION _next_digest(text, timestamptz, text, integer) IS 'When the next hourly or daily digest is due in a time zone, strictly after from_at; from_at itself for immediate';

CREATE FUNCTION _digest_at(for_user text, for_category text) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT mailer._next_digest(COALESCE(p.digest, 'immediate'), mailer._now(), mailer._known_zone(COALESCE(u.timezone, mailer._default_timezone())), c.digest_hour)
        FROM mailer.category c
        LEFT JOIN mailer.preference p ON p.user_id = for_user AND p.category = c.name
        LEFT JOIN mailer.contact u ON u.user_id = for_user
        WHERE c.name = for_category);
END;
$$;
COMMENT ON FUNCTION _digest_at(text, text) IS 'When a user''s digest of a category is due that begins to gather now';

-- ── When its time has come ─────────────────────────────────────────────────────────────────────────────────────────

-- Items of a mail: its own, and while it gathers those that would become its own.
CREATE FUNCTION _mail_items(mail mailer.notification_mail) RETURNS SETOF mailer.notification_item
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN QUERY SELECT i.* FROM mailer.notification_item i
    WHERE i.message_id = mail.message_id
      AND NOT (mail.unread_only AND EXISTS (SELECT FROM mailer.notification n
                                            WHERE n.notification_id = i.notification_id AND NOT mailer._is_unread(n)));
    IF mail.is_open THEN
        RETURN QUERY SELECT i.* FROM mailer.notification_item i
        WHERE i.user_id = mail.user_id AND i.category = mail.category AND i.mail_group = mail.mail_group AND i.message_id IS NULL
          AND NOT (mail.unread_only AND EXISTS (SELECT FROM mailer.notification n
                                                WHERE n.notification_id = i.notification_id AND NOT mailer._is_unread(n)));
    END IF;
END;
$$;
COMMENT ON FUNCTION _mail_items(mailer.notification_mail) IS 'What a notification mail has to tell; without what was read, when it goes for unread things only';

CREATE FUNCTION _notification_is_wanted(message_id bigint, variables jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    mail mailer.notification_mail;
    is_held boolean;
BEGIN
    SELECT n.* INTO mail FROM mailer.notification_mail n WHERE n.message_id = _notification_is_wanted.message_id;
    IF mail.is_open THEN
        -- Somebody's uncommitted item is to go into this mail: it doesn't wait for that, its successor will take it (N2).
        PERFORM FROM mailer.notification_mail n WHERE n.message_id = mail.message_id FOR UPDATE SKIP LOCKED;
        is_held := NOT FOUND;
        PERFORM mailer._close_mail(mail.message_id);
        mail.is_open := false;
        IF is_held THEN
            PERFORM mailer._queue_successor(mail.message_id);
        END IF;
    END IF;
    RETURN EXISTS (SELECT FROM mailer._mail_items(mail))
       AND EXISTS (SELECT FROM mailer.contact c WHERE c.user_id = mail.user_id AND c.address IS NOT NULL)
       AND NOT EXISTS (
           SELECT FROM mailer.preference p JOIN mailer.category c ON c.name = p.category
           WHERE p.user_id = mail.user_id AND p.category = mail.category AND NOT p.email_enabled AND NOT c.is_required);
END;
$$;
COMMENT ON FUNCTION _notification_is_wanted(bigint, jsonb) IS
'send_if of notification mails: ends the gathering, and says no when nothing is left to tell or the user has switched this mail off or has no address any more. Safe to run again';

-- ── What it says ───────────────────────────────────────────────────────────────────────────────────────────────────

-- One element for each thing: the items of a collapse_key, or a single item; with its own template's title and body.
CREATE FUNCTION _digest_items(mail mailer.notification_mail) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_agg(thing.variables - 'items' || jsonb_build_object('template', thing.template, 'title', thing.title, 'body', thing.body)
                     ORDER BY thing.first_id)
    FROM (
        SELECT g.first_id, g.template, v.variables, mailer._render_quietly(t.subject, v.variables, false) AS title,
            mailer._render_quietly(t.body_text, v.variables, false) AS body
        FROM (
            SELECT min(i.item_id) AS first_id, i.template, array_agg(i ORDER BY i.item_id) AS items
            FROM mailer._mail_items(mail) i
            GROUP BY i.template, i.collapse_key, CASE WHEN i.collapse_key IS NULL THEN i.item_id END
            ORDER BY 1 LIMIT 1000
        ) g
        CROSS JOIN LATERAL (SELECT mailer._collapsed(g.items) AS variables) v
        LEFT JOIN mailer.template t ON t.name = g.template
    ) thing
$$;
COMMENT ON FUNCTION _digest_items(mailer.notification_mail) IS 'Variable items of a mail about several things (the first 1000), oldest first; each has title, body, actor, others_count and count beside its variables';

CREATE FUNCTION _notification_variables(message_id bigint, variables jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    mail mailer.notification_mail;
    seen jsonb;
    all_items mailer.notification_item[];
BEGIN
    SELECT n.* INTO mail FROM mailer.notification_mail n WHERE n.message_id = _notification_variables.message_id;
    all_items := ARRAY(SELECT i FROM mailer._mail_items(mail) i ORDER BY i.item_id);
    seen := jsonb_build_object('name', (SELECT c.name FROM mailer.contact c WHERE c.user_id = mail.user_id), 'category', mail.category)
        || COALESCE(mailer._collapsed(all_items), '{}');
    IF mail.mail_group IN ('rest', 'digest') THEN
        seen := seen || jsonb_build_object('items', COALESCE(mailer._digest_items(mail), '[]'));
        IF (SELECT m.template IS NULL FROM mailer.message m WHERE m.message_id = mail.message_id) THEN
            seen := seen || mailer._plain_digest(seen, all_items);
        END IF;
    END IF;
    RETURN seen;
END;
$$;
COMMENT ON FUNCTION _notification_variables(bigint, jsonb) IS 'loader of notification mails: what their template sees of the items of now. Changes nothing';

CREATE FUNCTION _plain_digest(seen jsonb, all_items mailer.notification_item[]) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    one mailer.template;
    whole jsonb := seen;
BEGIN
    IF jsonb_array_length(seen -> 'items') = 1 THEN
        SELECT t.* INTO one FROM mailer.template t WHERE t.name = seen #>> '{items,0,template}';
        whole := jsonb_build_object('name', seen -> 'name', 'category', seen -> 'category') || mailer._collapsed(all_items);
    END IF;
    -- A template that went away, or says nothing here, leaves the list.
    RETURN jsonb_build_object(
        'subject', COALESCE(mailer._render_quietly(one.subject, whole, false), mailer.render('{{count}} × {{category}}', seen, false)),
        'body_text', COALESCE(mailer._render_quietly(one.body_text, whole, false),
            mailer.render(E'{{#items}}\n- {{title}}\n{{/items}}\n', seen, false)),
        'body_html', COALESCE(mailer._render_quietly(one.body_html, whole, true),
            mailer.render(E'<ul>\n{{#items}}\n<li>{{title}}</li>\n{{/items}}\n</ul>\n', seen, true)));
END;
$$;
COMMENT ON FUNCTION _plain_digest(jsonb, mailer.notification_item[]) IS 'subject, body_text and body_html of a mail about several things where the category has no digest_template: one thing by its own template, more as a list of titles';
