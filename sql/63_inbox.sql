-- The in-app inbox: what a user sees, how much of it is unread, and reading it.
--
-- Rows are rendered when they are looked at, from the template and the items of now: "Ada and 4 others" costs nothing to keep up
-- to date. Reading never waits for transactions that add to the row meanwhile. What they add is unread: a row that could take items
-- when it was read says how many it had (read_count), and with more of them it is unread again.

CREATE FUNCTION _is_unread(one mailer.notification) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT one.read_at IS NULL OR (one.read_count IS NOT NULL AND one.read_count < (
        SELECT count(*) FROM mailer.notification_item i WHERE i.notification_id = one.notification_id))
$$;
COMMENT ON FUNCTION _is_unread(mailer.notification) IS 'Whether a row of an inbox has something that its user hasn''t read';

CREATE FUNCTION _actor_name(item mailer.notification_item) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT COALESCE(item.variables ->> 'actor', (SELECT c.name FROM mailer.contact c WHERE c.user_id = item.actor_id), mailer._shown_user(item.actor_id)));
END;
$$;
COMMENT ON FUNCTION _actor_name(mailer.notification_item) IS 'Who did it, as people read it: the variable actor, else the contact''s name, else the id';

CREATE FUNCTION _collapsed_one(variables jsonb, actor text, actor_id text, at timestamptz) RETURNS jsonb
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_collapsed_one';
COMMENT ON FUNCTION _collapsed_one(jsonb, text, text, timestamptz) IS 'What a template sees of a single item, as _collapsed() says it of several';

-- A group of one is by far the most common: it takes no aggregate.
CREATE FUNCTION _collapsed(items mailer.notification_item[]) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    last mailer.notification_item := items[cardinality(items)];
    actor text;
    others bigint;
    list jsonb;
BEGIN
    IF cardinality(items) = 1 THEN
        RETURN mailer._collapsed_one(last.variables, mailer._actor_name(last), mailer._shown_user(last.actor_id), last.created_at);
    END IF;
    SELECT GREATEST(count(DISTINCT i.actor_id) - 1, 0) INTO others FROM unnest(items) i;
    SELECT jsonb_agg(i.variables || jsonb_build_object('actor', mailer._actor_name(i), 'actor_id', mailer._shown_user(i.actor_id), 'at', i.created_at) ORDER BY i.item_id)
    INTO list FROM unnest(items[:100]) i;
    SELECT e.value ->> 'actor' INTO actor FROM jsonb_array_elements(list) WITH ORDINALITY e(value, place)
    WHERE e.value ->> 'actor' IS NOT NULL ORDER BY e.place LIMIT 1;
    RETURN last.variables || jsonb_build_object('actor', actor, 'actor_id', mailer._shown_user(items[1].actor_id), 'at', last.created_at,
        'others_count', others, 'one_other', others = 1, 'many_others', others > 1, 'count', cardinality(items), 'items', list);
END;
$$;
COMMENT ON FUNCTION _collapsed(mailer.notification_item[]) IS
'What a template sees of items that go together, in their order: the last one''s variables, actor (the first), others_count, one_other and many_others (for the plural), count, and items (the first 100)';

CREATE FUNCTION _render_quietly(source text, variables jsonb, is_html boolean) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF source IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN mailer.render(source, variables, is_html);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION _render_quietly(text, jsonb, boolean) IS 'A rendered template, NULL when it can''t be rendered: one bad template must not hide an inbox';

CREATE FUNCTION inbox(user_id text, only_unread boolean DEFAULT false, max_rows integer DEFAULT 50)
    RETURNS TABLE (notification_id bigint, category text, title text, body text, variables jsonb, actor_count bigint,
        created_at timestamptz, read_at timestamptz)
