-- What a scenario needs in its database: the sender in virtual time, what mail servers took, and a way to start over.
-- module: the library that `scripts/cluster simulation` built.
CREATE EXTENSION mailer;
CREATE SCHEMA simulation;
CREATE PROCEDURE simulation.run(until timestamptz, seed bigint, options jsonb) LANGUAGE c AS :'module', 'mailer_simulate';

CREATE TABLE simulation.delivered (message_id bigint, mailbox_id bigint, recipients text[], claimed_at timestamptz, at timestamptz);
CREATE TABLE simulation.foretold (taken_at timestamptz, campaign_id bigint, ordinal bigint, message_id bigint, recipient text, mailbox text, slot_at timestamptz, step integer);
CREATE TABLE simulation.stopped (campaign_id bigint, address_key text, at timestamptz, how text);
CREATE TABLE simulation.problem (what text);

-- Everything as after CREATE EXTENSION, ids included, so that a scenario depends on its seed alone.
CREATE FUNCTION simulation.reset() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(c.oid::regclass::text, ', ') INTO names FROM pg_class c
    WHERE c.relkind = 'r' AND (c.relnamespace = 'simulation'::regnamespace OR c.relnamespace = 'mailer'::regnamespace AND c.relname <> 'arming');
    EXECUTE 'TRUNCATE ' || names || ' RESTART IDENTITY';
    ALTER SEQUENCE mailer.message_id_seq RESTART;
    ALTER SEQUENCE mailer.event_id_seq RESTART;
    INSERT INTO mailer.lane (kind, pool_key) VALUES ('s', 'default');
    INSERT INTO mailer.tenant (name, lane_id) VALUES ('operator', 1);
END $$;

-- What the plan is now, for every campaign that has mail waiting.
CREATE FUNCTION simulation.foretell() RETURNS void LANGUAGE sql AS $$
    INSERT INTO simulation.foretold
    SELECT mailer._now(), c.campaign_id, f.ordinal, f.message_id, f.recipient, f.mailbox, f.slot_at, f.step FROM mailer.campaign c CROSS JOIN LATERAL mailer.campaign_forecast(c.campaign_id) f WHERE c.state = 'r'
$$;

-- The sender has just taken all that may go: so explain() must show a shut gate wherever something waits that is due.
CREATE FUNCTION simulation.look() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO simulation.problem
    SELECT format('explain says that nothing holds campaign %s at %s', c.campaign_id, mailer._now()) FROM mailer.campaign c
    WHERE EXISTS (SELECT FROM mailer.queue_entry q WHERE q.lane_id = c.lane_id AND q.state = 'p' AND q.due_at <= mailer._now())
      AND NOT EXISTS (SELECT FROM mailer.campaign_explain(c.campaign_id) e WHERE NOT e.is_open AND e.gate NOT LIKE '%:%');
    INSERT INTO simulation.problem
    SELECT format('explain says that a gate of campaign %s opens in the past at %s: %s', c.campaign_id, mailer._now(), e.detail)
    FROM mailer.campaign c CROSS JOIN LATERAL mailer.campaign_explain(c.campaign_id) e WHERE NOT e.is_open AND e.opens_at <= mailer._now();
    INSERT INTO simulation.problem
    SELECT format('verify at %s: %s: %s (%s)', mailer._now(), v.invariant, v.violations, v.sample) FROM mailer.verify() v WHERE v.violations <> 0;
    INSERT INTO simulation.problem
    SELECT format('campaign %s has nothing unsettled at %s and is not completed', c.campaign_id, mailer._now()) FROM mailer.campaign c
    WHERE c.state = 'r' AND EXISTS (SELECT FROM mailer.message m WHERE m.campaign_id = c.campaign_id)
      AND NOT EXISTS (SELECT FROM mailer.lane l JOIN mailer.queue_entry q ON q.lane_id = l.lane_id WHERE l.campaign_id = c.campaign_id);
END $$;

CREATE FUNCTION simulation.step_of(step_id bigint) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN step_id = 0 THEN 1 ELSE (SELECT s.place FROM mailer.campaign_step s WHERE s.step_id = $1) END
$$;

-- Some leads that have got mail answer, come back or complain; which ones follows from the seed.
CREATE FUNCTION simulation.stop_some(of_campaign bigint, many integer, how text, seed bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l record;
BEGIN
    FOR l IN
        SELECT x.address_key FROM mailer.lead x
        WHERE x.campaign_id = of_campaign AND x.last_sent_at IS NOT NULL AND (x.ended IS NULL OR x.ended = 'finished')
        ORDER BY md5(x.address_key || seed) LIMIT many
    LOOP
        PERFORM mailer._stop_leads(l.address_key, how);
        INSERT INTO simulation.stopped VALUES (of_campaign, l.address_key, mailer._now(), how);
    END LOOP;
END $$;
CREATE FUNCTION simulation.hold_some(of_campaign bigint, many integer, seed bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mailer.lead_hold(of_campaign, x.address_key) FROM mailer.lead x
    WHERE x.campaign_id = of_campaign AND x.ended IS NULL AND x.held_at IS NULL AND x.address_key LIKE '%@%' ORDER BY md5(x.address_key || seed) LIMIT many;
END $$;
CREATE FUNCTION simulation.release_all() RETURNS void LANGUAGE sql AS $$
    SELECT mailer.lead_release(x.campaign_id, x.address_key) FROM mailer.lead x JOIN mailer.campaign c USING (campaign_id)
    WHERE x.held_at IS NOT NULL AND c.state <> 'x' ORDER BY x.campaign_id, x.address_key
$$;
