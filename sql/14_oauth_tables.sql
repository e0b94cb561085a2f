-- OAuth2: applications, which mailbox uses which, their secrets, and the tokens with the lease under which they are fetched.
--
-- What describes an account is dumped; what opens it (oauth_app_secret, oauth_account_secret, oauth_consent, oauth_device, oauth_token) is not, so a
-- restored database asks for consent again and a copy can't log in as the original. No view shows a secret.

CREATE TABLE oauth_app (
    app_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text UNIQUE,
    mailbox_id        bigint UNIQUE,
    provider          text,
    cloud             text,
    tenant            text,
    client_id         text,
    scope             text,
    token_url         text,
    auth_url          text,
    device_url        text,
    redirect_uri      text,
    grant_type        text,
    secret_expires_at timestamptz,
    CONSTRAINT "an application has a name, or belongs to one mailbox" CHECK (num_nonnulls(name, mailbox_id) = 1)
);
COMMENT ON TABLE oauth_app IS 'OAuth2 applications: named ones that mailboxes share, and those set in place for a single mailbox';
COMMENT ON COLUMN oauth_app.grant_type IS 'client_credentials, refresh_token (NULL means the same) or jwt_bearer';
COMMENT ON COLUMN oauth_app.scope IS 'NULL takes what the provider needs for SMTP and IMAP';

CREATE TABLE oauth_app_secret (
    app_id        bigint PRIMARY KEY,
    client_secret text,
    certificate   text,
    private_key   text
);
COMMENT ON TABLE oauth_app_secret IS 'Secrets of OAuth2 applications. Read by the engine alone; never dumped, never shown';

CREATE TABLE oauth_account (
    mailbox_id bigint PRIMARY KEY,
    app_id     bigint NOT NULL,
    subject    text,
    login      text
);
COMMENT ON TABLE oauth_account IS 'Mailboxes that log in with OAuth2. subject: the mailbox that a service account acts for; login: the account proposed on the page of consent';

CREATE TABLE oauth_account_secret (
    mailbox_id    bigint PRIMARY KEY,
    refresh_token text,
    code          text,
    code_verifier text,
    redirect_uri  text,
    consented_at  timestamptz,
    consented_by  text[]
);
COMMENT ON COLUMN oauth_account_secret.consented_by IS 'Names, in lower case, of the account that gave consent, as the provider tells them. They are no secret';
COMMENT ON TABLE oauth_account_secret IS 'Refresh tokens, and codes of a consent that wait to be exchanged for one. Read by the engine alone; never dumped, never shown';

CREATE TABLE oauth_consent (
    nonce         text PRIMARY KEY,
    mailbox_id    bigint NOT NULL,
    code_verifier text NOT NULL,
    expires_at    timestamptz NOT NULL
);
COMMENT ON TABLE oauth_consent IS 'Consent pages that mailer.oauth_url() created and that have not been completed yet; never dumped';

CREATE TABLE oauth_device (
    mailbox_id       bigint PRIMARY KEY,
    device_code      text,
    user_code        text,
    verification_uri text,
    expires_at       timestamptz,
    poll_us          bigint NOT NULL DEFAULT 5000000,
    poll_at          timestamptz NOT NULL,
    CONSTRAINT "a code is there wholly, or was not got yet" CHECK (num_nonnulls(device_code, user_code, verification_uri, expires_at) IN (0, 4))
);
COMMENT ON TABLE oauth_device IS 'Consents by device code (RFC 8628) that mailer.oauth_device() started and that have not been given yet; never dumped';
COMMENT ON COLUMN oauth_device.device_code IS 'A secret: a client that has it gets the token. NULL: the provider has not been asked yet';
COMMENT ON COLUMN oauth_device.poll_us IS 'Time between two questions whether it was done, in microseconds, as the provider asks for';
COMMENT ON COLUMN oauth_device.user_code IS 'What a person is to enter at verification_uri';

