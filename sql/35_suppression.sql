-- Addresses that get no mail. A suppression is looked at when a mail is about to go, never when it is queued, so that it
-- holds for what waits already, and lifting it lets what comes later through. The engine adds hard bounces.

CREATE FUNCTION suppress(address text, reason text DEFAULT NULL, expires_at timestamptz DEFAULT NULL, scope text DEFAULT 'all')
    RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bare text := mailer._bare_address(COALESCE(suppress.address, ''), 'address');
BEGIN
    PERFORM mailer._check_scope(suppress.scope);
    PERFORM mailer._check_text('reason', suppress.reason, 10000), mailer._check_time('expires_at', suppress.expires_at);
    INSERT INTO mailer.suppression (address_key, scope, address, reason, expires_at, created_at, created_by, tenant_id)
    VALUES (mailer._address_key(bare), suppress.scope, bare, suppress.reason, suppress.expires_at, mailer._now(), mailer._caller_name(),
        CASE WHEN mailer._is_operator() THEN 0 ELSE mailer._tenant() END)
    ON CONFLICT (address_key, scope, tenant_id) DO UPDATE
    SET address = excluded.address, reason = excluded.reason, expires_at = excluded.expires_at,
        created_at = excluded.created_at, created_by = excluded.created_by;
    PERFORM mailer._log_event('suppressed', jsonb_build_object('address', bare, 'scope', suppress.scope,
        'reason', suppress.reason, 'expires_at', suppress.expires_at));
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION suppress(text, text, timestamptz, text) IS
'From now on this address gets no mail: what waits for it is cancelled (suppressed) when its turn comes. Operators say so for everybody
(suppressions of refused mail and unsubscriptions are of the tenant that sent it), a tenant for its own mail.
reason: for people. expires_at: NULL is for good. Suppressing again replaces.
scope: all, bulk (campaigns, and notifications that aren''t required), campaigns, list:NAME (campaigns of that list), category:NAME or campaign:ID.
Errors: 22023 a bad address or scope.';

CREATE FUNCTION unsuppress(address text, scope text DEFAULT 'all') RETURNS boolean
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bare text := mailer._bare_address(COALESCE(unsuppress.address, ''), 'address');
BEGIN
    PERFORM mailer._check_scope(unsuppress.scope);
    DELETE FROM mailer.suppression s
    WHERE s.address_key = mailer._address_key(bare) AND s.scope = unsuppress.scope
      AND (mailer._is_operator() OR s.tenant_id = mailer._tenant());
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM mailer._log_event('unsuppressed', jsonb_build_object('address', bare, 'scope', unsuppress.scope));
    PERFORM mailer._changed();
    RETURN true;
END;
$$;
COMMENT ON FUNCTION unsuppress(text, text) IS
'Takes a suppression of this address and scope back; false when there was none. Operators lift those of all tenants, a tenant its own. Mails that were cancelled by it stay so. Errors: 22023 a bad address or scope.';

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
