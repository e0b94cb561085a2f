// The HTTP server: libmicrohttpd moves the bytes, an Executor runs the handlers.
//
// Limits, so that nobody takes more than a share whatever he sends: head (32 kB, 431), body (what the handler's plan
// says: 413, or the connection ends when it came in chunks), all bodies together (64 MB), a pause of 10 s, 30 s for
// one request in all, and a number of connections. What waits for a database holds no thread of the server.
#pragma once

#include <memory>
#include <string>

#include "http/message.hpp"

namespace mailer::web {

struct ListenAddress {
    std::string host = {};
    std::string port = {};
    std::string socket_path = {};  // instead of host and port
};

// How a request is to be read and run. Decided from its head alone, by the thread that moves bytes: never waits.
struct Plan {
    std::string key = {};  // requests of one key share `limit` threads
    std::size_t limit = 2;
    std::size_t body_limit = 0;  // octets
};

class Handler {
public:
    virtual ~Handler() = default;
    virtual Plan plan(const Request& request) = 0;
    virtual Response handle(Request& request) = 0;  // by any thread; doesn't throw
    virtual Response refuse(int status, const std::string& message) = 0;
};

class Server {
public:
    // Throws std::runtime_error when it can't listen. cert and key are PEM; empty: no TLS. `handler` outlives it.
    Server(const ListenAddress& address, const std::string& cert, const std::string& key, Handler& handler);
    ~Server();  // answers what it has begun to handle

    std::string address() const;  // as a browser wants it: http://127.0.0.1:8080

private:
    struct Inside;
    std::unique_ptr<Inside> inside_;
};

// Whether an address is this machine's own: loopback or a Unix socket. Looks names up; throws std::runtime_error.
bool is_loopback(const ListenAddress& address);

}  // namespace mailer::web
