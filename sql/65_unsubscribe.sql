-- Unsubscribing by a link: tokens that only this database can make, and what they do.
--
-- A token names a tenant, a scope and an address and is signed (HMAC with SHA-256, RFC 2104) with a key that only the extension's owner can
-- read; it never expires, for a link must work as long as the mail is kept. An unsubscribe stops its scope alone, never required
-- categories or plain enqueue. The key is not dumped: to keep links in old mails working in a restored database, copy it
-- by hand (UPDATE mailer.signing_key), as you do with passwords.

INSERT INTO signing_key (key)
SELECT pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    || pg_catalog.uuid_send(pg_catalog.gen_random_uuid()));

CREATE FUNCTION _hmac_sha256(key bytea, message bytea) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_hmac_sha256';
COMMENT ON FUNCTION _hmac_sha256(bytea, bytea) IS 'HMAC of RFC 2104 with SHA-256';

CREATE FUNCTION _base64url(content bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT pg_catalog.translate(pg_catalog.encode(content, 'base64'), E'+/=\n', '-_') $$;
COMMENT ON FUNCTION _base64url(bytea) IS 'base64url of RFC 4648, section 5, without padding';

-- Each field with its length before it: whatever a name contains, no field can pass for another.
CREATE FUNCTION _token_content(VARIADIC fields text[]) RETURNS bytea
LANGUAGE sql IMMUTABLE
AS $$
    SELECT pg_catalog.convert_to(pg_catalog.string_agg(pg_catalog.octet_length(f.field) || ':' || f.field, '' ORDER BY f.place), 'UTF8')
    FROM pg_catalog.unnest(fields) WITH ORDINALITY f(field, place)
$$;
COMMENT ON FUNCTION _token_content(text[]) IS 'What a token signs: fields, each with its length in octets before it';

CREATE FUNCTION _token_fields(content bytea) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    fields text[] := '{}';
    colon integer;
    size integer;
BEGIN
    WHILE length(content) > 0 LOOP
        colon := position('\x3a'::bytea IN content);
        size := convert_from(substr(content, 1, colon - 1), 'UTF8')::integer;
        fields := fields || convert_from(substr(content, colon + 1, size), 'UTF8');
        content := substr(content, colon + 1 + size);
    END LOOP;
    RETURN fields;
END;
$$;
COMMENT ON FUNCTION _token_fields(bytea) IS 'The opposite of _token_content; for what was signed here';

CREATE FUNCTION _unsubscribe_token(tenant_id bigint, address_key text, scope text) RETURNS text
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT mailer._base64url(t.content) || '.' || mailer._base64url(mailer._hmac_sha256(k.key, t.content))
        FROM mailer.signing_key k, (SELECT mailer._token_content(tenant_id::text, scope, address_key) AS content) t);
END;
$$;
COMMENT ON FUNCTION _unsubscribe_token(bigint, text, text) IS 'Token with which mailer.unsubscribe() stops a tenant''s mail of a scope (category:NAME, campaign:ID) to an address; for List-Unsubscribe';

CREATE FUNCTION _unsubscribe_url(tenant_id bigint, address_key text, scope text) RETURNS text
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN strpos(s.url, '{token}') > 0 THEN replace(s.url, '{token}', mailer._unsubscribe_token(tenant_id, address_key, scope))
            ELSE s.url || mailer._unsubscribe_token(tenant_id, address_key, scope) END
        FROM (SELECT NULLIF(current_setting('mailer.unsubscribe_url', true), '') AS url) s);
END;
$$;
COMMENT ON FUNCTION _unsubscribe_url(bigint, text, text) IS 'The link of a mail of this scope to this address; NULL while mailer.unsubscribe_url is not set';

