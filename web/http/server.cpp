#include "http/server.hpp"

#include <microhttpd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <optional>

#include "core/octets.hpp"
#include "http/deadlines.hpp"
#include "http/executor.hpp"
#include "http/listen.hpp"

namespace mailer::web {

namespace {

constexpr std::size_t head_limit = 32u << 10;
constexpr std::size_t all_bodies_limit = 64u << 20;
constexpr unsigned idle_seconds = 10;
constexpr std::chrono::seconds total_seconds{30};
constexpr unsigned wanted_connections = 2000;
constexpr std::size_t handler_threads = 32;

constexpr const char* content_policy =
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src "
    "'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

// One request on its way; libmicrohttpd keeps the pointer until the request is completed.
struct Exchange {
    explicit Exchange(const char* raw_uri) : uri(raw_uri) {}
    std::string uri;
    Request request = {};
    Plan plan = {};
    std::size_t body_taken = 0;
    bool is_begun = false;
    bool is_handed_over = false;
    std::optional<Response> response = {};
};

// Addresses are decoded by parse_target() alone: libmicrohttpd would let through what is malformed.
std::size_t leave_escaped(void*, MHD_Connection*, char* text) { return std::strlen(text); }

MHD_Result take_header(void* request, MHD_ValueKind, const char* name, const char* value) {
    const std::string key = core::lowered(name);
    auto* to = static_cast<Request*>(request);
    if (!to->headers.insert_or_assign(key, value ? value : "").second) to->repeated.insert(key);
    return MHD_YES;
}

// Throws HttpError 400.
void parse_target(std::string_view uri, Request& request) {
    if (const std::size_t scheme = uri.find("://"); scheme != std::string_view::npos && !uri.starts_with('/')) {
        const std::size_t slash = uri.find('/', scheme + 3);
        uri = slash == std::string_view::npos ? std::string_view("/") : uri.substr(slash);
    }
    const std::size_t question = std::min(uri.find('?'), uri.size());
    auto path = decode_percent(uri.substr(0, question), false);
    if (!path || !path->starts_with('/')) throw HttpError(400, "The address can't be read.");
    request.path = std::move(*path);
    request.query = parse_query(uri.substr(std::min(question + 1, uri.size())));
}

unsigned raise_connection_limit() {
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 500;
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);
    setrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NOFILE, &files);
    return static_cast<unsigned>(
        std::clamp<rlim_t>(files.rlim_cur > 300 ? files.rlim_cur - 300 : 0, 50, wanted_connections));
}

}  // namespace

struct Server::Inside {
    Handler& handler;
    int listener = -1;
    bool has_tls = false;
    std::string socket_path = {};
    std::atomic<std::size_t> all_bodies{0};
    MHD_Daemon* daemon = nullptr;
    std::optional<Deadlines> deadlines = {};
    std::optional<Executor> executor = {};

    void describe_peer(MHD_Connection* connection, Request& request) const;
    void begin(MHD_Connection* connection, const char* method, Exchange& exchange);
    void hand_over(MHD_Connection* connection, Exchange& exchange);
    MHD_Result answer(MHD_Connection* connection, const Response& response) const;
    MHD_Result step(MHD_Connection* connection, const char* method, const char* data, std::size_t* size,
                    Exchange& exchange);

    static void* on_uri(void*, const char* uri, MHD_Connection*) { return new Exchange(uri); }
    static MHD_Result on_request(void* self, MHD_Connection* connection, const char*, const char* method, const char*,
                                 const char* data, std::size_t* size, void** exchange) {
        return static_cast<Inside*>(self)->step(connection, method, data, size, *static_cast<Exchange*>(*exchange));
    }
    static void on_completed(void* self, MHD_Connection* connection, void** exchange, MHD_RequestTerminationCode);
    static void on_connection(void* self, MHD_Connection* connection, void**, MHD_ConnectionNotificationCode code);
    static int socket_of(MHD_Connection* connection) {
        return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    }
};

