-- How large what people store may be, and the sentences with which more is refused.
--
-- The numbers are those of src/core/bounds.hpp and doc/limits.md. The tables' constraints say them again, as expressions that
-- are parsed once, here and now: a function in a constraint would be looked up by the search_path of the session that writes.
-- The engine and the views clamp what they read to the same bounds, so that one bad row holds up its own lane alone.

CREATE FUNCTION _refuse(what text, hint text DEFAULT NULL, detail text DEFAULT NULL, sqlstate text DEFAULT '22023') RETURNS void
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_refuse';
COMMENT ON FUNCTION _refuse(text, text, text, text) IS 'Raises an error: the sentence, what to do, more about it. Without a CONTEXT, which would name functions that the caller never heard of';

CREATE FUNCTION _need(name text, is_missing boolean) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF is_missing THEN
        PERFORM mailer._refuse(name || ' must not be NULL', sqlstate => '22004');
    END IF;
END;
$$;
COMMENT ON FUNCTION _need(text, boolean) IS 'Error 22004 when a value that is needed is NULL';

-- A statement may change 30 settings: the error names the one that can't be read.
CREATE FUNCTION _populated(base anyelement, settings jsonb) RETURNS anyelement
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    key text;
BEGIN
    RETURN jsonb_populate_record(base, settings);
EXCEPTION WHEN data_exception THEN
    FOR key IN SELECT k FROM jsonb_object_keys(settings) k ORDER BY k LOOP
        BEGIN
            PERFORM jsonb_populate_record(base, jsonb_build_object(key, settings -> key));
        EXCEPTION WHEN data_exception THEN
            PERFORM mailer._refuse(format('setting "%s" has a value of another type', key), detail => left(SQLERRM, 200),
                hint => 'Intervals are written "90 s", times "09:00", numbers, true and false without quotes; null is no value.');
        END;
    END LOOP;
    RAISE;
END;
$$;
COMMENT ON FUNCTION _populated(anyelement, jsonb) IS 'The row with these settings; error 22023 that names the one whose value is of another type';

CREATE FUNCTION _check_number(name text, value numeric, least_value numeric, most numeric DEFAULT 1000000000) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF value < least_value OR value > most THEN
        PERFORM mailer._refuse(CASE WHEN most = 1000000000 AND least_value = 0 AND value < 0 THEN name || ' must not be negative'
            WHEN most = 1000000000 AND value < least_value THEN format('%s must be at least %s', name, least_value)
            ELSE format('%s must be %s to %s', name, least_value, most) END, detail => format('It is %s.', left(value::text, 40)));
    END IF;
    RETURN value;
END;
$$;
COMMENT ON FUNCTION _check_number(text, numeric, numeric, numeric) IS 'The number, or NULL; error 22023 when it is out of range (a thousand million is the most of any count)';

CREATE FUNCTION _check_jitter(jitter numeric) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF NOT (jitter >= 0 AND jitter <= 0.9) THEN
        PERFORM mailer._refuse('jitter must be 0 to 0.9', 'It is the part of the gap by which each slot is moved at most, either way: 0.2 is ± 20 %.');
    END IF;
    RETURN jitter;
END;
$$;
COMMENT ON FUNCTION _check_jitter(numeric) IS 'The jitter, or NULL; error 22023 when it is out of range';

CREATE FUNCTION _check_share(name text, value numeric) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF value IS NOT NULL AND NOT (value > 0 AND value <= 1) THEN
        PERFORM mailer._refuse(name || ' must be above 0 and at most 1', 'It is a share: 0.05 is 5 %. NULL is none.');
    END IF;
    RETURN value;
END;
$$;
COMMENT ON FUNCTION _check_share(text, numeric) IS 'The share, or NULL; error 22023 when it is out of range';

CREATE FUNCTION _check_span(name text, value interval, is_zero_allowed boolean DEFAULT true) RETURNS interval
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF value IS NOT NULL AND NOT (extract(epoch FROM value) BETWEEN 0 AND 3155760000) THEN
        PERFORM mailer._refuse(name || CASE WHEN extract(epoch FROM value) < 0 THEN ' must not be negative' ELSE ' must not be longer than 100 years' END);
    ELSIF extract(epoch FROM value) = 0 AND NOT is_zero_allowed THEN
        PERFORM mailer._refuse(name || ' must be longer than 0');
    END IF;
    RETURN value;
END;
$$;
COMMENT ON FUNCTION _check_span(text, interval, boolean) IS 'The interval, or NULL; error 22023 when it is negative, infinite or longer than 100 years';

CREATE FUNCTION _check_time(name text, value timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF NOT (value >= '1970-01-01 00:00:00+00' AND value < '10000-01-01 00:00:00+00') THEN
        PERFORM mailer._refuse(name || ' must be a time from 1970 to 9999', 'Leave it out for no such time.');
    END IF;
    RETURN value;
END;
$$;
COMMENT ON FUNCTION _check_time(text, timestamptz) IS 'The time, or NULL; error 22023 when it is infinite or not within the years 1970 to 9999';

CREATE FUNCTION _check_text(name text, value text, most integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF octet_length(value) > most THEN
        PERFORM mailer._refuse(name || ' is too long', detail => format('It has %s octets; %s are allowed.', octet_length(value), most));
    END IF;
    RETURN value;
END;
$$;
COMMENT ON FUNCTION _check_text(text, text, integer) IS 'The text, or NULL; error 22023 when it has more octets than that';

CREATE FUNCTION _check_name(name text, value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    PERFORM mailer._need(name, value IS NULL);
    IF length(value) NOT BETWEEN 1 AND 200 THEN
        PERFORM mailer._refuse(name || ' must have 1 to 200 characters', detail => format('It has %s.', length(value)));
    ELSIF value ~ '[[:cntrl:]]' THEN
        PERFORM mailer._refuse(name || ' must not contain control characters');
    END IF;
    RETURN value;
END;
$$;
COMMENT ON FUNCTION _check_name(text, text) IS 'The name; error 22004 when it is NULL, 22023 unless it has 1 to 200 characters, none of them a control character';

CREATE FUNCTION _check_word(name text, value text, words text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    PERFORM mailer._need(name, value IS NULL);
    IF NOT value = ANY (words) THEN
        PERFORM mailer._refuse(format('%s "%s" is not known', name, left(value, 100)),
            format('It can be %s or %s.', array_to_string(words[:cardinality(words) - 1], ', '), words[cardinality(words)]));
    END IF;
    RETURN value;
END;
$$;
COMMENT ON FUNCTION _check_word(text, text, text[]) IS 'The word; error 22004 when it is NULL, 22023 unless it is one of those';

CREATE FUNCTION _bounded(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT LEAST(GREATEST(at, '1970-01-01 00:00:00+00'), '9999-12-31 23:59:59+00')
$$;
COMMENT ON FUNCTION _bounded(timestamptz) IS 'The time, brought within the years 1970 to 9999: for what counts with it whatever a row says';

CREATE FUNCTION _known_zone(zone text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_known_zone';
COMMENT ON FUNCTION _known_zone(text) IS 'The zone, or UTC for one that this server doesn''t know: for what must be shown whatever a row says';

REVOKE ALL ON FUNCTION _refuse(text, text, text, text), _known_zone(text) FROM PUBLIC;
