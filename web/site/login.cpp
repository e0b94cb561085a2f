// Logging in and out. The form has a csrf of its own: the cookie mailer_login with its signature in a hidden field, so
// that nobody can log a person in as somebody else and nothing has to be kept for those who never come back.
#include "person/random.hpp"
#include "site/layout.hpp"
#include "site/site.hpp"

namespace mailer::web {

namespace {

std::string cookie(const std::string& name, const std::string& value, const Request& request,
                   const std::string& more = "") {
    return name + "=" + value + "; Path=/; HttpOnly; SameSite=Strict" + more + (request.is_secure ? "; Secure" : "");
}

// A viewer may call health(), a role that only sends may not. Names of functions are what pages ask Visit::may().
constexpr const char* rights =
    R"sql(
        SELECT EXISTS (SELECT FROM pg_roles r WHERE r.rolsuper
                AND r.rolname IN (session_user, current_user)) AS is_superuser,
            ARRAY(SELECT DISTINCT p.proname::text
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'mailer'
                AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
                AND p.proname !~ '^_') AS may)sql";

}  // namespace

std::unique_ptr<Connection> open_as(const SiteOptions& options, Session& session) {
    auto connection = options.trust_header.empty()
                          ? Connection::open(options.database, session.credentials)
                          : Connection::open_in_role(options.database, session.credentials.role);
    const core::Value found = connection->rows(rights);
    std::set<std::string> may;
    for (const core::Value& name : found.items().at(0).find("may")->items())
        may.emplace(name.scalar_text());
    if (found.items().at(0).find("is_superuser")->is_truthy())
        throw NotForThisRole(
            "Superusers don't log in here. Use a role that mailer.grant_viewer() or mailer.grant_operator() was called "
            "for.");
    if (!may.contains("health"))
        throw NotForThisRole(
            "This role may not look at mail here. An administrator can let it: mailer.grant_viewer() or "
            "mailer.grant_operator().");
    session.set_may(std::move(may));
    return connection;
}

Response Site::show_login(const Request& request, int status, const std::string& problem) {
    std::string before = request.cookie("mailer_login");
    if (before.size() != 64) before = random_text();
    Response response{.status = status};
    response.body = layout().render("Log in", "login.html",
                                    object({{"csrf", text(signature(login_key_, before))},
                                            {"problem", text(problem)},
                                            {"given_role", text(request.form.get("role"))}}));
    response.set("Set-Cookie", cookie("mailer_login", before, request));
    return response;
}

Response Site::log_in(Request& request) {
    read_form(request);
    const std::string before = request.cookie("mailer_login");
    if (before.empty() || !is_same_secret(request.form.get("csrf"), signature(login_key_, before)))
        return show_login(request, 403, "This form was too old, or your browser keeps no cookies. Try again.");
    const std::string role = request.form.get("role");
    if (const int seconds = throttle_.try_after(request.peer, role.substr(0, 100)); seconds > 0) {
        Response response = show_login(request, 429, "Too many tries for this role. Wait a minute.");
        response.set("Retry-After", std::to_string(seconds));
        return response;
    }
    try {
        Session candidate;
        candidate.credentials = {role, request.form.get("password")};
        const auto connection = open_as(options_, candidate);
        const auto session = sessions_.begin(candidate.credentials);
        session->set_may(candidate.may());
        throttle_.succeeded(request.peer, role.substr(0, 100));
        Response response = see_other("/");
        response.set("Set-Cookie", cookie("mailer_session", session->id, request));
        return response;
    } catch (const DatabaseAway&) {
        throttle_.take_back(request.peer, role.substr(0, 100));
        throw;
    } catch (const NotForThisRole& refused) {
        return show_login(request, 403, refused.what());
    } catch (const LoginRefused&) {
        return show_login(request, 401, "Role or password is wrong.");
    }
}

Response Site::log_out(const Request& request, Session& session) {
    sessions_.end(session.id);
    pool_.close_all("person " + session.credentials.role);
    Response response = see_other("/login");
    response.set("Set-Cookie", cookie("mailer_session", "", request, "; Max-Age=0"));
    return response;
}

}  // namespace mailer::web
