// What a token request is made of: the flow, the endpoint and the secrets of one application and mailbox.
//
// A plain value in process memory. It holds secrets: whatever is said about a request or its answer goes through
// secret.hpp first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mailer::oauth {

enum class Flow {
    client_credentials,    // the application itself; RFC 6749 4.4
    refresh_token,         // a user who consented once; RFC 6749 6
    jwt_bearer,            // a service account that speaks for a mailbox; RFC 7523 2.1
    authorization_code,    // the consent itself: its code becomes the first refresh token; RFC 6749 4.1.3, RFC 7636
    device_authorization,  // asks for a code that a person enters elsewhere; RFC 8628 3.1
    device_code,           // asks whether that person has consented; RFC 8628 3.4
};

struct Grant {
    Flow flow = Flow::refresh_token;
    std::string token_url;
    std::string device_url;  // device_authorization
    std::string client_id;
    std::string client_secret;  // or a certificate with its key
    std::string certificate;    // PEM
    std::string private_key;    // PEM, RSA
    std::string scope;
    std::string subject;        // jwt_bearer: the mailbox that the service account speaks for
    std::string refresh_token;  // refresh_token
    std::string code;           // authorization_code
    std::string code_verifier;
    std::string redirect_uri;
    std::string device_code;

    std::vector<std::string_view> secrets() const {
        return {client_secret, private_key, refresh_token, code, code_verifier, device_code};
    }
};

}  // namespace mailer::oauth
