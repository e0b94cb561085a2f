// /u/TOKEN: where the link of a mail leads. GET asks and changes nothing, for mail scanners follow links; POST does it,
// from the page's button as from a mail program (RFC 8058): no cookie, no csrf, no redirect, and again as often as it
// likes.
#include "site/layout.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

// What the scope of a token is called on the page.
std::string words_for(std::string_view scope) {
    if (scope == "bulk") return "all lists and campaigns";
    if (scope == "campaigns") return "campaigns";
    if (scope.starts_with("campaign:")) return "this campaign";
    if (const std::size_t colon = scope.find(':'); colon != std::string_view::npos)
        return std::string(scope.substr(colon + 1));
    return std::string(scope);
}

core::Value ask(Gateway& gateway, const char* sql, const Parameters& parameters) {
    try {
        return gateway.rows(sql, parameters).items().at(0);
    } catch (const SqlError& error) {
        if (error.sqlstate == "22023")
            throw HttpError(
                404, "This link isn't whole, or it isn't from here. Use the link of the mail as it stands there.");
        throw;
    }
}

std::string member(const core::Value& row, const char* name) {
    const core::Value* found = row.find(name);
    return found ? std::string(found->scalar_text()) : "";
}

Response get(Request& request, Gateway& gateway) {
    const std::string& token = request.names["token"];
    const core::Value row =
        ask(gateway, "SELECT scope, address, is_unsubscribed FROM mailer.unsubscribe_preview($1)", {token});
    return public_response(200, "Unsubscribe", "unsubscribe.html",
                           object({{"token", text(token)},
                                   {"address", text(member(row, "address"))},
                                   {"what", text(words_for(member(row, "scope")))},
                                   {"is_unsubscribed", *row.find("is_unsubscribed")}}));
}

Response post(Request& request, Gateway& gateway) {
    bool is_everything = false;
    try {
        read_form(request);
        is_everything = request.form.get("choice") == "everything";
    } catch (const HttpError&) {
        // The token says all that is needed: a person who posts it wants no more mail.
    }
    const core::Value row = ask(gateway, "SELECT scope, address FROM mailer.unsubscribe($1, $2)",
                                {request.names["token"], is_everything ? "t" : "f"});
    return public_response(200, "Unsubscribed", "unsubscribe.html",
                           object({{"is_done", core::Value::boolean(true)},
                                   {"address", text(member(row, "address"))},
                                   {"what", text(words_for(member(row, "scope")))}}));
}

}  // namespace

static const Registered here{PublicPage{.path = "/u/{token}", .get = get, .post = post, .body_limit = 16u << 10}};

}  // namespace mailer::web
