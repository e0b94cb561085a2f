-- What a tenant may use beyond what is shared, the gateway, and taking rights back. The kinds of role are in 90_privileges.sql.

CREATE FUNCTION _tenant_of_role(role name) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    found_tenant bigint;
BEGIN
    PERFORM mailer._grantee(role);
    SELECT r.tenant_id INTO found_tenant FROM pg_roles o CROSS JOIN LATERAL mailer._resolve_role(o.oid) r WHERE o.rolname = role;
    IF found_tenant IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('role "%s" acts for no tenant', role),
            HINT = format('Call mailer.grant_sender(%L) first.', role);
    END IF;
    RETURN found_tenant;
END;
$$;
COMMENT ON FUNCTION _tenant_of_role(name) IS 'The tenant that a role acts for; error 55000 when it acts for none';

CREATE FUNCTION grant_mailbox(role name, mailbox text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    INSERT INTO mailer.mailbox_grant (tenant_id, mailbox_id)
    VALUES (mailer._tenant_of_role(role), mailer._mailbox_id(grant_mailbox.mailbox)) ON CONFLICT DO NOTHING;
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION grant_mailbox(name, text) IS
'Lets the tenant of a role send from a mailbox that isn''t shared (mailer.mailbox_alter(name, ''{"is_shared": false}'')). A shared one needs no grant.
Errors: 42704 no such role or mailbox, 55000 the role is not a sender, 42501 you don''t own the extension.';

CREATE FUNCTION grant_template(role name, template text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._check_template_exists(grant_template.template);
    INSERT INTO mailer.template_grant (tenant_id, template)
    VALUES (mailer._tenant_of_role(role), grant_template.template) ON CONFLICT DO NOTHING;
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION grant_template(name, text) IS
'Lets the tenant of a role use a template that isn''t shared (is_shared of mailer.template_set()). A shared one needs no grant.
Errors: 42704 no such role or template, 55000 the role is not a sender, 42501 you don''t own the extension.';

CREATE FUNCTION tenant_alter(tenant text, settings jsonb) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    found_id CONSTANT bigint := (SELECT t.id FROM mailer.tenant t WHERE t.name = tenant_alter.tenant);
    strange CONSTANT text := (SELECT k FROM jsonb_object_keys(settings) k WHERE k <> 'max_pending' ORDER BY k LIMIT 1);
    new_limit numeric;
BEGIN
    IF found_id IS NULL THEN
        PERFORM mailer._refuse(format('tenant "%s" does not exist', COALESCE(tenant_alter.tenant, 'NULL')),
            'A tenant has the name of the role that mailer.grant_sender() made it for.', sqlstate => '42704');
    END IF;
    IF strange IS NOT NULL THEN
        PERFORM mailer._refuse(format('unknown setting "%s"', strange), 'A tenant has max_pending.');
    END IF;
    IF found_id = 1 AND settings ->> 'max_pending' IS NOT NULL THEN
        PERFORM mailer._refuse('the operators'' mail has no limit', 'Give one to a tenant that mailer.grant_sender() made.');
    END IF;
    IF settings -> 'max_pending' <> 'null' THEN
        IF jsonb_typeof(settings -> 'max_pending') = 'number' THEN
            new_limit := (settings ->> 'max_pending')::numeric;
        END IF;
        IF new_limit IS NULL OR new_limit NOT BETWEEN 1 AND 1000000000 OR new_limit <> trunc(new_limit) THEN
            PERFORM mailer._refuse('max_pending must be a number of messages', 'It is 1 to 1,000,000,000, or null for no limit.');
        END IF;
    END IF;
    IF settings ? 'max_pending' THEN
        UPDATE mailer.tenant t SET max_pending = new_limit::bigint WHERE t.id = found_id;
        PERFORM mailer._principals_changed();
        PERFORM mailer._log_event('tenant_altered', jsonb_build_object('name', tenant_alter.tenant, 'max_pending', COALESCE(to_jsonb(new_limit), 'null')));
    END IF;
END;
$$;
COMMENT ON FUNCTION tenant_alter(text, jsonb) IS
'Changes what a tenant may do. max_pending: how many of its messages may wait at a time (1 to 1,000,000,000; null, the default: no limit). A call that would exceed it
fails with error 53400, and nothing of it is queued; messages already waiting stay. Messages being sent and leads of campaigns aren''t counted; leads are the
operators''. The limit holds across sessions and counts their open transactions; without preloading (shared_preload_libraries) sessions see each other''s mail when it commits.
Errors: 42704 no such tenant, 22023 an unknown setting or a bad value.';

CREATE FUNCTION grant_gateway(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    grantee CONSTANT bigint := mailer._grantee(role);
BEGIN
    UPDATE mailer.principal p SET is_gateway = true WHERE p.id = grantee;
    PERFORM mailer._grant(role, '{gateway}');
END;
$$;
COMMENT ON FUNCTION grant_gateway(name) IS
'Lets a role do only what public URLs need: unsubscribe, and pass on the reports of providers. It sees no mail and queues none.
Errors: 42704 no such role, 42501 you don''t own the extension.';

-- Exactly what was granted on objects of ours: whatever else the role owns or may do stays (DROP OWNED BY would drop its tables).
CREATE FUNCTION revoke(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    grantee CONSTANT bigint := mailer._grantee(role);
    role_oid CONSTANT oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = role);
    what text;
BEGIN
    FOR what IN
        SELECT format('ALL ON ROUTINE %s', p.oid::regprocedure) FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
        WHERE p.pronamespace = 'mailer'::regnamespace AND a.grantee = role_oid AND p.proowner <> role_oid
        UNION
        SELECT format('ALL ON %s', c.oid::regclass) FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind IN ('r', 'v') AND a.grantee = role_oid AND c.relowner <> role_oid
        UNION
        SELECT format('ALL ON TYPE %s', t.oid::regtype) FROM pg_type t CROSS JOIN LATERAL aclexplode(t.typacl) a
        WHERE t.typnamespace = 'mailer'::regnamespace AND a.grantee = role_oid AND t.typowner <> role_oid
        UNION
        SELECT 'ALL ON SCHEMA mailer' FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
        WHERE n.nspname = 'mailer' AND a.grantee = role_oid AND n.nspowner <> role_oid
        ORDER BY 1
    LOOP
        EXECUTE format('REVOKE %s FROM %I', what, role);
    END LOOP;
    UPDATE mailer.principal p SET is_sender = false, is_operator = false, is_viewer = false, is_gateway = false
    FROM mailer._binding() b
    WHERE p.id = grantee OR (p.oid = role_oid AND p.system_identifier = b.system_identifier);
    DELETE FROM mailer.mailbox_grant g USING mailer.principal p
    WHERE p.id = grantee AND g.tenant_id = p.tenant_id
      AND NOT EXISTS (SELECT FROM mailer.principal o WHERE o.tenant_id = p.tenant_id AND o.is_sender);
    DELETE FROM mailer.template_grant g USING mailer.principal p
    WHERE p.id = grantee AND g.tenant_id = p.tenant_id
      AND NOT EXISTS (SELECT FROM mailer.principal o WHERE o.tenant_id = p.tenant_id AND o.is_sender);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION revoke(name) IS
'Revokes everything that the grant_… functions gave a role, and nothing else that it has. Its mail stays and is sent, late-bound
functions included; granted grant_sender() again, it is the same tenant as before. Afterwards mailer no longer prevents dropping the role.
Errors: 42704 no such role, 42501 you don''t own the extension.';
