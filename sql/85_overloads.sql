-- The same functions for what drivers and people pass: users known by a number or a uuid, campaigns by their name, several
-- recipients as one JSON array.
--
-- Each form is made from the catalog, so that it has the parameters and defaults of the function that it calls. They run as the
-- caller: what the function behind them asks about the calling role must stay true. A driver that sends every integer as the
-- smallest type that holds it (psycopg 3) finds bigint; a value without a type is a text, and text of digits only is an id.
-- test/drivers makes these calls with the drivers themselves.

CREATE FUNCTION _campaign_id(campaign text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    found_id bigint;
BEGIN
    IF campaign ~ '^[0-9]{1,18}$' THEN
        RETURN campaign::bigint;
    END IF;
    -- A name is free again once its campaign is cancelled: the newest is meant.
    SELECT c.campaign_id INTO found_id FROM mailer.campaign c WHERE c.name = campaign ORDER BY (c.state = 'x'), c.campaign_id DESC LIMIT 1;
    IF found_id IS NULL AND campaign IS NOT NULL THEN
        PERFORM mailer._refuse(format('campaign "%s" does not exist', left(campaign, 100)),
            'SELECT campaign_id, name, state FROM mailer.campaign_progress lists them.', sqlstate => '42704');
    END IF;
    RETURN found_id;
END;
$$;
COMMENT ON FUNCTION _campaign_id(text) IS 'The id of a campaign by its name, or by its id as text; NULL for NULL, error 42704 when there is none';

CREATE FUNCTION _texts(list jsonb) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF jsonb_typeof(list) = 'array' THEN
        RETURN ARRAY(SELECT e.value #>> '{}' FROM jsonb_array_elements(list) WITH ORDINALITY e(value, n) ORDER BY e.n);
    ELSIF jsonb_typeof(list) <> 'null' THEN
        PERFORM mailer._refuse('a list must be a JSON array', 'For example ''["ada@example.com", "bob@example.com"]''.');
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION _texts(jsonb) IS 'A JSON array as an array of texts; NULL for null, error 22023 for anything else';

CREATE FUNCTION _texts(list text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF list ~ '^[[:space:]]*[[]["n]' OR list ~ '^[[:space:]]*[[][[:space:]]*[]]' THEN
        RETURN mailer._texts(list::jsonb);
    END IF;
    RETURN list::text[];
END;
$$;
COMMENT ON FUNCTION _texts(text) IS 'A list that came without a type: an array as SQL writes it, or a JSON array of strings';

-- Another form of a function: the parameter at a place becomes to_type, and is converted for the call.
CREATE FUNCTION _overload(of regprocedure, at_place integer, to_type text, convert text) RETURNS regprocedure
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    f pg_proc;
    declared text;
    passed text;
    types text;
BEGIN
    SELECT p.* INTO f FROM pg_proc p WHERE p.oid = of;
    SELECT string_agg(format('%I %s%s', f.proargnames[n.place], CASE WHEN n.place = at_place THEN to_type ELSE format_type(n.type, NULL) END,
               CASE WHEN n.place <> at_place THEN ' DEFAULT ' || pg_get_function_arg_default(f.oid, n.place::integer) ELSE '' END), ', ' ORDER BY n.place),
           string_agg(CASE WHEN n.place = at_place THEN format(convert, '$' || n.place) ELSE '$' || n.place END, ', ' ORDER BY n.place),
           string_agg(CASE WHEN n.place = at_place THEN to_type ELSE format_type(n.type, NULL) END, ', ' ORDER BY n.place)
    INTO declared, passed, types
    FROM unnest(f.proargtypes::oid[]) WITH ORDINALITY n(type, place);
    EXECUTE format('CREATE FUNCTION mailer.%I(%s) RETURNS %s LANGUAGE sql %s AS %L', f.proname,
        declared, pg_get_function_result(f.oid), CASE f.provolatile WHEN 'v' THEN 'VOLATILE' ELSE 'STABLE' END,
        CASE WHEN f.proretset THEN 'SELECT * FROM' ELSE 'SELECT' END || format(' mailer.%I(%s)', f.proname, passed));
    EXECUTE format('COMMENT ON FUNCTION mailer.%I(%s) IS %L', f.proname, types, obj_description(f.oid, 'pg_proc'));
    RETURN format('mailer.%I(%s)', f.proname, types)::regprocedure;
END;
$$;
COMMENT ON FUNCTION _overload(regprocedure, integer, text, text) IS 'Makes another form of a function, with a parameter of another type, and gives it';

-- Where three forms differ in one parameter, a value without a type is the text.
DO $$
DECLARE
    f record;
    form regprocedure;
    forms regprocedure[];
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS of, p.proargnames AS names, p.proargtypes::oid[] AS types, p.proname
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'mailer'::regnamespace AND p.prokind = 'f' AND p.proname !~ '^_' AND p.pronargs > 0 AND NOT p.proisstrict
           OR p.pronamespace = 'mailer'::regnamespace AND p.proname IN ('campaign_explain')
        ORDER BY p.proname
    LOOP
        forms := ARRAY[f.of];
        IF f.names[1] = 'user_id' AND f.types[0] = 'text'::regtype THEN
            PERFORM mailer._overload(f.of, 1, 'bigint', '%s::text'), mailer._overload(f.of, 1, 'uuid', '%s::text');
        END IF;
        IF f.proname = 'enqueue_batch' AND f.types[0] = 'text[]'::regtype THEN
            PERFORM mailer._overload(f.of, 1, 'text', 'mailer._texts(%s)'), mailer._overload(f.of, 1, 'jsonb', 'mailer._texts(%s)');
        END IF;
        IF f.proname = 'campaign_add_many' AND f.types[1] = 'text[]'::regtype THEN
            forms := forms || mailer._overload(f.of, 2, 'text', 'mailer._texts(%s)') || mailer._overload(f.of, 2, 'jsonb', 'mailer._texts(%s)');
        END IF;
        IF f.names[1] = 'campaign_id' AND f.types[0] = 'bigint'::regtype THEN
            FOREACH form IN ARRAY forms LOOP
                PERFORM mailer._overload(form, 1, 'text', 'mailer._campaign_id(%s)');
            END LOOP;
        END IF;
    END LOOP;
END $$;

-- The user and the actor may have ids of different types: users have numbers, a bot has a name. actor_id is text; calls with an
-- actor of another type have two further forms, one that requires variables and one without them. Their parameters are such
-- that a value without a type is never ambiguous: there it is the form in which both are text.
DO $$
DECLARE
    u text;
    a text;
    form text;
BEGIN
    FOREACH u IN ARRAY '{text,bigint,uuid}'::text[] LOOP
        FOREACH form IN ARRAY ARRAY[
            'user_id %1$s, category text, template text, variables text, actor_id text DEFAULT NULL, collapse_key text DEFAULT NULL|$1::text, $2, $3, $4::jsonb, $5, $6',
            'user_id %1$s, category text, template text, variables jsonb, actor_id bigint, collapse_key text DEFAULT NULL|$1::text, $2, $3, $4, $5::text, $6',
            'user_id %1$s, category text, template text, variables jsonb, actor_id uuid, collapse_key text DEFAULT NULL|$1::text, $2, $3, $4, $5::text, $6',
            'user_id %1$s, category text, template text, actor_id bigint, collapse_key text DEFAULT NULL|$1::text, $2, $3, ''{}''::jsonb, $4::text, $5',
            'user_id %1$s, category text, template text, actor_id uuid, collapse_key text DEFAULT NULL|$1::text, $2, $3, ''{}''::jsonb, $4::text, $5'
        ] LOOP
            a := format(split_part(form, '|', 1), u);
            EXECUTE format('CREATE FUNCTION mailer.notify(%s) RETURNS bigint LANGUAGE sql AS %L', a, format('SELECT mailer.notify(%s)', split_part(form, '|', 2)));
            EXECUTE format('COMMENT ON FUNCTION mailer.notify(%s) IS %L', regexp_replace(a, ' DEFAULT NULL', '', 'g'),
                obj_description('mailer.notify(text, text, text, jsonb, text, text)'::regprocedure, 'pg_proc'));
        END LOOP;
    END LOOP;
END $$;
