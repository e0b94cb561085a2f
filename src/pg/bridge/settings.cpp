// Defines the settings and copies them out; see settings.hpp.
//
// Contexts: what the engine obeys is SIGHUP (postgresql.conf and a reload); what a superuser may set for one database
// is SUSET, and the worker is restarted when such a setting changes (ddl_hooks); mailer.timezone is only a default that
// is stored at create, so anybody may set it. Check hooks may run in any process, the postmaster too: they read nothing
// but their argument and never raise; what they object to goes into DETAIL.
#include "pg/bridge/settings.hpp"

#include "pg/bridge/limits.hpp"

#include <cstring>

#include "core/octets.hpp"
#include "core/outcome/backoff.hpp"
#include "core/standby/lease.hpp"

extern "C" {
#include "pgtime.h"
}

namespace mailer::pg {

namespace {

bool enabled = true;
int max_connections = 50;
int key_retention = -1;
char* timezone_name = nullptr;
char* retry_delays = nullptr;
bool allow_cleartext_login = false;
bool keep_replies = false;  // read by SQL
int max_attempts = 0;
int max_age = 432000;
int sweep_interval = 60000;
int loader_timeout = 5000;
int max_preparers = 4;
int shutdown_grace_ms = 900;
int max_message_size = 25 * 1024 * 1024;
int max_body_memory = 64 * 1024;  // kB
char* allowed_hosts = nullptr;
char* unsubscribe_url = nullptr;
char* virtual_now = nullptr;
char* on_promotion = nullptr;
int promise_time = 75000;
char* promise_to = nullptr;
char* identity = nullptr;
char* sender_lease = nullptr;
int worker_limit = 0;
int listener_limit = 0;
int database_limit = 500;
int delivery = static_cast<int>(Delivery::smtp);
char* redirect_to = nullptr;

const config_enum_entry delivery_names[] = {{"smtp", static_cast<int>(Delivery::smtp), false},
                                            {"capture", static_cast<int>(Delivery::capture), false},
                                            {nullptr, 0, false}};

bool is_host_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
}

core::Result<AllowedHost> parse_host(std::string_view entry) {
    auto const bad = [&] {
        return core::Error{.message =
                               "\"" + std::string(entry) +
                               "\" is not a host: write smtp.example.com, *.example.com, either with :port, or *:port"};
    };
    AllowedHost allowed;
    std::string_view host = entry;
    // An address of IP version 6 stands in brackets, as in a URL.
    std::size_t const bracket = host.starts_with('[') ? host.find(']') : 0;
    if (bracket == std::string_view::npos) return bad();
    if (auto const colon = host.find(':', bracket); colon != std::string_view::npos) {
        std::string_view const digits = host.substr(colon + 1);
        if (digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string_view::npos)
            return bad();
        int port = 0;
        for (char c : digits)
            port = port * 10 + (c - '0');
        if (port < 1 || port > 65535) return bad();
        allowed.port = port;
        host = host.substr(0, colon);
    }
    if (bracket != 0) {
        host = host.substr(1, host.size() - 2);
        if (host.empty() || host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return bad();
    } else if (host != "*") {
        std::string_view const name = host.starts_with("*.") ? host.substr(2) : host;
        if (name.empty() || name.front() == '.' || name.back() == '.' ||
            !std::all_of(name.begin(), name.end(), is_host_char))
            return bad();
    }
    allowed.host = core::lowered(host);
    return allowed;
}

core::Result<std::vector<AllowedHost>> parse_hosts(std::string_view text) {
    std::vector<AllowedHost> hosts;
    if (core::trimmed(text).empty()) return hosts;
    for (;;) {
        auto const comma = text.find(',');
        auto host = parse_host(core::trimmed(text.substr(0, comma)));
        if (!host.ok()) return host.error();
        hosts.push_back(std::move(host).value());
        if (comma == std::string_view::npos) return hosts;
        text.remove_prefix(comma + 1);
    }
}

core::Status check_url(std::string_view url) {
    if (url.empty()) return {};
    if (!url.starts_with("https://") && !url.starts_with("http://"))
        return core::Error{.message = "the address must begin with https://"};
    for (char c : url)
        if (c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"' || static_cast<unsigned char>(c) >= 0x80)
            return core::Error{.message = "the address holds a character that must be percent-encoded"};
    if (url.size() > 800) return core::Error{.message = "the address is longer than 800 characters"};
    return {};
}

// Runs a check that may allocate, and leaves no C++ object behind when the objection is reported.
template <class Check>
bool passes(Check check) noexcept {
    char objection[512];
    objection[0] = '\0';
    bool is_good = false;
    try {
        core::Status const status = check();
        is_good = !status;
        if (status) strlcpy(objection, status->message.c_str(), sizeof objection);
    } catch (...) {
        strlcpy(objection, "out of memory", sizeof objection);
    }
    if (objection[0] != '\0') GUC_check_errdetail("%s.", objection);
    return is_good;
}

template <class T>
core::Status status_of(const core::Result<T>& result) {
    if (result.ok()) return {};
    return result.error();
}

bool check_timezone(char** value, void**, GucSource) {
    if (*value == nullptr || **value == '\0') return true;
    pg_tz* const zone = pg_tzset(*value);
    if (zone == nullptr) {
        GUC_check_errdetail("There is no time zone \"%s\".", *value);
        GUC_check_errhint("pg_timezone_names lists those that the server knows.");
        return false;
    }
    return pg_tz_acceptable(zone);
}
bool check_retry_delays(char** value, void**, GucSource) {
    return passes([=] { return status_of(core::parse_retry_delays(*value)); });
}
bool check_allowed_hosts(char** value, void**, GucSource) {
    return passes([=] { return status_of(parse_hosts(*value)); });
}
bool check_unsubscribe_url(char** value, void**, GucSource) {
    return passes([=] { return check_url(*value); });
}
bool check_redirect_to(char** value, void**, GucSource) {
    return passes([=] { return **value == '\0' ? core::Status{} : status_of(core::parse_address(*value)); });
}

bool check_on_promotion(char** value, void**, GucSource) {
    if (**value == '\0' || strcmp(*value, "hold") == 0) return true;
    GUC_check_errdetail(
        "Its only value is hold. If it is empty, a promoted server continues on its own if its primary had promised to "
        "wait "
        "for it.");
    return false;
}
bool check_sender_lease(char** value, void**, GucSource) {
    return passes([=] { return status_of(core::parse_lease(*value)); });
}

// A setting of the server's start can only be defined then; in a session that loads the library by itself it is as good
// as one of postgresql.conf.
GucContext fixed_at_start() { return process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP; }

core::Duration milliseconds(int n) { return std::chrono::milliseconds{n}; }

void define_limits() {
    DefineCustomIntVariable("mailer.max_connections",
                            "Most connections to mail servers at a time, over all mailboxes of a database.",
                            "The last eighth of them is for servers to which none is open.", &max_connections, 50, 1,
                            10000, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("mailer.max_attempts",
                            "Tries of a message before temporary refusals fail it; 0 is no limit.", nullptr,
                            &max_attempts, 0, 0, 1000, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("mailer.max_age", "Time after which a message that is still refused temporarily fails.",
                            nullptr, &max_age, 432000, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
    DefineCustomStringVariable("mailer.retry_delays",
                               "Delays between the tries of a message; after the last, three times the previous one.",
                               "A list like 10s,30s,90s,270s. Up to 20 % is added.", &retry_delays, "10s,30s,90s,270s",
                               PGC_SIGHUP, 0, check_retry_delays, nullptr, nullptr);
    DefineCustomIntVariable("mailer.max_message_size", "Largest message that is composed.",
                            "Attachments count encoded, a third more than the file.", &max_message_size,
                            25 * 1024 * 1024, 1024, 1024 * 1024 * 1024, PGC_SIGHUP, GUC_UNIT_BYTE, nullptr, nullptr,
                            nullptr);
    DefineCustomIntVariable(
        "mailer.max_body_memory", "Memory for the mails that are being sent, however many connections.",
        "If it is used up, the next mail waits until another of its mailbox is sent; the first of a mailbox is sent until "
        "twice as much is used up. One mail is always sent.",
        &max_body_memory, 64 * 1024, 64, INT_MAX / 1024, PGC_SIGHUP, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("mailer.sweep_interval",
                            "How often an idle worker scans the queue for mail of which it got no hint.", nullptr,
                            &sweep_interval, 60000, 100, 3600000, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("mailer.key_retention",
                            "How long an idempotency key outlives its mail when the ledger is purged; -1 is forever.",
                            nullptr, &key_retention, -1, -1, INT_MAX, PGC_SUSET, GUC_UNIT_S, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("mailer.loader_timeout", "Longest time a loader or send_if function may run.", nullptr,
                            &loader_timeout, 5000, 1, 600000, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "mailer.max_preparers", "Most processes that run loader and send_if functions, over all databases.",
        "Each serves one role and exits when idle; a role that has one never gets the last free one.", &max_preparers,
        4, 1, 32, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("mailer.shutdown_grace",
                            "How long a worker that exits waits for replies to mails that are sent completely.",
                            "Mails that aren't answered by then become unconfirmed.", &shutdown_grace_ms, 900, 0, 60000,
                            PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
}

void define_policy() {
    DefineCustomBoolVariable("mailer.allow_cleartext_login",
                             "Lets mailboxes log in without TLS, by SMTP and IMAP, at hosts that aren't loopback.",
                             nullptr, &allow_cleartext_login, false, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("mailer.keep_replies", "Keeps the text of replies, for reply_text().",
                             "Off: only their envelope and subject are kept.", &keep_replies, false, PGC_SUSET, 0,
                             nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("mailer.enabled", "Sends mail; when off, mail waits in the queue.", nullptr, &enabled,
                             true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomStringVariable(
        "mailer.timezone", "Time zone of mailboxes and campaigns that are created without one; empty is the server's.",
        "Stored at create: changing it moves no schedule.", &timezone_name, "", PGC_USERSET, 0, check_timezone, nullptr,
        nullptr);
    DefineCustomStringVariable("mailer.allowed_hosts", "Mail servers that mailboxes may use; empty is any.",
                               "A list like smtp.example.com,*.example.org:587.", &allowed_hosts, "", PGC_SIGHUP, 0,
                               check_allowed_hosts, nullptr, nullptr);
    DefineCustomStringVariable(
        "mailer.unsubscribe_url",
        "Address of the application's one-click unsubscribe page; {token} is replaced with the token.", nullptr,
        &unsubscribe_url, "", PGC_SUSET, 0, check_unsubscribe_url, nullptr, nullptr);
    DefineCustomEnumVariable("mailer.delivery", "Sends mails by SMTP, or keeps them in captured_mail instead.", nullptr,
                             &delivery, static_cast<int>(Delivery::smtp), delivery_names, PGC_SUSET, 0, nullptr,
                             nullptr, nullptr);
    DefineCustomStringVariable("mailer.virtual_now", "The time that the SQL functions use as now; empty is the clock.",
                               "For simulations. The sender uses its own clock.", &virtual_now, "", PGC_SUSET,
                               GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, nullptr, nullptr, nullptr);
    DefineCustomStringVariable("mailer.redirect_to", "Sends all mail to this address instead; empty is off.", nullptr,
                               &redirect_to, "", PGC_SUSET, 0, check_redirect_to, nullptr, nullptr);
}

void define_many() {
    DefineCustomIntVariable("mailer.max_workers",
                            "Most databases that are sent from at a time; 0 is half of max_worker_processes.",
                            "More databases take turns, in the order in which their mail is due.", &worker_limit, 0, 0,
                            1000, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("mailer.max_listeners",
                            "Most databases whose listener stays connected; 0 is half of mailer.max_workers.",
                            "If more have mailboxes to listen to, each is read every 30 seconds or more, in turn.",
                            &listener_limit, 0, 0, 1000, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("mailer.max_databases", "Most databases of the cluster that may have the extension.",
                            "Sizes shared memory: five kilobytes each.", &database_limit, 500, 1, 100000,
                            fixed_at_start(), 0, nullptr, nullptr, nullptr);
}

void define_failover() {
    DefineCustomIntVariable("mailer.promise_time",
                            "How long the sender promises to wait for the standbys that may be promoted.",
                            "A standby that disappears stops mail for up to this long. Under Patroni at least (ttl + "
                            "loop_wait + 10 s) · 4/3.",
                            &promise_time, 75000, 1000, 3600000, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
    DefineCustomStringVariable(
        "mailer.promise_to",
        "Standbys that may be promoted, by slot or application_name: all, a list, or empty for none.",
        "A mail waits until each of them has its claim on disk. Any other one holds what was due "
        "when it is promoted.",
        &promise_to, "all", PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomStringVariable("mailer.on_promotion",
                               "hold: a promoted server always holds what was due, until mailer.arm().",
                               "Empty: it continues on its own if its primary had promised to wait for it.",
                               &on_promotion, "", PGC_SIGHUP, 0, check_on_promotion, nullptr, nullptr);
    DefineCustomStringVariable(
        "mailer.identity", "Identity of this server, if an orchestrator knows it better than the disk's serial number.",
        "Empty: identified by the volume. With another identity than before, nothing is sent until "
        "mailer.arm(). Default from the environment variable MAILER_IDENTITY.",
        &identity, "", fixed_at_start(), 0, nullptr, nullptr, nullptr);
    // As PGPORT for port: what an orchestrator gives a container, below the configuration files and the command line.
    if (const char* const given = getenv("MAILER_IDENTITY"); given != nullptr && *given != '\0')
        SetConfigOption("mailer.identity", given, PGC_POSTMASTER, PGC_S_ENV_VAR);
    DefineCustomStringVariable(
        "mailer.sender_lease",
        "What confirms that this server is the one that sends: an http address that answers 200, or a "
        "file and its maximum age.",
        "http://127.0.0.1:8008/primary or file:/run/leader:10s. Empty: no lease is needed.", &sender_lease, "",
        PGC_SIGHUP, 0, check_sender_lease, nullptr, nullptr);
}

}  // namespace

void define_settings() {
    define_limits();
    define_policy();
    define_failover();
    define_many();
#if PG_VERSION_NUM >= 150000
    MarkGUCPrefixReserved("mailer");
#else
    EmitWarningsOnPlaceholders("mailer");
#endif
}

const char* default_timezone() noexcept {
    if (timezone_name != nullptr && *timezone_name != '\0') return timezone_name;
    return pg_get_timezone_name(session_timezone);
}

// Half of what the launcher leaves, rounded up: the rest is for the processes that help a worker, and for the server's
// own.
int max_workers() noexcept { return worker_limit > 0 ? worker_limit : std::max(1, max_worker_processes / 2); }

int max_listeners() noexcept { return listener_limit > 0 ? listener_limit : std::max(1, max_workers() / 2); }

int max_databases() noexcept { return database_limit; }

std::int64_t promise_time_us() noexcept { return promise_time * std::int64_t{1000}; }

const char* identity_setting() noexcept { return identity == nullptr ? "" : identity; }

bool allows_cleartext_login() noexcept { return allow_cleartext_login; }

core::Duration shutdown_grace() noexcept { return std::chrono::milliseconds{shutdown_grace_ms}; }

Settings settings() {
    Settings s;
    s.enabled = enabled;
    s.max_connections = max_connections;
    s.timezone = default_timezone();
    auto delays = core::parse_retry_delays(retry_delays);
    s.retry_delays = delays.ok() ? std::move(delays).value() : core::default_retry_delays();
    s.max_attempts = max_attempts;
    s.max_age = std::chrono::seconds{max_age};
    s.sweep_interval = milliseconds(sweep_interval);
    s.loader_timeout = milliseconds(loader_timeout);
    s.max_preparers = max_preparers;
    s.shutdown_grace = shutdown_grace();
    s.max_message_size = max_message_size;
    s.max_body_memory = std::int64_t{max_body_memory} * 1024;
    auto hosts = parse_hosts(allowed_hosts);
    if (hosts.ok()) s.allowed_hosts = std::move(hosts).value();
    s.unsubscribe_url = unsubscribe_url;
    s.on_promotion = *on_promotion == '\0' ? OnPromotion::by_promise : OnPromotion::hold;
    s.promise_time = milliseconds(promise_time);
    s.promise_to = promise_to;
    s.sender_lease = sender_lease;
    s.delivery = static_cast<Delivery>(delivery);
    s.redirect_to = redirect_to;
    return s;
}

bool is_host_allowed(const Settings& settings, std::string_view host, int port) {
    if (settings.allowed_hosts.empty()) return true;
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    std::string const name = core::lowered(host);
    return std::any_of(settings.allowed_hosts.begin(), settings.allowed_hosts.end(), [&](const AllowedHost& allowed) {
        if (allowed.port && *allowed.port != port) return false;
        if (allowed.host == "*" || allowed.host == name) return true;
        return allowed.host.starts_with("*.") && name.size() > allowed.host.size() - 1 &&
               name.ends_with(std::string_view(allowed.host).substr(1));
    });
}

}  // namespace mailer::pg
