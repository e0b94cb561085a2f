-- The curve of a campaign in report(): of many messages it reads only some, and shows the same.
BEGIN;
SELECT plan(3);

SELECT mailer.mailbox_create('desk', 'localhost', 9, from_address => 'desk@example.com', tls => 'none') \g /dev/null
SELECT mailer.template_set('news', 'News', 'Hello') \g /dev/null
SELECT mailer.campaign_create('large', 'news', ARRAY['desk'], '08:00', '18:00', gap => '1 s') AS campaign \gset
SELECT mailer.campaign_add_many(:campaign, array(SELECT 'lead' || n || '@example.com' FROM generate_series(1, 20000) n)) \g /dev/null
-- The first half has been sent, one each second.
WITH gone AS (DELETE FROM mailer.queue_entry q USING (SELECT message_id, row_number() OVER (ORDER BY message_id) AS n FROM mailer.message) m
              WHERE q.message_id = m.message_id AND m.n <= 10000 RETURNING m.message_id, m.n)
INSERT INTO mailer.outcome (message_id, state, settled_at, attempt_count, try_count)
SELECT message_id, 'S', timestamptz '2030-01-01 00:00Z' + n * interval '1 s', 1, 1 FROM gone;

CREATE FUNCTION pg_temp.curve(total bigint) RETURNS TABLE (x numeric, y numeric) LANGUAGE sql AS $$
    SELECT m[1]::numeric, m[2]::numeric
    FROM regexp_matches(substring(mailer._svg_campaign((SELECT campaign_id FROM mailer.campaign), '2030-01-01 00:00Z', '2030-01-01 02:46:40Z', total, '{}')
                                  FROM 'class="area" d="([^"]*)"'), 'H([0-9.]+)V(-?[0-9.]+)', 'g') m
$$;
SELECT cmp_ok((SELECT count(*) FROM pg_temp.curve(20000)), '>', 190::bigint, 'two hundred steps');
SELECT cmp_ok((SELECT max(abs(y - (100 - x / 2))) FROM pg_temp.curve(20000) WHERE y < 100), '<', 1.0, 'half of them, at an even pace');
SELECT cmp_ok((SELECT count(*) FROM pg_temp.curve(4000) s JOIN pg_temp.curve(20000) e USING (x)), '>', 90::bigint, 'read whole or in part, the steps are the same');

SELECT * FROM finish();
ROLLBACK;
