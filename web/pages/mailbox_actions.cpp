#include "pages/mailbox_actions.hpp"

namespace mailer::web {

namespace {

// Longer than the other statements of a page: a server that doesn't answer is to be found out by the mailbox's own
// connect_timeout, which says at which step.
constexpr const char* time_of_test = "25s";

Parameter mailbox_of(Visit& visit) {
    const Parameter name = visit.form("mailbox");
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
    if (!app && provider != "google" && provider != "microsoft365") throw HttpError(400, "Choose Google or Microsoft.");
    const Parameter secret = visit.form("client_secret"), tenant = visit.form("tenant"), login = visit.form("login");
    // An application that mailboxes share, by its name; or one of this mailbox alone.
    visit.rows(
        R"sql(
            SELECT mailer.oauth_set($1, jsonb_strip_nulls(jsonb_build_object('app', $2::text, 'login',
                $3::text)) || CASE WHEN $2::text IS NULL THEN
                jsonb_strip_nulls(jsonb_build_object('provider', $4::text, 'client_id', $5::text,
                'client_secret', $6::text, 'tenant', $7::text, 'redirect_uri', $8::text, 'grant',
                'refresh_token')) ELSE '{}' END))sql",
        {name, app, login, provider, visit.form("client_id"), secret, tenant, visit.form("redirect_uri")});
    return "Stored. Now the owner of the account has to consent.";
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
            {.name = "connect", .needs = "oauth_set", .run = connect_mailbox}};
}

}  // namespace mailer::web
