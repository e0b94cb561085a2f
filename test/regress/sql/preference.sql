-- A preference for a category that nobody has set up is stored, and named: it may be misspelt.
SET client_min_messages = error;
CREATE EXTENSION mailer;
RESET client_min_messages;
SELECT mailer.preference_set('7', 'anything', email_enabled => false);
SELECT mailer.category_set('comments');
SELECT mailer.category_set('news');
SELECT mailer.preference_set('7', 'commments', email_enabled => false);
SELECT mailer.preference_set('7', 'comments', email_enabled => false);
SELECT category, email_enabled FROM mailer.preference WHERE user_id LIKE '%7' ORDER BY 1;
DROP EXTENSION mailer;
