-- Who called, and for whom: the questions that functions with the owner's rights ask.
--
-- A SECURITY DEFINER function can't tell who called it: current_user is the owner, session_user is the role that logged in,
-- which is the superuser where VACUUM or a sender runs a user's function. So functions of the API that ask are written in the
-- language mailer_plpgsql: PL/pgSQL behind a door in C that remembers the calling role and then takes the owner's rights
-- (src/pg/api/door.cpp). Functions in C remember it the same way (AsOwner).

CREATE FUNCTION _door() RETURNS language_handler LANGUAGE c AS 'MODULE_PATHNAME', 'mailer_door';
COMMENT ON FUNCTION _door() IS 'Call handler of the language mailer_plpgsql';
CREATE FUNCTION _door_validator(function oid) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_validator';
COMMENT ON FUNCTION _door_validator(oid) IS 'Validator of the language mailer_plpgsql: PL/pgSQL''s own';
CREATE LANGUAGE mailer_plpgsql HANDLER _door VALIDATOR _door_validator;
COMMENT ON LANGUAGE mailer_plpgsql IS 'PL/pgSQL with the rights of the function''s owner, which knows the role that called. For the extension''s own functions';

CREATE FUNCTION _caller() RETURNS oid LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_caller';
COMMENT ON FUNCTION _caller() IS 'The role that called the function of the API that is running';
CREATE FUNCTION _caller_name() RETURNS text LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_caller_name';
COMMENT ON FUNCTION _caller_name() IS 'Its name: what by_role and created_by say';
CREATE FUNCTION _principal() RETURNS bigint LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'mailer_principal';
COMMENT ON FUNCTION _principal() IS 'Its principal, made when it has none';
CREATE FUNCTION _tenant() RETURNS bigint LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_tenant';
COMMENT ON FUNCTION _tenant() IS 'The tenant that it acts for; error 42501 when it acts for none';
CREATE FUNCTION _is_operator() RETURNS boolean LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_is_operator';
COMMENT ON FUNCTION _is_operator() IS 'Whether it may do what operators may: superusers, the extension''s owner and operators';
CREATE FUNCTION _sees_all() RETURNS boolean LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_sees_all';
COMMENT ON FUNCTION _sees_all() IS 'Whether it sees the mail of all tenants: operators and viewers';
CREATE FUNCTION _own_tenant() RETURNS bigint LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'mailer_own_tenant';
COMMENT ON FUNCTION _own_tenant() IS 'The tenant that it acts for; NULL when it acts for none';
CREATE FUNCTION _sees(tenant_id bigint, principal_id bigint) RETURNS boolean LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'mailer_sees';
COMMENT ON FUNCTION _sees(bigint, bigint) IS 'Whether it sees what is this tenant''s and was queued by this principal: its tenant''s, and what it queued itself';
CREATE FUNCTION _principals_changed() RETURNS void LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'mailer_principals_changed';
COMMENT ON FUNCTION _principals_changed() IS 'At commit every session asks the tables again what roles may do';

REVOKE ALL ON FUNCTION _door(), _door_validator(oid), _caller(), _caller_name(), _principal(), _tenant(), _is_operator(), _sees_all(),
    _own_tenant(), _sees(bigint, bigint), _principals_changed() FROM PUBLIC;

-- Principals of this cluster whose role is there.
CREATE FUNCTION _bound_principals() RETURNS SETOF mailer.principal
LANGUAGE sql STABLE
AS $$
    SELECT p.* FROM mailer.principal p
    WHERE p.system_identifier = (SELECT b.system_identifier FROM mailer._binding() b)
      AND EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = p.oid)
$$;
COMMENT ON FUNCTION _bound_principals() IS 'Principals that stand for a role of this cluster';

CREATE FUNCTION _may_read_files(principal_id bigint) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (SELECT FROM mailer._bound_principals() p
                   WHERE p.id = principal_id AND pg_catalog.pg_has_role(p.oid, 'pg_read_server_files', 'USAGE'))
$$;
COMMENT ON FUNCTION _may_read_files(bigint) IS 'Whether a principal''s role may read the server''s files now';

-- Its own grant first, else what operators act for, else the tenant of the granted roles whose rights it has. Rights are those that
-- are in force without SET ROLE (USAGE). A superuser has everybody's, so it never comes to the last question.
CREATE FUNCTION _resolve_role(role oid, OUT tenant_id bigint, OUT lane_id bigint, OUT is_operator boolean, OUT sees_all boolean,
    OUT principal_ids bigint[], OUT choices text, OUT max_pending bigint)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    own mailer.principal;
    candidates bigint[];
