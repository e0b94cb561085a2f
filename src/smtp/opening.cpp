// See opening.hpp. Options first, then what the callbacks note, then what it all amounts to.
#include "smtp/opening.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace mailer::smtp {

using core::Ending;
using core::Stage;

namespace {

// Far above any real greeting and capability list: libcurl itself would read an endless one for as long as it comes.
constexpr std::size_t max_header_bytes = 64 * 1024;

long to_ms(core::Duration d) { return static_cast<long>(d / std::chrono::milliseconds{1}); }

// What may stand in a URL's host: anything else could end it and begin something else.
bool is_host(std::string_view host) {
    return !host.empty() && host.size() <= 255 && std::all_of(host.begin(), host.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
               c == '_' || c == ':' || c == '[' || c == ']';
    });
}

// "smtp://host:port/helo"; empty when host or HELO name aren't fit for it.
std::string make_url(const Endpoint& endpoint) {
    if (!is_host(endpoint.host) || (!endpoint.helo_name.empty() && !is_host(endpoint.helo_name))) return {};
    std::string host = endpoint.host;
    if (host.find(':') != std::string::npos && host.front() != '[') host = '[' + host + ']';
    const char* scheme = endpoint.tls == Tls::implicit ? "smtps://" : "smtp://";
    return scheme + host + ':' + std::to_string(endpoint.port) + '/' + endpoint.helo_name;
}

bool wants_login(const Endpoint& endpoint) { return !endpoint.username.empty(); }

}  // namespace

Opening::Opening(CurlLoop& loop, std::shared_ptr<const Endpoint> endpoint, core::Time now)
    : loop_(loop), endpoint_(std::move(endpoint)), started_at_(now), easy_(curl_easy_init()) {
    if (!easy_ || !loop_.is_ok() || !set_options()) {
        fail(Ending::failed, "the mail server's settings are not valid", 0);
    } else if (is_in_loop_ = loop_.add(easy_.get(), now); !is_in_loop_) {
        fail(Ending::failed, "out of resources", 0);
    }
}

Opening::~Opening() {
    if (easy_ && is_in_loop_) loop_.remove(easy_.get());
}

bool Opening::set_options() {
    CURL* easy = easy_.get();
    const std::string url = make_url(*endpoint_);
    if (url.empty() || endpoint_->port < 1 || endpoint_->port > 65535) return false;
    bool is_ok = true;
    const auto set = [&](CURLoption option, auto value) { is_ok &= curl_easy_setopt(easy, option, value) == CURLE_OK; };

    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    set(CURLOPT_CONNECT_ONLY, 1L);
    set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // closing never waits for a resolver thread
    set(CURLOPT_PROXY, endpoint_->proxy ? endpoint_->proxy->c_str() : "");
    if (endpoint_->proxy) set(CURLOPT_HTTPPROXYTUNNEL, 1L);
    set(CURLOPT_TCP_NODELAY, 1L);
    // expire() ends what takes too long; libcurl's own limits (5 and 2 minutes unless told) must not come before it.
    set(CURLOPT_CONNECTTIMEOUT_MS, 2 * to_ms(endpoint_->timeouts.session));
    set(CURLOPT_SERVER_RESPONSE_TIMEOUT, 1 + 2 * to_ms(endpoint_->timeouts.session) / 1000);
    set(CURLOPT_ERRORBUFFER, error_buffer_.data());
    set(CURLOPT_HEADERFUNCTION, &Opening::on_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(this));
    set(CURLOPT_DEBUGFUNCTION, &Opening::on_debug);
    set(CURLOPT_DEBUGDATA, static_cast<void*>(this));
    set(CURLOPT_VERBOSE, 1L);
    if (wants_login(*endpoint_)) {
        set(CURLOPT_USERNAME, endpoint_->username.c_str());
        if (endpoint_->token || endpoint_->oauth_bearer) {
            set(CURLOPT_XOAUTH2_BEARER, (endpoint_->token ? endpoint_->token->text : *endpoint_->oauth_bearer).c_str());
            // Left to itself libcurl may choose PLAIN, with an empty password.
            set(CURLOPT_LOGIN_OPTIONS, "AUTH=XOAUTH2;AUTH=OAUTHBEARER");
        } else {
            set(CURLOPT_PASSWORD, endpoint_->password.c_str());
        }
    }
    set_security_options();
    return is_ok;
}

