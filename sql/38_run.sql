-- Sending from the calling session: src/pg/api/run.cpp.

CREATE PROCEDURE run(max_messages integer DEFAULT NULL, max_time interval DEFAULT NULL) LANGUAGE c AS 'MODULE_PATHNAME', 'mailer_run';
COMMENT ON PROCEDURE run(integer, interval) IS 'Sends what is due from this session, with the worker''s engine and guarantees: until nothing is due or, with max_time, waiting for what becomes due within it; at most max_messages. If a worker runs, it raises a NOTICE and does nothing. It is an error inside a transaction block';

CREATE PROCEDURE mailbox_test(name text) LANGUAGE c AS 'MODULE_PATHNAME', 'mailer_mailbox_test';
COMMENT ON PROCEDURE mailbox_test(text) IS 'Tries a mailbox without sending anything: connects, secures and logs in, with a NOTICE for each step. Errors: 08006 the step that failed, with the server''s reply, 42704 no such mailbox, 42501 its host is not in mailer.allowed_hosts, 25001 inside a transaction block';

CREATE PROCEDURE listen(max_time interval DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'mailer_listen';
COMMENT ON PROCEDURE listen(interval) IS
'Reads the mailboxes that have an imap_host from this session, as the listener does in the background: bounces, complaints, replies.
max_time: how long to listen; NULL reads the mail that has arrived and returns. It commits, so it can''t run in a transaction block; if a listener runs, it reports that and does
nothing. Errors: 25001 in a transaction block, 22023 a bad max_time.';
