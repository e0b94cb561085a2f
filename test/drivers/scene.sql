-- What the calls need, and nothing of what the driver before did.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS mailer CASCADE;
CREATE EXTENSION mailer;
SELECT mailer.mailbox_create('desk', 'smtp.example.com', from_address => 'desk@example.com') \g /dev/null
SELECT mailer.template_set('hello', 'Hello {{name}}', 'Dear {{name}}') \g /dev/null
SELECT mailer.pause('nothing is to be sent') \g /dev/null
