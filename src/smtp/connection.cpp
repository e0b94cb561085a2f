// See connection.hpp.
#include "smtp/connection.hpp"

#include <array>
#include <utility>

namespace mailer::smtp {

Connection::Connection(CurlLoop& loop, void* owner, CurlEasy easy, const Endpoint& endpoint, Capabilities capabilities,
                       bool may_pipeline)
    : loop_(loop),
      owner_(owner),
      easy_(std::move(easy)),
      is_tls_(endpoint.tls != Tls::none),
      is_pipelining_(may_pipeline && capabilities.has_pipelining),
      dialogue_(std::move(capabilities), endpoint.timeouts, may_pipeline) {
    curl_easy_getinfo(easy_.get(), CURLINFO_ACTIVESOCKET, &socket_);
    if (socket_ == CURL_SOCKET_BAD || !loop_.watch(socket_, owner_, false)) {
        dialogue_.abandon("the connection has no socket", {});
    }
}

Connection::~Connection() {
    if (socket_ != CURL_SOCKET_BAD) loop_.unwatch(socket_);
    loop_.remove(easy_.get());
}

void Connection::read(core::Time now) {
    std::array<char, 4096> buffer;
    while (!dialogue_.is_dead()) {
        std::size_t count = 0;
        const CURLcode code = curl_easy_recv(easy_.get(), buffer.data(), buffer.size(), &count);
        if (code == CURLE_AGAIN) return;
        if (code != CURLE_OK) return dialogue_.receive_end(curl_easy_strerror(code), now);
        if (count == 0) return dialogue_.receive_end("the server closed the connection", now);
        dialogue_.receive({buffer.data(), count}, now);
        // A short read from a plain socket emptied it, and epoll tells of more. TLS may hold a record back: read on.
        if (!is_tls_ && count < buffer.size()) return;
    }
}

bool Connection::write(core::Time now, std::size_t& allowance) {
    while (true) {
        const std::string_view out = dialogue_.output();
        if (out.empty()) return false;
        if (allowance < out.size()) return true;
        std::size_t count = 0;
        const CURLcode code = curl_easy_send(easy_.get(), out.data(), out.size(), &count);
        if (code == CURLE_AGAIN) return true;
        if (code != CURLE_OK) {
            read(now);  // a last word, such as 421 or 552, may have come with the close
            dialogue_.receive_end(curl_easy_strerror(code), now);
            return false;
        }
        allowance -= count;
        dialogue_.sent(count, now);
    }
}

void Connection::watch(bool wants_write) {
    if (wants_write == is_watching_write_ || socket_ == CURL_SOCKET_BAD) return;
    is_watching_write_ = wants_write;
    loop_.watch(socket_, owner_, wants_write);
}

}  // namespace mailer::smtp
