-- What there is: templates, categories, captured mails. For roles that may look; contents of mails are not for viewers.

CREATE VIEW template_list AS
SELECT t.name,
       t.subject,
       t.body_text IS NOT NULL AS has_text,
       t.body_html IS NOT NULL AS has_html,
       t.updated_at,
       t.updated_by,
       (SELECT count(*) FROM mailer.campaign c WHERE c.template = t.name AND c.state IN ('d', 'r', 'p')) AS campaigns
FROM mailer.template t;
COMMENT ON VIEW template_list IS 'Every stored template. mailer.template_preview() renders it';
COMMENT ON COLUMN template_list.campaigns IS 'Campaigns that use it and are not over';

CREATE VIEW captured_mail_list AS
SELECT c.message_id,
       c.attempt,
       c.captured_at,
       b.name AS mailbox,
       c.envelope_from,
       array_to_string(c.envelope_to, ', ') AS envelope_to,
       octet_length(c.source) AS size
FROM mailer.captured_mail c
LEFT JOIN mailer.mailbox b ON b.mailbox_id = c.mailbox_id;
COMMENT ON VIEW captured_mail_list IS 'Every mail that mailer.delivery = capture stored instead of sending it. mailer.message_source() returns the mail itself';
