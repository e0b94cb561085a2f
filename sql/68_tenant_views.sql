-- What a tenant sees in views: its own. The same views show viewers and operators everything.
--
-- Views run with the owner's rights, but functions in them see who looks: _sees_all() and _own_tenant() are asked once for each query.
-- They are security barriers, so that no function in a query's WHERE is shown rows of others.

CREATE VIEW suppression_list WITH (security_barrier) AS
SELECT s.address, s.scope, s.reason, s.expires_at, s.created_at, s.created_by, t.name AS tenant
FROM mailer.suppression s
LEFT JOIN mailer.tenant t ON t.id = s.tenant_id
WHERE (SELECT mailer._sees_all()) OR s.tenant_id = (SELECT mailer._own_tenant());
COMMENT ON VIEW suppression_list IS 'Addresses that get no mail, or none of a scope: for viewers all, for a tenant its own';
COMMENT ON COLUMN suppression_list.reason IS 'hard_bounce, unsubscribed, or what was said with mailer.suppress()';
COMMENT ON COLUMN suppression_list.expires_at IS 'NULL: it doesn''t end by itself';
COMMENT ON COLUMN suppression_list.tenant IS 'Whose mail it stops; NULL: everybody''s';
