// What stands behind EHLO where the mailbox doesn't say: the machine's name if it is a fully qualified one, else its
// address in brackets (RFC 5321 4.1.1.1, 4.1.4). Servers refuse anything else at RCPT, every recipient of every mail.
#pragma once

#include <string>

namespace mailer::smtp {

// `host` is the server's name or address: a loopback one is greeted from loopback. `source`: the address that
// connections come from, where it is set.
std::string default_helo_name(const std::string& host, const std::string& source);

}  // namespace mailer::smtp
