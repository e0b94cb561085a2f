-- The processes that run loader and send_if functions (backend_type "mailer preparer"), and what health() says of them.

CREATE FUNCTION _preparers() RETURNS TABLE (pid bigint, database_oid bigint, role_oid bigint, message_id bigint, started_at timestamptz, ended_at timestamptz)
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'mailer_preparers';
COMMENT ON FUNCTION _preparers() IS
'Processes of the whole cluster that run users'' functions, from shared memory: for which role, on which message of its database, and when it was asked to end (it is still there)';

CREATE FUNCTION _preparer_shortage() RETURNS TABLE (refused_at timestamptz, waiting_since timestamptz)
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'mailer_preparer_shortage';
COMMENT ON FUNCTION _preparer_shortage() IS 'When the server had no process for a preparer last, and since when a role of this database waits for one; one row';

REVOKE ALL ON FUNCTION _preparers(), _preparer_shortage() FROM PUBLIC;

CREATE FUNCTION _health_preparers() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    -- Ending takes milliseconds. What takes longer ignores SIGTERM, as any session's function may; nobody kills it.
    SELECT 'critical', 'preparer ' || p.pid, format('a function of role %s does not end when asked to',
            COALESCE((SELECT quote_ident(r.rolname) FROM pg_roles r WHERE r.oid = p.role_oid::oid), p.role_oid::text)), p.ended_at,
        format('Its process has pid %s and takes the place of another until it ends. Find out what it does; kill -9 would restart the whole server.', p.pid)
    FROM mailer._preparers() p
    WHERE p.ended_at < clock_timestamp() - interval '1 s' AND p.database_oid = (SELECT d.oid::bigint FROM pg_database d WHERE d.datname = current_database())
    UNION ALL
    SELECT 'warning', 'preparers', 'mail with a loader or send_if waits: all background worker processes are in use', s.refused_at,
        'Raise max_worker_processes: mailer needs one for each database, mailer.max_preparers for functions, and two more.'
    FROM mailer._preparer_shortage() s WHERE s.refused_at > clock_timestamp() - interval '1 min'
    UNION ALL
    SELECT 'warning', 'preparers', 'mail with a loader or send_if waits for a process to run it', s.waiting_since,
        'Other roles'' functions take long; see pg_stat_activity WHERE backend_type = ''mailer preparer''. mailer.max_preparers allows more.'
    FROM mailer._preparer_shortage() s WHERE s.waiting_since < clock_timestamp() - interval '1 s'
$$;
COMMENT ON FUNCTION _health_preparers() IS 'Alerts of mailer.health() about the processes that run loader and send_if functions';
