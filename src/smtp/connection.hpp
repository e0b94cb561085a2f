// An open connection: libcurl's handle, through which bytes go in and out (TLS or not), and the Dialogue they belong
// to.
//
// It moves bytes and decides nothing. The handle stays in the loop for the connection's life: libcurl finds the
// connection through it. Reading and writing never block.
#pragma once

#include <curl/curl.h>

#include <string>
#include <string_view>

#include "core/pace/time.hpp"
#include "net/curl_loop.hpp"
#include "net/endpoint.hpp"
#include "smtp/dialogue.hpp"

namespace mailer::smtp {

class Connection {
public:
    // `owner` is what the loop hands back when the socket is ready.
    Connection(CurlLoop& loop, void* owner, CurlEasy easy, const Endpoint& endpoint, Capabilities capabilities,
               bool may_pipeline);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    Dialogue& dialogue() { return dialogue_; }
    const Dialogue& dialogue() const { return dialogue_; }
    bool is_pipelining() const { return is_pipelining_; }

    // Hands the dialogue everything that has arrived.
    void read(core::Time now);

    // Writes what the dialogue has to say until it falls silent (false) or the socket is full or the turn's share is
    // used up (true: go on when it is writable). `allowance` counts down in bytes.
    bool write(core::Time now, std::size_t& allowance);

    void watch(bool wants_write);

private:
    CurlLoop& loop_;
    void* owner_;
    CurlEasy easy_;
    curl_socket_t socket_ = CURL_SOCKET_BAD;
    bool is_tls_;
    bool is_pipelining_;
    bool is_watching_write_ = false;
    Dialogue dialogue_;
};

}  // namespace mailer::smtp
