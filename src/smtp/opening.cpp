// See opening.hpp. Options first, then what the callbacks note, then what it all amounts to.
#include "smtp/opening.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/octets.hpp"
#include "net/authorities.hpp"
#include "net/cleartext.hpp"
#include "net/curl_options.hpp"
#include "net/socket.hpp"
#include "smtp/helo_name.hpp"

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
    const std::string helo =
        endpoint.helo_name.empty() ? default_helo_name(endpoint.host, endpoint.source_address) : endpoint.helo_name;
    return scheme + host + ':' + std::to_string(endpoint.port) + '/' + helo;
}

bool wants_login(const Endpoint& endpoint) {
    return !endpoint.username.empty() || endpoint.login_mechanism == "external";
}

bool has_token(const Endpoint& endpoint) {
    return endpoint.token || endpoint.oauth_bearer || endpoint.login_mechanism == "xoauth2" ||
           endpoint.login_mechanism == "oauthbearer";
}

bool offers(std::string_view auth, std::string_view mechanism) {
    const std::string all = ' ' + core::raised(auth) + ' ';
    return all.find(' ' + std::string{mechanism} + ' ') != std::string::npos;
}

// OpenSSL's words for the server's alert ("… tlsv13 alert certificate required, errno 0").
bool is_certificate_refused(std::string_view text) {
    return text.find("alert certificate required") != std::string_view::npos ||
           text.find("alert bad certificate") != std::string_view::npos;
}

// The octets of base64 text; what isn't base64 ends it.
std::string decoded(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    unsigned bits = 0;
    int count = 0;
    for (const char c : text) {
        const auto digit = digits.find(c);
        if (digit == std::string_view::npos) break;
        bits = (bits << 6 | static_cast<unsigned>(digit)) & 0xFFFFFFu;
        if ((count += 6) < 8) continue;
        count -= 8;
        out += static_cast<char>(bits >> count & 0xFFu);
    }
    return out;
}

}  // namespace

Opening::Opening(CurlLoop& loop, std::shared_ptr<const Endpoint> endpoint, core::Time now)
    : loop_(loop), endpoint_(std::move(endpoint)), started_at_(now), try_started_at_(now), easy_(curl_easy_init()) {
    if (const std::string why = refusal(); !why.empty()) {
        fail(Ending::failed, why, 0);
    } else if (!easy_ || !loop_.is_ok() || !set_options()) {
        fail(Ending::failed, "the mail server's settings are not valid", 0);
    } else if (is_in_loop_ = loop_.add(easy_.get(), now); !is_in_loop_) {
        fail(Ending::failed, "out of resources", 0);
    }
}

Opening::~Opening() {
    if (easy_ && is_in_loop_) loop_.remove(easy_.get());
    easy_.reset();  // before what it refers to
    curl_slist_free_all(pinned_);
}

// Why this isn't even tried: said_ is the stage that it belongs to.
std::string Opening::refusal() {
    if (!wants_login(*endpoint_)) return {};
    said_ = Stage::auth;
    if (endpoint_->secret_fault) return *endpoint_->secret_fault;
    said_ = Stage::tls;
    if (endpoint_->tls == Tls::none && !may_log_in_in_clear(*endpoint_)) return cleartext_refusal("tls");
    said_ = Stage::connect;
    return {};
}

