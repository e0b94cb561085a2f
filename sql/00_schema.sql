-- mailer: sends mail from SQL. This file is the first of those that the Makefile joins into mailer--VERSION.sql,
-- in the order of their names. CREATE EXTENSION runs them with search_path = mailer, pg_temp.

\echo Use "CREATE EXTENSION mailer" to load this file. \quit

REVOKE ALL ON SCHEMA mailer FROM PUBLIC;
COMMENT ON SCHEMA mailer IS 'Mail from SQL: mailer.enqueue(), campaigns, notifications; what is sent, and why something is not yet';
