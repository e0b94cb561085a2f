// /mailboxes/ID: one account that sends: how it is, a test whose steps are shown as they come, and its connection to
// Google, Microsoft or another provider that wants OAuth2. /mailboxes/ID/connect: what the provider knows mailer by, and
// the link by which the owner of the account allows it.
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
                host, port, tls, username, auth, has_password, listen_state, listen_error, listening_since, last_heard_at, from_address,
                from_name, daily_limit, ramp_start, ramp_step, ramp_from, timezone, is_default, paused_at,
                round(bounce_rate * 100, 1)::text AS bounce_percent, shield, state = 'paused' AS is_paused,
                state = 'in trouble'
                OR shield LIKE 'shut%' AS is_to_resume
            FROM mailer.mailbox_status
            WHERE mailbox_id = $1::bigint)sql",
        {visit.id()});
}

// Its connection; nothing where it has none.
core::Value account_of(Visit& visit, const std::string& mailbox) {
    core::Value accounts = visit.rows(
        R"sql(
            SELECT app, provider, grant_type, login, subject, has_refresh_token, is_exchanging, failure_code,
                failure_words, failure_hint, failed_at, failures, retry_at, refresh_at, secret_expires_at, client_id,
                token_url, scope, CASE token_state WHEN 'valid' THEN token_expires_at END AS token_expires_at,
                token_state = 'valid' AS is_valid, token_state = 'refreshing' AS is_refreshing,
                token_state = 'refused' AS is_refused, token_state = 'consent_needed' AS is_consent_needed,
                token_state = 'provider_unreachable' AS is_unreachable,
                grant_type = 'refresh_token' AS is_by_consent, CASE WHEN is_other_account THEN consented_by END AS other_account
            FROM mailer.oauth_status
            WHERE mailbox = $1)sql",
        {mailbox});
    return accounts.items().empty() ? core::Value() : accounts.items().front();
}

core::Value show(Visit& visit) {
    core::Value box = mailbox_row(visit);
    const std::string name(box.find("mailbox")->scalar_text());
    return object(
        {{"box", std::move(box)}, {"account", account_of(visit, name)}, {"test", progress_of(visit.session, name)}});
}

// The link by which the owner allows it, and whether it leads back here; or why there is none.
void add_consent(Visit& visit, const std::string& mailbox, const std::string& redirect_uri, core::Value& page) {
    try {
        const std::string url = visit.value("SELECT mailer.oauth_url($1)", {mailbox});
        (void)page.set("consent", text(url));
        (void)page.set(
            "leads_elsewhere",
            core::Value::boolean(url.find("&redirect_uri=" + encode_percent(redirect_uri) + "&") == std::string::npos));
        // The view doesn't have it: what stands before the parameters that were added.
        (void)page.set("auth_url", text(url.substr(0, url.find("response_type=code") - 1)));
    } catch (const SqlError& error) {
        if (error.sqlstate != "55000") throw;
        (void)page.set("problem", object({{"what", text(error.what())}, {"detail", text(error.detail)}}));
    }
}

// The consent is given at the provider's: a form of ours can't lead there, a link can. The link may also be mailed to
// the owner of the account.
core::Value show_connect(Visit& visit) {
    if (!visit.may("oauth_url")) throw HttpError(403, "Your role may not do this.");
    core::Value box = mailbox_row(visit);
    const std::string name(box.find("mailbox")->scalar_text());
    const std::string redirect_uri =
        (visit.request.is_secure ? "https://" : "http://") + visit.request.header("host") + "/oauth/callback";
    core::Value account = account_of(visit, name);
    core::Value page = object({{"redirect_uri", text(redirect_uri)}});
    std::string login(box.find("username")->scalar_text()), provider;
    if (account.kind() == core::Value::Kind::object) {
        if (account.find("is_by_consent")->is_truthy()) add_consent(visit, name, redirect_uri, page);
        if (account.find("login")->is_truthy()) login = account.find("login")->scalar_text();
        provider = account.find("provider")->is_truthy() ? account.find("provider")->scalar_text() : "another";
        // What is registered for all mailboxes of an application is not put into one for this mailbox alone.
        if (!account.find("app")->is_truthy()) (void)page.set("own", account);
    }
    (void)page.set("proposed_login", text(login));
    for (const char* known : {"google", "microsoft365", "another"})
        (void)page.set(std::string("is_") + known, core::Value::boolean(provider == known));
    (void)page.set("box", std::move(box));
    (void)page.set("account", std::move(account));
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
