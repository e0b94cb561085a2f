-- What time it is, and what a time zone is.
--
-- Every statement of the API takes the time from _now(), so that a simulation can run weeks of campaign in seconds; the
-- engine never does: it takes time as an argument. Zones are checked the way the server itself resolves them, so that
-- what is stored here can be loaded by the engine too, and they are stored at create: no reload moves a schedule.

CREATE FUNCTION _now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT COALESCE(NULLIF(pg_catalog.current_setting('mailer.virtual_now', true), '')::timestamptz, pg_catalog.now())
$$;
COMMENT ON FUNCTION _now() IS 'Time of the current transaction, or the setting mailer.virtual_now where a superuser has set it (simulation)';

-- SET makes the server put the session's own zone back when the function ends, whatever it tried in between.
CREATE FUNCTION _check_zone(zone text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
    PERFORM set_config('TimeZone', zone, true);
    RETURN zone;
EXCEPTION WHEN invalid_parameter_value THEN
    RAISE EXCEPTION USING
        ERRCODE = 'invalid_parameter_value',
        MESSAGE = format('time zone "%s" is not known', zone),
        HINT = 'Take a name from pg_timezone_names, such as Europe/Warsaw.';
END;
$$;
COMMENT ON FUNCTION _check_zone(text) IS 'Gives the zone back; error 22023 when the server doesn''t know it';

CREATE FUNCTION _zone_or_default(zone text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT mailer._check_zone(COALESCE(zone, mailer._default_timezone()))
$$;
COMMENT ON FUNCTION _zone_or_default(text) IS 'The zone, or mailer.timezone, or the server''s; checked';
