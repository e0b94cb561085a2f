// Single sign-on: a proxy has asked who it is and says so in a header, with every request. There is no cookie and no
// password here. The name of the role is the id of the person's session, which keeps the csrf and the notice.
#include <cstdio>

#include "site/site.hpp"

namespace mailer::web {

namespace {
constexpr std::size_t longest_name = 63;  // of a role
}

// "": nobody. A header that came twice may be one of the client's beside the proxy's.
std::string Site::signed_on(const Request& request) const {
    const std::string& header = options_.trust_header;
    if (header.empty() || !request.is_from_proxy || request.repeated.contains(header)) return {};
    const std::string& name = request.header(header);
    return name.size() > longest_name ? std::string() : name;
}

// The session of a person's first visit. Throws HttpError 403 for a person who may not be here.
std::shared_ptr<Session> Site::sign_on(const Request& request) {
    Session candidate;
    candidate.credentials.role = signed_on(request);
    const std::string& name = candidate.credentials.role;
    if (name.empty()) throw HttpError(403, "The proxy before this page doesn't say who you are.");
    try {
        pool_.close_all("person " + name);
        const auto connection = open_as(options_, candidate);
    } catch (const NotForThisRole& refused) {
        throw HttpError(403, refused.what());
    } catch (const LoginRefused& refused) {
        std::fprintf(stderr, "mailer-web: single sign-on: %s\n", refused.what());
        throw HttpError(403, "You are signed on as " + name + ", which is no role that may come here.");
    }
    auto session = sessions_.begin(candidate.credentials, name);
    session->set_may(candidate.may());
    return session;
}

}  // namespace mailer::web
