-- What a mailbox's settings may be, checked when they are set: what is wrong with one is said in words here, and not found
-- out by every mail that fails later.

CREATE FUNCTION _bare_address(value text, what text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    parsed record;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT p.address, p.error INTO parsed FROM mailer._parse_address(value) p;
    IF parsed.address IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s "%s" is not a mail address', what, value),
            DETAIL = COALESCE(parsed.error, ''),
            HINT = 'Give one address, such as ada@example.com.';
    END IF;
    RETURN parsed.address;
END;
$$;
COMMENT ON FUNCTION _bare_address(text, text) IS 'The address in its wire form, without a name (NULL for NULL); error 22023 that says what it was meant for';

CREATE FUNCTION _needed_address(value text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    PERFORM mailer._need('address', value IS NULL);
    RETURN mailer._bare_address(value, 'address');
END;
$$;
COMMENT ON FUNCTION _needed_address(text) IS 'The address in its wire form; error 22004 for NULL, 22023 when it isn''t one';

-- The engine checks again when it connects: the setting may have been narrowed since.
CREATE FUNCTION _check_host(host text, port integer) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF mailer._is_host_allowed(host, port) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'insufficient_privilege',
        MESSAGE = format('mail server %s:%s is not allowed here', host, port),
        DETAIL = format('mailer.allowed_hosts is "%s".', current_setting('mailer.allowed_hosts', true)),
        HINT = 'A superuser can add it to mailer.allowed_hosts.';
END;
$$;
COMMENT ON FUNCTION _check_host(text, integer) IS 'Error 42501 when mailer.allowed_hosts doesn''t let a mailbox use this server';

CREATE FUNCTION _ip_address(value text, what text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF value !~ '^[0-9a-fA-F:.]+$' THEN
        RAISE invalid_text_representation;
    END IF;
    RETURN host(value::inet);
EXCEPTION WHEN invalid_text_representation THEN
    PERFORM mailer._refuse_setting(format('%s "%s" is not an IP address', what, value), 'It looks like 192.0.2.1 or 2001:db8::1.');
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION _ip_address(text, text) IS 'An IP address as PostgreSQL writes it; error 22023 that says what it was meant for';

CREATE FUNCTION _host_name(value text, what text) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_host_name';
COMMENT ON FUNCTION _host_name(text, text) IS
'The name or address of a server, in lower case and A-labels, an address without brackets; error 22023 that says what is wrong with it';

CREATE FUNCTION _rate(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_rate';
COMMENT ON FUNCTION _rate(text) IS 'A rate as it is stored: 14/s, 100/min, 1000/h, 5000/d; NULL for NULL; error 22023 for anything else';

CREATE FUNCTION _is_loopback(host text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_is_loopback';
COMMENT ON FUNCTION _is_loopback(text) IS 'Whether the host is a loopback address, or localhost';

CREATE FUNCTION _stays_on_this_machine(host text, proxy text) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_stays_on_this_machine';
COMMENT ON FUNCTION _stays_on_this_machine(text, text) IS
'Whether a mailbox may log in at this host without TLS even where mailer.allow_cleartext_login is off: it is a loopback address, or localhost, and no proxy is between. The engine asks the same';

CREATE FUNCTION _check_listening(box mailer.mailbox) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF box.provider NOT IN ('microsoft365', 'google') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" is not a provider that mailer knows', box.provider),
            HINT = 'It is microsoft365 or google; for any other leave it out.';
    END IF;
    IF box.imap_tls NOT IN ('none', 'starttls', 'implicit') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" is not a value of imap_tls', box.imap_tls),
            HINT = 'It is none, starttls (port 143) or implicit (port 993).';
    END IF;
    IF box.imap_port NOT BETWEEN 1 AND 65535 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s is not a TCP port', box.imap_port);
    END IF;
    IF box.imap_host IS NOT NULL THEN
        PERFORM mailer._check_host(box.imap_host, COALESCE(box.imap_port, CASE COALESCE(box.imap_tls, 'implicit') WHEN 'implicit' THEN 993 ELSE 143 END));
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_listening(mailbox) IS 'Error 22023 for a provider, or a value of the settings imap_*, that can''t be; 42501 when mailer.allowed_hosts doesn''t have the server';

CREATE FUNCTION _check_connection(connection text) RETURNS void
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'mailer_check_connection';
COMMENT ON FUNCTION _check_connection(text) IS 'Error 22023 when libpq doesn''t understand the connection string, or when a password is in it';

-- Every setting of a mailbox, one a line: what mailbox_alter() takes and writes.
CREATE FUNCTION _mailbox_settings() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ARRAY['name', 'host', 'port', 'tls', 'username', 'auth', 'password_file', 'ca_file', 'helo_name',
        'login_mechanism', 'client_cert_file', 'client_key_file', 'min_tls', 'source_address', 'proxy', 'connect_timeout', 'pipelining',
        'from_address', 'from_name', 'allowed_from', 'signature_text', 'signature_html',
        'daily_limit', 'ramp_start', 'ramp_step', 'ramp_from', 'gap',
        'max_connections', 'max_per_connection', 'idle_seconds', 'max_recipients', 'rate',
        'timezone', 'is_default', 'is_shared', 'provider', 'secret_expires_at', 'imap_host', 'imap_port', 'imap_tls', 'imap_folders',
        'shield', 'return_path', 'dsn', 'connection', 'forward_mailbox']
$$;
COMMENT ON FUNCTION _mailbox_settings() IS 'Columns of table mailbox that mailbox_alter() changes';

CREATE FUNCTION _refuse_setting(message text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF hint IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, HINT = hint;
END;
$$;
COMMENT ON FUNCTION _refuse_setting(text, text) IS 'Error 22023 with a message and a hint';

-- RFC 5321, sections 4.1.1.1 and 4.1.4: what stands behind EHLO.
CREATE FUNCTION _helo_name(value text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    name := mailer._host_name(value, 'helo_name');
    IF value LIKE '[%' OR name ~ '^[0-9.]+$' OR name LIKE '%:%' THEN
        RETURN '[' || CASE WHEN name LIKE '%:%' THEN 'IPv6:' ELSE '' END || name || ']';
    END IF;
    IF name NOT LIKE '%.%' THEN
        PERFORM mailer._refuse_setting(format('helo_name "%s" is not a fully qualified domain name', value),
            'Mail servers refuse a name without a dot (RFC 5321, section 4.1.1.1). An address stands in brackets: [192.0.2.1].');
    END IF;
    RETURN name;
END;
$$;
COMMENT ON FUNCTION _helo_name(text) IS 'A name for EHLO: a domain with a dot, or an address in brackets; error 22023 for anything else';

CREATE FUNCTION _allowed_from(entries text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    entry text;
    found text[] := ARRAY[]::text[];
BEGIN
    IF entries IS NULL THEN
        RETURN NULL;
    END IF;
    FOREACH entry IN ARRAY entries LOOP
        IF entry IS NULL THEN
            PERFORM mailer._refuse_setting('an element of allowed_from is null');
        ELSIF entry ~ '^\*?@' THEN
            found := found || substring(mailer._bare_address('x' || ltrim(entry, '*'), 'allowed_from') from 2);
        ELSE
            found := found || mailer._bare_address(entry, 'allowed_from');
        END IF;
    END LOOP;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION _allowed_from(text[]) IS 'Addresses, and @domain for a whole domain, in wire form; error 22023 for anything else';

CREATE FUNCTION _check_proxy(proxy text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    parts text[] := regexp_match(proxy, '^(?:https?|socks4a?|socks5h?)://(\[[0-9a-fA-F:.]+\]|[^/@:[:space:][:cntrl:]]+):([0-9]{1,5})/?$');
BEGIN
    IF proxy IS NULL THEN
        RETURN;
    END IF;
    IF parts IS NULL OR parts[2]::integer NOT BETWEEN 1 AND 65535 THEN
        PERFORM mailer._refuse_setting(format('proxy "%s" is not understood', regexp_replace(proxy, '//.*@', '//…@')),
            'Write socks5h://host:port or http://host:port, without a user: settings are dumped and shown.');
    END IF;
    PERFORM mailer._check_host(mailer._host_name(parts[1], 'proxy'), parts[2]::integer);
END;
$$;
COMMENT ON FUNCTION _check_proxy(text) IS 'Error 22023 when it is no proxy''s URL or has a user in it, 42501 when mailer.allowed_hosts doesn''t have its host';

-- What is set together with what, and words for what the table's constraints would refuse without any.
CREATE FUNCTION _check_mailbox(box mailer.mailbox) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    IF box.from_name ~ '[[:cntrl:]\u0080-\u009f\u2028\u2029]' THEN
        PERFORM mailer._refuse_setting('from_name holds a control character', 'It is one line of text.');
    END IF;
    IF box.username ~ '[[:cntrl:]]' THEN
        PERFORM mailer._refuse_setting('username holds a control character');
    END IF;
    IF NOT box.login_mechanism = ANY ('{auto,plain,login,cram-md5,xoauth2,oauthbearer,external}') THEN
        PERFORM mailer._refuse_setting(format('login_mechanism "%s" is not known', box.login_mechanism),
            'Mechanisms are auto, plain, login, cram-md5, xoauth2, oauthbearer and external.');
    END IF;
    IF box.login_mechanism = 'external' AND box.client_cert_file IS NULL THEN
        PERFORM mailer._refuse_setting('login_mechanism external needs a client certificate', 'Set client_cert_file.');
    END IF;
    IF box.client_key_file IS NOT NULL AND box.client_cert_file IS NULL THEN
        PERFORM mailer._refuse_setting('client_key_file needs client_cert_file');
    END IF;
    IF NOT box.min_tls = ANY ('{1.0,1.1,1.2,1.3}') THEN
        PERFORM mailer._refuse_setting(format('min_tls "%s" is not a version of TLS', box.min_tls), 'Versions are 1.0, 1.1, 1.2 and 1.3.');
    END IF;
    IF NOT box.connect_timeout BETWEEN interval '1 s' AND interval '10 min' THEN
        PERFORM mailer._refuse_setting(format('connect_timeout %s is out of range', box.connect_timeout), 'It is 1 s to 10 min.');
    END IF;
    IF NOT box.max_recipients BETWEEN 1 AND 1000 THEN
        PERFORM mailer._refuse_setting(format('max_recipients %s is out of range', box.max_recipients), 'It is 1 to 1000, or null for no limit.');
    END IF;
    IF length(box.signature_text) > 10000 OR length(box.signature_html) > 100000 THEN
        PERFORM mailer._refuse_setting('the signature is too long', 'A text has at most 10,000 characters, HTML 100,000.');
    END IF;
    IF NOT (box.return_path ~ '^[^@[:space:]<>]+@[^@[:space:]<>{}]+$' AND length(box.return_path) <= 200) THEN
        PERFORM mailer._refuse_setting(format('return_path "%s" is not an address', left(box.return_path, 100)),
            'It is one address of at most 200 characters; {token} may stand before its @.');
    END IF;
END;
$$;
COMMENT ON FUNCTION _check_mailbox(mailbox) IS 'Error 22023, in words, for settings that can''t work';

-- The settings of a mailbox with those of the json object put over them; nothing is written.
CREATE FUNCTION _mailbox_with(old mailer.mailbox, settings jsonb) RETURNS mailer.mailbox
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    known constant text[] := mailer._mailbox_settings();
    strange text;
    from_name_given text;
    box mailer.mailbox;
BEGIN
    IF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'settings must be a JSON object',
            HINT = 'For example ''{"daily_limit": 200, "gap": "90 s"}''.';
    END IF;
    SELECT k INTO strange FROM jsonb_object_keys(settings) k WHERE NOT k = ANY (known) ORDER BY k LIMIT 1;
    IF strange IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('a mailbox has no setting "%s"', strange),
            HINT = CASE strange
                WHEN 'password' THEN 'The password is set with mailer.mailbox_set_password().'
                ELSE 'Settings are: ' || array_to_string(known, ', ') || '.' END;
    END IF;
    -- Files are read by the server: naming one is for those who may read the server's files anyway.
    IF settings ?| ARRAY['password_file', 'ca_file', 'client_cert_file', 'client_key_file'] AND NOT pg_has_role(mailer._caller(), 'pg_read_server_files', 'USAGE') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = 'only members of pg_read_server_files may set password_file, ca_file, client_cert_file and client_key_file',
            HINT = 'Set the password with mailer.mailbox_set_password() instead.';
    END IF;
    -- The worker connects as the operating system's user of the server, whom a local server may take for a superuser.
    IF settings ->> 'connection' IS NOT NULL AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = mailer._caller()) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = 'only superusers may set the connection of a forwarder',
            HINT = 'The server itself connects, and other servers may let its user in without a password.';
    END IF;
    box := mailer._populated(old, settings);
    box.name := btrim(box.name);
    IF settings ? 'host' THEN
        box.host := mailer._host_name(box.host, 'host');
    END IF;
    -- Port 465 speaks TLS from the first octet (RFC 8314): with STARTTLS both sides would wait for the other.
    box.tls := COALESCE(box.tls, CASE WHEN box.port = 465 THEN 'implicit' ELSE 'starttls' END);
    PERFORM mailer._need(k, COALESCE(settings -> k = 'null', false)) FROM unnest(ARRAY['pipelining', 'login_mechanism']) k;
    PERFORM mailer._check_mailbox_bounds(box);
    PERFORM mailer._need('is_shared', COALESCE(settings -> 'is_shared' = 'null', false));
    PERFORM mailer._check_share('shield', box.shield);
    IF box.dsn !~ '^(never|(failure|delay|success)(,(failure|delay|success))*)$' THEN
        PERFORM mailer._refuse('dsn must be never, or failure, delay and success', 'For example "failure,delay"; null asks for none.');
    END IF;
    IF box.connection IS NULL THEN
        PERFORM mailer._check_host(box.host, box.port);
        IF settings ->> 'forward_mailbox' IS NOT NULL THEN
            PERFORM mailer._refuse_setting('forward_mailbox needs a connection', 'Only a forwarder hands its mail to another database.');
        END IF;
        box.forward_mailbox := NULL;
    ELSE
        PERFORM mailer._check_connection(box.connection), mailer._check_text('forward_mailbox', box.forward_mailbox, 200);
        IF box.imap_host IS NOT NULL THEN
            PERFORM mailer._refuse_setting('a forwarder listens to no inbox', 'The mailbox of the other database does.');
        END IF;
    END IF;
    IF settings ->> 'imap_host' IS NOT NULL THEN
        box.imap_host := mailer._host_name(box.imap_host, 'imap_host');
    END IF;
    PERFORM mailer._check_listening(box);
    IF settings ? 'from_address' AND box.from_address IS NOT NULL THEN
        SELECT p.display_name INTO from_name_given FROM mailer._parse_address(box.from_address) p;
        box.from_address := mailer._bare_address(box.from_address, 'from_address');
        IF (settings ->> 'from_name') IS NULL THEN
            box.from_name := COALESCE(from_name_given, box.from_name);
        END IF;
    END IF;
    IF settings ? 'rate' THEN
        box.rate := mailer._rate(box.rate);
    END IF;
    IF settings ? 'helo_name' THEN
        box.helo_name := mailer._helo_name(box.helo_name);
    END IF;
    IF settings ? 'allowed_from' THEN
        box.allowed_from := mailer._allowed_from(box.allowed_from);
    END IF;
    IF settings ? 'source_address' AND box.source_address IS NOT NULL THEN
        box.source_address := mailer._ip_address(box.source_address, 'source_address');
    END IF;
    IF settings ? 'proxy' THEN
        PERFORM mailer._check_proxy(box.proxy);
    END IF;
    PERFORM mailer._check_mailbox(box);
    IF box.from_address IS NULL THEN
        SELECT p.address INTO box.from_address FROM mailer._parse_address(box.username) p;
        IF box.from_address IS NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'null_value_not_allowed',
                MESSAGE = format('mailbox "%s" needs a from_address', box.name),
                DETAIL = 'Its username is not a mail address that could stand in.',
                HINT = 'Pass from_address => ''desk@example.com''.';
        END IF;
    END IF;
    box.timezone := mailer._zone_or_default(box.timezone);
    IF num_nonnulls(box.ramp_start, box.ramp_step) = 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a ramp needs both ramp_start and ramp_step',
            HINT = 'Day n''s limit is least(daily_limit, ramp_start + n * ramp_step); set both to NULL for no ramp.';
    END IF;
    IF box.ramp_start IS NULL THEN
        box.ramp_from := NULL;
    ELSIF box.ramp_from IS NULL THEN
        box.ramp_from := (mailer._now() AT TIME ZONE box.timezone)::date;
    END IF;
    RETURN box;
END;
$$;
COMMENT ON FUNCTION _mailbox_with(mailbox, jsonb) IS 'A mailbox with new settings, checked and completed: error 22023 for an unknown key or a bad value, 42501 for a host or file that is not allowed';

REVOKE ALL ON FUNCTION _host_name(text, text), _check_connection(text), _rate(text), _is_loopback(text), _stays_on_this_machine(text, text) FROM PUBLIC;