void Opening::set_security_options() {
    CURL* easy = easy_.get();
    const Tls tls = endpoint_->tls;
    const long use = tls == Tls::none ? CURLUSESSL_NONE : tls == Tls::opportunistic ? CURLUSESSL_TRY : CURLUSESSL_ALL;
    // Opportunistic TLS falls back to clear text anyway (RFC 7435), so a certificate would prove nothing.
    const bool verifies = endpoint_->verify_certificate && tls != Tls::opportunistic;
    curl_easy_setopt(easy, CURLOPT_USE_SSL, use);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verifies ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verifies ? 2L : 0L);
    if (endpoint_->ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, endpoint_->ca_file->c_str());
}

// ---- what the callbacks note ---------------------------------------------------------------------------------

std::size_t Opening::on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    try {
        const bool is_sense = static_cast<Opening*>(self)->note_reply_line({data, size * count});
        return is_sense ? size * count : 0;
    } catch (const std::exception&) {  // out of memory: libcurl ends the connection
        return 0;
    }
}

int Opening::on_debug(CURL*, curl_infotype type, char* data, std::size_t size, void* self) noexcept {
    try {
        auto* opening = static_cast<Opening*>(self);
        std::string_view text{data, size};
        if (type == CURLINFO_HEADER_OUT) opening->note_command(text);
        constexpr std::string_view tls_prefix = "SSL connection using ";
        if (type == CURLINFO_TEXT && text.starts_with("TLSv"))
            opening->has_tls_begun_ = true;  // "TLSv1.3 (OUT), TLS handshake …"
        if (type == CURLINFO_TEXT && text.starts_with(tls_prefix)) {
            text.remove_prefix(tls_prefix.size());
            opening->tls_text_ = text.substr(0, text.find_first_of("\r\n"));
        }
    } catch (const std::exception&) {  // out of memory: a note is missing, the connection works
    }
    return 0;
}

void Opening::note_command(std::string_view line) {
    if (line.starts_with("EHLO") || line.starts_with("HELO")) {
        said_ = Stage::ehlo;
        capabilities_ = {};
    } else if (line.starts_with("STARTTLS")) {
        said_ = Stage::tls;
    } else if (line.starts_with("AUTH")) {
        said_ = Stage::auth;
    }
}

// False ends the connection.
bool Opening::note_reply_line(std::string_view line) {
    if (said_ == Stage::connect) said_ = Stage::greeting;
    if (said_ == Stage::ehlo) {
        if (const ReplyLine parts = split_reply_line(line); parts.code == 250) capabilities_.add(parts.text);
    }
    header_bytes_ += line.size();
    parser_.feed(line);
    if (parser_.state() == ReplyParser::State::complete) note_reply(parser_.take());
    is_nonsense_ |= parser_.state() == ReplyParser::State::broken || header_bytes_ > max_header_bytes;
    return !is_nonsense_;
}

void Opening::note_reply(core::Reply reply) {
    if (said_ == Stage::greeting) greeting_ = reply;
    if (said_ == Stage::auth) login_reply_ = reply;
    last_reply_ = std::move(reply);
}

// ---- what it amounts to --------------------------------------------------------------------------------------

bool Opening::is_connected() const {
    if (has_tls_begun_ || said_ != Stage::connect) return true;
    curl_off_t us = 0;  // until TLS is up, 0 for implicit TLS
    return easy_ && curl_easy_getinfo(easy_.get(), CURLINFO_CONNECT_TIME_T, &us) == CURLE_OK && us > 0;
}

