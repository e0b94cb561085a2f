#include "pages/mailbox_actions.hpp"

namespace mailer::web {

namespace {

// Longer than the other statements of a page: a server that doesn't answer is to be found out by the mailbox's own
// connect_timeout, which says at which step.
constexpr const char* time_of_test = "25s";

Parameter mailbox_of(Visit& visit) {
    Parameter name = visit.form("mailbox");
    if (!name) throw HttpError(400, "The form names no mailbox.");
    return name;
}

}  // namespace

std::string pause_mailbox(Visit& visit) {
    const Parameter name = mailbox_of(visit);
    visit.rows("SELECT mailer.mailbox_pause($1, $2)", {name, visit.form("reason")});
    return "Mailbox " + *name + " is paused. What waits for it waits.";
}

std::string resume_mailbox(Visit& visit) {
    const Parameter name = mailbox_of(visit);
    visit.rows("SELECT mailer.mailbox_resume($1)", {name});
    return "Mailbox " + *name + " sends again, and tries its server at once.";
}

std::string test_mailbox(Visit& visit) {
    const Parameter name = mailbox_of(visit);
    Session& session = visit.session;
    session.begin_progress(*name);
    bool has_failed = false;
    try {
        visit.rows("SELECT set_config('statement_timeout', $1, false)", {time_of_test});
        visit.rows("CALL mailer.mailbox_test($1)", {name},
                   [&](const std::string& step) { session.add_progress(step); });
    } catch (const SqlError& error) {
        has_failed = true;
        session.add_progress(error.sqlstate == "57014" ? "Given up: it took longer than 25 s." : error.what());
        if (!error.detail.empty()) session.add_progress(error.detail);
        if (!error.hint.empty()) session.add_progress(error.hint);
    } catch (...) {
        session.end_progress(true);
        throw;
    }
    session.end_progress(has_failed);
    visit.rows("RESET statement_timeout");
    return has_failed ? "The test failed: see its last step." : "The test went well: " + *name + " can log in.";
}

std::string connect_mailbox(Visit& visit) {
    const Parameter name = mailbox_of(visit), provider = visit.form("provider"), app = visit.form("app");
    const Parameter login = visit.form("login"), auth_url = visit.form("auth_url"), token_url = visit.form("token_url");
    if (app) {
        // An application that mailboxes share, by its name.
        visit.rows(
            R"sql(
                SELECT mailer.oauth_set($1, jsonb_strip_nulls(jsonb_build_object('app', $2::text, 'login',
                    $3::text))))sql",
            {name, app, login});
        return "Stored. What is to be done next is said below.";
    }
    if (provider != "google" && provider != "microsoft365" && provider != "another")
        throw HttpError(400, "Choose Google, Microsoft 365 or another provider.");
    if (provider == "another" && (!auth_url || !token_url))
        throw HttpError(
            400,
            "mailer doesn't know this provider's addresses: enter both, where the owner allows it and where "
            "mailer gets its access.");
    // One of this mailbox alone. An empty field keeps what is stored; addresses and scope of another provider don't
    // stay.
    visit.rows(
        R"sql(
            SELECT mailer.oauth_set($1, '{"app": null}' || CASE WHEN $3::text = 'another' THEN
                jsonb '{"provider": null, "tenant": null}' WHEN EXISTS (SELECT FROM mailer.oauth_status
                    WHERE mailbox = $1 AND app IS NULL AND provider = $3) THEN '{}' ELSE
                '{"auth_url": null, "token_url": null, "device_url": null, "scope": null}' END ||
                jsonb_strip_nulls(jsonb_build_object('login', $2::text, 'provider', NULLIF($3, 'another'),
                'client_id', $4::text, 'client_secret', $5::text, 'tenant', CASE $3 WHEN
                'microsoft365' THEN $6::text END, 'redirect_uri', $7::text, 'grant', 'refresh_token') || CASE $3 WHEN
                'another' THEN jsonb_build_object('auth_url', $8::text, 'token_url', $9::text, 'scope',
                $10::text) ELSE '{}' END)))sql",
        {name, login, provider, visit.form("client_id"), visit.form("client_secret"), visit.form("tenant"),
         visit.form("redirect_uri"), auth_url, token_url, visit.form("scope")});
    return "Stored. What is to be done next is said below.";
}

std::string take_address(Visit& visit) {
    const Parameter address = visit.form("address");
    if (!address) throw HttpError(400, "The address is empty.");
    return "Thank you. " + visit.value("SELECT mailer.oauth_code(NULL, $1)", {address}) + " is being connected.";
}

// A host and port, or a provider that knows its own. The password goes apart, as a parameter.
std::string create_mailbox(Visit& visit) {
    const Parameter name = visit.form("name"), password = visit.form("password");
    const std::string id = visit.value(
        R"sql(
            SELECT mailer.mailbox_create($1::text, $2::text, COALESCE($3::integer, 587),
                from_address => $4::text, from_name => $5::text, username => $6::text, tls => $7::text,
                daily_limit => $8::integer, provider => $9::text))sql",
        {name, visit.form("host"), visit.form("port"), visit.form("from_address"), visit.form("from_name"),
         visit.form("username"), visit.form("tls"), visit.form("daily_limit"), visit.form("provider")});
    visit.leads_to = "/mailboxes/" + id;
    if (password) visit.rows("SELECT mailer.mailbox_set_password($1, $2)", {name, password});
    return visit.form("provider") ? "Mailbox " + *name + " is there. Connect it with its provider, below."
                                  : "Mailbox " + *name + " is there. Test its login, below.";
}

std::string set_password(Visit& visit) {
    const Parameter name = mailbox_of(visit), password = visit.form("password");
    if (!password) throw HttpError(400, "The password is empty.");
    visit.rows("SELECT mailer.mailbox_set_password($1, $2)", {name, password});
    return "The password of " + *name + " is changed. Test its login, below.";
}

std::vector<Action> mailbox_actions() {
    return {{.name = "create", .needs = "mailbox_create", .run = create_mailbox},
            {.name = "password", .needs = "mailbox_set_password", .run = set_password},
            {.name = "pause", .needs = "mailbox_pause", .run = pause_mailbox},
            {.name = "resume", .needs = "mailbox_resume", .run = resume_mailbox},
            {.name = "test", .needs = "mailbox_test", .run = test_mailbox},
            {.name = "connect", .needs = "oauth_set", .run = connect_mailbox},
            {.name = "address", .needs = "oauth_code", .run = take_address}};
}

}  // namespace mailer::web
