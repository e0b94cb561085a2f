// /oauth/callback: where a provider leads the owner of an account after he has allowed or denied mailer the mailbox; and
// /oauth/connected, where he then sees what came of it, without the code in the address.
//
// He need not know mailer, nor OAuth2: the link may have been mailed to him. His browser brings no session, for cookies
// are SameSite=Strict and he comes from another site; the signed state alone says which mailbox it is about.
#include "site/layout.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

constexpr const char* title = "Connect a mailbox";

std::string member(const core::Value& row, const char* name) {
    const core::Value* found = row.find(name);
    return found ? std::string(found->scalar_text()) : "";
}

core::Value flag(bool value) { return core::Value::boolean(value); }

// What the link with this state is for; the variables of the template.
core::Value preview(const std::string& state, Gateway& gateway) {
    try {
        core::Value page = gateway
                               .rows(
                                   "SELECT mailbox, mailbox_id, page_state, expires_at, token_state FROM "
                                   "mailer.oauth_preview($1)",
                                   {state})
                               .items()
                               .at(0);
        const std::string token_state = member(page, "token_state");
        (void)page.set("is_gone", flag(member(page, "mailbox").empty()));
        for (const char* known : {"valid", "refreshing", "refused", "provider_unreachable", "consent_needed"})
            (void)page.set(std::string("is_") + known, flag(token_state == known));
        (void)page.set("has_pages", flag(gateway.has_pages));
        return page;
    } catch (const SqlError& error) {
        if (error.sqlstate != "22023") throw;
        throw HttpError(
            400,
            "This address isn't whole, or it didn't come from a link of this mailer. Nothing was connected. Open the "
            "link that you were given once more, or ask for a new one.");
    }
}

Response answer(int status, const char* kind, core::Value page) {
    (void)page.set(kind, flag(true));
    return public_response(status, title, "oauth.html", std::move(page));
}

Response come_back(Request& request, Gateway& gateway) {
    const std::string& state = request.query.get("state");
    if (state.empty())
        throw HttpError(
            400,
            "This address isn't whole: what the provider adds to it is missing. Nothing was connected. Open "
            "the link that you were given once more.");
    core::Value page = preview(state, gateway);
    const std::string page_state = member(page, "page_state");
    if (page_state == "used") return answer(400, "is_used", std::move(page));
    if (page_state == "expired") return answer(400, "is_expired", std::move(page));
    if (request.query.has("error")) {
        (void)page.set("error", text(request.query.get("error").substr(0, 100)));
        (void)page.set("is_denied", flag(request.query.get("error") == "access_denied"));
        (void)page.set("words", text(request.query.get("error_description")));
        return answer(200, "is_error", std::move(page));
    }
    if (request.query.get("code").empty()) {
        (void)page.set("error", text("no code"));
        return answer(400, "is_error", std::move(page));
    }
    try {
        (void)gateway.rows("SELECT mailer.oauth_code($1, $2)", {state, request.query.get("code")});
    } catch (const SqlError& error) {
        // Somebody else was quicker with the same address.
        if (error.sqlstate != "22023") throw;
        return answer(400, "is_used", preview(state, gateway));
    }
    return see_other("/oauth/connected?state=" + encode_percent(state));
}

Response show_outcome(Request& request, Gateway& gateway) {
    return answer(200, "is_outcome", preview(request.query.get("state"), gateway));
}

}  // namespace

static const Registered callback{PublicPage{.path = "/oauth/callback", .get = come_back}};
static const Registered connected{PublicPage{.path = "/oauth/connected", .get = show_outcome}};

}  // namespace mailer::web
