#include "site/site.hpp"

#include <cstdio>
#include <set>

#include "person/random.hpp"
#include "site/layout.hpp"

namespace mailer::web {

namespace {

constexpr std::size_t small_body = 64u << 10;
constexpr std::size_t per_person = 2;  // requests at a time, so connections
constexpr std::size_t for_public = 8;

const Page* find_page(const std::string& path, std::map<std::string, std::string, std::less<>>& names) {
    for (const Page& page : pages())
        if (matches(page.path, path, names)) return &page;
    return nullptr;
}

const PublicPage* find_public(const std::string& path, std::map<std::string, std::string, std::less<>>& names) {
    for (const PublicPage& page : public_pages())
        if (matches(page.path, path, names)) return &page;
    return nullptr;
}

bool is_refresh(const Request& request) { return !request.header("x-refresh").empty(); }

// What a statement's failure means for the person who asked.
Response response_of(const SqlError& error) {
    const std::string& state = error.sqlstate;
    int status = 500;
    if (state == "42501" || state.starts_with("28"))
        status = 403;
    else if (state == "55P03" || state.starts_with("53") || state.starts_with("40"))
        status = 503;
    else if (state == "42704" || state == "P0002")
        status = 404;
    else if (state.starts_with("55") || state.starts_with("23") || state == "42710")
        status = 409;
    else if (state.starts_with("22") || state.starts_with("P0") || state.starts_with("54") || state.starts_with("0A"))
        status = 400;
    if (status == 500) std::fprintf(stderr, "mailer-web: %s: %s\n", state.c_str(), error.what());
    if (state == "57014") return error_page(504, "The database took longer than 10 seconds to answer this.");
    return error_page(status, error.what(), error.detail, error.hint);
}

// Connects when a statement is first asked for.
class PooledGateway : public Gateway {
public:
    PooledGateway(Pool& pool, const std::string& conninfo) : pool_(pool), conninfo_(conninfo) {}
    core::Value rows(const std::string& sql, const Parameters& parameters) override {
        try {
            if (!lease_) lease_ = pool_.take("gateway ", [this] { return Connection::open(conninfo_, std::nullopt); });
            return lease_->rows(sql, parameters);
        } catch (const LoginRefused& error) {
            std::fprintf(stderr, "mailer-web: --gateway: %s\n", error.what());
            throw DatabaseAway(error.what());
        }
    }

private:
    Pool& pool_;
    const std::string& conninfo_;
    Pool::Lease lease_ = nullptr;
};

}  // namespace

Site::Site(SiteOptions options) : options_(std::move(options)), login_key_(random_text()) { (void)layout(); }

Response Site::refuse(int status, const std::string& message) { return error_page(status, message); }

std::shared_ptr<Session> Site::session_of(const Request& request, bool is_click) {
    const std::string id = options_.trust_header.empty() ? request.cookie("mailer_session") : signed_on(request);
    return id.empty() ? nullptr : sessions_.find(id, is_click);
}

Plan Site::plan(const Request& request) {
    std::map<std::string, std::string, std::less<>> names;
    const bool is_post = request.method == "POST";
    if (const PublicPage* page = find_public(request.path, names))
        return {.key = "public", .limit = for_public, .body_limit = is_post ? page->body_limit : 0};
    if (request.path == "/healthz") return {.key = "health", .limit = 2, .body_limit = 0};
    if (request.path == "/login")
        return {.key = "login " + request.peer, .limit = 2, .body_limit = is_post ? small_body : 0};
    const Page* page = options_.is_public_only ? nullptr : find_page(request.path, names);
    const auto session = page ? session_of(request, false) : nullptr;
    if (session)
        return {.key = "person " + session->credentials.role,
                .limit = per_person,
                .body_limit = is_post ? page->body_limit : 0};
    // The first request of somebody connects as the person, too.
    if (const std::string name = page ? signed_on(request) : ""; !name.empty())
        return {.key = "person " + name, .limit = per_person, .body_limit = is_post ? small_body : 0};
    return {.key = "anybody", .limit = 4, .body_limit = is_post ? small_body : 0};
}

Response Site::handle(Request& request) {
    try {
        return route(request);
    } catch (const HttpError& error) {
        return error_page(error.status(), error.what());
    } catch (const SqlError& error) {
        return response_of(error);
    } catch (const DatabaseAway& error) {
        std::fprintf(stderr, "mailer-web: %s\n", error.what());
        Response away = error_page(
            503,
            "The database doesn't answer at the moment. This page works again as soon as it is back; nothing is lost.");
        away.set("Retry-After", "5");
        return away;
    } catch (const std::exception& error) {
        // Only its beginning: what follows may be a secret.
        std::fprintf(stderr, "mailer-web: %s: %s\n", request.path.substr(0, request.path.find('/', 1)).c_str(),
                     error.what());
        return {.status = 500, .type = "text/plain; charset=utf-8", .body = "Something went wrong.\n"};
    }
}

Response Site::route(Request& request) {
    if (request.path == "/healthz") return health();
    if (request.method == "GET" && request.path.starts_with("/static/")) return static_file(request.path.substr(8));
    if (request.method == "GET" && (request.path == "/favicon.ico" || request.path == "/favicon.svg"))
        return static_file("favicon.svg");
    if (const PublicPage* page = find_public(request.path, request.names); page && !options_.gateway.empty())
        return serve_public(*page, request);
    if (!options_.is_public_only) {
        if (request.path == "/login") {
            if (!options_.trust_header.empty()) return see_other("/");
            return request.method == "POST" ? log_in(request) : show_login(request, 200, "");
        }
        if (const Page* page = find_page(request.path, request.names)) return serve_page(*page, request);
    }
    throw HttpError(404, "There is no such page.");
}

// For load balancers. Where there is a gateway, its role must be able to ask something, too.
Response Site::health() {
    bool is_well = false;
    try {
        if (!options_.gateway.empty())
            is_well = !PooledGateway(pool_, options_.gateway).rows("SELECT 1", {}).items().empty();
        else
            is_well = is_server_there(options_.database);
    } catch (const std::exception&) {
        is_well = false;
    }
    return {.status = is_well ? 200 : 503,
            .type = "text/plain; charset=utf-8",
            .body = is_well ? "ok\n" : "the database is away\n"};
}

Response Site::serve_public(const PublicPage& page, Request& request) {
    const auto& handler = request.method == "POST" ? page.post : page.get;
    if (!handler) throw HttpError(405, "This address takes " + std::string(page.post ? "POST" : "GET") + " only.");
    PooledGateway gateway(pool_, options_.gateway);
    gateway.has_pages = !options_.is_public_only;
    return handler(request, gateway);
}

Pool::Lease Site::lease(Session& session) {
    return pool_.take("person " + session.credentials.role, [&] { return open_as(options_, session); });
}

Response Site::serve_page(const Page& page, Request& request) {
    auto session = session_of(request, !is_refresh(request));
    if (!session) {
        if (options_.trust_header.empty()) return see_other("/login");
        session = sign_on(request);
    }
    if (request.method == "POST") {
        read_form(request);
        if (!is_same_secret(request.form.get("csrf"), session->csrf))
            throw HttpError(403, "This form is too old, or not from here. Load the page again.");
        if (page.path == "/logout") return log_out(request, *session);
    }
    try {
        const Pool::Lease connection = lease(*session);
        Visit visit(request, *session, *connection);
        if (request.method == "POST") return act(page, visit);
        return page.respond ? page.respond(visit) : show(page, visit, page.show(visit));
    } catch (const LoginRefused&) {
        // The password, or the right to be here, was taken away in the meantime.
        sessions_.end(session->id);
        if (!options_.trust_header.empty()) (void)sign_on(request);
        return see_other("/login");
    }
}

Response Site::show(const Page& page, Visit& visit, core::Value variables) {
    if (variables.kind() != core::Value::Kind::object) variables = core::Value::object();
    const core::Value around = frame(visit.request, visit.session);
    for (const auto& member : around.members())
        (void)variables.set(member.key, member.value);
    return {.body = layout().render(page.title, page.template_name, std::move(variables))};
}

// What the layout shows around every page, and what every template may use.
core::Value Site::frame(const Request& request, Session& session) {
    core::Value menu = core::Value::array(), may = core::Value::object(), remarks = core::Value::array();
    for (const Page& page : pages())
        if (page.menu_place > 0) {
            const bool is_here = page.path == "/"
                                     ? request.path == "/"
                                     : request.path == page.path || request.path.starts_with(page.path + "/");
            (void)menu.append(object(
                {{"href", text(page.path)}, {"name", text(page.title)}, {"is_here", core::Value::boolean(is_here)}}));
        }
    Notice notice = is_refresh(request) ? Notice() : session.take_notice();
    for (const Remark& one : notice.remarks)
        (void)remarks.append(object({{"is_warning", core::Value::boolean(one.is_warning)},
                                     {"words", text(one.words)},
                                     {"detail", text(one.detail)},
                                     {"hint", text(one.hint)}}));
    for (const std::string& name : session.may())
        (void)may.set(name, core::Value::boolean(true));
    return object({{"menu", std::move(menu)},
                   {"may", std::move(may)},
                   {"csrf", text(session.csrf)},
                   {"role", text(session.credentials.role)},
                   {"has_login", core::Value::boolean(options_.trust_header.empty())},
                   {"here", text(request.path)},
                   {"notice", text(std::move(notice.text))},
                   {"has_remarks", core::Value::boolean(!notice.remarks.empty())},
                   {"remarks", std::move(remarks)}});
}

Response Site::act(const Page& page, Visit& visit) {
    const std::string& name = visit.request.form.get("action");
    for (const Action& action : page.actions) {
        if (action.name != name) continue;
        if (!action.needs.empty() && !visit.may(action.needs)) throw HttpError(403, "Your role may not do this.");
        if (action.show) return show(page, visit, action.show(visit));
        (void)visit.take_remarks();
        std::string done = action.run(visit);
        visit.session.set_notice({.text = std::move(done), .remarks = visit.take_remarks()});
        // Encoded, for a path that names something may hold anything.
        std::string back = visit.leads_to.empty() ? action.leads_to : visit.leads_to;
        if (back.empty())
            for (const char c : visit.request.path)
                back += c == '/' ? "/" : encode_percent({&c, 1});
        return see_other(back);
    }
    throw HttpError(400, "There is no such action.");
}

}  // namespace mailer::web
