-- Tenants don't see, stop or use what is another's: every call that names something of tenant A, by each kind of role.
--
-- Each answer is y (it has a row, or a value that isn't false or zero), n (none), or the SQLSTATE of an error.
BEGIN;
SELECT no_plan();
\ir fixture.psql
SELECT mailer.mailbox_create('private', 'smtp.example.net', from_address => 'p@example.net', timezone => 'UTC', is_default => false) \g /dev/null
SELECT mailer.mailbox_alter('private', '{"is_shared": false}') \g /dev/null
SELECT mailer.template_set('private', 'Secret {{x}}', 'secret', is_shared => false) \g /dev/null

CREATE ROLE tap_a;
CREATE ROLE tap_b;
CREATE ROLE tap_operator;
CREATE ROLE tap_viewer;
CREATE ROLE tap_gateway;
CREATE ROLE tap_public;
SELECT mailer.grant_sender('tap_a') \g /dev/null
SELECT mailer.grant_sender('tap_b') \g /dev/null
SELECT mailer.grant_operator('tap_operator') \g /dev/null
SELECT mailer.grant_viewer('tap_viewer') \g /dev/null
SELECT mailer.grant_gateway('tap_gateway') \g /dev/null
SELECT mailer.grant_mailbox('tap_a', 'private') \g /dev/null
SELECT mailer.grant_template('tap_a', 'private') \g /dev/null
SELECT throws_ok($$SELECT mailer.grant_mailbox('tap_viewer', 'private')$$, '55000', 'role "tap_viewer" acts for no tenant', 'a grant is for a tenant');
SELECT throws_ok($$SELECT mailer.grant_mailbox('tap_a', 'none')$$, '42704', NULL, 'of a mailbox that is there');
SELECT throws_ok($$SELECT mailer.grant_template('tap_a', 'none')$$, '42704', NULL, 'or a template');

-- What is tenant A's.
SET ROLE tap_a;
SELECT mailer.enqueue('victim@example.com', 's', 'b', idempotency_key => 'k', external_id => 'a') AS mail \gset
SELECT mailer.enqueue_batch('{x@example.com,y@example.com}', 's', 'b', label => 'ticket 1') AS batch \gset
SELECT mailer.campaign_add(:spring, 'lead-of-a@example.com') AS lead \gset
SELECT mailer.suppress('gone@example.com') \g /dev/null
RESET ROLE;
-- One that failed, to be retried.
SELECT pg_temp.queue_mail('{f@example.com}') AS failed \gset
UPDATE mailer.message m SET tenant_id = t.id, lane_id = t.lane_id, principal_id = p.id FROM mailer.tenant t, mailer.principal p
WHERE m.message_id = :failed AND t.name = 'tap_a' AND p.name = 'tap_a';
UPDATE mailer.queue_entry q SET lane_id = m.lane_id FROM mailer.message m WHERE m.message_id = q.message_id AND q.message_id = :failed;
SELECT mailer._end(ARRAY[:failed::bigint], 'rejected') \g /dev/null

CREATE FUNCTION pg_temp.answer(role text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    value text;
    answer text;
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', role);
        EXECUTE call INTO value;
        answer := CASE WHEN COALESCE(value, 'false') IN ('f', 'false', '0', '') THEN 'n' ELSE 'y' END;
        RAISE EXCEPTION USING ERRCODE = 'TAP01', MESSAGE = answer;
    EXCEPTION WHEN OTHERS THEN
        RETURN CASE SQLSTATE WHEN 'TAP01' THEN SQLERRM ELSE SQLSTATE END;
    END;
END;
$$;
CREATE TEMPORARY TABLE matrix (call text, a text, b text, operator text, viewer text, gateway text, public text);
INSERT INTO matrix VALUES
-- its mail, by id
(format('SELECT state FROM mailer.status(%s)', :mail), 'y', 'n', 'y', 'y', '42501', '42501'),
(format('SELECT state FROM mailer.status(%s)', :lead), 'y', 'n', 'y', 'y', '42501', '42501'),
(format('SELECT state FROM mailer.status(%s)', :ada), 'n', 'n', 'y', 'y', '42501', '42501'),
(format('SELECT mailer.cancel(%s)', :mail), 'y', 'n', 'y', '42501', '42501', '42501'),
(format('SELECT mailer.cancel(%s)', :lead), 'y', 'n', 'y', '42501', '42501', '42501'),
(format('SELECT mailer.cancel(%s)', :ada), 'n', 'n', 'y', '42501', '42501', '42501'),
(format('SELECT mailer.retry(%s)', :failed), 'y', 'n', 'y', '42501', '42501', '42501'),
(format('SELECT total FROM mailer.batch_status(%s)', :batch), 'y', 'n', 'y', 'y', '42501', '42501'),
('SELECT total FROM mailer.batch_status(''ticket 1'')', 'y', 'n', 'y', 'y', '42501', '42501'),
(format('SELECT mailer.batch_cancel(%s)', :batch), 'y', '42704', 'y', '42501', '42501', '42501'),
('SELECT state FROM mailer.message_status WHERE external_id = ''a''', '42501', '42501', 'y', 'y', '42501', '42501'),
('SELECT address FROM mailer.recipient_status WHERE address = ''victim@example.com''', '42501', '42501', 'y', 'y', '42501', '42501'),
(format('SELECT gate FROM mailer.explain(%s) LIMIT 1', :mail), '42501', '42501', 'y', 'y', '42501', '42501'),
(format('SELECT mailer.message_source(%s)', :mail), '42501', '42501', 'y', '42501', '42501', '42501'),
(format('SELECT mailer.resolve(%s, ''sent'')', :mail), '42501', '42501', '55000', '42501', '42501', '42501'),
-- queueing, what is shared, and what isn't
('SELECT mailer.enqueue(''n@example.com'', ''s'', ''b'')', 'y', 'y', 'y', '42501', '42501', '42501'),
('SELECT mailer.enqueue(''n@example.com'', ''other'', ''b'', idempotency_key => ''k'')', '23505', 'y', 'y', '42501', '42501', '42501'),
('SELECT mailer.enqueue(''n@example.com'', ''s'', ''b'', mailbox => ''one'')', 'y', 'y', 'y', '42501', '42501', '42501'),
('SELECT mailer.enqueue(''n@example.com'', ''s'', ''b'', mailbox => ''private'')', 'y', '42501', 'y', '42501', '42501', '42501'),
('SELECT mailer.enqueue(''n@example.com'', ''s'', ''b'', mailboxes => ''{one,private}'')', 'y', '42501', 'y', '42501', '42501', '42501'),
('SELECT mailer.enqueue(''n@example.com'', template => ''hello'')', 'y', 'y', 'y', '42501', '42501', '42501'),
('SELECT mailer.enqueue(''n@example.com'', template => ''private'')', 'y', '42501', 'y', '42501', '42501', '42501'),
('SELECT mailer.enqueue_batch(''{n@example.com}'', template => ''private'')', 'y', '42501', 'y', '42501', '42501', '42501'),
('SELECT mailer.notify(''u'', ''c'', ''private'')', 'y', '42501', 'y', '42501', '42501', '42501'),
('SELECT subject FROM mailer.template_preview(''private'', ''{}'')', 'y', '42501', 'y', 'y', '42501', '42501'),
('SELECT mailer.render(''{{> private}}'', ''{}'')', 'y', 'n', 'y', 'y', '42501', '42501'),
('SELECT mailer.render(''{{>*which}}'', ''{"which": "private"}'')', 'y', 'n', 'y', 'y', '42501', '42501'),
(format('SELECT mailer.campaign_add(%s, ''n@example.com'')', :spring), 'y', 'y', 'y', '42501', '42501', '42501'),
(format('SELECT mailer.campaign_pause(%s, ''x'')::text IS NOT NULL', :spring), '42501', '42501', 'y', '42501', '42501', '42501'),
-- suppressions: each its own, operators everybody's
('SELECT scope FROM mailer.suppression_list WHERE address = ''gone@example.com''', 'y', 'n', 'y', 'y', '42501', '42501'),
('SELECT mailer.unsuppress(''gone@example.com'')', 'y', 'n', 'y', '42501', '42501', '42501'),
('SELECT mailer.suppress(''n@example.com'')::text IS NOT NULL', 'y', 'y', 'y', '42501', '42501', '42501'),
(format('SELECT scope FROM mailer.unsubscribe(%L)', mailer._unsubscribe_token(1, 'n@example.com', 'category:c')), 'y', 'y', 'y', '42501', 'y', '42501'),
-- rights are the owner's to give
('SELECT mailer.grant_sender(''tap_public'')', '42501', '42501', '42501', '42501', '42501', '42501'),
('SELECT mailer.grant_mailbox(''tap_b'', ''private'')', '42501', '42501', '42501', '42501', '42501', '42501'),
('SELECT mailer.revoke(''tap_a'')', '42501', '42501', '42501', '42501', '42501', '42501'),
('SELECT mailer.arm()', '42501', '42501', '42501', '42501', '42501', '42501'),
('SELECT mailer.mailbox_set_password(''one'', ''x'')::text IS NOT NULL', '42501', '42501', 'y', '42501', '42501', '42501'),
('SELECT count(*) FROM mailer.principal', '42501', '42501', '42501', '42501', '42501', '42501');
SELECT is(pg_temp.answer('tap_' || r.role, m.call), r.expected, r.role || ': ' || m.call)
FROM matrix m CROSS JOIN LATERAL (VALUES ('a', m.a), ('b', m.b), ('operator', m.operator), ('viewer', m.viewer), ('gateway', m.gateway), ('public', m.public)) r(role, expected);

-- The errors say what it would take.
SET ROLE tap_b;
\set VERBOSITY default
DO $$
DECLARE
    hint text;
BEGIN
    PERFORM mailer.enqueue('n@example.com', 's', 'b', mailbox => 'private');
EXCEPTION WHEN insufficient_privilege THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    PERFORM set_config('tap.hint', hint, false);
END $$;
RESET ROLE;
SELECT matches(current_setting('tap.hint'), 'mailer\.grant_mailbox\(role, ''private''\)', 'a mailbox that isn''t shared: the hint says which grant is missing');

-- ── Whose suppression stops whom (T10) ─────────────────────────────────────────────────────────────────────────────
CREATE FUNCTION pg_temp.is_stopped(as_role text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', as_role);
    id := mailer.enqueue('gone@example.com', 's', 'b');
    RESET ROLE;
    RETURN EXISTS (SELECT FROM mailer.explain(id) e WHERE e.gate = 'not_suppressed' AND NOT e.is_open);
END;
$$;
SELECT ok(pg_temp.is_stopped('tap_a'), 'a tenant''s suppression stops its own mail');
SELECT ok(NOT pg_temp.is_stopped('tap_b'), 'and nobody else''s');
SELECT mailer.unsubscribe(mailer._unsubscribe_token((SELECT id FROM mailer.tenant WHERE name = 'tap_b'), 'victim@example.com', 'category:c')) \g /dev/null
SELECT results_eq($$SELECT t.name FROM mailer.suppression s JOIN mailer.tenant t ON t.id = s.tenant_id WHERE s.address_key = 'victim@example.com'$$,
    $$VALUES ('tap_b')$$, 'a token silences for the tenant whose mail it came with');
SET ROLE tap_operator;
SELECT mailer.suppress('gone@example.com') \g /dev/null
RESET ROLE;
SELECT ok(pg_temp.is_stopped('tap_b'), 'an operator''s suppression stops everybody''s');

-- ── Contacts, inboxes and preferences (T10) ────────────────────────────────────────────────────────────────────────
SET ROLE tap_a;
SELECT mailer.contact_set('bob', 'bob@example.com', 'Bob') \g /dev/null
SELECT mailer.notify('bob', 'likes', 'hello', '{"name": "Bob"}', 'eve') AS of_a \gset
SELECT mailer.notify('bob', 'likes', 'hello', '{"name": "Bob"}', 'eve') \g /dev/null
RESET ROLE;
SELECT max(message_id) AS mail_of_a FROM mailer.message WHERE category = 'likes' \gset
SET ROLE tap_b;
SELECT is(mailer.inbox_unread('bob'), 0::bigint, 'another tenant''s bob is somebody else');
SELECT is_empty($$SELECT * FROM mailer.inbox('bob')$$, 'with an inbox of his own');
SELECT is(mailer.inbox_mark_read('bob'), 0::bigint, 'whose reading marks nothing');
SELECT mailer.contact_set('bob', 'thief@example.com'), mailer.preference_set('bob', 'likes', false, false) \g /dev/null
SELECT results_eq('SELECT user_id, address FROM mailer.contact_list', $$VALUES ('bob', 'thief@example.com')$$, 'a tenant lists its own contacts');
SELECT results_eq('SELECT user_id, category FROM mailer.preference_list', $$VALUES ('bob', 'likes')$$, 'and preferences');
SET ROLE tap_a;
SELECT results_eq($$SELECT title, variables ->> 'actor', variables ->> 'actor_id', variables ->> 'name' FROM mailer.inbox('bob') LIMIT 1$$,
    $$VALUES ('Hello Bob', 'eve', 'eve', 'Bob')$$, 'the inbox says who it was by the application''s ids');
SELECT is(mailer.inbox_unread('bob'), 2::bigint, 'all of it is unread still');
SELECT results_eq('SELECT user_id, address FROM mailer.contact_list', $$VALUES ('bob', 'bob@example.com')$$, 'its contact is as it was');
SELECT mailer.preference_set('bob', 'likes', digest => 'daily') \g /dev/null
RESET ROLE;
SELECT is((SELECT array_agg(DISTINCT m.addresses[1]) FROM mailer.message m WHERE m.category = 'likes'), '{bob@example.com}'::text[], 'no mail was redirected');
SELECT is((SELECT array_agg(DISTINCT t.name) FROM mailer.message m JOIN mailer.tenant t ON t.id = m.tenant_id WHERE m.category = 'likes'), '{tap_a}'::text[], 'all of it is the tenant''s, digests too');
SELECT is((SELECT count(*) FROM mailer.contact_list WHERE user_id = 'bob'), 2::bigint, 'a viewer sees both');
-- An unsubscription is of the address.
CREATE FUNCTION pg_temp.is_unsubscribed(who text) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM mailer.suppression WHERE address_key = who AND scope = 'category:likes' AND reason = 'unsubscribed') $$;
SELECT mailer.unsubscribe(mailer._unsubscribe_token((SELECT id FROM mailer.tenant WHERE name = 'tap_a'), 'bob@example.com', 'category:likes')) \g /dev/null
SELECT is((SELECT email_enabled FROM mailer.preference_list WHERE user_id = 'bob' AND tenant = 'tap_a'), false, 'the link switches its user''s preference off');
SET ROLE tap_a;
SELECT mailer.contact_set('alias', 'bob@example.com'), mailer.preference_set('alias', 'likes', true) \g /dev/null
RESET ROLE;
SELECT ok(pg_temp.is_unsubscribed('bob@example.com'), 'another contact with the address lifts no unsubscription');
SET ROLE tap_b;
SELECT mailer.contact_set('bob', 'bob@example.com'), mailer.preference_set('bob', 'likes', true) \g /dev/null
RESET ROLE;
SELECT ok(pg_temp.is_unsubscribed('bob@example.com'), 'nor does another tenant');
SET ROLE tap_a;
SELECT mailer.preference_set('bob', 'likes', true) \g /dev/null
RESET ROLE;
SELECT ok(NOT pg_temp.is_unsubscribed('bob@example.com'), 'whom it is about may change their mind');

-- ── Mailboxes that aren't shared ───────────────────────────────────────────────────────────────────────────────────
SELECT mailer.mailbox_alter('private', '{"is_default": true}') \g /dev/null
SELECT mailer.mailbox_alter('one', '{"is_default": false}'), mailer.mailbox_alter('two', '{"is_default": false}') \g /dev/null
SET ROLE tap_b;
SELECT mailer.enqueue('n@example.com', 's', 'b') AS of_b \gset
SET ROLE tap_a;
SELECT mailer.enqueue('n@example.com', 's', 'b') AS of_a \gset
RESET ROLE;
SELECT ok(EXISTS (SELECT FROM mailer.explain(:of_b) e WHERE e.gate NOT LIKE 'sending%' AND NOT e.is_open), 'a default mailbox that isn''t shared serves no other tenant');
SELECT ok(NOT EXISTS (SELECT FROM mailer.explain(:of_a) e WHERE e.gate NOT LIKE 'sending%' AND NOT e.is_open), 'but the one that it was granted to');

-- ── Threads ────────────────────────────────────────────────────────────────────────────────────────────────────────
-- A Message-ID is what a bounce names its mail by: nobody learns another tenant's.
SELECT mailer.mailbox_alter('one', '{"is_default": true}') \g /dev/null
SET ROLE tap_a;
SELECT mailer.enqueue('thread@example.com', 's', 'b', thread_key => 'ticket 42') \g /dev/null
SET ROLE tap_b;
SELECT mailer.enqueue('thread@example.com', 's', 'b', thread_key => 'ticket 42') AS thread_of_b \gset
SELECT mailer.enqueue('thread@example.com', 's', 'b', thread_key => 'ticket 42') AS again_of_b \gset
RESET ROLE;
SELECT ok(convert_from(mailer.message_source(:thread_of_b), 'UTF8') ~ '(?n)^In-Reply-To: <thread\.', 'a thread begins with its tenant''s first mail');
SELECT ok(convert_from(mailer.message_source(:again_of_b), 'UTF8') ~ ('(?n)^In-Reply-To: <' || :thread_of_b || '\.'), 'and goes on with its next');

-- ── Tokens (T12) ───────────────────────────────────────────────────────────────────────────────────────────────────
SELECT results_eq($$SELECT * FROM mailer._read_token(mailer._unsubscribe_token(7, E'a\nvictim@example.com', E'category:x\ny1:z'))$$,
    $$VALUES (7::bigint, E'category:x\ny1:z', E'a\nvictim@example.com')$$, 'no field of a token passes for another');
SELECT throws_ok(c.call, '22023', NULL, c.call)
FROM (VALUES ($$SELECT mailer.notify('u', E'security\nvictim@example.com', 'hello')$$), ($$SELECT mailer.notify(E'u\n', 'c', 'hello')$$),
    ($$SELECT mailer.category_set(E'a\tb')$$), ($$SELECT mailer.contact_set(E'a\nb', NULL)$$), ($$SELECT mailer.template_set(E'a\nb', 's', 'b')$$),
    ($$SELECT mailer.mailbox_create(E'a\nb', 'smtp.example.com', from_address => 'a@example.com')$$), ($$SELECT mailer.campaign_create(E'a\nb', 'hello')$$)) c(call);

SELECT * FROM finish();
ROLLBACK;
