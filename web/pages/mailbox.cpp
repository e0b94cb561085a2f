// /mailboxes/ID: one account that sends: how it is, a test whose steps are shown as they come, and its connection to
// Google or Microsoft.
#include "pages/mailbox_actions.hpp"

namespace mailer::web {

namespace {

core::Value progress_of(const Session& session, const std::string& mailbox) {
    const Progress progress = session.progress();
    if (progress.subject != mailbox) return {};
    core::Value steps = core::Value::array();
    for (const std::string& step : progress.steps)
        (void)steps.append(object({{"step", text(step)}}));
    return object({{"steps", std::move(steps)},
                   {"is_running", core::Value::boolean(progress.is_running)},
                   {"has_failed", core::Value::boolean(progress.has_failed)}});
}

core::Value mailbox_row(Visit& visit) {
    return visit.row(
        R"sql(
            SELECT mailbox, mailbox_id, state, reason, used_today, warmup_today, limit_today, sending,
                max_connections, rate, lowered_connections, lowered_since, lowered_until,
                lowered_reason, gap::text AS gap, next_at, last_used_at, breaker_since, breaker_until, breaker_failures,
                host, port, tls, username, auth, has_password, token_state,
                token_expires_at, listen_state, listen_error, listening_since, last_heard_at, from_address,
                from_name, daily_limit, ramp_start, ramp_step, ramp_from, timezone, is_default, paused_at,
                round(bounce_rate * 100, 1)::text AS bounce_percent, shield, state = 'paused' AS is_paused,
                state = 'in trouble'
                OR shield LIKE 'shut%' AS is_to_resume
            FROM mailer.mailbox_status
            WHERE mailbox_id = $1::bigint)sql",
        {visit.id()});
}

core::Value show(Visit& visit) {
    core::Value box = mailbox_row(visit);
    const std::string name(box.find("mailbox")->scalar_text());
    core::Value accounts = visit.rows(
        R"sql(
            SELECT app, provider, grant_type, login, subject, has_refresh_token, is_exchanging, failure_code,
                failure_words, failure_hint, failed_at, failures, retry_at, refresh_at, secret_expires_at,
                grant_type = 'refresh_token' AS is_by_consent
            FROM mailer.oauth_status
            WHERE mailbox = $1)sql",
        {name});
    core::Value account = accounts.items().empty() ? core::Value() : accounts.items().front();
    return object(
        {{"box", std::move(box)}, {"account", std::move(account)}, {"test", progress_of(visit.session, name)}});
}

// The consent is given at the provider's: a form of ours can't lead there, a link can. The link may also be mailed to
// the owner of the account.
core::Value show_connect(Visit& visit) {
    if (!visit.may("oauth_url")) throw HttpError(403, "Your role may not do this.");
    core::Value box = mailbox_row(visit);
    const Parameter name = std::string(box.find("mailbox")->scalar_text());
    core::Value accounts =
        visit.rows("SELECT app, provider, login, grant_type FROM mailer.oauth_status WHERE mailbox = $1", {name});
    core::Value page = object({{"box", std::move(box)}});
    if (!accounts.items().empty()) {
        (void)page.set("account", accounts.items().front());
        try {
            (void)page.set("consent", text(visit.value("SELECT mailer.oauth_url($1)", {name})));
        } catch (const SqlError& error) {
            if (error.sqlstate != "55000") throw;
            (void)page.set(
                "problem",
                object({{"what", text(error.what())}, {"detail", text(error.detail)}, {"hint", text(error.hint)}}));
        }
    }
    (void)page.set("redirect_uri", text((visit.request.is_secure ? "https://" : "http://") +
                                        visit.request.header("host") + "/oauth/callback"));
    return page;
}

}  // namespace

static const Registered here{Page{.path = "/mailboxes/{id}",
                                  .title = "Mailbox",
                                  .template_name = "mailbox.html",
                                  .show = show,
                                  .actions = mailbox_actions()}};
static const Registered connect{Page{.path = "/mailboxes/{id}/connect",
                                     .title = "Connect a mailbox",
                                     .template_name = "mailbox_connect.html",
                                     .show = show_connect,
                                     .actions = mailbox_actions()}};

}  // namespace mailer::web
