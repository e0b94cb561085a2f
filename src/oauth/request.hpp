// The form that goes to a provider's token endpoint, for every flow.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "oauth/grant.hpp"

namespace mailer::oauth {

// `application/x-www-form-urlencoded`. `now` are seconds since 1970; `random` is unique for each request and goes into
// the assertion's jti. Fails when a part of the grant is missing or a key can't be read; the error quotes no secret.
core::Result<std::string> token_request(const Grant& grant, std::int64_t now, std::string_view random);

// Percent-encoding of RFC 3986: everything but letters, digits and -._~
std::string form_encoded(std::string_view text);

// Why the URL can't be an endpoint: it must be https, or http on a loopback address. Empty when it can. Holds no
// secret.
std::string endpoint_fault(std::string_view url);

}  // namespace mailer::oauth
