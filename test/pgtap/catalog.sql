-- The schema as a whole: what the API promises is there, every object says what it is, nothing is open to PUBLIC.
BEGIN;
SET client_min_messages = warning;
SELECT no_plan();

CREATE TEMPORARY VIEW object AS
    SELECT 'pg_class'::regclass AS classid, c.oid, c.relname::text AS name FROM pg_class c
    WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'S', 'p')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
                      AND d.refobjsubid <> 0)  -- sequences of identity columns
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'mailer'::regnamespace
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, t.typname::text FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace = 'mailer'::regnamespace AND t.typtype IN ('c', 'd', 'e') AND (c.relkind = 'c' OR t.typrelid = 0);

SELECT is_empty($$SELECT o.name FROM object o WHERE COALESCE(obj_description(o.oid, o.classid::regclass::name), '') = '' ORDER BY 1$$,
    'every object has a comment');

SELECT is_empty($$
    SELECT o.name FROM object o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.oid
    CROSS JOIN LATERAL aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0
    UNION ALL
    SELECT o.name FROM object o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.oid
    CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE a.grantee = 0
    UNION ALL
    SELECT o.name FROM object o JOIN pg_type t ON o.classid = 'pg_type'::regclass AND t.oid = o.oid
    CROSS JOIN LATERAL aclexplode(COALESCE(t.typacl, acldefault('T', t.typowner))) a WHERE a.grantee = 0
    UNION ALL
    SELECT n.nspname FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a WHERE n.nspname = 'mailer' AND a.grantee = 0$$,
    'nothing is granted to PUBLIC');

SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p
    WHERE p.pronamespace = 'mailer'::regnamespace AND p.prosecdef
      AND NOT COALESCE(p.proconfig @> '{"search_path=pg_catalog, mailer, pg_temp"}', false)$$,
    'whatever runs with the owner''s rights pins its search path');

-- Inside SECURITY DEFINER nobody can tell who called, and that is what rights and by_role are about.
SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace = 'mailer'::regnamespace AND p.prosecdef AND p.proname !~ '^_' AND l.lanname = 'plpgsql' AND p.provolatile = 'v'$$,
    'what users call in PL/pgSQL, and changes something, comes through the door: LANGUAGE mailer_plpgsql instead of SECURITY DEFINER');
SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace = 'mailer'::regnamespace AND p.proname ~ '_(sender|viewer|operator|gateway|mailbox|template)$' AND p.proname ~ '^grant' AND l.lanname = 'mailer_plpgsql'$$,
    'but for what grants: that takes the caller''s own rights');
SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace = 'mailer'::regnamespace AND l.lanname = 'mailer_plpgsql'
      AND NOT COALESCE(p.proconfig @> '{"search_path=pg_catalog, mailer, pg_temp"}', false)$$,
    'whatever comes through the door pins its search path');

SELECT is_empty($$
    SELECT p.proname FROM pg_proc p
    WHERE p.pronamespace = 'mailer'::regnamespace AND p.proname !~ '^_'
      AND NOT EXISTS (SELECT FROM mailer._privilege() g WHERE p.proname = ANY (g.names))$$,
    'every public function is in the table of privileges');
SELECT is_empty($$
    SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'v'
      AND NOT EXISTS (SELECT FROM mailer._privilege() g WHERE g.level = 'viewer' AND c.relname = ANY (g.names))$$,
    'every view is in the table of privileges');

SELECT is_empty($$
    SELECT c.conrelid::regclass || ': ' || c.conname FROM pg_constraint c
    WHERE c.connamespace = 'mailer'::regnamespace AND c.contype = 'f'$$,
    'there are no foreign keys: verify() proves what they would');

