-- Who called, and for whom: rights and names are the calling role's, not the login role's; a role is known by its OID.
BEGIN;
SELECT no_plan();
\ir fixture.psql

CREATE ROLE tap_one;
CREATE ROLE tap_two;
CREATE ROLE tap_member IN ROLE tap_one;
CREATE ROLE tap_both IN ROLE tap_one, tap_two;
CREATE ROLE tap_noinherit NOINHERIT IN ROLE tap_one;
CREATE ROLE tap_root SUPERUSER;
CREATE ROLE tap_operator;
SELECT mailer.grant_sender('tap_one') \g /dev/null
SELECT mailer.grant_sender('tap_two') \g /dev/null
SELECT mailer.grant_operator('tap_operator') \g /dev/null

CREATE FUNCTION pg_temp.acts(role name) RETURNS text LANGUAGE sql AS $$
    SELECT t.name FROM mailer._resolve_role((SELECT oid FROM pg_roles WHERE rolname = role)) r JOIN mailer.tenant t ON t.id = r.tenant_id $$;

-- ── For whom a role acts ───────────────────────────────────────────────────────────────────────────────────────────
SELECT is(pg_temp.acts('tap_one'), 'tap_one', 'a sender acts for its own tenant');
SELECT is(pg_temp.acts('tap_member'), 'tap_one', 'who has a sender''s rights acts for its tenant');
SELECT is(pg_temp.acts('tap_noinherit'), NULL, 'rights that take SET ROLE are not in force');
SELECT is(pg_temp.acts('tap_both'), NULL, 'with the rights of two tenants a role acts for neither');
SELECT is(pg_temp.acts('tap_operator'), 'operator', 'an operator acts for the operators');
SELECT is(pg_temp.acts('tap_root'), 'operator', 'a superuser does, whose roles it has in name only');
SELECT mailer.grant_sender('tap_root') \g /dev/null
SELECT is(pg_temp.acts('tap_root'), 'tap_root', 'unless it was made a sender');
SELECT mailer.grant_sender('tap_operator', 'tap_two') \g /dev/null
SELECT is(pg_temp.acts('tap_operator'), 'tap_two', 'share_with joins a tenant');
SELECT throws_ok($$SELECT mailer.grant_sender('tap_two', 'tap_member')$$, '55000', 'role "tap_member" is not a sender', 'which must be there');
GRANT USAGE ON SCHEMA mailer TO tap_both;
SET ROLE tap_both;
SELECT throws_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b')$$, '42501', 'role "tap_both" could act for several tenants', 'an error names them');
RESET ROLE;
SELECT mailer.grant_sender('tap_both', 'tap_one') \g /dev/null
SET ROLE tap_both;
SELECT lives_ok($$SELECT mailer.enqueue('a@example.com', 's', 'b', external_id => 'both')$$, 'and a grant of its own decides, at once');
RESET ROLE;
SELECT results_eq($$SELECT queued_by, tenant FROM mailer.message_status WHERE external_id = 'both'$$, $$VALUES ('tap_both', 'tap_one')$$, 'the mail is the tenant''s, and says who queued it');
ALTER ROLE tap_both RENAME TO tap_renamed;
SELECT is(pg_temp.acts('tap_renamed'), 'tap_one', 'a role is itself under another name');
CREATE ROLE tap_both;
SELECT is(pg_temp.acts('tap_both'), NULL, 'and who takes its name is nobody (T11)');
REVOKE tap_one FROM tap_member;
SELECT is(pg_temp.acts('tap_member'), NULL, 'a membership that ended is over');

