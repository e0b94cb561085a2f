// Where the server listens: addresses and Unix sockets.
#include "http/listen.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace mailer::web {

namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

AddressList look_up(const ListenAddress& address) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    addrinfo* found = nullptr;
    const int status = getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
    if (status != 0) throw std::runtime_error("can't find the address " + address.host + ": " + gai_strerror(status));
    return {found, freeaddrinfo};
}

std::runtime_error failure(const std::string& what) { return std::runtime_error(what + ": " + std::strerror(errno)); }

int open_unix(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.size() >= sizeof name.sun_path) throw std::runtime_error("the path of the socket is too long: " + path);
    std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
    const auto* address = reinterpret_cast<const sockaddr*>(&name);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) throw failure("can't make a socket");
    struct stat there = {};
    // One that an earlier run left behind, with nobody at the other end.
    if (lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) {
        const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const bool is_dead = connect(probe, address, sizeof name) != 0 && errno == ECONNREFUSED;
        close(probe);
        if (is_dead) unlink(path.c_str());
    }
    const mode_t mask = umask(0117);
    const int bound = bind(fd, address, sizeof name);
    umask(mask);
    if (bound != 0 || listen(fd, SOMAXCONN) != 0) {
        const auto error = failure("can't listen on " + path);
        close(fd);
        throw error;
    }
    return fd;
}

}  // namespace

bool is_loopback(const ListenAddress& address) {
    if (!address.socket_path.empty()) return true;
    const AddressList list = look_up(address);
    for (const addrinfo* one = list.get(); one; one = one->ai_next)
        if (!is_loopback(*one->ai_addr)) return false;
    return true;
}

bool is_loopback(const sockaddr& address) {
    if (address.sa_family == AF_UNIX) return true;
    if (address.sa_family == AF_INET)
        return (ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24) == 127;
    if (address.sa_family != AF_INET6) return false;
    const in6_addr& six = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

std::string name_of(const sockaddr& address) {
    char name[NI_MAXHOST] = "";
    if (address.sa_family == AF_UNIX) return "unix";
    const socklen_t size = address.sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    return getnameinfo(&address, size, name, sizeof name, nullptr, 0, NI_NUMERICHOST) == 0 ? name : "unknown";
}

int open_listener(const ListenAddress& address) {
    if (!address.socket_path.empty()) return open_unix(address.socket_path);
    const AddressList list = look_up(address);
    const int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) throw failure("can't make a socket");
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        const auto error = failure("can't listen on " + address.host + " port " + address.port);
        close(fd);
        throw error;
    }
    return fd;
}

std::string bound_address(int fd) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    const auto* address = reinterpret_cast<const sockaddr*>(&name);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return "";
    if (address->sa_family == AF_UNIX) return reinterpret_cast<const sockaddr_un&>(name).sun_path;
    const std::string host = name_of(*address);
    if (address->sa_family == AF_INET6)
        return "[" + host + "]:" + std::to_string(ntohs(reinterpret_cast<const sockaddr_in6&>(name).sin6_port));
    return host + ":" + std::to_string(ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port));
}

}  // namespace mailer::web
