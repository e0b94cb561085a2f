-- notify(): one call for one thing that happened to one user. It writes the item, its row of the inbox, and sees to a mail.
-- In C, for the application's statement pays for it: src/pg/notify/notification.hpp is the walk, src/core/notification.hpp
-- decides.
--
-- What makes it safe under concurrency, numbered because tests cite it:
--   N1  A collapse_key has one open inbox row and one gathering mail: two partial unique indexes. The transaction that
--       creates one makes the others wait for its commit; then they join it.
--   N2  A transaction that adds an item to a gathering mail holds its row FOR KEY SHARE until commit. Many can; the engine
--       closes the mail FOR UPDATE, or, when somebody holds it, queues a successor for what commits later (64_digest.sql).
--       So no item is forgotten, none is mailed twice, and the engine never waits for an application's transaction.
--   N3  Mails count against the rate limit under the lock of one row per user and category (notification_pace).
-- Two transactions that notify the same users in opposite orders can still meet in a deadlock, as with any rows; the trigger
-- (66_community_trigger.sql) then notifies without collapsing rather than not at all.

CREATE FUNCTION notify(user_id text, category text, template text, variables jsonb DEFAULT '{}', actor_id text DEFAULT NULL,
    collapse_key text DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_notify';
COMMENT ON FUNCTION notify(text, text, text, jsonb, text, text) IS
'Notifies a user that something happened: in the inbox, by mail, or both, as the user prefers (mailer.preference_set). Returns the id of the
inbox row; NULL when there is none, because the user gets it by mail only, has switched the category off, or is the actor (actor_id = user_id).
category: created on first use; mailer.category_set() gives it limits. template: its subject is the title in the inbox.
variables: for the template, which also sees: actor (variables'' own, else the contact''s name, else the id; the first of several),
others_count, count, items (each with its variables and actor), and name, the user''s. thread_key among the variables threads mails.
collapse_key: what the event is about; notifications with the same key share one row of the inbox until it is read, or rate_period is over, and one mail.
Mail goes to the address of mailer.contact_set(); without one there is only the inbox. Marked Auto-Submitted: auto-generated.
Errors: 22004 no user or category, 22023 variables is not an object, 42704 no such template, 55000 the database isn''t armed.';

-- ── What the engine does when a mail's time has come (64_digest.sql) ────────────────────────────────────────────────

CREATE FUNCTION _close_mail(mail_id bigint) RETURNS void
LANGUAGE sql
AS $$
    WITH closed AS (
        UPDATE mailer.notification_mail n SET is_open = false WHERE n.message_id = mail_id AND n.is_open RETURNING n.*
    )
    UPDATE mailer.notification_item i SET message_id = mail_id
    FROM closed c
    WHERE i.user_id = c.user_id AND i.category = c.category AND i.mail_group = c.mail_group AND i.message_id IS NULL
$$;
COMMENT ON FUNCTION _close_mail(bigint) IS 'Ends a mail''s gathering: the items that wait are its own from now on';

CREATE FUNCTION _queue_successor(mail_id bigint) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_queue_successor';
COMMENT ON FUNCTION _queue_successor(bigint) IS 'The mail for items that were on their way into one that has just closed. If none of them commits, it is cancelled when its time comes';

CREATE FUNCTION _queue_digest(user_id text, category text, has_html boolean) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'mailer_queue_digest';
COMMENT ON FUNCTION _queue_digest(text, text, boolean) IS 'Makes a user''s digest of a category, unless one gathers already';

REVOKE ALL ON FUNCTION _queue_successor(bigint), _queue_digest(text, text, boolean) FROM PUBLIC;