bool Opening::set_options() {
    CURL* easy = easy_.get();
    const std::string url = make_url(*endpoint_);
    if (url.empty() || endpoint_->port < 1 || endpoint_->port > 65535) return false;
    bool is_ok = true;
    const auto set = [&](CURLoption option, auto value) { is_ok &= curl_easy_setopt(easy, option, value) == CURLE_OK; };

    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_CONNECT_ONLY, 1L);
    set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    is_ok &= net::allow_only(easy, "smtp,smtps") && net::close_at_once(easy);
    set(CURLOPT_PROXY, endpoint_->proxy ? endpoint_->proxy->c_str() : "");
    if (endpoint_->proxy) set(CURLOPT_HTTPPROXYTUNNEL, 1L);
    set(CURLOPT_TCP_NODELAY, 1L);
    // expire() ends what takes too long; libcurl's own limits (5 and 2 minutes by default) must not come before it.
    set(CURLOPT_CONNECTTIMEOUT_MS, 2 * to_ms(endpoint_->timeouts.session));
    set(CURLOPT_SERVER_RESPONSE_TIMEOUT, 1 + 2 * to_ms(endpoint_->timeouts.session) / 1000);
    set(CURLOPT_ERRORBUFFER, error_buffer_.data());
    set(CURLOPT_HEADERFUNCTION, &Opening::on_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(this));
    set(CURLOPT_DEBUGFUNCTION, &Opening::on_debug);
    set(CURLOPT_DEBUGDATA, static_cast<void*>(this));
    set(CURLOPT_VERBOSE, 1L);
    set(CURLOPT_OPENSOCKETFUNCTION, &Opening::on_open_socket);
    set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
    if (!endpoint_->source_address.empty()) set(CURLOPT_INTERFACE, ("host!" + endpoint_->source_address).c_str());
    if (!endpoint_->pinned_addresses.empty()) {
        const std::string pin =
            endpoint_->host + ':' + std::to_string(endpoint_->port) + ':' + endpoint_->pinned_addresses;
        pinned_ = curl_slist_append(nullptr, pin.c_str());
        set(CURLOPT_RESOLVE, pinned_);
    }
    if (wants_login(*endpoint_)) set_login_options();
    set_security_options();
    return is_ok;
}

// Left to itself libcurl may choose a mechanism that can't work here (GSSAPI, NTLM, PLAIN with an empty password).
void Opening::set_login_options() {
    CURL* easy = easy_.get();
    const Endpoint& e = *endpoint_;
    if (!e.username.empty()) curl_easy_setopt(easy, CURLOPT_USERNAME, e.username.c_str());
    std::string mechanisms = "AUTH=" + core::raised(e.login_mechanism);
    if (e.login_mechanism == "auto")
        mechanisms = has_token(e)      ? "AUTH=XOAUTH2;AUTH=OAUTHBEARER"
                     : offers_digests_ ? "AUTH=CRAM-MD5;AUTH=DIGEST-MD5"
                                       : "AUTH=PLAIN;AUTH=LOGIN";
    curl_easy_setopt(easy, CURLOPT_LOGIN_OPTIONS, mechanisms.c_str());
    if (has_token(e)) {
        const std::string& token = e.token ? e.token->text : e.oauth_bearer ? *e.oauth_bearer : e.password;
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, token.c_str());
    } else if (e.login_mechanism != "external") {
        curl_easy_setopt(easy, CURLOPT_PASSWORD, e.password.c_str());
    }
}

void Opening::set_security_options() {
    CURL* easy = easy_.get();
    const Tls tls = endpoint_->tls;
    // A stripped STARTTLS must not get a password in clear text.
    const bool may_fall_back = !wants_login(*endpoint_) || may_log_in_in_clear(*endpoint_);
    const long use = tls == Tls::none || is_clear_                ? CURLUSESSL_NONE
                     : tls == Tls::opportunistic && may_fall_back ? CURLUSESSL_TRY
                                                                  : CURLUSESSL_ALL;
    // Opportunistic TLS falls back to clear text anyway (RFC 7435), so a certificate would prove nothing.
    const bool verifies = endpoint_->verify_certificate && tls != Tls::opportunistic;
    curl_easy_setopt(easy, CURLOPT_USE_SSL, use);
    const std::string& oldest = endpoint_->min_tls;
    const long version = oldest == "1.0"   ? CURL_SSLVERSION_TLSv1_0
                         : oldest == "1.1" ? CURL_SSLVERSION_TLSv1_1
                         : oldest == "1.3" ? CURL_SSLVERSION_TLSv1_3
                                           : CURL_SSLVERSION_TLSv1_2;
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, version);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verifies ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verifies ? 2L : 0L);
    (void)set_authorities(easy, *endpoint_);
    if (endpoint_->client_cert_file) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, endpoint_->client_cert_file->c_str());
        curl_easy_setopt(easy, CURLOPT_SSLKEY,
                         endpoint_->client_key_file.value_or(*endpoint_->client_cert_file).c_str());
    }
}

