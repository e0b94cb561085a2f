// What a server said it can do, in its last EHLO reply (RFC 5321 4.1.1.1). After a HELO: nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mailer::smtp {

struct Capabilities {
    bool has_pipelining = false;   // RFC 2920
    bool has_size = false;         // RFC 1870
    std::uint64_t size_limit = 0;  // 0: no fixed limit
    bool has_8bitmime = false;     // RFC 6152
    bool has_smtputf8 = false;     // RFC 6531
    bool has_starttls = false;     // RFC 3207
    bool has_dsn = false;          // RFC 3461
    std::string auth;              // RFC 4954: the mechanisms, as listed

    // Takes one line of the EHLO reply, without its code: "SIZE 35882577". Unknown keywords are ignored.
    void add(std::string_view line);
};

}  // namespace mailer::smtp
