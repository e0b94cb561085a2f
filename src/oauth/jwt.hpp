// JSON Web Tokens signed with RS256 (RFC 7515, RFC 7519), by OpenSSL.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace mailer::oauth {

// RFC 4648, section 5, without padding.
std::string base64url(std::string_view octets);

// The other way; nothing where the text isn't base64url without padding.
std::optional<std::string> from_base64url(std::string_view text);

// `header.claims.signature`, both parts given as JSON. The error never quotes the key.
core::Result<std::string> sign_rs256(std::string_view header, std::string_view claims, std::string_view private_key);

// SHA-1 and SHA-256 over the certificate's DER form, as base64url: the claims x5t and x5t#S256.
struct Thumbprints {
    std::string sha1;
    std::string sha256;
};
core::Result<Thumbprints> thumbprints(std::string_view certificate);

}  // namespace mailer::oauth
