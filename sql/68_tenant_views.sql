-- What a tenant sees in views: its own. The same views show viewers and operators everything.
--
-- Views run with the owner's rights, but functions in them see who looks: _sees_all() and _own_tenant() are asked once for each query.
-- They are security barriers, so that no function in a query's WHERE is shown rows of others.

CREATE VIEW suppression_list WITH (security_barrier) AS
SELECT s.address, s.scope, s.reason, s.expires_at, s.created_at, s.created_by, t.name AS tenant, s.address_key
FROM mailer.suppression s
LEFT JOIN mailer.tenant t ON t.id = s.tenant_id
WHERE (SELECT mailer._sees_all()) OR s.tenant_id = (SELECT mailer._own_tenant());
COMMENT ON VIEW suppression_list IS 'Addresses that get no mail, or none of a scope: for viewers all, for a tenant its own';
COMMENT ON COLUMN suppression_list.reason IS 'hard_bounce, unsubscribed, or the reason given to mailer.suppress()';
COMMENT ON COLUMN suppression_list.expires_at IS 'NULL: it doesn''t expire';
COMMENT ON COLUMN suppression_list.tenant IS 'The tenant whose mail it stops; NULL: all tenants';
COMMENT ON COLUMN suppression_list.address_key IS 'The address in the form used for comparison; a condition on it can use the index';

CREATE VIEW contact_list WITH (security_barrier) AS
SELECT mailer._shown_user(c.user_id) AS user_id, c.address, c.name, c.timezone, c.locale, c.created_at, t.name AS tenant, c.address_key, c.user_id AS user_key
FROM mailer.contact c
LEFT JOIN mailer.tenant t ON t.id = mailer._user_tenant(c.user_id)
WHERE (SELECT mailer._sees_all()) OR mailer._user_tenant(c.user_id) = (SELECT mailer._own_tenant());
COMMENT ON VIEW contact_list IS 'The addresses of the application''s users: for viewers all, for a tenant its own';
COMMENT ON COLUMN contact_list.address IS 'NULL: this user is notified in the application only';
COMMENT ON COLUMN contact_list.tenant IS 'The tenant that the contact belongs to';
COMMENT ON COLUMN contact_list.address_key IS 'The address in the form used for comparison; a condition on it can use the index';
COMMENT ON COLUMN contact_list.user_key IS 'The user over all tenants: for the operators'' users the same as user_id; a condition on it can use the index';

CREATE VIEW preference_list WITH (security_barrier) AS
SELECT mailer._shown_user(p.user_id) AS user_id, p.category, p.email_enabled, p.in_app_enabled, p.digest, p.updated_at, p.unsubscribed_at,
       t.name AS tenant, p.user_id AS user_key
FROM mailer.preference p
LEFT JOIN mailer.tenant t ON t.id = mailer._user_tenant(p.user_id)
WHERE (SELECT mailer._sees_all()) OR mailer._user_tenant(p.user_id) = (SELECT mailer._own_tenant());
COMMENT ON VIEW preference_list IS 'The preferences of users: for viewers all, for a tenant those of its own users';
COMMENT ON COLUMN preference_list.unsubscribed_at IS 'When an unsubscribe link switched it off';
COMMENT ON COLUMN preference_list.tenant IS 'The tenant that the user belongs to';
COMMENT ON COLUMN preference_list.user_key IS 'As in contact_list; a condition on it can use the index';

-- Counted to 10,000 at most, so that it stays cheap beside millions.
CREATE VIEW tenant_status WITH (security_barrier) AS
SELECT t.name AS tenant, w.waiting, t.max_pending,
       ARRAY(SELECT r.rolname::text COLLATE "default" FROM mailer.principal p JOIN pg_catalog.pg_roles r ON r.oid = p.oid WHERE p.tenant_id = t.id AND p.is_sender ORDER BY r.rolname) AS roles, t.created_at
FROM mailer.tenant t
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting
    FROM (SELECT FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id AND q.state = 'p' WHERE l.tenant_id = t.id LIMIT 10000) x
) w
WHERE (SELECT mailer._sees_all()) OR t.id = (SELECT mailer._own_tenant());
COMMENT ON VIEW tenant_status IS 'Tenants and their waiting mail: for viewers all, for a tenant itself';
COMMENT ON COLUMN tenant_status.waiting IS 'Waiting messages, counted up to 10,000';
COMMENT ON COLUMN tenant_status.max_pending IS 'How many messages may wait (mailer.tenant_alter()); NULL: no limit';
COMMENT ON COLUMN tenant_status.roles IS 'Roles that were granted grant_sender() for it';
