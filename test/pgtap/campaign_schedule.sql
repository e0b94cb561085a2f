-- A kept forecast, and what became of it: mailer.campaign_forecast_keep and view campaign_schedule.
SET search_path = pg_catalog, public;
BEGIN;
SELECT no_plan();
\ir fixture.psql

SELECT is(mailer.campaign_forecast_keep(:spring), 3::bigint, 'a forecast is kept, a slot for each mail');
SELECT slot_at AS slot FROM mailer.campaign_forecast(:spring) WHERE recipient = 'ada@example.com' \gset
SELECT pg_temp.send(:ada, :'slot'::timestamptz + interval '2 s', :one, '1 s') \g /dev/null
SELECT results_eq(format('SELECT recipient, step, state, foretold_at, difference FROM mailer.campaign_schedule WHERE campaign_id = %s', :spring),
    format('VALUES (''ada@example.com'', 1, ''sent'', %L::timestamptz, interval ''3 s'')', :'slot'), 'a mail that went stands beside what was foretold');
SELECT is(mailer.campaign_forecast_keep(:spring), 2::bigint, 'a later forecast is of what still waits');
SELECT is((SELECT foretold_at FROM mailer.campaign_schedule WHERE message_id = :ada), :'slot'::timestamptz, 'and leaves what has gone as it was');
SELECT throws_ok('SELECT mailer.campaign_forecast_keep(-1)', '42704', NULL, 'a campaign that isn''t there has none');
SELECT is((SELECT state FROM mailer.campaign_list WHERE campaign_id = :spring), 'running', 'campaign_list has state and settings');
SELECT mailer.campaign_cancel(:spring) \g /dev/null
SELECT mailer.campaign_delete(:spring) \g /dev/null
SELECT is_empty('SELECT FROM mailer.campaign_plan', 'a kept forecast goes with its campaign');
SELECT * FROM finish();
ROLLBACK;
