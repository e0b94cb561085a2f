-- Principals and tenants: who queued what, and whose it is.
--
-- A role's name can be given to another role, and its OID means another role in another cluster. So rows name a principal, which is
-- bound to a role by OID and the cluster's system identifier: after a restore or pg_upgrade it is bound to nobody until
-- mailer.arm() finds its role by name. A tenant is one or several roles that share mail, contacts and suppressions.

CREATE TABLE tenant (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    lane_id     bigint NOT NULL UNIQUE,
    max_pending bigint,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "max_pending is positive" CHECK (max_pending > 0)
);
COMMENT ON TABLE tenant IS 'Roles that share their mail: one row for each grant_sender() that joins no other. Tenant 1, operator, is the operators''';
COMMENT ON COLUMN tenant.lane_id IS 'Stream of the mail that names no mailbox';
COMMENT ON COLUMN tenant.max_pending IS 'Most messages of the tenant that may wait; NULL is no limit';

CREATE TABLE principal (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    oid               oid NOT NULL,
    name              text NOT NULL,
    system_identifier bigint NOT NULL,
    tenant_id         bigint,
    is_sender         boolean NOT NULL DEFAULT false,
    is_operator       boolean NOT NULL DEFAULT false,
    is_viewer         boolean NOT NULL DEFAULT false,
    is_gateway        boolean NOT NULL DEFAULT false,
    is_current        boolean NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "a sender has a tenant" CHECK (NOT is_sender OR tenant_id IS NOT NULL)
);
CREATE UNIQUE INDEX "a role is one current principal" ON principal (oid, system_identifier) WHERE is_current;
COMMENT ON TABLE principal IS 'Roles as rows remember them. The OID decides which role it is, as long as the system identifier is this cluster''s';
COMMENT ON COLUMN principal.name IS 'The role''s name, kept up to date; arm() finds the role in another cluster by it';
COMMENT ON COLUMN principal.tenant_id IS 'Of a role that was ever granted grant_sender(): whose mail it queues while is_sender';
COMMENT ON COLUMN principal.is_current IS 'The row that has what was granted, which new mail names. Roles that were granted nothing have none: the first use of such a role makes a row that isn''t, one each when transactions meet, so that none waits for another';

CREATE TABLE mailbox_grant (
    tenant_id  bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    PRIMARY KEY (mailbox_id, tenant_id)
);
COMMENT ON TABLE mailbox_grant IS 'Which tenants may send from a mailbox that isn''t shared';

CREATE TABLE template_grant (
    tenant_id bigint NOT NULL,
    template  text NOT NULL,
    PRIMARY KEY (template, tenant_id)
);
COMMENT ON TABLE template_grant IS 'Which tenants may use a template that isn''t shared';

DO $$
BEGIN
    PERFORM pg_catalog.pg_extension_config_dump('mailer.mailbox_grant', '');
    PERFORM pg_catalog.pg_extension_config_dump('mailer.template_grant', '');
    PERFORM pg_catalog.pg_extension_config_dump('mailer.tenant', 'WHERE id <> 1');  -- the script makes it
    PERFORM pg_catalog.pg_extension_config_dump('mailer.tenant_id_seq', '');
    PERFORM pg_catalog.pg_extension_config_dump('mailer.principal', '');
    PERFORM pg_catalog.pg_extension_config_dump('mailer.principal_id_seq', '');
END $$;

INSERT INTO tenant (name, lane_id) VALUES ('operator', 1);
