-- The switches of the whole database: pause, resume, and arm after a restore or a clone.
--
-- The clone guard: every queue row carries an epoch, and only rows of epochs that table arming has adopted are claimed, on
-- the cluster and database that arming is bound to. arm() is the one statement that adopts and binds; a person says it.

CREATE FUNCTION pause(reason text DEFAULT NULL) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    why text := mailer._reason(pause.reason);
BEGIN
    INSERT INTO mailer.control (paused_at, paused_by, pause_reason) VALUES (mailer._now(), mailer._caller_name(), why)
    ON CONFLICT (is_only_row) DO UPDATE SET pause_reason = excluded.pause_reason, paused_by = excluded.paused_by;
    PERFORM mailer._log_event('paused', jsonb_build_object('reason', why));
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION pause(text) IS
'Stops all sending from this database until mailer.resume(); mail at the final dot is finished. Mail can still be queued. Pausing again changes the reason.';

CREATE FUNCTION resume() RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    DELETE FROM mailer.control;
    IF FOUND THEN
        PERFORM mailer._log_event('resumed');
        PERFORM mailer._changed();
    END IF;
END;
$$;
COMMENT ON FUNCTION resume() IS 'Ends mailer.pause(). Campaigns continue at their gap; slots that they missed are counted, not made up for';

CREATE FUNCTION arm() RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    new_epoch bigint := mailer._new_epoch();
    waiting_epochs bigint[];
    held_count bigint;
    roles record;
BEGIN
    -- Two at once would each forget what the other adopts.
    LOCK TABLE mailer.arming IN SHARE ROW EXCLUSIVE MODE;
    SELECT COALESCE(array_agg(e.epoch), '{}'), COALESCE(sum(e.messages) FILTER (
               WHERE NOT EXISTS (SELECT FROM mailer.arming a WHERE e.epoch = ANY (a.adopted))), 0)::bigint
    INTO waiting_epochs, held_count
    FROM (SELECT q.epoch, count(*) AS messages FROM mailer.queue_entry q GROUP BY q.epoch) e;

    INSERT INTO mailer.arming (epoch, adopted, system_identifier, database_oid, machine, timeline, armed_at, armed_by)
    SELECT new_epoch, waiting_epochs || new_epoch, b.system_identifier, b.database_oid, b.machine, b.timeline, mailer._now(), mailer._caller_name()
    FROM mailer._binding() b
    ON CONFLICT (is_only_row) DO UPDATE
    SET epoch = excluded.epoch,
        -- An epoch that was in force before may be on rows of transactions that have yet to commit.
        adopted = ARRAY(SELECT DISTINCT e FROM unnest(arming.adopted || excluded.adopted) e ORDER BY e),
        system_identifier = excluded.system_identifier, database_oid = excluded.database_oid,
        machine = excluded.machine, timeline = excluded.timeline, armed_at = excluded.armed_at, armed_by = excluded.armed_by;
    UPDATE mailer.promotion SET is_held = false, held_epochs = '{}' WHERE is_held;
    roles := mailer._rebind_principals();
    PERFORM mailer._log_event('armed', jsonb_build_object('epoch', new_epoch, 'released', held_count, 'roles', roles.rebound,
        'roles_missing', roles.missing));
    PERFORM mailer._changed();
    PERFORM mailer._wake(1, mailer._now());  -- with the first wake-up the engine counts what a dump brought
    RAISE NOTICE 'mailer is armed: this database sends, % waiting messages that were held included', held_count;
    IF roles.rebound IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = format('what was queued and granted elsewhere belongs to the roles of the same names here: %s',
            array_to_string(roles.rebound, ', '));
    END IF;
    IF roles.missing IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = format('there are no roles of these names here: %s', array_to_string(roles.missing, ', ')),
            DETAIL = 'What they queued is sent, unless it names a loader or send_if: that waits.',
            HINT = 'Create the roles, and call mailer.arm() again.';
    END IF;
END;
$$;
COMMENT ON FUNCTION arm() IS
'Lets a restored, copied or promoted database send: adopts all waiting mail and binds the extension to this cluster and database.
If it came from another cluster, rights and late-bound functions then belong to the roles of the same names: a NOTICE lists them.
Make sure first that the original doesn''t send the same mails.';
