-- How mail of a mailbox or campaign fares, in words and numbers, for the views.

CREATE FUNCTION _shield_text(scope "char", id bigint, share numeric) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT CASE WHEN _shield_text.share IS NULL THEN NULL ELSE COALESCE((
        SELECT CASE WHEN s.shut_at IS NOT NULL THEN 'shut: ' || s.shut_reason
               ELSE format('open: %s of %s refused or bounced', (SELECT count(*) FROM unnest(s.faults) x WHERE x), cardinality(s.faults)) END
        FROM mailer.shield s WHERE s.scope = _shield_text.scope AND s.id = _shield_text.id), 'open: 0 of 0 refused or bounced') END
$$;
COMMENT ON FUNCTION _shield_text("char", bigint, numeric) IS 'A shield in words: share, count and whether it is shut; NULL: it is off';

CREATE FUNCTION _bounce_rate(mailbox_id bigint) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, mailer, pg_temp
AS $$
    SELECT round((SELECT count(DISTINCT f.message_id) FROM mailer.feedback f
                  WHERE f.mailbox_id = _bounce_rate.mailbox_id AND f.is_hard AND NOT f.is_guess AND f.at > mailer._now() - interval '30 days')::numeric
        / NULLIF((SELECT sum(d.used) FROM mailer.mailbox_day d
                  WHERE d.mailbox_id = _bounce_rate.mailbox_id AND d.day > (mailer._now() - interval '30 days')::date), 0), 4)
$$;
COMMENT ON FUNCTION _bounce_rate(bigint) IS 'Share of a mailbox''s mails of the last 30 days that bounced hard; NULL: it sent none';

REVOKE ALL ON FUNCTION _shield_text("char", bigint, numeric), _bounce_rate(bigint) FROM PUBLIC;
