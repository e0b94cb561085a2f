-- mailer.forget: after it no table has a word of what was written to a person or about it.
SET search_path = pg_catalog, public;
BEGIN;
SELECT no_plan();
\ir fixture.psql
\ir feedback.psql

CREATE FUNCTION pg_temp.tables_with(word text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    t regclass;
    is_found boolean;
BEGIN
    FOR t IN SELECT k.oid FROM pg_class k WHERE k.relnamespace = 'mailer'::regnamespace AND k.relkind = 'r' ORDER BY 1 LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s x WHERE strpos(lower(x::text), lower($1)) > 0)', t) INTO is_found USING word;
        IF is_found THEN
            RETURN NEXT t::text;
        END IF;
    END LOOP;
END;
$$;

SET LOCAL mailer.keep_replies = on;
SELECT mailer.contact_set('7', 'ada@example.com', 'Sesame Lovelace') \g /dev/null
SELECT mailer.category_set('news'), mailer.notify('7', 'news', 'hello', '{"name": "Sesame"}') \g /dev/null
SELECT mailer.lead_update(:spring, 'ada@example.com', '{"name": "Sesame"}') \g /dev/null
SELECT mailer.enqueue('ada@example.com', 'Sesame', 'sesame', headers => '{"X-Name": "sesame"}', variables => '{"v": "sesame"}') AS waits \gset
SELECT pg_temp.sent_mail('{ada@example.com}') AS sent, pg_temp.sent_mail('{ada@example.com}') AS answered, pg_temp.sent_mail('{ada@example.com}') AS lost \gset
SELECT pg_temp.sent_mail('{ada@example.com,bob@example.com}') AS both \gset
UPDATE mailer.message SET subject = 'sesame', body_text = 'sesame', variables = '{"v": "sesame"}', loaded_variables = '{"v": "sesame"}',
    header_to = 'Sesame <ada@example.com>' WHERE message_id IN (:sent, :answered);
UPDATE mailer.outcome SET reply = '250 sesame' WHERE message_id IN (:sent, :both);
UPDATE mailer.attempt SET reply = '250 sesame' WHERE message_id IN (:sent, :both);
UPDATE mailer.recipient SET reply = '250 sesame' WHERE message_id = :both AND n = 1;
UPDATE mailer.lead SET subject = 'for Sesame' WHERE address_key = 'ada@example.com';
SELECT count(*) FROM mailer.ingest(pg_temp.answer(pg_temp.id_of(:answered), 'ada@example.com', 'I am Sesame, call me')) \g /dev/null
SELECT count(*) FROM mailer.ingest(pg_temp.bounce(pg_temp.id_of(:lost), 'ada@example.com', words => '550 5.1.1 Sesame has left')) \g /dev/null
SELECT set_has('SELECT * FROM pg_temp.tables_with(''sesame'')',
    $$VALUES ('mailer.contact'), ('mailer.notification_item'), ('mailer.event'), ('mailer.lead'), ('mailer.message'), ('mailer.outcome'), ('mailer.attempt'), ('mailer.recipient'),
        ('mailer.feedback'), ('mailer.reply')$$, 'the word is everywhere');
SELECT isnt_empty($$SELECT FROM mailer.address_bounce WHERE address_key = 'ada@example.com'$$, 'and a bounce was counted');

SELECT mailer.forget('ADA@example.com') AS forgotten \gset
SELECT is_empty('SELECT * FROM pg_temp.tables_with(''sesame'')', 'afterwards it is nowhere');
SELECT is_empty($$SELECT FROM mailer.address_bounce WHERE address_key = 'ada@example.com'$$, 'nor is how often it bounced');
SELECT isnt_empty($$SELECT FROM mailer.suppression WHERE address_key = 'ada@example.com'$$, 'who gets no mail still gets none');
SELECT is((SELECT count(*) FROM mailer.outcome WHERE message_id IN (:sent, :answered, :lost, :both)), 4::bigint, 'the ledger stays');
SELECT is((SELECT state FROM mailer.status(:waits)), 'cancelled', 'what waited is cancelled');
SELECT is_empty($$SELECT * FROM mailer.verify() WHERE violations > 0$$, 'all invariants hold');
SELECT * FROM finish();
ROLLBACK;