// ---- what the callbacks note ---------------------------------------------------------------------------------

std::size_t Opening::on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    try {
        const std::size_t length = size * count;
        const bool is_sense = static_cast<Opening*>(self)->note_reply_line({data, length});
        // "220" and a bare LF is a reply. libcurl looks for the blank behind the code, and would wait for ever.
        if (length == 4 && data[3] == '\n' && split_reply_line({data, length}).code != 0) data[3] = ' ';
        return is_sense ? length : 0;
    } catch (const std::exception&) {  // out of memory: libcurl ends the connection
        return 0;
    }
}

int Opening::on_debug(CURL*, curl_infotype type, char* data, std::size_t size, void* self) noexcept {
    try {
        auto* opening = static_cast<Opening*>(self);
        std::string_view text{data, size};
        if (type == CURLINFO_HEADER_OUT) opening->note_command(text);
        if (type == CURLINFO_TEXT && text.find("Request CERT") != std::string_view::npos)
            opening->is_asked_for_certificate_ = true;
        if (type == CURLINFO_TEXT && is_certificate_refused(text))
            opening->certificate_alert_ = text.substr(0, text.find_first_of("\r\n"));
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

curl_socket_t Opening::on_open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept {
    try {
        auto* opening = static_cast<Opening*>(self);
        std::string key(reinterpret_cast<const char*>(&address->addr), address->addrlen);
        if (opening->failed_addresses_.contains(key)) return CURL_SOCKET_BAD;
        opening->tried_addresses_.insert(std::move(key));
    } catch (const std::exception&) {  // out of memory
        return CURL_SOCKET_BAD;
    }
    return net::open_socket(*address, static_cast<Opening*>(self)->endpoint_->user_timeout);
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
    is_asked_for_certificate_ = false;
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
    if (said_ == Stage::auth && reply.code == 334 && has_token(*endpoint_)) note_token_fault(reply);
    last_reply_ = std::move(reply);
}

// RFC 7628 3.2.2: why a token was refused comes as JSON in a 334, before the refusal.
void Opening::note_token_fault(const core::Reply& reply) {
    const std::string json = decoded(reply.text);
    if (json.find('{') == std::string::npos) return;
    token_fault_.clear();
    append_sanitised(token_fault_, json);
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
    return try_started_at_ + (is_connected() ? endpoint_->timeouts.session : endpoint_->timeouts.connect);
}

void Opening::expire(core::Time now) {
    if (is_over_ || now < deadline()) return;
    std::string why = "the server took too long";
    if (endpoint_->port == 465 && endpoint_->tls != Tls::implicit && stage() == Stage::greeting)
        why += ": port 465 speaks TLS from the first octet, set tls to implicit";
    fail(Ending::timed_out, why, CURLE_OPERATION_TIMEDOUT);
    goes_on_elsewhere(CURLE_OPERATION_TIMEDOUT, now);
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

void Opening::on_done(CURLcode code, core::Time now) {
    if (is_over_) return;
    std::string_view text{error_buffer_.data()};
    if (!certificate_alert_.empty()) text = certificate_alert_;  // the buffer has what libcurl complained of first
    if (text.empty()) text = curl_easy_strerror(code);
    if (code != CURLE_OK) {
        const std::string why = explain(code, text);
        const bool is_refused = !certificate_alert_.empty();
        said_ = is_refused ? Stage::tls : stage_of(code).value_or(said_);
        // 8 without a reply: what came was no SMTP at all.
        const bool is_nonsense = is_nonsense_ || (code == CURLE_WEIRD_SERVER_REPLY && !last_reply_);
        fail(is_refused ? Ending::failed : ending_of(code, text, is_nonsense), why, code);
        goes_on_elsewhere(code, now);
        return;
    }
    if (wants_login(*endpoint_) && (!login_reply_ || login_reply_->code != 235)) {
        said_ = Stage::auth;
        last_reply_ = login_reply_;
        return fail(Ending::failed, "the server offers no login", code);
    }
    is_over_ = true;
}

// What libcurl's words leave out and the operator needs.
std::string Opening::explain(CURLcode code, std::string_view text) const {
    std::string why{text};
    if (!token_fault_.empty()) why += ": 334 " + token_fault_;
    const bool has_no_mechanism = code == CURLE_LOGIN_DENIED && said_ != Stage::auth;
    if (has_no_mechanism) {
        const std::string wanted = endpoint_->login_mechanism != "auto" ? core::raised(endpoint_->login_mechanism)
                                   : has_token(*endpoint_)              ? "XOAUTH2 or OAUTHBEARER"
                                                                        : "PLAIN, LOGIN or CRAM-MD5";
        why = "no login that fits: the server offers " +
              (capabilities_.auth.empty() ? std::string("none") : capabilities_.auth) + ", and " + wanted +
              " is wanted";
    }
    // In TLS 1.3 the handshake is over for the client before the server has looked at its certificate (RFC 8446
    // 4.4.2.4): the refusal comes instead of a reply, as an alert or as no more than a closed connection. The latter is
    // worth a hint and proves nothing: many servers ask for a certificate that they don't need.
    const bool is_certificate_wanted = is_asked_for_certificate_ || !certificate_alert_.empty() ||
                                       text.find("alert handshake failure") != std::string_view::npos;
    if (is_certificate_wanted && !endpoint_->client_cert_file)
        why += ": the server wants a client certificate, set client_cert_file";
    return why;
}

// After a failure: another address, another mechanism, or no TLS where that is allowed. True when a new try runs.
bool Opening::goes_on_elsewhere(CURLcode code, core::Time now) {
    const bool is_login_refused = said_ == Stage::auth && last_reply_ && last_reply_->code >= 500;
    const bool lacks_plain = code == CURLE_LOGIN_DENIED && !login_reply_ && !offers(capabilities_.auth, "PLAIN") &&
                             !offers(capabilities_.auth, "LOGIN");
    if (lacks_plain && endpoint_->login_mechanism == "auto" && !has_token(*endpoint_) && !offers_digests_ &&
        (offers(capabilities_.auth, "CRAM-MD5") || offers(capabilities_.auth, "DIGEST-MD5"))) {
        offers_digests_ = true;
        set_login_options();
        return restart(now);
    }
    const bool may_be_clear =
        endpoint_->tls == Tls::opportunistic && (!wants_login(*endpoint_) || may_log_in_in_clear(*endpoint_));
    if (may_be_clear && !is_clear_ && has_tls_begun_ && said_ == Stage::tls) {
        is_clear_ = true;
        set_security_options();
        return restart(now);
    }
    if (is_login_refused || is_nonsense_ || tried_addresses_.empty()) {
        // There is no other address: what is reported is what went wrong at the last one.
        if (tried_addresses_.empty() && last_failure_)
            last_failure_->finished_at = now;
        else
            last_failure_.reset();
        return false;
    }
    // Of several failures the one that came furthest says most.
    const std::optional<core::Report> before = std::exchange(last_failure_, std::nullopt);
    last_failure_ = failure(now);
    if (before && before->stage > last_failure_->stage) last_failure_ = before;
    failed_addresses_.merge(tried_addresses_);
    return restart(now);
}

bool Opening::restart(core::Time now) {
    if (is_in_loop_) loop_.remove(easy_.get());
    tried_addresses_.clear();
    error_buffer_.fill('\0');
    is_over_ = has_failed_ = is_nonsense_ = has_tls_begun_ = is_asked_for_certificate_ = false;
    said_ = Stage::connect;
    parser_ = {};
    header_bytes_ = 0;
    capabilities_ = {};
    tls_text_.clear();
    greeting_.reset();
    login_reply_.reset();
    last_reply_.reset();
    token_fault_.clear();
    certificate_alert_.clear();
    try_started_at_ = now;
    is_in_loop_ = loop_.add(easy_.get(), now);
    if (!is_in_loop_) fail(Ending::failed, "out of resources", 0);
    return is_in_loop_;
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
    if (is_over_ && last_failure_) return *last_failure_;
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
    if (report.session_reply && !token_fault_.empty()) report.session_reply->text += " (" + token_fault_ + ")";
    return report;
}

}  // namespace mailer::smtp
