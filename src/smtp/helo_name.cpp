// See helo_name.hpp.
#include "smtp/helo_name.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "core/mail/address.hpp"
#include "net/cleartext.hpp"

namespace mailer::smtp {

namespace {

// The address that packets to the outside come from. A UDP socket that is connected sends nothing.
std::string outside_address() {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return {};
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(25);
    inet_pton(AF_INET, "192.0.2.1", &peer.sin_addr);  // RFC 5737: nobody's
    sockaddr_in own{};
    socklen_t size = sizeof own;
    std::array<char, INET_ADDRSTRLEN> text{};
    const bool is_known = connect(fd, reinterpret_cast<sockaddr*>(&peer), sizeof peer) == 0 &&
                          getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
                          inet_ntop(AF_INET, &own.sin_addr, text.data(), text.size()) != nullptr;
    close(fd);
    return is_known ? std::string(text.data()) : std::string();
}

std::string literal(const std::string& address) {
    return address.find(':') == std::string::npos ? '[' + address + ']' : "[IPv6:" + address + ']';
}

}  // namespace

std::string default_helo_name(const std::string& host, const std::string& source) {
    std::array<char, 256> name{};
    if (gethostname(name.data(), name.size() - 1) == 0) {
        const auto domain = core::normalise_domain(name.data());
        const bool is_qualified = domain && domain->find('.') != std::string::npos && domain->front() != '[' &&
                                  !domain->ends_with(".localdomain") && !domain->ends_with(".local");
        if (is_qualified) return *domain;
    }
    if (!source.empty()) return literal(source);
    if (is_loopback(host)) return "[127.0.0.1]";
    const std::string outside = outside_address();
    return literal(outside.empty() ? "127.0.0.1" : outside);
}

}  // namespace mailer::smtp
