-- A person's word on a guess: what was matched by address and time alone, or taken for a wish to get no more mail.
--
-- A guess has stopped sequences only. Confirmed, it does what it would have done had the mail named the message; taken back,
-- what it did is undone. The row of feedback stays, so that the same mail, read again, does nothing a second time.

CREATE FUNCTION _guess_to_judge(id bigint, verdict text) RETURNS mailer.feedback
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    f mailer.feedback;
BEGIN
    SELECT x.* INTO f FROM mailer.feedback x WHERE x.feedback_id = _guess_to_judge.id FOR UPDATE;
    IF f.feedback_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('feedback %s does not exist', COALESCE(_guess_to_judge.id::text, 'NULL')),
            HINT = 'View mailer.feedback_log lists it.';
    ELSIF f.judged IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('feedback %s was %s by %s already', f.feedback_id, replace(f.judged, '_', ' '), f.judged_by);
    ELSIF NOT f.is_guess THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('feedback %s is no guess', f.feedback_id),
            DETAIL = 'The mail named the message that it belongs to.',
            HINT = 'mailer.lead_restore() and mailer.unsuppress() take back what followed from it.';
    END IF;
    UPDATE mailer.feedback x SET judged = _guess_to_judge.verdict, judged_by = mailer._caller_name() WHERE x.feedback_id = f.feedback_id;
    PERFORM mailer._log_event(CASE _guess_to_judge.verdict WHEN 'confirmed' THEN 'feedback_confirmed' ELSE 'feedback_taken_back' END,
        jsonb_build_object('feedback_id', f.feedback_id, 'kind', f.kind, 'address', f.address),
        message_id => f.message_id);
    RETURN f;
END;
$$;
COMMENT ON FUNCTION _guess_to_judge(bigint, text) IS 'A guess, locked and marked as judged; errors 42704 no such feedback, 55000 it is no guess or was judged before';

CREATE FUNCTION feedback_confirm(id bigint) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
DECLARE
    f mailer.feedback := mailer._guess_to_judge(feedback_confirm.id, 'confirmed');
    recipient text := (SELECT m.addresses[COALESCE(f.n, 1)] FROM mailer.message m WHERE m.message_id = f.message_id);
BEGIN
    PERFORM mailer._mark_message(f);
    PERFORM mailer._suppress_for(f, recipient);
END;
$$;
COMMENT ON FUNCTION feedback_confirm(bigint) IS
'Confirms a guess of feedback_log: from now on it counts as if the mail had named its message. The message is marked (replied_at, bounced_at), and its
address is suppressed if such feedback does that. Errors: 42704 no such feedback, 55000 it is not a guess, or was judged before.';

CREATE FUNCTION feedback_take_back(id bigint) RETURNS void
LANGUAGE mailer_plpgsql SET search_path = pg_catalog, mailer, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    f mailer.feedback := mailer._guess_to_judge(feedback_take_back.id, 'taken_back');
    l record;
BEGIN
    -- Whatever it ended or held was written in its own transaction, so at the same time.
    FOR l IN
        SELECT x.campaign_id, x.address_key, x.ended FROM mailer.lead x JOIN mailer.campaign c ON c.campaign_id = x.campaign_id
        WHERE x.address_key = f.address_key AND c.state <> 'x' AND f.at IN (x.ended_at, x.held_at) ORDER BY x.campaign_id
    LOOP
        IF l.ended IS NULL THEN
            PERFORM mailer.lead_release(l.campaign_id, l.address_key);
        ELSE
            PERFORM mailer.lead_restore(l.campaign_id, l.address_key);
        END IF;
    END LOOP;
    IF f.kind = 'unsubscribe' AND EXISTS (
        SELECT FROM mailer.suppression s WHERE s.address_key = f.address_key AND s.scope = 'campaigns' AND s.reason = 'opt_out' AND s.created_at = f.at)
    THEN
        PERFORM mailer.unsuppress(f.address_key, 'campaigns');
    END IF;
    UPDATE mailer.message_feedback x
    SET bounced_at = NULLIF(x.bounced_at, f.at), replied_at = NULLIF(x.replied_at, f.at), complained_at = NULLIF(x.complained_at, f.at),
        unsubscribed_at = NULLIF(x.unsubscribed_at, f.at)
    WHERE x.message_id = f.message_id;
    DELETE FROM mailer.message_feedback x
    WHERE x.message_id = f.message_id AND num_nonnulls(x.bounced_at, x.replied_at, x.complained_at, x.unsubscribed_at, x.confirmed_by) = 0;
END;
$$;
COMMENT ON FUNCTION feedback_take_back(bigint) IS
'Undoes a guess of feedback_log: the sequences that it ended resume (as with mailer.lead_restore()), leads that it held are released, the
suppression and the marks of a wrongly recognised request are removed. After an automatic answer the delay of follow-ups stays. The row stays in the
log, judged taken_back. Errors: 42704 no such feedback, 55000 it is not a guess, or was judged before.';

CREATE FUNCTION reply_text(id bigint) RETURNS text
LANGUAGE mailer_plpgsql STABLE SET search_path = pg_catalog, mailer, pg_temp
AS $$
BEGIN
    RETURN (SELECT r.body FROM mailer.reply r WHERE r.feedback_id = reply_text.id);
END;
$$;
COMMENT ON FUNCTION reply_text(bigint) IS
'Returns what the author of a reply in feedback_log wrote, without what is quoted and at most 16 kB; NULL if it was not kept: it is
kept only while mailer.keep_replies is on, until mailer.purge() or mailer.forget().';

REVOKE ALL ON FUNCTION _guess_to_judge(bigint, text) FROM PUBLIC;
