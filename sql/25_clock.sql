-- What time it is, and what a time zone is.
--
-- Every statement of the API takes the time from _now(), so that a simulation can run weeks of campaign in seconds; the
-- engine never does: it takes time as an argument. Zones are checked the way the server itself resolves them, so that
-- what is stored here can be loaded by the engine too, and they are stored at create: no reload moves a schedule.

CREATE FUNCTION _now() RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_now';
COMMENT ON FUNCTION _now() IS 'Time of the current transaction, or the setting mailer.virtual_now where a superuser has set it (simulation)';

-- SET makes the server put the session's own zone back when the function ends, whatever it tried in between.
CREATE FUNCTION _check_zone(zone text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
    -- A POSIX rule such as <abc>+99 has a digit in it, as few names have; only then the long list is read.
    IF length(zone) > 200 OR zone !~ '^[A-Za-z]' OR zone ~ '[0-9<,]' AND NOT EXISTS (SELECT FROM pg_timezone_names n WHERE lower(n.name) = lower(zone)) THEN
        RAISE invalid_parameter_value;
    END IF;
    PERFORM set_config('TimeZone', zone, true);
    RETURN zone;
EXCEPTION WHEN invalid_parameter_value THEN
    PERFORM mailer._refuse(format('time zone "%s" is not known', left(zone, 100)), 'Take a name from pg_timezone_names, such as Europe/Warsaw.');
END;
$$;
COMMENT ON FUNCTION _check_zone(text) IS 'Gives the zone back; error 22023 when the server doesn''t know it';

CREATE FUNCTION _zone_or_default(zone text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._check_zone(COALESCE(zone, mailer._default_timezone()))
$$;
COMMENT ON FUNCTION _zone_or_default(text) IS 'The zone, or mailer.timezone, or the server''s; checked';
