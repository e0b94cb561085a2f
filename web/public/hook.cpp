// /hook/PROVIDER[/SECRET]: what providers report. SendGrid, Mailgun and SNS (ses) sign; the others have the secret as
// the password of the address, as a bearer token, or in the path. The database checks (mailer.ingest_webhook()).
//
// It takes unsigned reports from callers it trusts when no secret is set. Nobody who comes from the internet is one.
#include "core/mail/value.hpp"
#include "public/sns_confirmation.hpp"
#include "site/layout.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

std::string headers_of(const Request& request) {
    core::Value headers = core::Value::object();
    for (const auto& [name, value] : request.headers)
        (void)headers.set(name, text(value));
    std::string json;
    headers.append_json(json);
    return json;
}

bool is_signed_by_itself(const std::string& provider) {
    return provider == "ses" || provider == "sendgrid" || provider == "mailgun";
}

Response post(Request& request, Gateway& gateway) {
    const std::string provider = request.names["provider"];
    const auto secret = request.names.find("secret");
    if (secret != request.names.end()) {
        if (is_signed_by_itself(provider))
            throw HttpError(404, "This provider signs its reports: its address has no secret.");
        request.headers["authorization"] = "Bearer " + secret->second;
    }
    try {
        if (!gateway.rows("SELECT mailer.webhook_has_secret($1) AS has", {provider})
                 .items()
                 .at(0)
                 .find("has")
                 ->is_truthy())
            throw HttpError(403, "No secret is set for this provider: mailer.webhook_set_secret().");
    } catch (const SqlError& error) {
        if (error.sqlstate == "22023") throw HttpError(404, "There is no such provider.");
        throw;
    }
    const core::Value taken = gateway.rows("SELECT count(*) AS taken FROM mailer.ingest_webhook($1, $2, $3)",
                                           {provider, bytea(request.body), headers_of(request)});
    // Signed: ingest_webhook() would have refused it otherwise.
    if (provider == "ses")
        if (const std::string address = confirmation_address(request.body); !address.empty() && !confirm(address))
            throw HttpError(503, "The subscription could not be confirmed.");
    std::string json;
    taken.items().at(0).append_json(json);
    return {.type = "application/json", .body = json + "\n"};
}

constexpr std::size_t body_limit = 4u << 20;

}  // namespace

static const Registered plain{PublicPage{.path = "/hook/{provider}", .post = post, .body_limit = body_limit}};
static const Registered with_secret{
    PublicPage{.path = "/hook/{provider}/{secret}", .post = post, .body_limit = body_limit}};

}  // namespace mailer::web