LANGUAGE mailer_plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    page mailer.notification[];
BEGIN
    PERFORM mailer._check_user(inbox.user_id);
    inbox.user_id := mailer._user_key(inbox.user_id);
    IF inbox.max_rows < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'max_rows must not be negative';
    END IF;
    -- Two statements, so that each has the plan of its own index.
    IF inbox.only_unread THEN
        page := ARRAY(
            SELECT u.n FROM (
                (SELECT n FROM mailer.notification n WHERE n.user_id = inbox.user_id AND n.read_at IS NULL
                 ORDER BY n.notification_id DESC LIMIT inbox.max_rows)
                UNION ALL
                (SELECT n FROM mailer.notification n WHERE n.user_id = inbox.user_id AND n.read_count IS NOT NULL AND mailer._is_unread(n)
                 ORDER BY n.notification_id DESC LIMIT inbox.max_rows)
            ) u(n) ORDER BY (u.n).notification_id DESC LIMIT inbox.max_rows);
    ELSE
        page := ARRAY(SELECT n FROM mailer.notification n WHERE n.user_id = inbox.user_id
                      ORDER BY n.notification_id DESC LIMIT inbox.max_rows);
    END IF;
    RETURN QUERY
    SELECT n.notification_id, n.category, mailer._render_quietly(t.subject, v.variables, false),
        mailer._render_quietly(t.body_text, v.variables, false), v.variables,
        (SELECT count(DISTINCT i.actor_id) FROM unnest(g.items) i), n.created_at,
        CASE WHEN n.read_count IS NULL OR NOT mailer._is_unread(n) THEN n.read_at END
    FROM unnest(page) n
    CROSS JOIN LATERAL (SELECT array_agg(i ORDER BY i.item_id) AS items FROM mailer.notification_item i
                        WHERE i.notification_id = n.notification_id) g
    CROSS JOIN LATERAL (SELECT jsonb_build_object('name', (SELECT c.name FROM mailer.contact c WHERE c.user_id = inbox.user_id),
                                                  'category', n.category) || mailer._collapsed(g.items) AS variables) v
    LEFT JOIN mailer.template t ON t.name = (g.items[cardinality(g.items)]).template
    ORDER BY n.notification_id DESC;
END;
$$;
COMMENT ON FUNCTION inbox(text, boolean, integer) IS
'A user''s notifications, newest first. title and body are the template''s subject and text body, rendered now; NULL if the template no longer exists
or has none. variables: as the template saw them, for an application that renders them itself. actor_count: the number of actors.
Errors: 22004 no user_id, 22023 max_rows is negative.';

CREATE FUNCTION inbox_unread(user_id text) RETURNS bigint
LANGUAGE mailer_plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    reader CONSTANT text := mailer._user_key(inbox_unread.user_id);
BEGIN
    RETURN (SELECT count(*) FROM mailer.notification n WHERE n.user_id = reader AND n.read_at IS NULL)
         + (SELECT count(*) FROM mailer.notification n WHERE n.user_id = reader AND n.read_count IS NOT NULL AND mailer._is_unread(n));
END;
$$;
COMMENT ON FUNCTION inbox_unread(text) IS 'How many of a user''s notifications are unread';

CREATE FUNCTION inbox_mark_read(user_id text, notification_id bigint DEFAULT NULL) RETURNS bigint
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    marked bigint;
BEGIN
    PERFORM mailer._check_user(inbox_mark_read.user_id);
    inbox_mark_read.user_id := mailer._user_key(inbox_mark_read.user_id);
    -- In one order, so that two of a user's devices don't deadlock.
    UPDATE mailer.notification n
    SET read_at = mailer._now(), is_open = false, read_count = CASE WHEN n.is_open OR n.read_count IS NOT NULL THEN (
        SELECT count(*) FROM mailer.notification_item i WHERE i.notification_id = n.notification_id) END
    FROM (SELECT u.notification_id FROM mailer.notification u
          WHERE u.user_id = inbox_mark_read.user_id
            AND (inbox_mark_read.notification_id IS NULL OR u.notification_id = inbox_mark_read.notification_id)
            AND (u.read_at IS NULL OR u.read_count IS NOT NULL AND mailer._is_unread(u))
          ORDER BY u.notification_id FOR NO KEY UPDATE) unread
    WHERE n.notification_id = unread.notification_id;
    GET DIAGNOSTICS marked = ROW_COUNT;
    -- Whatever was adding to a row a day ago has ended.
    UPDATE mailer.notification n SET read_count = NULL
    WHERE n.user_id = inbox_mark_read.user_id AND n.read_count IS NOT NULL AND n.read_at < mailer._now() - interval '1 day'
      AND NOT mailer._is_unread(n);
    RETURN marked;
END;
$$;
COMMENT ON FUNCTION inbox_mark_read(text, bigint) IS
'Marks one of a user''s notifications as read, or all (notification_id NULL), and returns how many were unread. Mails that are sent only if something
is still unread (category_set''s mail_delay) leave them out. Returns 0 for a notification of another user, which is not changed.';