void Server::Inside::on_completed(void* self, MHD_Connection* connection, void** exchange, MHD_RequestTerminationCode) {
    auto* inside = static_cast<Inside*>(self);
    if (auto* ended = static_cast<Exchange*>(*exchange)) {
        inside->all_bodies -= ended->body_taken;
        delete ended;
    }
    *exchange = nullptr;
    inside->deadlines->begin(socket_of(connection));
}

void Server::Inside::on_connection(void* self, MHD_Connection* connection, void**,
                                   MHD_ConnectionNotificationCode code) {
    auto* inside = static_cast<Inside*>(self);
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        inside->deadlines->begin(socket_of(connection));
    else
        inside->deadlines->end(socket_of(connection));
}

// Headers of a proxy are believed only where nobody but this machine can have sent them.
void Server::Inside::describe_peer(MHD_Connection* connection, Request& request) const {
    const sockaddr* from = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    request.is_secure = has_tls;
    request.peer = from ? name_of(*from) : "unknown";
    request.is_from_proxy = !socket_path.empty() || (from && is_loopback(*from));
    if (request.is_from_proxy) {
        const std::string& forwarded = request.header("x-forwarded-for");
        const std::size_t last = forwarded.find_last_of(", ");
        const std::string nearest = last == std::string::npos ? forwarded : forwarded.substr(last + 1);
        if (!nearest.empty() && nearest.size() < 64) request.peer = nearest;
        if (request.header("x-forwarded-proto") == "https") request.is_secure = true;
    }
}

void Server::Inside::begin(MHD_Connection* connection, const char* method, Exchange& exchange) {
    exchange.is_begun = true;
    Request& request = exchange.request;
    const std::string_view name = method;
    request.method = name == "HEAD" ? "GET" : name;
    if (request.method != "GET" && request.method != "POST") {
        exchange.response = handler.refuse(405, "Only GET, HEAD and POST are served.");
        exchange.response->set("Allow", "GET, HEAD, POST");
        return;
    }
    MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, &request);
    describe_peer(connection, request);
    try {
        parse_target(exchange.uri, request);
    } catch (const HttpError& error) {
        exchange.response = handler.refuse(error.status(), error.what());
        return;
    }
    exchange.plan = handler.plan(request);
    const std::string& length = request.header("content-length");
    std::size_t announced = 0;
    std::from_chars(length.data(), length.data() + length.size(), announced);
    if (announced > exchange.plan.body_limit) exchange.response = handler.refuse(413, "That is too large.");
}

void Server::Inside::hand_over(MHD_Connection* connection, Exchange& exchange) {
    exchange.is_handed_over = true;
    MHD_suspend_connection(connection);
    const bool is_taken = executor->submit(exchange.plan.key, exchange.plan.limit, [this, connection, &exchange] {
        exchange.response = handler.handle(exchange.request);
        MHD_resume_connection(connection);
    });
    if (!is_taken) {
        exchange.response = handler.refuse(503, "Too much is asked at once. Try again in a moment.");
        exchange.response->set("Retry-After", "5");
        MHD_resume_connection(connection);
    }
}

MHD_Result Server::Inside::step(MHD_Connection* connection, const char* method, const char* data, std::size_t* size,
                                Exchange& exchange) {
    if (!exchange.is_begun) {
        begin(connection, method, exchange);
        // Before the body has been read: the connection ends after the answer.
        return exchange.response ? answer(connection, *exchange.response) : MHD_YES;
    }
    if (*size > 0) {
        if (exchange.body_taken + *size > exchange.plan.body_limit || all_bodies + *size > all_bodies_limit)
            return MHD_NO;
        exchange.request.body.append(data, *size);
        exchange.body_taken += *size;
        all_bodies += *size;
        *size = 0;
        return MHD_YES;
    }
    if (exchange.response) return answer(connection, *exchange.response);
    if (!exchange.is_handed_over) hand_over(connection, exchange);
    return MHD_YES;
}

