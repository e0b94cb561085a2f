// /oauth/callback: where Google and Microsoft lead the owner of an account after he has consented to
// mailer.oauth_url().
#include "site/layout.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

// The whole address, so that the database reads what the provider says when it refuses, too.
Response get(Request& request, Gateway& gateway) {
    if (!request.query.has("state")) throw HttpError(400, "The address has no state: it isn't whole.");
    std::string url = "/oauth/callback";
    for (const Field& f : request.query.list())
        url +=
            (url.find('?') == std::string::npos ? "?" : "&") + encode_percent(f.name) + "=" + encode_percent(f.value);
    const core::Value rows = request.query.has("error")
                                 ? gateway.rows("SELECT mailer.oauth_code(NULL, $1) AS mailbox", {url})
                                 : gateway.rows("SELECT mailer.oauth_code($1, $2) AS mailbox",
                                                {request.query.get("state"), request.query.get("code")});
    return public_response(200, "Connected", "oauth.html", object({{"mailbox", *rows.items().at(0).find("mailbox")}}));
}

}  // namespace

static const Registered here{PublicPage{.path = "/oauth/callback", .get = get}};

}  // namespace mailer::web
