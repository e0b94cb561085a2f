// A socket for libcurl, which gives up a connection whose bytes nobody acknowledges.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "core/pace/time.hpp"

namespace mailer::net {

// user_timeout: TCP_USER_TIMEOUT (RFC 5482); zero is the system's choice, some fifteen minutes.
inline curl_socket_t open_socket(const curl_sockaddr& address, core::Duration user_timeout) noexcept {
    const int fd = socket(address.family, address.socktype | SOCK_CLOEXEC, address.protocol);
    const auto ms = static_cast<unsigned>(std::chrono::duration_cast<std::chrono::milliseconds>(user_timeout).count());
    if (fd >= 0 && ms > 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return fd;
}

}  // namespace mailer::net
