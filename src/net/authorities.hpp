// Which authorities a server's certificate may come from: one rule for SMTP and IMAP.
#pragma once

#include <curl/curl.h>

#include "net/endpoint.hpp"

namespace mailer::smtp {

// With a ca_file that alone counts, else the system's do. libcurl would add the system's folder to the file. False when
// libcurl refuses.
bool set_authorities(CURL* easy, const Endpoint& endpoint);

}  // namespace mailer::smtp
