// Whether a login may cross the network without TLS: one rule for SMTP and IMAP.
#pragma once

#include <string>

#include "net/endpoint.hpp"

namespace mailer::smtp {

// `localhost`, an address in 127.0.0.0/8, ::1. A name that only looks like one is somebody's server.
bool is_loopback(const std::string& host);

// Whether what is sent to `host` crosses no network: a loopback address, and no proxy, for which even "localhost" is
// somewhere else. SQL asks it as mailer._stays_on_this_machine().
bool stays_on_this_machine(const std::string& host, bool has_proxy);

// What stays on this machine always, the rest only where mailer.allow_cleartext_login says that the network is trusted.
bool may_log_in_in_clear(const Endpoint& endpoint);

// Why a login at an endpoint without TLS isn't even tried; `setting` is what the mailbox calls its TLS.
std::string cleartext_refusal(const std::string& setting);

}  // namespace mailer::smtp