-- Names, parameters and defaults as the API says.
CREATE TEMPORARY TABLE promised (name text, arguments text);
INSERT INTO promised VALUES
('mailbox_create', 'name text, host text DEFAULT NULL::text, port integer DEFAULT 587, from_address text DEFAULT NULL::text, from_name text DEFAULT NULL::text, username text DEFAULT NULL::text, tls text DEFAULT NULL::text, daily_limit integer DEFAULT NULL::integer, gap interval DEFAULT ''00:00:00''::interval, max_connections integer DEFAULT 1, timezone text DEFAULT NULL::text, is_default boolean DEFAULT NULL::boolean, ramp_start integer DEFAULT NULL::integer, ramp_step integer DEFAULT NULL::integer, provider text DEFAULT NULL::text'),
('oauth_app_set', 'name text, settings jsonb'),
('oauth_set', 'mailbox text, settings jsonb'),
('oauth_device', 'mailbox text'),
('oauth_url', 'mailbox text, valid_for interval DEFAULT ''7 days''::interval'),
('oauth_code', 'state text, code text'),
('oauth_preview', 'state text'),
('mailbox_set_password', 'name text, password text'),
('mailbox_alter', 'name text, settings jsonb'),
('mailbox_pause', 'name text, reason text'),
('mailbox_resume', 'name text'),
('template_set', 'name text, subject text, body_text text DEFAULT NULL::text, body_html text DEFAULT NULL::text, attachments mailer.attachment[] DEFAULT ''{}''::mailer.attachment[], is_strict boolean DEFAULT false, is_shared boolean DEFAULT true'),
('address', 'name text, address text'),
('campaign_create', 'name text, template text, mailboxes text[] DEFAULT NULL::text[], window_start time without time zone DEFAULT ''09:00:00''::time without time zone, window_end time without time zone DEFAULT ''17:00:00''::time without time zone, allowed_days text[] DEFAULT ''{MON,TUE,WED,THU,FRI}''::text[], gap interval DEFAULT ''00:01:30''::interval, jitter double precision DEFAULT 0.2, max_per_day integer DEFAULT NULL::integer, timezone text DEFAULT NULL::text, starts_at timestamp with time zone DEFAULT NULL::timestamp with time zone, reply_to text DEFAULT NULL::text, headers jsonb DEFAULT ''{}''::jsonb, list text DEFAULT NULL::text, ends_at timestamp with time zone DEFAULT NULL::timestamp with time zone, skip_dates date[] DEFAULT ''{}''::date[], cooldown interval DEFAULT NULL::interval, shield double precision DEFAULT 0.05, max_new_per_day integer DEFAULT NULL::integer, prefer text DEFAULT ''follow_ups''::text, max_silence interval DEFAULT ''00:10:00''::interval, auto_reply_delay interval DEFAULT ''7 days''::interval, stop_on text[] DEFAULT ''{reply,bounce,complaint,unsubscribe}''::text[]'),
('campaign_add', 'campaign_id bigint, recipient text, variables jsonb DEFAULT ''{}''::jsonb, external_id text DEFAULT NULL::text, timezone text DEFAULT NULL::text, not_before timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT NULL::integer, mailbox text DEFAULT NULL::text'),
('campaign_add_many', 'campaign_id bigint, recipients text[], variables mailer.json_list DEFAULT NULL::mailer.json_list, external_ids text[] DEFAULT NULL::text[], timezones text[] DEFAULT NULL::text[], not_before timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], priorities integer[] DEFAULT NULL::integer[], mailboxes text[] DEFAULT NULL::text[]'),
('campaign_start', 'campaign_id bigint'),
('campaign_pause', 'campaign_id bigint, reason text'),
('campaign_resume', 'campaign_id bigint'),
('campaign_cancel', 'campaign_id bigint, reason text'),
('campaign_alter', 'campaign_id bigint, settings jsonb'),
('campaign_retry_failed', 'campaign_id bigint'),
('campaign_status', 'campaign_id bigint'),
('batch_status', 'batch_id bigint'),
('batch_status', 'label text'),
('suppress', 'address text, reason text DEFAULT NULL::text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, scope text DEFAULT ''all''::text'),
('unsuppress', 'address text, scope text DEFAULT ''all''::text'),
('status', 'message_id bigint'),
('status', ''),
('pause', 'reason text'),
('resume', ''),
('arm', ''),
('grant_sender', 'role name, share_with name DEFAULT NULL::name'),
('grant_operator', 'role name'),
('grant_viewer', 'role name'),
('verify', 'since timestamp with time zone DEFAULT NULL::timestamp with time zone'),
('health', '');
SELECT is_empty($$
    SELECT p.name, p.arguments FROM promised p
    WHERE NOT EXISTS (SELECT FROM pg_proc f WHERE f.pronamespace = 'mailer'::regnamespace AND f.proname = p.name
                      AND pg_get_function_arguments(f.oid) IN (p.arguments,
                          p.arguments || CASE p.arguments WHEN '' THEN '' ELSE ', ' END || substring(pg_get_function_arguments(f.oid) from 'OUT .*')))
      AND NOT EXISTS (SELECT FROM pg_proc f WHERE f.pronamespace = 'mailer'::regnamespace AND f.proname = p.name
                      AND pg_get_function_identity_arguments(f.oid) = p.arguments)$$,
    'functions have the promised names, parameters and defaults');
SELECT has_function('mailer', 'purge', ARRAY['interval', 'boolean', 'boolean'], 'purge(interval, …) is there');

CREATE TEMPORARY TABLE promised_column (relation text, names text);
INSERT INTO promised_column VALUES
('message_status', 'message_id state reason recipient subject mailbox campaign_id batch_id external_id due_at attempts created_at sent_at reply_code reply_text'),
('recipient_status', 'message_id address role state reply_code reply_text'),
('attempt_log', 'message_id attempt mailbox started_at finished_at stage code enhanced_code reply outcome'),
('event_log', 'id at kind message_id batch_id campaign_id mailbox detail'),
('queue', 'message_id lane state due_at waits_for'),
('batch', 'batch_id label total pending sending sent failed cancelled unconfirmed summary'),
('campaign_progress', 'campaign_id name state total pending sending sent failed cancelled unconfirmed next_at sent_today max_per_day is_window_open missed_slots blocked_by progress'),
('campaign_summary', 'campaign_id name state total pending sending sent failed cancelled unconfirmed next_at sent_today max_per_day is_window_open missed_slots blocked_by progress');
SELECT is((SELECT string_agg(a.attname, ' ' ORDER BY a.attnum)
           FROM pg_attribute a WHERE a.attrelid = ('mailer.' || p.relation)::regclass
             AND a.attnum BETWEEN 1 AND cardinality(string_to_array(p.names, ' '))), p.names, p.relation || ' has the promised columns')
FROM promised_column p;
SELECT has_view('mailer', v, v || ' is a view') FROM unnest(ARRAY['mailbox_status', 'missed_slot', 'worker_status']) v;

SELECT * FROM finish();
ROLLBACK;
