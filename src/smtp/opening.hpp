// One connection on its way: libcurl looks up the name, connects, secures, greets and logs in (CURLOPT_CONNECT_ONLY),
// while this records how far it came and what the server said.
//
// libcurl's own verdict is not enough: it reports success when the server offers no login at all, and one error code
// for many stages. So its callbacks, which only record and never throw, note every reply and the name of every command.
// Login lines pass through them: nothing that libcurl sends is kept beyond its first word.
#pragma once

#include <curl/curl.h>

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/outcome/report.hpp"
#include "core/pace/time.hpp"
#include "net/curl_loop.hpp"
#include "net/endpoint.hpp"
#include "smtp/capabilities.hpp"
#include "smtp/reply_parser.hpp"

namespace mailer::smtp {

class Opening {
public:
    // Starts at once. After a failure to start is_over() is true and failure() says why.
    Opening(CurlLoop& loop, std::shared_ptr<const Endpoint> endpoint, core::Time now);
    ~Opening();
    Opening(const Opening&) = delete;
    Opening& operator=(const Opening&) = delete;

    CURL* easy() const { return easy_.get(); }
    const Endpoint& endpoint() const { return *endpoint_; }
    core::Time started_at() const { return started_at_; }

    // libcurl finished; or our own deadline passed. Either makes it over.
    void on_done(CURLcode code, core::Time now);
    void expire(core::Time now);
    core::Time deadline() const;  // requires !is_over()

    bool is_over() const { return is_over_; }
    bool is_open() const { return is_over_ && !has_failed_; }

    // When open: what the connection needs. take_easy() leaves the handle in the loop, owned by the caller from now on.
    const Capabilities& capabilities() const { return capabilities_; }
    CurlEasy take_easy();

    // When it failed: the facts, without a token. error_text holds no secret.
    core::Report failure(core::Time now) const;

    // How far it is, for Probe.
    core::Stage stage() const;
    bool is_connected() const;                                 // TCP
    std::string peer() const;                                  // "192.0.2.1 port 587"; empty until connected
    const std::string& tls_text() const { return tls_text_; }  // "TLSv1.3 / TLS_AES_256_GCM_SHA384"; empty without
    const std::optional<core::Reply>& greeting() const { return greeting_; }
    const std::optional<core::Reply>& login_reply() const { return login_reply_; }

private:
    static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept;
    static int on_debug(CURL* easy, curl_infotype type, char* data, std::size_t size, void* self) noexcept;

    static curl_socket_t on_open_socket(void* self, curlsocktype purpose, curl_sockaddr* address) noexcept;

    std::string refusal();
    bool set_options();
    void set_login_options();
    void set_security_options();
    bool goes_on_elsewhere(CURLcode code, core::Time now);
    bool restart(core::Time now);
    void note_token_fault(const core::Reply& reply);
    std::string explain(CURLcode code, std::string_view text) const;
    void note_command(std::string_view line);
    bool note_reply_line(std::string_view line);
    void note_reply(core::Reply reply);
    void fail(core::Ending ending, std::string_view text, int curl_code);

    CurlLoop& loop_;
    std::shared_ptr<const Endpoint> endpoint_;
    core::Time started_at_;
    core::Time try_started_at_;
    std::array<char, CURL_ERROR_SIZE> error_buffer_{};
    CurlEasy easy_;
    curl_slist* pinned_ = nullptr;
    bool is_in_loop_ = false;
    bool is_over_ = false;
    bool has_failed_ = false;

    // Each address of the host is tried in turn (RFC 5321 5.1), whatever fails before MAIL.
    std::set<std::string> failed_addresses_;
    std::set<std::string> tried_addresses_;     // by the try that runs
    std::optional<core::Report> last_failure_;  // of the try before
    bool offers_digests_ = false;               // now: the server has neither PLAIN nor LOGIN
    bool is_clear_ = false;                     // opportunistic TLS failed

    // What the callbacks noted.
    core::Stage said_ = core::Stage::connect;  // by the last command, or greeting once the server spoke
    ReplyParser parser_;
    std::size_t header_bytes_ = 0;
    bool is_nonsense_ = false;
    Capabilities capabilities_;
    bool has_tls_begun_ = false;
    bool is_asked_for_certificate_ = false;  // and nothing was heard since
    std::string certificate_alert_;          // what OpenSSL says of the server's refusal of ours, or of its absence
    std::string tls_text_;
    std::optional<core::Reply> greeting_;
    std::optional<core::Reply> login_reply_;
    std::optional<core::Reply> last_reply_;
    std::string token_fault_;  // what a server says of a token, decoded

    core::Ending ending_ = core::Ending::failed;
    std::string error_text_;
    int curl_code_ = 0;
};

}  // namespace mailer::smtp
