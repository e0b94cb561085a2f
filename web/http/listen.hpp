// Addresses and listening sockets; what the server needs of the socket API.
#pragma once

#include <sys/socket.h>

#include <string>

#include "http/server.hpp"

namespace mailer::web {

bool is_loopback(const sockaddr& address);
std::string name_of(const sockaddr& address);  // numeric, without the port; "unix" for a Unix socket

int open_listener(const ListenAddress& address);  // throws std::runtime_error
std::string bound_address(int fd);                // HOST:PORT, or the socket's path

}  // namespace mailer::web
