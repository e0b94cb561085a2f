// See line.hpp.
#include "imap/line.hpp"

#include <algorithm>
#include <exception>
#include <string_view>

#include "core/octets.hpp"
#include "net/authorities.hpp"
#include "net/cleartext.hpp"
#include "net/curl_options.hpp"

namespace mailer::imap {

namespace {

constexpr core::Duration opening_limit = std::chrono::seconds{60};

// EXTERNAL is the client certificate's, which is shown to the mail server only.
bool has_mechanism(const smtp::Endpoint& endpoint) {
    return endpoint.login_mechanism != "auto" && endpoint.login_mechanism != "external";
}

std::string url_of(const smtp::Endpoint& endpoint) {
    const bool is_fit =
        !endpoint.host.empty() && endpoint.host.size() <= 255 &&
        endpoint.host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") ==
            std::string::npos;
    if (!is_fit) return {};
    std::string host = endpoint.host;
    if (host.find(':') != std::string::npos && host.front() != '[') host = '[' + host + ']';
    return (endpoint.tls == smtp::Tls::implicit ? "imaps://" : "imap://") + host + ':' + std::to_string(endpoint.port);
}

}  // namespace

Line::Line(smtp::CurlLoop& loop, std::shared_ptr<const smtp::Endpoint> endpoint, Plan plan, core::Time now)
    : loop_(loop),
      endpoint_(std::move(endpoint)),
      plan_(std::move(plan)),
      easy_(curl_easy_init()),
      opened_by_(now + opening_limit) {
    if (endpoint_->tls == smtp::Tls::none && !smtp::may_log_in_in_clear(*endpoint_)) {
        error_ = smtp::cleartext_refusal("imap_tls");
    } else if (!easy_ || !loop_.is_ok() || !set_options()) {
        error_ = "the IMAP server's settings are not valid";
    } else if (is_in_loop_ = loop_.add(easy_.get(), now); !is_in_loop_) {
        error_ = "out of resources";
    }
}

Line::~Line() {
    if (socket_ != CURL_SOCKET_BAD) loop_.unwatch(socket_);
    if (easy_ && is_in_loop_) loop_.remove(easy_.get());
}

bool Line::set_options() {
    CURL* easy = easy_.get();
    const std::string url = url_of(*endpoint_);
    if (url.empty()) return false;
    bool is_ok = true;
    const auto set = [&](CURLoption option, auto value) { is_ok &= curl_easy_setopt(easy, option, value) == CURLE_OK; };
    const smtp::Tls tls = endpoint_->tls;
    const bool verifies = endpoint_->verify_certificate && tls != smtp::Tls::opportunistic;
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_CONNECT_ONLY, 1L);
    set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    is_ok &= net::allow_only(easy, "imap,imaps") && net::close_at_once(easy);
    set(CURLOPT_PROXY, endpoint_->proxy ? endpoint_->proxy->c_str() : "");
    if (endpoint_->proxy) set(CURLOPT_HTTPPROXYTUNNEL, 1L);
    set(CURLOPT_TCP_NODELAY, 1L);
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_CONNECTTIMEOUT_MS, 2 * static_cast<long>(opening_limit / std::chrono::milliseconds{1}));
    set(CURLOPT_ERRORBUFFER, error_buffer_.data());
    set(CURLOPT_DEBUGFUNCTION, &Line::on_debug);
    set(CURLOPT_DEBUGDATA, static_cast<void*>(this));
    set(CURLOPT_VERBOSE, 1L);
    set(CURLOPT_USE_SSL, static_cast<long>(tls == smtp::Tls::none            ? CURLUSESSL_NONE
                                           : tls == smtp::Tls::opportunistic ? CURLUSESSL_TRY
                                                                             : CURLUSESSL_ALL));
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    set(CURLOPT_SSL_VERIFYPEER, verifies ? 1L : 0L);
    set(CURLOPT_SSL_VERIFYHOST, verifies ? 2L : 0L);
    is_ok &= smtp::set_authorities(easy, *endpoint_);
    set(CURLOPT_USERNAME, endpoint_->username.c_str());
    set_login_options();
    return is_ok;
}

// Left to itself libcurl may choose a mechanism that can't work here: GSSAPI, or CRAM-MD5 where the server can't check it.
void Line::set_login_options() {
    CURL* easy = easy_.get();
    const smtp::Endpoint& e = *endpoint_;
    const bool has_token = e.token || e.oauth_bearer;
    const std::string mechanisms = has_mechanism(e) ? "AUTH=" + core::raised(e.login_mechanism)
                                   : has_token      ? "AUTH=XOAUTH2;AUTH=OAUTHBEARER"
                                                    : "AUTH=PLAIN;AUTH=LOGIN";
    curl_easy_setopt(easy, CURLOPT_LOGIN_OPTIONS, mechanisms.c_str());
    if (has_token) {
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, (e.token ? e.token->text : *e.oauth_bearer).c_str());
    } else {
        curl_easy_setopt(easy, CURLOPT_PASSWORD, e.password.c_str());
    }
}

// Where neither PLAIN nor LOGIN is offered as a mechanism, libcurl chooses: the command LOGIN, or a digest.
bool Line::tries_any_login(core::Time now) {
    const bool offers_plain = offered_.contains("PLAIN") || offered_.contains("LOGIN");
    if (is_any_login_ || offers_plain || has_mechanism(*endpoint_) || endpoint_->token || endpoint_->oauth_bearer)
        return false;
    is_any_login_ = true;
    loop_.remove(easy_.get());
    curl_easy_setopt(easy_.get(), CURLOPT_LOGIN_OPTIONS, nullptr);
    is_in_loop_ = loop_.add(easy_.get(), now);
    return is_in_loop_;
}

