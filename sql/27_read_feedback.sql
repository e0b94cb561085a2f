-- What a received mail means by itself: bounce, complaint, reply, automatic answer. The rules are src/core/feedback's.

CREATE FUNCTION read_feedback(raw bytea) RETURNS TABLE (kind text, address text, is_hard boolean, code integer, enhanced_code text,
    words text, original_message_id text, envelope_id text)
LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'mailer_read_feedback';
COMMENT ON FUNCTION read_feedback(bytea) IS
'Returns what a received mail means on its own, one row per recipient or answer; no rows: it is none of these. Nothing is looked up or stored.
kind: bounce (it failed), delay, delivered, complaint, reply (it has In-Reply-To or References), auto_reply or unsubscribe.
address: the recipient that failed or complained, or who answered. is_hard: the address itself is dead.
code, enhanced_code and words: the mail server''s reply. original_message_id: of the mail that it concerns, if it says so.
envelope_id: the ENVID under which that was sent (RFC 3461).';
