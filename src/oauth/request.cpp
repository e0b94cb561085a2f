// See request.hpp. An assertion is dated 30 s back: a clock that runs ahead of the provider's would make it "not valid
// yet".
#include "oauth/request.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "oauth/jwt.hpp"

namespace mailer::oauth {

namespace {

constexpr std::int64_t dated_back = 30;
constexpr std::int64_t bearer_life = 3600;  // Google wants exactly exp = iat + 3600
constexpr std::int64_t client_assertion_life = 600;

class Form {
public:
    Form& add(std::string_view name, std::string_view value) {
        if (value.empty()) return *this;
        if (!text_.empty()) text_ += '&';
        text_.append(name).append("=").append(form_encoded(value));
        return *this;
    }
    std::string take() { return std::move(text_); }

private:
    std::string text_;
};

std::string dump(const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

core::Error missing(const char* what) {
    return {"22023", std::string("the OAuth2 settings have no ") + what, "",
            "mailer.oauth_app_set() and mailer.oauth_set() take it."};
}

core::Result<std::string> client_assertion(const Grant& grant, std::int64_t now, std::string_view random) {
    auto prints = thumbprints(grant.certificate);
    if (!prints) return prints.error();
    const nlohmann::json header = {
        {"alg", "RS256"}, {"typ", "JWT"}, {"x5t", prints->sha1}, {"x5t#S256", prints->sha256}};
    const nlohmann::json claims = {{"aud", grant.token_url},
                                   {"iss", grant.client_id},
                                   {"sub", grant.client_id},
                                   {"jti", random},
                                   {"iat", now - dated_back},
                                   {"nbf", now - dated_back},
                                   {"exp", now + client_assertion_life}};
    return sign_rs256(dump(header), dump(claims), grant.private_key);
}

core::Result<std::string> bearer_assertion(const Grant& grant, std::int64_t now) {
    const nlohmann::json header = {{"alg", "RS256"}, {"typ", "JWT"}};
    nlohmann::json claims = {{"aud", grant.token_url},
                             {"iss", grant.client_id},
                             {"scope", grant.scope},
                             {"iat", now - dated_back},
                             {"exp", now - dated_back + bearer_life}};
    if (!grant.subject.empty()) claims["sub"] = grant.subject;
    return sign_rs256(dump(header), dump(claims), grant.private_key);
}

// RFC 6749 2.3.1, in the form's body; RFC 7523 2.2 for a certificate. A public client has neither.
core::Status add_client(Form& form, const Grant& grant, std::int64_t now, std::string_view random) {
    form.add("client_id", grant.client_id);
    if (grant.certificate.empty()) {
        form.add("client_secret", grant.client_secret);
        return std::nullopt;
    }
    auto assertion = client_assertion(grant, now, random);
    if (!assertion) return assertion.error();
    form.add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    form.add("client_assertion", *assertion);
    return std::nullopt;
}

core::Status check(const Grant& grant) {
    if (grant.token_url.empty()) return missing("token_url");
    if (grant.client_id.empty()) return missing("client_id");
    if (!grant.certificate.empty() && grant.private_key.empty()) return missing("private_key");
    switch (grant.flow) {
        case Flow::client_credentials:
            if (grant.client_secret.empty() && grant.certificate.empty())
                return missing("client_secret or certificate");
            break;
        case Flow::jwt_bearer:
            if (grant.private_key.empty()) return missing("private_key");
            break;
        case Flow::refresh_token:
            if (grant.refresh_token.empty()) return missing("refresh_token");
            break;
        case Flow::authorization_code:
            if (grant.code.empty()) return missing("code");
            break;
        case Flow::device_authorization:
            if (grant.device_url.empty()) return missing("device_url");
            break;
        case Flow::device_code:
            if (grant.device_code.empty()) return missing("device code");
            break;
    }
    return std::nullopt;
}

}  // namespace

std::string form_encoded(std::string_view text) {
    constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
            c == '_' || c == '~') {
            out += c;
        } else {
            out.append({'%', digits[u >> 4], digits[u & 15]});
        }
    }
    return out;
}

core::Result<std::string> token_request(const Grant& grant, std::int64_t now, std::string_view random) {
    if (auto fault = check(grant)) return *fault;
    Form form;
    core::Status fault;
    switch (grant.flow) {
        case Flow::client_credentials:
            form.add("grant_type", "client_credentials");
            fault = add_client(form, grant, now, random);
            form.add("scope", grant.scope);
            break;
        case Flow::refresh_token:
            form.add("grant_type", "refresh_token").add("refresh_token", grant.refresh_token);
            fault = add_client(form, grant, now, random);
            form.add("scope", grant.scope);
            break;
        case Flow::authorization_code:
            form.add("grant_type", "authorization_code").add("code", grant.code);
            form.add("redirect_uri", grant.redirect_uri).add("code_verifier", grant.code_verifier);
            fault = add_client(form, grant, now, random);
            break;
        case Flow::device_authorization:
            form.add("client_id", grant.client_id).add("scope", grant.scope);
            break;
        case Flow::device_code:
            form.add("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
            form.add("device_code", grant.device_code);
            fault = add_client(form, grant, now, random);
            break;
        case Flow::jwt_bearer: {
            auto assertion = bearer_assertion(grant, now);
            if (!assertion) return assertion.error();
            form.add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer").add("assertion", *assertion);
            break;
        }
    }
    if (fault) return *fault;
    return form.take();
}

std::string endpoint_fault(std::string_view url) {
    const auto starts = [&](std::string_view with) {
        return url.size() > with.size() &&
               std::equal(with.begin(), with.end(), url.begin(), [](char a, char b) { return a == (b | 0x20); });
    };
    const bool is_https = starts("https://");
    if (!is_https && !starts("http://")) return "it must begin with https://";
    std::string_view rest = url.substr(is_https ? 8 : 7);
    rest = rest.substr(0, rest.find_first_of("/?#"));
    if (rest.find('@') != std::string_view::npos) return "it must not hold a user or password";
    for (const char c : url)
        if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '"' || c == '\\')
            return "it holds a character that a URL may not have";
    std::string_view host = rest.starts_with('[') ? rest.substr(0, rest.find(']') + 1) : rest.substr(0, rest.find(':'));
    if (host.empty()) return "it names no host";
    if (is_https) return {};
    const bool is_v4_loopback =
        host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
    if (host == "localhost" || host == "[::1]" || is_v4_loopback) return {};
    return "http is allowed on a loopback address only; use https";
}

}  // namespace mailer::oauth