-- ── Who called (T7) ────────────────────────────────────────────────────────────────────────────────────────────────
CREATE ROLE tap_other;
SELECT mailer.grant_operator('tap_other') \g /dev/null
CREATE FUNCTION pg_temp.as_other(command text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN EXECUTE command; END $$;
ALTER FUNCTION pg_temp.as_other(text) OWNER TO tap_other;
SELECT throws_ok($$SELECT pg_temp.as_other($c$SELECT mailer.mailbox_alter('one', '{"password_file": "/etc/passwd"}')$c$)$$, '42501', NULL,
    'an operator''s function names no file, in any session');
SELECT pg_temp.as_other($$SELECT mailer.mailbox_pause('one', 'x')$$), pg_temp.as_other($$SELECT mailer.template_set('of other', 's', 'b')$$),
    pg_temp.as_other($$SELECT mailer.suppress('gone@example.com')$$) \g /dev/null
SELECT set_eq($$SELECT by_role FROM mailer.event_log WHERE kind IN ('mailbox_paused', 'template_set', 'suppressed') AND (detail ->> 'name' IS NULL OR detail ->> 'name' = 'of other')$$,
    $$VALUES ('tap_other')$$, 'what it does is logged in its name');
SELECT results_eq($$SELECT t.updated_by, s.created_by FROM mailer.template t, mailer.suppression s WHERE t.name = 'of other' AND s.address = 'gone@example.com'$$,
    $$VALUES ('tap_other', 'tap_other')$$, 'and kept in its name');
SELECT is((SELECT by_role FROM mailer.event_log WHERE kind = 'mailbox_created' LIMIT 1), current_user::text, 'outside of it the name is the session''s role again');
SELECT throws_ok($$SELECT mailer.mailbox_pause('none', 'x')$$, '42704', NULL, 'also after an error …');
SELECT is(mailer._caller_name(), current_user::text, '… that passed the door');
SET ROLE tap_other;
SELECT throws_ok($$SELECT mailer._caller()$$, '42501', NULL, 'what the door knows is for functions behind it');
RESET ROLE;

-- ── After a restore from another cluster ───────────────────────────────────────────────────────────────────────────
SELECT mailer._refresh_principals() \g /dev/null
SELECT mailer.enqueue('late@example.com', 's', 'b', external_id => 'of root') \g /dev/null
UPDATE mailer.principal SET system_identifier = 1, oid = oid::bigint + 100000 WHERE name <> 'tap_one';
UPDATE mailer.principal SET name = 'tap_vanished' WHERE name = 'tap_two';
SELECT mailer._principals_changed() \g /dev/null
SELECT is(pg_temp.acts('tap_one'), 'tap_one', 'what belongs to this cluster stays');
SELECT is(pg_temp.acts('tap_root'), 'operator', 'grants of another cluster are nobody''s …');
SELECT results_eq('SELECT rebound, missing FROM mailer._rebind_principals()',
    $$SELECT (SELECT array_agg(name ORDER BY name, id) FROM mailer.principal WHERE name NOT IN ('tap_one', 'tap_vanished')) || '{}'::text[],
      '{tap_vanished}'::text[]$$, '… until they are bound by name; roles that aren''t there are named');
SELECT is(pg_temp.acts('tap_root'), 'tap_root', 'then they are in force');
SELECT is((SELECT count(*) FROM mailer.principal p WHERE p.name = current_user AND p.oid = (SELECT oid FROM pg_roles WHERE rolname = current_user)), 1::bigint, 'a role is one principal');

-- Granted there and here: what came is taken back with what was granted here.
CREATE ROLE tap_twice;
SELECT mailer.grant_viewer('tap_twice') \g /dev/null
INSERT INTO mailer.principal (oid, name, system_identifier, is_operator, is_current) VALUES (1, 'tap_twice', 1, true, true);
SELECT FROM mailer._rebind_principals() \g /dev/null
CREATE FUNCTION pg_temp.is_operator(role name) RETURNS boolean LANGUAGE sql AS $$
    SELECT r.is_operator FROM mailer._resolve_role((SELECT oid FROM pg_roles WHERE rolname = role)) r $$;
SELECT ok(pg_temp.is_operator('tap_twice'), 'what was granted in the other cluster is in force');
SELECT mailer.revoke('tap_twice') \g /dev/null
SELECT ok(NOT pg_temp.is_operator('tap_twice'), 'until it is revoked');
SELECT is((SELECT count(*) FROM mailer.principal p WHERE p.name = 'tap_twice' AND p.is_current), 1::bigint, 'and one of its principals is the current one');

SELECT * FROM finish();
ROLLBACK;
