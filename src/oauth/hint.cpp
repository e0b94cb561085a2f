// See hint.hpp. The first line that fits wins; the texts are what Microsoft and Google say, kept short.
#include "oauth/hint.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "core/octets.hpp"

namespace mailer::oauth {

namespace {

struct Sign {
    std::string_view text;  // case doesn't matter
    std::optional<Flow> flow;
    bool is_another_cause;
    std::string_view hint;
};

constexpr std::array<Sign, 17> signs{{
    {"SmtpClientAuthentication is disabled",
     {},
     true,
     "SMTP AUTH is off for this mailbox or tenant (Set-CASMailbox X -SmtpClientAuthenticationDisabled $false); the "
     "token is fine."},
    {"security defaults", {}, true, "Security defaults block SMTP AUTH in this tenant."},
    {"basic authentication is disabled",
     {},
     true,
     "The server takes no passwords any more: mailer.oauth_set() connects the mailbox."},
    {"5.7.30", {}, true, "The server takes no passwords any more: mailer.oauth_set() connects the mailbox."},
    {"User is authenticated but not connected",
     {},
     true,
     "The login worked; IMAP is off for this mailbox, or the application or user has no right to it."},
    {"535 5.7.3", Flow::client_credentials, false,
     "The application may have no right to this mailbox: New-ServicePrincipal and Add-MailboxPermission with the "
     "object id of the Enterprise application; allow 30 minutes."},
    {"AADSTS7000222",
     {},
     false,
     "The client secret has expired: make a new one and set it with mailer.oauth_app_set()."},
    {"AADSTS7000215", {}, false, "The client secret is wrong: often its id was copied instead of its value."},
    {"AADSTS700016", {}, false, "The client id or the tenant is wrong."},
    {"AADSTS90002", {}, false, "There is no such tenant."},
    {"AADSTS65001", {}, false, "Consent to these permissions is missing: mailer.oauth_url() returns a page for it."},
    {"AADSTS70008",
     {},
     false,
     "The consent has expired (90 days unused): mailer.oauth_url() returns a page to consent again."},
    {"AADSTS50173",
     {},
     false,
     "The password was changed since the consent: mailer.oauth_url() returns a page to consent again."},
    {"unauthorized_client", Flow::jwt_bearer, false,
     "Domain-wide delegation is missing for this service account and scope (admin.google.com, Security, API "
     "controls)."},
    {"invalid_grant", Flow::jwt_bearer, false,
     "The subject is not a mailbox of the domain, or the server's clock is wrong."},
    {"invalid_grant",
     {},
     false,
     "Consent again with mailer.oauth_url(): the password was changed, access was withdrawn, it was unused for too "
     "long, or Google's consent screen is in Testing."},
    {"invalid_client", {}, false, "The client id or secret is wrong or has expired."},
}};

bool contains(std::string_view text, std::string_view what) {
    return core::lowered(text).find(core::lowered(what)) != std::string::npos;
}

}  // namespace

std::string hint_for(std::string_view words, Flow flow) {
    for (const Sign& sign : signs) {
        if ((!sign.flow || *sign.flow == flow) && contains(words, sign.text)) return std::string(sign.hint);
    }
    return {};
}

bool names_another_cause(std::string_view words) {
    return std::any_of(signs.begin(), signs.end(),
                       [&](const Sign& sign) { return sign.is_another_cause && contains(words, sign.text); });
}

}  // namespace mailer::oauth