CREATE FUNCTION _read_token(token text, OUT tenant_id bigint, OUT scope text, OUT address_key text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    parts text[] := regexp_match(token, '^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$');
    content bytea;
    fields text[];
BEGIN
    IF parts IS NOT NULL THEN
        BEGIN
            content := decode(translate(parts[1], '-_', '+/') || repeat('=', (4 - length(parts[1]) % 4) % 4), 'base64');
        EXCEPTION WHEN invalid_parameter_value THEN
            content := NULL;
        END;
        -- Hashed before they are compared, so that the time taken says nothing about the right signature.
        IF sha256(convert_to(parts[2], 'UTF8'))
           = (SELECT sha256(convert_to(mailer._base64url(mailer._hmac_sha256(k.key, content)), 'UTF8')) FROM mailer.signing_key k) THEN
            fields := mailer._token_fields(content);
            tenant_id := fields[1]::bigint;
            scope := fields[2];
            address_key := fields[3];
            RETURN;
        END IF;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the unsubscribe token is not valid',
        DETAIL = 'It was cut, changed, or made by another database.',
        HINT = 'Pass the whole token from the link that mailer.unsubscribe_url made; offer the user the settings page otherwise.';
END;
$$;
COMMENT ON FUNCTION _read_token(text) IS 'Tenant, scope and address of a token; error 22023 unless this database signed it';

CREATE FUNCTION unsubscribe(token text, everything boolean DEFAULT false, OUT scope text, OUT address text)
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    named record;
    category_name text;
BEGIN
    SELECT r.tenant_id, r.scope, r.address_key INTO named FROM mailer._read_token(unsubscribe.token) r;
    scope := CASE WHEN unsubscribe.everything THEN 'bulk' ELSE named.scope END;
    address := named.address_key;
    INSERT INTO mailer.suppression (address_key, scope, address, reason, created_at, created_by, tenant_id)
    SELECT named.address_key, stopped.scope, named.address_key, 'unsubscribed', mailer._now(), mailer._caller_name(), named.tenant_id
    FROM (SELECT named.scope UNION SELECT unsubscribe.scope ORDER BY 1) stopped(scope)
    ON CONFLICT (address_key, scope, tenant_id) DO UPDATE SET reason = excluded.reason, expires_at = NULL;
    IF named.scope LIKE 'category:%' THEN
        category_name := substr(named.scope, length('category:') + 1);
        INSERT INTO mailer.preference AS p (user_id, category, email_enabled, in_app_enabled, digest, updated_at, unsubscribed_at)
        SELECT u.user_id, category_name, false, true, 'immediate', mailer._now(), mailer._now()
        FROM mailer.contact u
        WHERE u.address_key = named.address_key AND mailer._user_tenant(u.user_id) = named.tenant_id
          AND NOT EXISTS (SELECT FROM mailer.category c WHERE c.name = category_name AND c.is_required)
        ON CONFLICT (user_id, category) DO UPDATE
        SET email_enabled = false, updated_at = excluded.updated_at, unsubscribed_at = excluded.unsubscribed_at;
    END IF;
    PERFORM mailer._log_event('unsubscribed', jsonb_build_object('address', named.address_key, 'scope', unsubscribe.scope));
    PERFORM mailer._recheck();
END;
$$;
COMMENT ON FUNCTION unsubscribe(text, boolean) IS
'Unsubscribes, for the application''s endpoint at mailer.unsubscribe_url: call it on POST only, because mail scanners follow
links (RFC 8058, section 6). Stops mail of the token''s scope to its address, of the tenant whose mail had the link, and returns scope
(category:NAME or campaign:ID) and address.
A category''s preference is switched off too. everything: all campaigns and categories of that tenant as well (scope bulk). A second call changes nothing. It never stops required categories and plain enqueue.
Errors: 22023 the token was not made here.';

CREATE FUNCTION unsubscribe_preview(token text, OUT scope text, OUT address text, OUT is_unsubscribed boolean)
LANGUAGE mailer_plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    named record;
BEGIN
    SELECT r.tenant_id, r.scope, r.address_key INTO named FROM mailer._read_token(unsubscribe_preview.token) r;
    scope := named.scope;
    address := named.address_key;
    is_unsubscribed := EXISTS (
        SELECT FROM mailer.suppression s
        WHERE s.address_key = named.address_key AND s.scope = named.scope AND s.tenant_id = named.tenant_id
          AND (s.expires_at IS NULL OR s.expires_at > mailer._now()));
END;
$$;
COMMENT ON FUNCTION unsubscribe_preview(text) IS
'Returns what mailer.unsubscribe() would stop, for which address, and whether it is already stopped; changes nothing. For the page that the link of a mail opens.
Errors: 22023 the token was not made here.';