BEGIN
    SELECT p.* INTO own FROM mailer._bound_principals() p WHERE p.oid = _resolve_role.role AND p.is_current;
    SELECT array_agg(p.id ORDER BY p.is_current DESC, p.id) INTO principal_ids
    FROM mailer._bound_principals() p WHERE p.oid = _resolve_role.role;
    is_operator := EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname = 'mailer' AND pg_has_role(_resolve_role.role, e.extowner, 'USAGE'))
        OR EXISTS (SELECT FROM mailer._bound_principals() p WHERE p.is_operator AND pg_has_role(_resolve_role.role, p.oid, 'USAGE'));
    sees_all := is_operator
        OR EXISTS (SELECT FROM mailer._bound_principals() p WHERE p.is_viewer AND pg_has_role(_resolve_role.role, p.oid, 'USAGE'));
    IF own.is_sender THEN
        tenant_id := own.tenant_id;
    ELSIF is_operator THEN
        tenant_id := 1;
    ELSE
        SELECT array_agg(DISTINCT p.tenant_id), string_agg(DISTINCT quote_ident(p.name), ', ') INTO candidates, choices
        FROM mailer._bound_principals() p WHERE p.is_sender AND pg_has_role(_resolve_role.role, p.oid, 'USAGE');
        IF cardinality(candidates) = 1 THEN
            tenant_id := candidates[1];
        END IF;
    END IF;
    SELECT t.lane_id, t.max_pending INTO lane_id, max_pending FROM mailer.tenant t WHERE t.id = tenant_id;
END;
$$;
COMMENT ON FUNCTION _resolve_role(oid) IS 'What a role acts for and sees, and its principals, the first of which new mail names; tenant_id NULL: for no tenant, or for several (choices names their roles)';

-- The principal that new mail of a role names. It must wait for nobody: an open transaction in which a role was used for the
-- first time would hold up everybody else who uses it. So it takes no unique key and no lock on a row, and two first uses
-- that don't see each other make a row each. Both stand for the role.
CREATE FUNCTION _principal_of(role oid) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    here CONSTANT bigint := (SELECT b.system_identifier FROM mailer._binding() b);
    found_id bigint;
BEGIN
    SELECT p.id INTO found_id FROM mailer.principal p WHERE p.oid = role AND p.system_identifier = here ORDER BY p.is_current DESC, p.id LIMIT 1;
    IF found_id IS NULL THEN
        INSERT INTO mailer.principal (oid, name, system_identifier)
        SELECT r.oid, r.rolname, here FROM pg_catalog.pg_roles r WHERE r.oid = role RETURNING id INTO found_id;
        PERFORM mailer._principals_changed();
    END IF;
    RETURN found_id;
END;
$$;
COMMENT ON FUNCTION _principal_of(oid) IS 'The principal of a role, made when it has none';

-- The one that a grant is written to. Two grants to one role meet at its row; only the extension's owner grants.
CREATE FUNCTION _current_principal_of(role oid) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    first_id CONSTANT bigint := mailer._principal_of(role);
BEGIN
    UPDATE mailer.principal p SET is_current = true WHERE p.id = first_id AND NOT p.is_current;
    RETURN first_id;
END;
$$;
COMMENT ON FUNCTION _current_principal_of(oid) IS 'The principal of a role that has what was granted to it';

CREATE FUNCTION _refresh_principals() RETURNS void
LANGUAGE sql
AS $$
    UPDATE mailer.principal p SET name = r.rolname
    FROM pg_catalog.pg_roles r, mailer._binding() b
    WHERE r.oid = p.oid AND p.system_identifier = b.system_identifier AND p.name <> r.rolname
$$;
COMMENT ON FUNCTION _refresh_principals() IS 'Writes down the names that roles have now, so that a dump has them. The engine calls it with each sweep';

-- A restored principal is bound by its name. Where the role has a row with grants already, that one takes over what the other was
-- granted, and stays the one that new mail names: grants in two rows would outlive revoke().
CREATE FUNCTION _rebind_principals(OUT rebound text[], OUT missing text[])
LANGUAGE plpgsql
AS $$
DECLARE
    here CONSTANT bigint := (SELECT b.system_identifier FROM mailer._binding() b);
    restored record;
    current_id bigint;
BEGIN
    FOR restored IN
        SELECT p.*, r.oid AS role FROM mailer.principal p LEFT JOIN pg_catalog.pg_roles r ON r.rolname = p.name
        WHERE p.system_identifier <> here ORDER BY p.name, p.is_current DESC, p.id
    LOOP
        IF restored.role IS NULL THEN
            missing := missing || restored.name;
            CONTINUE;
        END IF;
        rebound := rebound || restored.name;
        SELECT p.id INTO current_id FROM mailer.principal p WHERE p.oid = restored.role AND p.system_identifier = here AND p.is_current;
        UPDATE mailer.principal p
        SET tenant_id = CASE WHEN p.is_sender THEN p.tenant_id ELSE COALESCE(restored.tenant_id, p.tenant_id) END,
            is_sender = p.is_sender OR restored.is_sender, is_operator = p.is_operator OR restored.is_operator,
            is_viewer = p.is_viewer OR restored.is_viewer, is_gateway = p.is_gateway OR restored.is_gateway
        WHERE p.id = current_id;
        UPDATE mailer.principal p
        SET oid = restored.role, system_identifier = here, is_current = restored.is_current AND current_id IS NULL,
            is_sender = p.is_sender AND current_id IS NULL, is_operator = p.is_operator AND current_id IS NULL,
            is_viewer = p.is_viewer AND current_id IS NULL, is_gateway = p.is_gateway AND current_id IS NULL
        WHERE p.id = restored.id;
    END LOOP;
    PERFORM mailer._principals_changed();
END;
$$;
COMMENT ON FUNCTION _rebind_principals() IS 'Binds principals that came from another cluster to the roles of the same names; for arm()';
