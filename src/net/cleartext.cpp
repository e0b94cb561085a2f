// See cleartext.hpp.
#include "net/cleartext.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

namespace mailer::smtp {

bool is_loopback(const std::string& host) {
    if (host == "localhost" || host == "::1" || host == "[::1]") return true;
    in_addr address{};
    return inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

bool stays_on_this_machine(const std::string& host, bool has_proxy) { return is_loopback(host) && !has_proxy; }

bool may_log_in_in_clear(const Endpoint& endpoint) {
    return endpoint.allow_cleartext_login || stays_on_this_machine(endpoint.host, endpoint.proxy.has_value());
}

std::string cleartext_refusal(const std::string& setting) {
    return "the login would cross the network in clear text: set " + setting +
           " to starttls or implicit (or, where the network is trusted, mailer.allow_cleartext_login)";
}

}  // namespace mailer::smtp
