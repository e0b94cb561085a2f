// Takes requests apart: which page, whose session, which right, what went wrong.
#pragma once

#include <memory>
#include <string>

#include "db/pool.hpp"
#include "http/server.hpp"
#include "person/session.hpp"
#include "person/throttle.hpp"
#include "site/page.hpp"

namespace mailer::web {

struct SiteOptions {
    std::string database = {};  // conninfo without role and password; empty with is_public_only
    std::string gateway = {};   // conninfo; empty: no public URLs but /healthz
    bool is_public_only = false;
    // Single sign-on: the header, in lower case, in which the proxy says who it is. Then database names the role that
    // may SET ROLE to the persons'. Empty: people log in.
    std::string trust_header = {};
};

class Site : public Handler {
public:
    explicit Site(SiteOptions options);

    Plan plan(const Request& request) override;
    Response handle(Request& request) override;
    Response refuse(int status, const std::string& message) override;

private:
    Response route(Request& request);
    Response health();
    Response show_login(const Request& request, int status, const std::string& problem);
    Response log_in(Request& request);
    Response log_out(const Request& request, Session& session);
    std::string signed_on(const Request& request) const;
    std::shared_ptr<Session> sign_on(const Request& request);
    Response show(const Page& page, Visit& visit, core::Value variables);
    Response act(const Page& page, Visit& visit);
    Response serve_page(const Page& page, Request& request);
    Response serve_public(const PublicPage& page, Request& request);
    std::shared_ptr<Session> session_of(const Request& request, bool is_click);
    Pool::Lease lease(Session& session);
    core::Value frame(const Request& request, Session& session);

    const SiteOptions options_;
    const std::string login_key_;
    Sessions sessions_;
    Throttle throttle_;
    Pool pool_;
};

// Opens a connection as this person and stores in the session what the role may do. Throws LoginRefused also for
// superusers, and for roles that grant_viewer() wasn't called for: NotForThisRole then.
class NotForThisRole : public LoginRefused {
    using LoginRefused::LoginRefused;
};
std::unique_ptr<Connection> open_as(const SiteOptions& options, Session& session);

}  // namespace mailer::web
