// One connection to an IMAP server: libcurl connects, secures and logs in (CURLOPT_CONNECT_ONLY), then the Dialogue
// speaks.
//
// It never blocks and decides nothing. The error of one that couldn't be opened has the server's words, and no secret:
// what libcurl sends is never kept.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "imap/dialogue.hpp"
#include "net/curl_loop.hpp"
#include "net/endpoint.hpp"

namespace mailer::imap {

class Line {
public:
    // The endpoint's host, port and tls are the IMAP server's. Starts at once.
    Line(smtp::CurlLoop& loop, std::shared_ptr<const smtp::Endpoint> endpoint, Plan plan, core::Time now);
    ~Line();
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;

    CURL* easy() const { return easy_.get(); }
    const smtp::Endpoint& endpoint() const { return *endpoint_; }
    void on_done(CURLcode code, core::Time now);  // libcurl has finished connecting
    void move(core::Time now);                    // reads and writes what can be
    void expire(core::Time now);

    bool is_open() const { return dialogue_.has_value(); }
    Dialogue* dialogue() { return dialogue_ ? &*dialogue_ : nullptr; }
    bool is_dead() const { return !error_.empty(); }
    const std::string& error() const { return error_; }
    bool is_login_refused() const { return is_login_refused_; }
    core::Time deadline() const;

private:
    bool set_options();
    void set_login_options();
    bool tries_any_login(core::Time now);
    std::string no_login_that_fits() const;
    static int on_debug(CURL* easy, curl_infotype type, char* data, std::size_t size, void* self) noexcept;

    smtp::CurlLoop& loop_;
    std::shared_ptr<const smtp::Endpoint> endpoint_;
    Plan plan_;
    std::array<char, CURL_ERROR_SIZE> error_buffer_{};
    smtp::CurlEasy easy_;
    bool is_in_loop_ = false;
    core::Time opened_by_;
    std::string last_refusal_;
    std::string error_;
    bool is_login_refused_ = false;
    std::set<std::string> offered_;  // mechanisms that the server named, in upper case
    bool is_any_login_ = false;      // libcurl chooses
    curl_socket_t socket_ = CURL_SOCKET_BAD;
    bool is_watching_write_ = false;
    bool has_more_ = false;  // was left in the middle of what the server has sent
    std::optional<Dialogue> dialogue_;
};

}  // namespace mailer::imap
