-- How messages end, and how ended ones are put back, for SQL: cancelling a campaign, and whatever else settles mail by a
-- statement. The rule is src/core/outcome/ending; the statements are src/pg/engine/endings.cpp.

CREATE FUNCTION _end(message_ids bigint[], cause text, detail text DEFAULT NULL, by_role text DEFAULT NULL) RETURNS bigint[]
LANGUAGE c VOLATILE SET enable_seqscan = off AS 'MODULE_PATHNAME', 'mailer_end';
COMMENT ON FUNCTION _end(bigint[], text, text, text) IS
'Ends those of these messages that are pending, and gives their ids: cancelled or failed for this cause, but sent if a recipient was reached
already. cause: a reason of doc/states.md. With confirmed or resolved it ends those that are unconfirmed, as sent. detail: shown as the reply.
by_role: who did it; NULL is the engine. Messages that are sending are left alone. Error 22023 when it is no cause.';

CREATE FUNCTION _stop_dots(message_ids bigint[]) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'mailer_stop_dots';
COMMENT ON FUNCTION _stop_dots(bigint[]) IS
'For a statement that has stopped the leads of these messages, which are being sent: none of their final dots is written between now and the
end of the transaction, nor after it. Waits for a dot that is being written just now, never for a mail server';

CREATE FUNCTION _put_back(message_ids bigint[], state text, why text) RETURNS bigint[]
LANGUAGE c VOLATILE SET enable_seqscan = off AS 'MODULE_PATHNAME', 'mailer_put_back';
COMMENT ON FUNCTION _put_back(bigint[], text, text) IS
'Puts those of these messages that are in this state (failed, cancelled or unconfirmed) back into the queue with fresh attempts, and gives
their ids. Left out are bad addresses, purged content, mail of cancelled campaigns and of leads whose sequence has ended; a completed campaign runs again, for the reason why.
What the refusal of an address had suppressed (hard_bounce) is lifted. Error 22023 for another state.';

CREATE FUNCTION _message_state(state "char") RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_message_state';
COMMENT ON FUNCTION _message_state("char") IS 'The word for the state of a message or recipient';

CREATE FUNCTION _campaign_state(state "char") RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mailer_campaign_state';
COMMENT ON FUNCTION _campaign_state("char") IS 'The word for the state of a campaign';

REVOKE ALL ON FUNCTION _end(bigint[], text, text, text), _stop_dots(bigint[]), _put_back(bigint[], text, text), _message_state("char"), _campaign_state("char")
    FROM PUBLIC;
