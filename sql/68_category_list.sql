-- The categories that there are.

CREATE VIEW category_list AS
SELECT c.name,
       c.is_required,
       c.rate_limit,
       c.rate_period,
       c.mail_delay,
       c.collapse_window,
       (SELECT string_agg(b.name, ', ' ORDER BY b.name) FROM mailer.lane l JOIN mailer.mailbox b ON b.mailbox_id = ANY (l.pool) WHERE l.lane_id = c.lane_id) AS mailbox,
       c.digest_template,
       c.digest_hour,
       c.is_announced,
       c.created_at
FROM mailer.category c;
COMMENT ON VIEW category_list IS 'Every category of notifications, with its limits';
COMMENT ON COLUMN category_list.mailbox IS 'The mailbox that sends its mails; NULL: the default ones';