Stage Opening::stage() const {
    if (said_ != Stage::connect) return said_;
    if (!is_connected()) return Stage::connect;
    curl_off_t us = 0;
    const bool is_secured = curl_easy_getinfo(easy_.get(), CURLINFO_APPCONNECT_TIME_T, &us) == CURLE_OK && us > 0;
    return endpoint_->tls == Tls::implicit && !is_secured ? Stage::tls : Stage::greeting;
}

std::string Opening::peer() const {
    const char* ip = nullptr;
    long port = 0;
    if (!is_connected() || curl_easy_getinfo(easy_.get(), CURLINFO_PRIMARY_IP, &ip) != CURLE_OK || ip == nullptr)
        return {};
    curl_easy_getinfo(easy_.get(), CURLINFO_PRIMARY_PORT, &port);
    return std::string{ip} + " port " + std::to_string(port);
}

core::Time Opening::deadline() const {
    return started_at_ + (is_connected() ? endpoint_->timeouts.session : endpoint_->timeouts.connect);
}

void Opening::expire(core::Time now) {
    if (!is_over_ && now >= deadline()) fail(Ending::timed_out, "the server took too long", CURLE_OPERATION_TIMEDOUT);
}

void Opening::fail(Ending ending, std::string_view text, int curl_code) {
    is_over_ = has_failed_ = true;
    ending_ = ending;
    error_text_ = text;
    curl_code_ = curl_code;
}

namespace {

// Where a failure belongs that libcurl names without our having seen a command: STARTTLS or AUTH not offered, a
// certificate.
std::optional<Stage> stage_of(CURLcode code) {
    switch (code) {
        case CURLE_USE_SSL_FAILED:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_CIPHER:
            return Stage::tls;
        case CURLE_LOGIN_DENIED:
        case CURLE_AUTH_ERROR:
            return Stage::auth;
        default:
            return std::nullopt;
    }
}

// 35 covers both a handshake that the peers can't agree on and a connection that broke in the middle of one; only the
// first leaves a line of OpenSSL's ("error:0A000410:SSL routines::…").
Ending ending_of(CURLcode code, std::string_view text, bool is_nonsense) {
    if (is_nonsense) return Ending::garbled;
    switch (code) {
        case CURLE_OPERATION_TIMEDOUT:
            return Ending::timed_out;
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
        case CURLE_GOT_NOTHING:
            return Ending::closed;
        case CURLE_SSL_CONNECT_ERROR:
            return text.find("SSL routines") == std::string_view::npos ? Ending::closed : Ending::failed;
        default:
            return Ending::failed;
    }
}

}  // namespace

void Opening::on_done(CURLcode code) {
    if (is_over_) return;
    std::string_view text{error_buffer_.data()};
    if (text.empty()) text = curl_easy_strerror(code);
    if (code != CURLE_OK) {
        // 8 without a reply: what came was no SMTP at all.
        said_ = stage_of(code).value_or(said_);
        const bool is_nonsense = is_nonsense_ || (code == CURLE_WEIRD_SERVER_REPLY && !last_reply_);
        return fail(ending_of(code, text, is_nonsense), text, code);
    }
    if (wants_login(*endpoint_) && (!login_reply_ || login_reply_->code != 235)) {
        said_ = Stage::auth;
        last_reply_ = login_reply_;
        return fail(Ending::failed, "the server offers no login", code);
    }
    is_over_ = true;
}

CurlEasy Opening::take_easy() {
    CURL* easy = easy_.get();
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 0L);
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, nullptr);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, nullptr);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, nullptr);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, nullptr);
    is_in_loop_ = false;
    return std::move(easy_);
}

core::Report Opening::failure(core::Time now) const {
    core::Report report;
    report.stage = stage();
    report.ending = ending_;
    report.curl_code = curl_code_;
    report.error_text = error_text_;
    report.started_at = started_at_;
    report.finished_at = now;
    // A positive reply didn't end it, except where it is the wrong one; it would only mislead.
    if (last_reply_ && !last_reply_->is_positive() && !last_reply_->is_intermediate())
        report.session_reply = last_reply_;
    return report;
}

}  // namespace mailer::smtp
