-- Deleting what is no longer needed, and what of a person is to be forgotten.
--
-- A thing that is in use is refused with the reason, never half deleted. What was sent stays in the ledger: a mailbox's mails keep
-- its id, a template's mails what they said.

CREATE FUNCTION _in_use(what text, because text, hint text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF because IS NOT NULL THEN
        PERFORM mailer._refuse(what || ' is in use: ' || because, hint, sqlstate => '55006');
    END IF;
END;
$$;
COMMENT ON FUNCTION _in_use(text, text, text) IS 'Error 55006 when there is a reason why something can''t be deleted';

CREATE FUNCTION template_delete(name text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM mailer.template t WHERE t.name = template_delete.name FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM mailer._refuse(format('template "%s" does not exist', COALESCE(template_delete.name, 'NULL')), 'mailer.template_list has them.', sqlstate => '42704');
    END IF;
    PERFORM mailer._in_use(format('template "%s"', template_delete.name), COALESCE(
        (SELECT 'campaign ' || string_agg(c.name, ', ') FROM (SELECT a.name FROM mailer.campaign a WHERE a.template = template_delete.name AND a.state IN ('d', 'r', 'p') LIMIT 5) c),
        (SELECT 'category ' || string_agg(c.name, ', ') FROM (SELECT a.name FROM mailer.category a WHERE a.digest_template = template_delete.name LIMIT 5) c),
        (SELECT 'message ' || q.message_id || ' waits to be rendered with it'
         FROM mailer.queue_entry q JOIN mailer.message m ON m.message_id = q.message_id WHERE m.template = template_delete.name LIMIT 1)),
        'Store another text with mailer.template_set(), or end what uses it first.');
    DELETE FROM mailer.template t WHERE t.name = template_delete.name;
    PERFORM mailer._log_event('template_deleted', jsonb_build_object('name', template_delete.name));
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION template_delete(text) IS
'Deletes a template that is no longer used. Errors: 42704 no such template, 55006 a campaign, a category or a waiting mail uses it.';

CREATE FUNCTION category_delete(name text) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM mailer.category c WHERE c.name = category_delete.name FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM mailer._refuse(format('category "%s" does not exist', COALESCE(category_delete.name, 'NULL')), 'mailer.category_list has them.', sqlstate => '42704');
    END IF;
    PERFORM mailer._in_use(format('category "%s"', category_delete.name),
        (SELECT 'message ' || q.message_id || ' waits to be sent' FROM mailer.queue_entry q JOIN mailer.message m ON m.message_id = q.message_id
         WHERE m.category = category_delete.name LIMIT 1), 'Cancel its mails, or wait for them.');
    DELETE FROM mailer.notification_item i WHERE i.category = category_delete.name;
    DELETE FROM mailer.notification_mail n WHERE n.category = category_delete.name;
    DELETE FROM mailer.notification n WHERE n.category = category_delete.name;
    DELETE FROM mailer.notification_pace p WHERE p.category = category_delete.name;
    DELETE FROM mailer.preference p WHERE p.category = category_delete.name;
    DELETE FROM mailer.category c WHERE c.name = category_delete.name;
    PERFORM mailer._log_event('category_deleted', jsonb_build_object('name', category_delete.name));
END;
$$;
COMMENT ON FUNCTION category_delete(text) IS
'Deletes a category with its notifications and the users'' preferences for it; unsubscriptions from it stay. The next mailer.notify()
with the name creates a new one. Errors: 42704 no such category, 55006 a mail of it waits.';

CREATE FUNCTION contact_delete(user_id text) RETURNS boolean
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    was_there boolean;
BEGIN
    PERFORM mailer._check_user(contact_delete.user_id);
    contact_delete.user_id := mailer._user_key(contact_delete.user_id);
    PERFORM mailer._end(ARRAY(SELECT n.message_id FROM mailer.notification_mail n JOIN mailer.queue_entry q ON q.message_id = n.message_id
                              WHERE n.user_id = contact_delete.user_id AND q.state = 'p'), 'by_user', 'the contact was deleted', mailer._caller_name());
    DELETE FROM mailer.notification_item i WHERE i.user_id = contact_delete.user_id;
    DELETE FROM mailer.notification_mail n WHERE n.user_id = contact_delete.user_id;
    DELETE FROM mailer.notification n WHERE n.user_id = contact_delete.user_id;
    DELETE FROM mailer.notification_pace p WHERE p.user_id = contact_delete.user_id;
    DELETE FROM mailer.preference p WHERE p.user_id = contact_delete.user_id;
    DELETE FROM mailer.contact c WHERE c.user_id = contact_delete.user_id;
    was_there := FOUND;
    PERFORM mailer._recheck();
    RETURN was_there;
END;
$$;
COMMENT ON FUNCTION contact_delete(text) IS
'Deletes a user''s contact, preferences, inbox and digests in progress; returns false if there was no contact. Suppressions of the
address stay. Errors: 22004 no user_id.';

CREATE FUNCTION campaign_delete(campaign_id bigint) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c mailer.campaign;
    t text;
BEGIN
    SELECT a.* INTO c FROM mailer.campaign a WHERE a.campaign_id = campaign_delete.campaign_id FOR UPDATE;
    IF c.campaign_id IS NULL THEN
        PERFORM mailer._refuse(format('campaign %s does not exist', COALESCE(campaign_delete.campaign_id::text, 'NULL')),
            'SELECT campaign_id, name, state FROM mailer.campaign_progress lists them.', sqlstate => '42704');
    END IF;
    PERFORM mailer._in_use(format('campaign %s "%s"', c.campaign_id, c.name), CASE
        WHEN c.state IN ('r', 'p') THEN 'it is ' || mailer._campaign_state(c.state)
        WHEN EXISTS (SELECT FROM mailer.message m JOIN mailer.queue_entry q ON q.message_id = m.message_id WHERE m.campaign_id = c.campaign_id AND q.state = 's')
            THEN 'a mail of it is being sent' END, 'End it with mailer.campaign_cancel() first.');
    -- The counts of the database lose what these messages were; the campaign's own go with it.
    INSERT INTO mailer.tally_delta (queued, sent, failed, cancelled, unconfirmed)
    SELECT -n.queued, -n.sent, -n.failed, -n.cancelled, -n.unconfirmed FROM mailer._recount('c', c.campaign_id) n;
    -- Deltas of the campaign that are not folded yet count for the database too.
    UPDATE mailer.tally_delta d SET campaign_id = NULL WHERE d.campaign_id = c.campaign_id;
    DELETE FROM mailer.tally y WHERE y.scope = 'c' AND y.id = c.campaign_id;
    FOR t IN
        SELECT k.relname FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid
        WHERE k.relnamespace = 'mailer'::regnamespace AND k.relkind = 'r' AND a.attname = 'message_id' AND NOT a.attisdropped
          AND k.relname NOT IN ('event', 'message')
    LOOP
        EXECUTE format('DELETE FROM mailer.%I x USING mailer.message m WHERE m.campaign_id = $1 AND x.message_id = m.message_id', t) USING c.campaign_id;
    END LOOP;
    DELETE FROM mailer.message m WHERE m.campaign_id = c.campaign_id;
    DELETE FROM mailer.lane_state s WHERE s.lane_id IN (SELECT l.lane_id FROM mailer.lane l WHERE l.campaign_id = c.campaign_id);
    FOR t IN
        SELECT k.relname FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid
        WHERE k.relnamespace = 'mailer'::regnamespace AND k.relkind = 'r' AND a.attname = 'campaign_id' AND NOT a.attisdropped
          AND k.relname NOT IN ('event', 'message', 'tally_delta')
        ORDER BY k.relname = 'campaign'
    LOOP
        EXECUTE format('DELETE FROM mailer.%I WHERE campaign_id = $1', t) USING c.campaign_id;
    END LOOP;
    PERFORM mailer._log_event('campaign_deleted', jsonb_build_object('name', c.name), campaign_id => c.campaign_id);
    PERFORM mailer._changed();
END;
$$;
COMMENT ON FUNCTION campaign_delete(bigint) IS
'Deletes a campaign with its leads and the ledger of who got its mails: the same lead may then get them again from another one. It must be a draft, or
completed or cancelled. Errors: 42704 no such campaign, 55006 it is running or paused, or a mail of it is being sent.';

CREATE FUNCTION forget(address text) RETURNS jsonb
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key text := mailer._address_key(mailer._needed_address(forget.address));
    cancelled bigint[];
    contacts text[];
    cleared bigint;
    captured bigint;
    kept record;
BEGIN
    cancelled := mailer._end(ARRAY(SELECT q.message_id FROM mailer.message m JOIN mailer.queue_entry q ON q.message_id = m.message_id
        WHERE m.address_key = key AND cardinality(m.addresses) = 1 AND q.state = 'p'), 'by_user', 'the address was forgotten', mailer._caller_name());
    SELECT COALESCE(array_agg(c.user_id), '{}') INTO contacts FROM mailer.contact c WHERE c.address_key = key;
    PERFORM mailer.contact_delete(u) FROM unnest(contacts) u;
    WITH gone AS (DELETE FROM mailer.captured_mail c USING mailer.message m WHERE m.address_key = key AND c.message_id = m.message_id RETURNING 1)
    SELECT count(*) INTO captured FROM gone;
    DELETE FROM mailer.message_attachment a USING mailer.message m
    WHERE m.address_key = key AND m.attachments_of = a.message_id AND a.message_id = m.message_id AND m.batch_id IS NULL
      AND NOT EXISTS (SELECT FROM mailer.queue_entry q WHERE q.message_id = m.message_id);
    DELETE FROM mailer.reply r USING mailer.feedback f WHERE f.address_key = key AND r.feedback_id = f.feedback_id;
    WITH said AS (UPDATE mailer.feedback f SET words = NULL WHERE f.address_key = key AND f.words IS NOT NULL RETURNING f.feedback_id)
    UPDATE mailer.event e SET detail = e.detail - 'words' FROM said WHERE e.event_id = said.feedback_id;
    UPDATE mailer.attempt a SET reply = NULL FROM mailer.message m WHERE m.address_key = key AND a.message_id = m.message_id;
    UPDATE mailer.recipient r SET reply = NULL FROM mailer.message m WHERE m.address_key = key AND r.message_id = m.message_id AND r.n = 1;
    UPDATE mailer.outcome o SET reply = NULL FROM mailer.message m WHERE m.address_key = key AND o.message_id = m.message_id;
    UPDATE mailer.lead l SET subject = NULL, variables = NULL WHERE l.address_key = key;
    DELETE FROM mailer.address_bounce b WHERE b.address_key = key;
    WITH done AS (
        UPDATE mailer.message m
        SET subject = NULL, body_text = NULL, body_html = NULL, variables = NULL, loaded_variables = NULL, headers = NULL,
            header_to = array_to_string(m.addresses, ', '), purged_at = mailer._now()
        WHERE m.address_key = key AND m.purged_at IS NULL AND NOT EXISTS (SELECT FROM mailer.queue_entry q WHERE q.message_id = m.message_id)
        RETURNING 1)
    SELECT count(*) INTO cleared FROM done;
    SELECT count(*) AS messages, count(q.message_id) AS on_their_way INTO kept
    FROM mailer.message m LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id WHERE m.address_key = key;
    PERFORM mailer._log_event('forgotten', jsonb_build_object('contacts', cardinality(contacts), 'messages', cleared));
    RETURN jsonb_build_object(
        'erased', jsonb_build_object('contacts', cardinality(contacts), 'contents', cleared, 'captured', captured, 'cancelled', COALESCE(cardinality(cancelled), 0)),
        'kept', jsonb_build_object('ledger', kept.messages, 'on_their_way', kept.on_their_way,
            'suppressions', (SELECT count(*) FROM mailer.suppression s WHERE s.address_key = key)),
        'why', 'The ledger records what was sent to whom and when, so that no mail is sent twice; suppressions stop mail to people who refused it. '
            || 'CALL mailer.purge(older_than, ledger => true) deletes the ledger, mailer.unsuppress() a suppression.');
END;
$$;
COMMENT ON FUNCTION forget(text) IS
'Erases what is stored about a person by mail address: contacts with their inboxes and preferences, contents of mails to it, captured copies, server
replies, what campaigns know of it as a lead, what it answered, and how often it bounced; mails that wait for it alone are cancelled. It returns what was erased and what is kept: the ledger of who got what, and suppressions.
Mails with several recipients and mails being sent are not changed. Errors: 22004 address is NULL, 22023 a bad address.';