MHD_Result Server::Inside::answer(MHD_Connection* connection, const Response& response) const {
    MHD_Response* made = MHD_create_response_from_buffer(response.body.size(), const_cast<char*>(response.body.data()),
                                                         MHD_RESPMEM_MUST_COPY);
    if (!made) return MHD_NO;
    const auto add = [&](const char* name, const std::string& value) {
        MHD_add_response_header(made, name, value.c_str());
    };
    add("Content-Type", response.type);
    add("Content-Security-Policy", response.content_policy.empty() ? content_policy : response.content_policy);
    add("X-Content-Type-Options", "nosniff");
    add("X-Frame-Options", response.content_policy.empty() ? "DENY" : "SAMEORIGIN");
    add("Referrer-Policy", "no-referrer");
    add("Cross-Origin-Opener-Policy", "same-origin");
    bool has_cache_rule = false;
    for (const auto& [name, value] : response.headers) {
        has_cache_rule = has_cache_rule || name == "Cache-Control";
        add(name.c_str(), value);
    }
    if (!has_cache_rule) add("Cache-Control", "no-store");
    const MHD_Result result = MHD_queue_response(connection, static_cast<unsigned>(response.status), made);
    MHD_destroy_response(made);
    return result;
}

Server::Server(const ListenAddress& address, const std::string& cert, const std::string& key, Handler& handler)
    : inside_(new Inside{.handler = handler}) {
    Inside& in = *inside_;
    in.listener = open_listener(address);
    in.socket_path = address.socket_path;
    in.has_tls = !cert.empty();
    in.deadlines.emplace(total_seconds);
    in.executor.emplace(handler_threads);
    std::vector<MHD_OptionItem> options;
    const auto option = [&](MHD_OPTION what, std::intptr_t value, void* pointer = nullptr) {
        options.push_back({what, value, pointer});
    };
    option(MHD_OPTION_LISTEN_SOCKET, in.listener);
    option(MHD_OPTION_CONNECTION_MEMORY_LIMIT, head_limit);
    option(MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds);
    option(MHD_OPTION_CONNECTION_LIMIT, raise_connection_limit());
    if (in.has_tls) {
        option(MHD_OPTION_HTTPS_MEM_CERT, 0, const_cast<char*>(cert.c_str()));
        option(MHD_OPTION_HTTPS_MEM_KEY, 0, const_cast<char*>(key.c_str()));
    }
    option(MHD_OPTION_END, 0);
    unsigned flags = static_cast<unsigned>(MHD_USE_EPOLL_INTERNAL_THREAD) | MHD_ALLOW_SUSPEND_RESUME;
    if (in.has_tls) flags |= MHD_USE_TLS;
    in.daemon = MHD_start_daemon(flags, 0, nullptr, nullptr, &Inside::on_request, &in, MHD_OPTION_ARRAY, options.data(),
                                 MHD_OPTION_URI_LOG_CALLBACK, &Inside::on_uri, &in, MHD_OPTION_UNESCAPE_CALLBACK,
                                 &leave_escaped, nullptr, MHD_OPTION_NOTIFY_COMPLETED, &Inside::on_completed, &in,
                                 MHD_OPTION_NOTIFY_CONNECTION, &Inside::on_connection, &in, MHD_OPTION_END);
    if (!in.daemon) throw std::runtime_error("the HTTP server doesn't start; are certificate and key in order?");
}

Server::~Server() {
    Inside& in = *inside_;
    if (in.daemon) MHD_quiesce_daemon(in.daemon);
    in.executor.reset();  // no connection may be suspended when the server stops
    if (in.daemon) MHD_stop_daemon(in.daemon);
    in.deadlines.reset();
    if (in.listener >= 0) close(in.listener);
    if (!in.socket_path.empty()) unlink(in.socket_path.c_str());
}

std::string Server::address() const {
    if (!inside_->socket_path.empty()) return "unix:" + inside_->socket_path;
    return (inside_->has_tls ? "https://" : "http://") + bound_address(inside_->listener);
}

}  // namespace mailer::web