std::string Line::no_login_that_fits() const {
    std::string names;
    for (const std::string& name : offered_)
        names += (names.empty() ? "" : ", ") + name;
    const std::string wanted = has_mechanism(*endpoint_)                     ? core::raised(endpoint_->login_mechanism)
                               : endpoint_->token || endpoint_->oauth_bearer ? "XOAUTH2 or OAUTHBEARER"
                                                                             : "PLAIN, LOGIN or the command LOGIN";
    return "no login that fits: the server offers " + (names.empty() ? "none" : names) + ", and " + wanted +
           " is wanted";
}

// Keeps the server's last refusal: "A002 NO [AUTHENTICATIONFAILED] …", "* BYE …".
int Line::on_debug(CURL*, curl_infotype type, char* data, std::size_t size, void* self) noexcept {
    if (type != CURLINFO_HEADER_IN) return 0;
    try {
        std::string_view line{data, size};
        constexpr std::string_view sign = " AUTH=";
        for (auto at = line.find(sign); at != line.npos; at = line.find(sign, at + 1)) {
            const std::string_view name = line.substr(at + sign.size(), 40);
            auto& offered = static_cast<Line*>(self)->offered_;
            if (offered.size() < 20) offered.insert(core::raised(name.substr(0, name.find_first_of(" ]\r\n"))));
        }
        line = line.substr(0, line.find_first_of("\r\n"));
        const auto at = line.find(' ');
        if (at == std::string_view::npos) return 0;
        const std::string_view rest = line.substr(at + 1);
        for (const std::string_view word : {"NO ", "BAD ", "BYE "}) {
            if (rest.size() >= word.size() && equals_ignoring_case(rest.substr(0, word.size()), word))
                static_cast<Line*>(self)->last_refusal_ = rest.substr(0, 400);
        }
    } catch (const std::exception&) {  // out of memory: a note is missing
    }
    return 0;
}

void Line::on_done(CURLcode code, core::Time now) {
    if (is_dead() || is_open()) return;
    if (code == CURLE_LOGIN_DENIED && tries_any_login(now)) return;
    if (code != CURLE_OK) {
        is_login_refused_ = code == CURLE_LOGIN_DENIED || (!last_refusal_.empty() && !last_refusal_.starts_with("BYE"));
        const std::string_view text{error_buffer_.data()};
        if (!last_refusal_.empty())
            error_ = last_refusal_;
        else if (code == CURLE_LOGIN_DENIED)
            error_ = no_login_that_fits();
        else
            error_ = text.empty() ? curl_easy_strerror(code) : std::string(text);
        return;
    }
    curl_easy_setopt(easy_.get(), CURLOPT_VERBOSE, 0L);
    curl_easy_setopt(easy_.get(), CURLOPT_DEBUGFUNCTION, nullptr);
    curl_easy_setopt(easy_.get(), CURLOPT_ERRORBUFFER, nullptr);
    curl_easy_getinfo(easy_.get(), CURLINFO_ACTIVESOCKET, &socket_);
    if (socket_ == CURL_SOCKET_BAD || !loop_.watch(socket_, this, false)) {
        error_ = "the connection has no socket";
        return;
    }
    dialogue_.emplace(std::move(plan_), now);
    move(now);
}

void Line::move(core::Time now) {
    if (!dialogue_ || is_dead()) return;
    std::array<char, 16384> buffer;
    has_more_ = true;
    for (int i = 0; i < 64; ++i) {  // a fast server must not starve the others
        std::size_t count = 0;
        const CURLcode code = curl_easy_recv(easy_.get(), buffer.data(), buffer.size(), &count);
        has_more_ = code == CURLE_OK && count > 0;
        if (code == CURLE_AGAIN) break;
        if (!has_more_) {
            dialogue_->receive_end(count == 0 && code == CURLE_OK ? "the server closed the connection"
                                                                  : curl_easy_strerror(code));
            break;
        }
        dialogue_->receive({buffer.data(), count}, now);
    }
    while (!dialogue_->output().empty()) {
        std::size_t count = 0;
        const std::string_view out = dialogue_->output();
        const CURLcode code = curl_easy_send(easy_.get(), out.data(), out.size(), &count);
        if (code != CURLE_OK) {
            if (code != CURLE_AGAIN) dialogue_->receive_end(curl_easy_strerror(code));
            break;
        }
        dialogue_->sent(count);
    }
    const bool wants_write = !dialogue_->output().empty();
    if (wants_write != is_watching_write_) loop_.watch(socket_, this, wants_write);
    is_watching_write_ = wants_write;
}

void Line::expire(core::Time now) {
    if (is_dead()) return;
    if (dialogue_) {
        dialogue_->expire(now);
    } else if (now >= opened_by_) {
        error_ = "the server took too long";
    }
}

// What was read from the socket already, by TLS or by us, wakes nobody.
core::Time Line::deadline() const {
    if (is_dead() || has_more_ || (dialogue_ && dialogue_->has_event())) return core::Time{};
    return dialogue_ ? dialogue_->deadline() : opened_by_;
}

}  // namespace mailer::imap
