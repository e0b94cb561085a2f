// What a token endpoint answered: a token, or a failure and whose it is.
//
// One question decides everything: is the provider out of reach, or did it refuse the grant? Out of reach (no
// connection, slow, 408, 429, 5xx, or an answer that makes no sense) is waited for, and the old token serves while it
// lives. A refusal won't go away by asking again: somebody has to do something, and the hint says what.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/pace/time.hpp"
#include "oauth/grant.hpp"

namespace mailer::oauth {

struct HttpAnswer {
    int status = 0;           // 0: there was none
    std::string body;         // as far as it was read
    std::string retry_after;  // the header's value
    std::string error_text;   // of a status 0: why
};

struct Token {
    std::string access_token;
    core::Duration life{};
    std::string refresh_token;  // a new one, when the provider replaced it
    // Names of the account that gave consent, in lower case, where the answer has an ID token (OpenID Connect Core 2). Its
    // signature isn't checked: it came from the token endpoint itself (3.1.3.7), and nothing but a warning hangs on it.
    std::vector<std::string> account;
};

// What a person is to do for the device flow: enter the code on that page. Both are fit to be shown.
struct DeviceCode {
    std::string device_code;  // a secret
    std::string user_code;
    std::string verification_uri;  // https
    core::Duration life{};
    core::Duration interval{};  // between two questions whether it was done
};

struct Failure {
    enum class Kind { provider, grant, pending };  // pending: the person hasn't entered the code yet
    Kind kind = Kind::provider;
    std::string code;   // the provider's: "invalid_grant", "HTTP 503", "unreachable"
    std::string words;  // the provider's, without secrets
    std::string hint;
    core::Duration retry_after{};
};

using Answer = std::variant<Token, DeviceCode, Failure>;

// `now` is what a Retry-After that names a date is counted from.
Answer read_answer(const HttpAnswer& http, const Grant& grant, core::Time now);

// How long to wait after the n-th failure of a provider in a row (1 is the first): 1.5 s, doubling to 5 min, and never
// less than it asked for.
core::Duration provider_wait(int failures, core::Duration retry_after);

}  // namespace mailer::oauth
