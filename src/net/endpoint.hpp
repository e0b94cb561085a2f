// Where and how one mailbox sends: server, security, login, limits, time-outs.
//
// A plain value, shared read-only by every delivery and connection of the mailbox. It holds secrets: no function of
// this room ever puts `password`, `oauth_bearer` or `token` into a log line, an error text or a report. A changed
// endpoint is a new object; connections made for the old one are closed when idle.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "core/pace/time.hpp"

namespace mailer::smtp {

enum class Tls { starttls, implicit, opportunistic, none };

// RFC 5321 4.5.3.2 gives the minima of the replies and of `block`; `connect`, `session` and `body` are ours.
struct Timeouts {
    core::Duration connect = std::chrono::seconds{30};  // name lookup and TCP
    core::Duration session = std::chrono::minutes{5};   // all of connect, TLS, greeting, EHLO, AUTH
    core::Duration mail = std::chrono::minutes{5};
    core::Duration rcpt = std::chrono::minutes{5};
    core::Duration data = std::chrono::minutes{2};   // the 354
    core::Duration block = std::chrono::minutes{3};  // room to write more of the body
    core::Duration body = std::chrono::minutes{10};  // all of the body, and a second for each KiB of it
    core::Duration dot = std::chrono::minutes{10};   // the final reply
    core::Duration rset = std::chrono::minutes{1};
    core::Duration quit = std::chrono::seconds{2};

    bool operator==(const Timeouts&) const = default;
};

// An OAuth2 token that renews itself. Another one opens the same account: connections made with the last stay as they
// are, so all tokens are equal here.
struct RenewedToken {
    std::string text;

    bool operator==(const RenewedToken&) const { return true; }
};

struct Endpoint {
    std::string host;
    int port = 587;
    Tls tls = Tls::starttls;
    bool verify_certificate = true;  // ignored (off) for opportunistic
    std::optional<std::string> ca_file;

    std::string username;  // empty: no login
    std::string password;
    std::optional<std::string> oauth_bearer;  // XOAUTH2 or OAUTHBEARER instead of the password
    std::optional<RenewedToken> token;        // the same, of OAuth2 that renews itself; empty text: there is none now

    std::string login_mechanism = "auto";     // plain, login, cram-md5, xoauth2, oauthbearer, external
    std::optional<std::string> secret_fault;  // why the secret can't be used; then nothing logs in
    bool allow_cleartext_login = false;       // without TLS, to a host that isn't loopback

    std::optional<std::string> client_cert_file;  // PEM
    std::optional<std::string> client_key_file;
    std::string min_tls = "1.2";
    std::string source_address;    // empty: the system's choice
    std::string pinned_addresses;  // of the host, with commas, in place of the name lookup; empty: look it up

    std::string helo_name;             // empty: the machine's name if it is qualified, else its address
    std::optional<std::string> proxy;  // as CURLOPT_PROXY; the environment's proxies are never used

    int max_connections = 1;
    int max_messages_per_connection = 100;
    core::Duration idle = std::chrono::seconds{20};
    bool allow_pipelining = true;
    core::Duration user_timeout{};  // what was sent may stay unacknowledged so long; zero: the system's choice
    Timeouts timeouts;

    bool operator==(const Endpoint&) const = default;
};

}  // namespace mailer::smtp
