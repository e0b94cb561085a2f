-- Addresses that get no mail. A suppression is looked at when a mail is about to go, never when it is queued, so that it
-- holds for what waits already, and lifting it lets what comes later through. The engine adds hard bounces.

-- "@acme.example" and "*@acme.example" are all addresses of that domain; its key is that of an address there, with a star for
-- the local part (MAILER_SUPPRESSED_KEYS in src/pg/engine/world.hpp looks for both).
CREATE FUNCTION _suppressed_address(address text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF address ~ '^[*]?@' THEN
        RETURN '*' || substring(mailer._address_key(mailer._bare_address('x' || ltrim(btrim(address), '*'), 'address')) FROM '@.*$');
    END IF;
    RETURN mailer._needed_address(address);
END;
$$;
COMMENT ON FUNCTION _suppressed_address(text) IS 'An address in its wire form, or *@domain for all of a domain; error 22023 when it is neither, 22004 when it is NULL';

CREATE FUNCTION suppress(address text, reason text DEFAULT NULL, expires_at timestamptz DEFAULT NULL, scope text DEFAULT 'all')
    RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bare text := mailer._suppressed_address(suppress.address);
    key text := CASE WHEN bare LIKE '*@%' THEN bare ELSE mailer._address_key(bare) END;
BEGIN
    PERFORM mailer._check_scope(suppress.scope);
    PERFORM mailer._check_text('reason', suppress.reason, 10000), mailer._check_time('expires_at', suppress.expires_at);
    INSERT INTO mailer.suppression (address_key, scope, address, reason, expires_at, created_at, created_by, tenant_id)
    VALUES (key, suppress.scope, bare, suppress.reason, suppress.expires_at, mailer._now(), mailer._caller_name(),
        CASE WHEN mailer._is_operator() THEN 0 ELSE mailer._tenant() END)
    ON CONFLICT (address_key, scope, tenant_id) DO UPDATE
    SET address = excluded.address, reason = excluded.reason, expires_at = excluded.expires_at,
        created_at = excluded.created_at, created_by = excluded.created_by;
    PERFORM mailer._log_event('suppressed', jsonb_build_object('address', bare, 'scope', suppress.scope,
        'reason', suppress.reason, 'expires_at', suppress.expires_at));
    PERFORM mailer._recheck();
END;
$$;
COMMENT ON FUNCTION suppress(text, text, timestamptz, text) IS
'Stops mail to an address from now on: mail already queued for it is cancelled (suppressed) when it is due. A call by an operator applies to all tenants
(suppressions after refusals, and unsubscriptions, belong to the tenant that sent the mail), one by a tenant to its own mail.
address: one address, or @acme.example (*@acme.example is the same) for a whole domain.
reason: for people. expires_at: NULL is permanent. A second call replaces the first.
scope: all, bulk (campaigns, and notifications that aren''t required), campaigns, list:NAME (campaigns of that list), category:NAME or campaign:ID.
Errors: 22004 address is NULL, 22023 a bad address or scope.';

CREATE FUNCTION unsuppress(address text, scope text DEFAULT 'all') RETURNS boolean
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bare text := mailer._suppressed_address(unsuppress.address);
    key text := CASE WHEN bare LIKE '*@%' THEN bare ELSE mailer._address_key(bare) END;
BEGIN
    PERFORM mailer._check_scope(unsuppress.scope);
    DELETE FROM mailer.suppression s
    WHERE s.address_key = key AND s.scope = unsuppress.scope
      AND (mailer._is_operator() OR s.tenant_id = mailer._tenant());
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM mailer._log_event('unsuppressed', jsonb_build_object('address', bare, 'scope', unsuppress.scope));
    PERFORM mailer._recheck();
    RETURN true;
END;
$$;
COMMENT ON FUNCTION unsuppress(text, text) IS
'Ends a suppression of this address and scope; returns false if there was none. Operators end those of all tenants, a tenant its own. Mails that it cancelled stay cancelled. Errors: 22004 address is NULL, 22023 a bad address or scope.';

CREATE FUNCTION _check_scope(scope text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._check_text('scope', scope, 1000);
    IF scope IS NULL OR scope !~ '^(all|bulk|campaigns|list:.+|category:.+|campaign:[0-9]+)$' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('"%s" is not a scope', COALESCE(scope, 'NULL')),
            HINT = 'Scopes are all, bulk, campaigns, list:NAME, category:NAME and campaign:ID.';
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_scope(text) IS 'Error 22023 unless it is a scope of suppressions';
