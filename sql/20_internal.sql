-- Private functions of the library, for the API, the views and the engine. Not granted to anybody.
--
-- C functions without side effects outside their transaction, except that they mark it: what they marked reaches the
-- worker at commit (src/pg/server/wake.hpp).

CREATE FUNCTION _created() RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_created';
COMMENT ON FUNCTION _created() IS 'For the extension''s script: refuses a database that is not UTF8, warns when no worker can run, and has one started at commit';

CREATE FUNCTION _wake(lane_id bigint, due_at timestamptz) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_wake';
COMMENT ON FUNCTION _wake(bigint, timestamptz) IS 'At the end of this transaction the worker looks at the lane for what is due from due_at on; lane 0 stands for an expiry';

CREATE FUNCTION _changed() RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_changed';
COMMENT ON FUNCTION _changed() IS 'At commit the worker reads settings again and returns claims that are not on the wire yet to the queue';

CREATE FUNCTION _recheck() RETURNS void LANGUAGE sql AS $$ SELECT mailer._wake(-1, pg_catalog.clock_timestamp()) $$;
COMMENT ON FUNCTION _recheck() IS 'At the end of this transaction the worker returns claims of leads that were stopped, if they are not on the wire yet. Costs it no more than that, however often a role calls for it';

CREATE FUNCTION _new_epoch() RETURNS bigint LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_new_epoch';
COMMENT ON FUNCTION _new_epoch() IS 'A random epoch for arming: no two databases share one by chance';

CREATE FUNCTION _binding(OUT system_identifier bigint, OUT database_oid oid, OUT machine text, OUT timeline bigint) LANGUAGE c STRICT
    AS 'MODULE_PATHNAME', 'mailer_binding';
COMMENT ON FUNCTION _binding() IS 'What ties arming to this very cluster and database: system identifier, database, what tells the volume below it from a copy, and the timeline that it writes (0 on a standby)';

CREATE FUNCTION _arming(OUT is_armed boolean, OUT why text) LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_arming';
COMMENT ON FUNCTION _arming() IS 'Whether this database may send as far as the clone guard is concerned, and why not. Run by the extension''s owner';

CREATE FUNCTION _default_timezone() RETURNS text LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'mailer_default_timezone';
COMMENT ON FUNCTION _default_timezone() IS 'mailer.timezone, or the server''s when that is empty';

CREATE FUNCTION _is_host_allowed(host text, port integer) RETURNS boolean LANGUAGE c STABLE STRICT
    AS 'MODULE_PATHNAME', 'mailer_is_host_allowed';
COMMENT ON FUNCTION _is_host_allowed(text, integer) IS 'Whether mailer.allowed_hosts lets mailboxes use this server';

CREATE FUNCTION _day_limit(daily_limit integer, ramp_start integer, ramp_step integer, days_used integer) RETURNS integer
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_day_limit';
COMMENT ON FUNCTION _day_limit(integer, integer, integer, integer) IS 'What a mailbox may send on a day, as the sender counts it: least(daily_limit, ramp_start + days_used * ramp_step); NULL is no limit. days_used: earlier days of the ramp on which it sent something';
REVOKE ALL ON FUNCTION _day_limit(integer, integer, integer, integer) FROM PUBLIC;

CREATE FUNCTION _library_version() RETURNS text LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'mailer_library_version';
COMMENT ON FUNCTION _library_version() IS 'Version of the library that is loaded; its major and minor number must be the extension''s';

CREATE FUNCTION _worker(OUT is_preloaded boolean, OUT launcher_pid integer, OUT pid integer, OUT kind text, OUT state text,
    OUT started_at timestamptz, OUT heartbeat_at timestamptz, OUT tick_count bigint, OUT start_count bigint,
    OUT generation bigint, OUT is_told_to_stay_away boolean, OUT next_start_at timestamptz, OUT last_error_at timestamptz,
    OUT last_error text)
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_worker';
COMMENT ON FUNCTION _worker() IS 'Who sends in this database (kind worker or run), since when and how it is: from shared memory, one row';

CREATE FUNCTION _journal_disagreements() RETURNS TABLE (token bigint, what text) LANGUAGE c STRICT
    AS 'MODULE_PATHNAME', 'mailer_journal_disagreements';
COMMENT ON FUNCTION _journal_disagreements() IS 'Claimed messages that the crash journal doesn''t know, and slots of it that stand for no claim. Takes its own looks at the queue, beside a live sender';

REVOKE ALL ON FUNCTION _created(), _wake(bigint, timestamptz), _changed(), _new_epoch(), _binding(), _arming(), _default_timezone(),
    _is_host_allowed(text, integer), _library_version(), _worker(), _journal_disagreements() FROM PUBLIC;

INSERT INTO arming (epoch, adopted, system_identifier, database_oid, machine, timeline)
    SELECT e.epoch, ARRAY[e.epoch], b.system_identifier, b.database_oid, b.machine, b.timeline
    FROM (SELECT _new_epoch() AS epoch) e, _binding() b;

SELECT _created();