CREATE TABLE oauth_token (
    app_id        bigint NOT NULL,
    mailbox_id    bigint NOT NULL,
    access_token  text,
    fetched_at    timestamptz,
    expires_at    timestamptz,
    refresh_at    timestamptz,
    lease_count   bigint NOT NULL DEFAULT 0,
    lease_pid     integer,
    lease_start   timestamptz,
    lease_until   timestamptz,
    lease_flow    text,
    failures      integer NOT NULL DEFAULT 0,
    failure_kind  text,
    failure_flow  text,
    failure_code  text,
    failure_words text,
    failure_hint  text,
    failed_at     timestamptz,
    retry_at      timestamptz,
    PRIMARY KEY (app_id, mailbox_id),
    CONSTRAINT "a failure is the provider's or the grant's" CHECK (failure_kind IN ('provider', 'grant'))
);
COMMENT ON TABLE oauth_token IS 'Access tokens, and the lease under which one process fetches the next. Never dumped, never shown';
COMMENT ON COLUMN oauth_token.mailbox_id IS '0: the application''s own token (client credentials), which all its mailboxes use';
COMMENT ON COLUMN oauth_token.refresh_at IS 'The next token is fetched from here on: 80 % of this one''s life';
COMMENT ON COLUMN oauth_token.lease_count IS 'Counts the leases: an answer to a request that was made under an earlier one is not stored';
COMMENT ON COLUMN oauth_token.lease_flow IS 'What the holder of the last lease asks for: a consent (device_authorization, device_code, authorization_code), or the application''s grant_type';
COMMENT ON COLUMN oauth_token.failure_flow IS 'The lease_flow that failed: an answer about a consent says nothing about a renewal that failed meanwhile';
COMMENT ON COLUMN oauth_token.lease_pid IS 'Who fetches; the lease is free when that process is gone (lease_start tells it from another with its number) or lease_until has passed';

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['oauth_app', 'oauth_account', 'oauth_app_app_id_seq'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump('mailer.' || t, '');
    END LOOP;
END $$;

-- What is known of a provider: servers, endpoints, scopes.
CREATE FUNCTION _mail_provider(provider text, cloud text DEFAULT NULL, tenant text DEFAULT NULL, OUT host text, OUT port integer, OUT tls text,
    OUT imap_host text, OUT imap_port integer, OUT imap_tls text, OUT rate text, OUT token_url text, OUT auth_url text, OUT device_url text,
    OUT app_scope text, OUT user_scope text, OUT identity_scope text)
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    login text;
BEGIN
    port := 587; tls := 'starttls'; imap_port := 993; imap_tls := 'implicit';
    CASE provider
    WHEN 'google' THEN
        host := 'smtp.gmail.com'; imap_host := 'imap.gmail.com';
        token_url := 'https://oauth2.googleapis.com/token'; auth_url := 'https://accounts.google.com/o/oauth2/v2/auth';
        app_scope := 'https://mail.google.com/'; user_scope := app_scope; identity_scope := 'openid email';
    WHEN 'microsoft365' THEN
        host := 'smtp.office365.com'; imap_host := 'outlook.office365.com'; login := 'login.microsoftonline.com'; rate := '30/min';
        app_scope := 'https://outlook.office365.com/.default';
        user_scope := 'https://outlook.office.com/SMTP.Send https://outlook.office.com/IMAP.AccessAsUser.All offline_access';
        identity_scope := 'openid profile email';
        IF cloud = 'usgov' THEN
            host := 'smtp.office365.us'; imap_host := 'outlook.office365.us'; login := 'login.microsoftonline.us';
            app_scope := replace(app_scope, 'office365.com', 'office365.us'); user_scope := replace(user_scope, 'office.com', 'office365.us');
        ELSIF cloud = 'china' THEN
            host := 'smtp.partner.outlook.cn'; imap_host := 'partner.outlook.cn'; login := 'login.partner.microsoftonline.cn';
            app_scope := replace(app_scope, 'outlook.office365.com', imap_host); user_scope := replace(user_scope, 'outlook.office.com', imap_host);
        END IF;
        token_url := format('https://%s/%s/oauth2/v2.0/token', login, COALESCE(tenant, 'organizations'));
        auth_url := format('https://%s/%s/oauth2/v2.0/authorize', login, COALESCE(tenant, 'organizations'));
        device_url := format('https://%s/%s/oauth2/v2.0/devicecode', login, COALESCE(tenant, 'organizations'));
    ELSE
        port := NULL; tls := NULL; imap_port := NULL; imap_tls := NULL;
    END CASE;
END;
$$;
COMMENT ON FUNCTION _mail_provider(text, text, text) IS 'Servers, endpoints and scopes of microsoft365 and google; NULLs for any other name';

-- Every mailbox with OAuth2: what it uses, and how it stands. Without secrets.
CREATE FUNCTION _oauth_accounts() RETURNS TABLE (mailbox_id bigint, mailbox text, app_id bigint, app text, provider text, grant_type text,
    token_mailbox_id bigint, subject text, login text, token_url text, auth_url text, scope text, redirect_uri text, client_id text,
    secret_expires_at timestamptz, has_refresh_token boolean, has_code boolean, token_expires_at timestamptz, refresh_at timestamptz,
    is_leased boolean, failures integer, failure_kind text, failure_code text, failure_words text, failure_hint text, failed_at timestamptz,
    retry_at timestamptz, token_state text, device_url text, user_code text, verification_uri text, device_expires_at timestamptz,
    device_poll_at timestamptz, renew_at timestamptz, consent_scope text, consented_at timestamptz, consented_by text[], is_other_account boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT m.mailbox_id, m.name, p.app_id, p.name, e.provider, e.grant_type, e.token_mailbox_id, a.subject, a.login,
           COALESCE(p.token_url, v.token_url), COALESCE(p.auth_url, v.auth_url),
           COALESCE(p.scope, CASE e.grant_type WHEN 'client_credentials' THEN v.app_scope ELSE v.user_scope END),
           COALESCE(p.redirect_uri, 'http://localhost'), p.client_id, p.secret_expires_at,
           s.refresh_token IS NOT NULL, s.code IS NOT NULL, t.expires_at,
           -- A code doesn't wait until the older token is due.
           CASE WHEN s.code IS NULL OR e.grant_type <> 'refresh_token' THEN t.refresh_at END, l.is_leased, COALESCE(t.failures, 0), t.failure_kind,
           t.failure_code, t.failure_words, t.failure_hint, t.failed_at, t.retry_at,
           CASE WHEN t.failure_kind = 'grant' THEN 'refused'
                WHEN e.grant_type = 'refresh_token' AND s.refresh_token IS NULL AND s.code IS NULL AND
                     (t.expires_at IS NULL OR t.expires_at <= clock_timestamp()) THEN 'consent_needed'
                WHEN t.failure_kind = 'provider' THEN 'provider_unreachable'
                WHEN l.is_leased THEN 'refreshing'
                WHEN t.expires_at > clock_timestamp() THEN 'valid'
                ELSE 'refreshing' END,
           COALESCE(p.device_url, v.device_url), d.user_code, d.verification_uri, d.expires_at, d.poll_at,
           -- NULL: without anything to send there is nothing to ask, and what the provider said when it refused the code stays to be read.
           CASE WHEN e.grant_type <> 'refresh_token' OR s.refresh_token IS NOT NULL AND s.code IS NULL THEN GREATEST(t.refresh_at, t.retry_at, '-infinity')
                WHEN s.code IS NOT NULL THEN GREATEST(t.retry_at, '-infinity') END,
           -- Only while somebody gives consent: a token that is renewed later is for mail alone, whatever was granted then.
           COALESCE(p.scope, concat_ws(' ', v.user_scope, v.identity_scope)), s.consented_at, s.consented_by,
           COALESCE(NOT s.consented_by && ARRAY[lower(a.login), lower(m.username), lower(m.from_address)], false)
    FROM mailer.oauth_account a
    JOIN mailer.mailbox m ON m.mailbox_id = a.mailbox_id
    JOIN mailer.oauth_app p ON p.app_id = a.app_id
    CROSS JOIN LATERAL (SELECT COALESCE(p.provider, m.provider) AS provider, COALESCE(p.grant_type, 'refresh_token') AS grant_type,
        CASE p.grant_type WHEN 'client_credentials' THEN 0 ELSE a.mailbox_id END AS token_mailbox_id) e
    CROSS JOIN LATERAL mailer._mail_provider(e.provider, p.cloud, p.tenant) v
    LEFT JOIN mailer.oauth_account_secret s ON s.mailbox_id = a.mailbox_id
    LEFT JOIN mailer.oauth_token t ON t.app_id = a.app_id AND t.mailbox_id = e.token_mailbox_id
    LEFT JOIN mailer.oauth_device d ON d.mailbox_id = e.token_mailbox_id AND e.grant_type = 'refresh_token'
        AND (d.expires_at IS NULL OR d.expires_at > clock_timestamp())
    CROSS JOIN LATERAL (SELECT COALESCE(t.lease_until > clock_timestamp()
        AND EXISTS (SELECT FROM pg_stat_get_activity(t.lease_pid)), false) AS is_leased) l
$$;
COMMENT ON FUNCTION _oauth_accounts() IS 'Mailboxes that log in with OAuth2, with what they use and the state of their token; no secrets';
