-- Why something has not gone out yet, and when it will: asked of the very gates that the sender goes by
-- (src/core/pace/gate, src/core/pace/forecast). Nothing here works a rule out by itself.

CREATE FUNCTION campaign_explain(campaign_id bigint) RETURNS TABLE (gate text, is_open boolean, limit_value text, used text,
    opens_at timestamptz, detail text)
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'mailer_campaign_explain';
COMMENT ON FUNCTION campaign_explain(bigint) IS
'Every gate between a campaign and its next mail, in the order in which they are evaluated: open or shut, its limit, its use, when it opens.
Gates named gate:MAILBOX are those of one mailbox of a pool and alone block nothing. If opens_at of a shut gate is NULL, only a change opens it.
Error 42704 when there is no such campaign.';

CREATE FUNCTION explain(message_id bigint) RETURNS TABLE (gate text, is_open boolean, limit_value text, used text,
    opens_at timestamptz, detail text)
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'mailer_explain';
COMMENT ON FUNCTION explain(bigint) IS
'Every gate between a message and its sending, as campaign_explain; the last line, forecast, shows its slot in the plan.
One line if it is being sent or already settled. Error 42704 when there is no such message.';

CREATE FUNCTION campaign_forecast(campaign_id bigint, overrides jsonb DEFAULT '{}', max_rows integer DEFAULT NULL)
    RETURNS TABLE (ordinal bigint, message_id bigint, recipient text, mailbox text, slot_at timestamptz, step integer)
    LANGUAGE c STABLE ROWS 1000 AS 'MODULE_PATHNAME', 'mailer_campaign_forecast';
COMMENT ON FUNCTION campaign_forecast(bigint, jsonb, integer) IS
'The plan: when each waiting mail of the campaign is sent and from which mailbox, if nothing intervenes, together with the other campaigns and
batches that share its mailboxes. A draft or paused campaign is forecast as if it were started now. overrides (keys as in
campaign_alter: window_start, window_end, allowed_days, gap, jitter, max_per_day, timezone, starts_at, mailboxes, ends_at, max_new_per_day, prefer; and
reply_rate: 0.1 takes one lead in ten to reply before its next step) shows the effect of other settings without changing anything.
Steps that aren''t queued yet have no message_id; they are sent only if the lead doesn''t answer. max_rows: most rows returned. Errors: 42704 no such campaign or mailbox, 22023 an unknown or bad override.';
