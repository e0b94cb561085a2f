// /mailboxes: which accounts send, listen and are connected; what needs a person comes first.
#include "pages/mail_frame.hpp"
#include "pages/mailbox_actions.hpp"

namespace mailer::web {

namespace {

// 0 needs a person, 1 is paused by one, 2 waits for something that ends by itself, 3 is well. Parameter: what to show.
std::string mailboxes() {
    return R"sql(
        SELECT *
        FROM (SELECT (CASE WHEN m.state = 'in trouble' OR m.listen_state = 'in trouble'
                    OR m.token_state IN ('refused', 'consent_needed')
                    OR m.shield LIKE 'shut%' THEN '0' WHEN m.state = 'paused' THEN '1' WHEN m.state <>
            'ready' THEN '2' ELSE '3' END || m.mailbox) COLLATE "C" AS place, m.mailbox, m.mailbox_id,
            m.state, m.reason, m.used_today, m.limit_today, m.sending, m.gap::text AS gap, m.next_at,
            m.breaker_until, m.breaker_failures, )sql" +
           token_words + R"sql( AS token_words, NULLIF(m.listen_state,
            'off') AS listen_state, m.listen_error, m.last_heard_at, m.from_address,
            round(m.bounce_rate * 100, 1)::text AS bounce_percent, m.bounce_rate >= 0.05 AS is_bouncing,
            m.shield, m.state = 'paused' AS is_paused, m.token_state NOT IN ('none', 'valid',
            'refreshing') AS is_token_bad
            FROM mailer.mailbox_status m) m
        WHERE CASE $1::text WHEN 'trouble' THEN m.place < '1' WHEN 'paused' THEN m.is_paused WHEN
            'not connected' THEN m.is_token_bad ELSE true END
            AND (:after::text IS NULL OR m.place > :after::text) ORDER BY m.place
        LIMIT :limit)sql";
}

core::Value show(Visit& visit) {
    Parameter what = visit.query("show");
    if (!what) what = "all";
    core::Value page = visit.list(mailboxes(), {what}, "place", 100);
    (void)page.set("counts", visit.row(R"sql(
            SELECT count(*) AS mailboxes, count(*) FILTER (WHERE state = 'paused') AS paused,
                count(*) FILTER (WHERE state = 'in trouble') AS in_trouble,
                count(*) FILTER (WHERE token_state <> 'none') AS to_connect,
                count(*) FILTER (WHERE token_state IN ('valid', 'refreshing')) AS connected,
                count(*) FILTER (WHERE token_state = 'consent_needed') AS without_consent,
                count(*) FILTER (WHERE token_state = 'refused') AS refused,
                count(*) FILTER (WHERE listen_state <> 'off') AS to_listen,
                count(*) FILTER (WHERE listen_state = 'listening') AS listening
            FROM mailer.mailbox_status)sql"));
    (void)page.set("shows", choices({"all", "trouble", "paused", "not connected"}, what));
    (void)page.set("is_empty", core::Value::boolean(page.find("rows")->items().empty()));
    return page;
}

}  // namespace

static const Registered here{Page{.path = "/mailboxes",
                                  .title = "Mailboxes",
                                  .menu_place = 50,
                                  .template_name = "mailbox_list.html",
                                  .show = show,
                                  .actions = mailbox_actions()}};

}  // namespace mailer::web
