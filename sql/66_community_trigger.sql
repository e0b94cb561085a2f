-- The ready-made trigger for likes, comments, replies, bookmarks and joins. In C, for it runs the application's function as
-- the user who changed the row and then notifies as the owner, so that this user needs no right on mailer.

CREATE FUNCTION community_trigger() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mailer_community_trigger';
COMMENT ON FUNCTION community_trigger() IS
'For CREATE TRIGGER … AFTER INSERT … FOR EACH ROW EXECUTE FUNCTION mailer.community_trigger(category, template, users to notify
[, actor column [, collapse key]]): notifies (mailer.notify) the users whom a row concerns.
users to notify: a column of the table that holds a user''s id, or the name of a function (new_row jsonb [, old_row jsonb, operation text])
RETURNS TABLE (user_id text, variables jsonb). variables: for the template; if NULL, or if the users are a column: the row''s columns.
actor column: the user who acted, who is not notified. collapse key: a Mustache text over the row, ''post {{post_id}}''.
A failure never fails the statement: it is rolled back and reported as a WARNING and an event notification_failed. Firing the trigger needs no right on mailer.';
REVOKE ALL ON FUNCTION community_trigger() FROM PUBLIC;
