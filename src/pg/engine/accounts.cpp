// Endpoints from the tables mailbox and mailbox_secret; see accounts.hpp.
#include "pg/engine/accounts.hpp"

#include <fstream>

#include "core/standby/lease.hpp"

namespace mailer::pg {

namespace {

smtp::Tls tls_of(const std::string& text) {
    if (text == "implicit") return smtp::Tls::implicit;
    if (text == "opportunistic") return smtp::Tls::opportunistic;
    if (text == "none") return smtp::Tls::none;
    return smtp::Tls::starttls;
}

// First line of a file that only the server's user needs to read, without a byte order mark. What can't be a secret is
// said before anybody logs in with it: the mailbox's breaker tells the operator.
std::string first_line_of(const std::string& path, std::optional<std::string>& fault) {
    constexpr std::string_view mark = "\xEF\xBB\xBF";
    std::ifstream file(path);
    std::string line;
    if (!file) {
        fault = "password_file " + path + " can't be read";
        return {};
    }
    std::getline(file, line);
    if (line.starts_with(mark)) line.erase(0, mark.size());
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n'))
        line.pop_back();
    if (line.empty()) fault = "the first line of password_file " + path + " is empty";
    if (line.find('\0') != std::string::npos) fault = "password_file " + path + " holds a NUL: it is no text";
    return fault ? std::string() : line;
}

// With a lease a dot must not lie in a dead network for longer than the lease may be wrong: it would be delivered when
// the network is back, by then beside the mails of the server that took over.
core::Duration user_timeout() {
    const auto lease = core::parse_lease(settings().sender_lease);
    return lease.ok() ? lease->good_for : core::Duration::zero();
}

// How it connects.
void read_connection(const Rows& rows, std::uint64_t i, smtp::Endpoint& e) {
    e.login_mechanism = rows.text(i, "login_mechanism");
    e.client_cert_file = rows.maybe_text(i, "client_cert_file");
    e.client_key_file = rows.maybe_text(i, "client_key_file");
    if (auto oldest = rows.maybe_text(i, "min_tls")) e.min_tls = *oldest;
    e.source_address = rows.text(i, "source_address");
    e.proxy = rows.maybe_text(i, "proxy");
    e.allow_pipelining = rows.boolean(i, "pipelining");
    if (const auto ms = rows.maybe_bigint(i, "connect_timeout_ms")) {
        e.timeouts.connect = std::chrono::milliseconds(*ms);
        e.timeouts.session = e.timeouts.connect;
    }
    e.allow_cleartext_login = allows_cleartext_login();
    e.user_timeout = user_timeout();
}

smtp::Endpoint endpoint_at(const Rows& rows, std::uint64_t i) {
    smtp::Endpoint e;
    e.host = rows.text(i, "host");
    e.port = static_cast<int>(rows.bigint(i, "port"));
    e.tls = tls_of(rows.text(i, "tls"));
    e.ca_file = rows.maybe_text(i, "ca_file");
    e.username = rows.text(i, "username");
    std::string secret = rows.text(i, "password");
    if (auto file = rows.maybe_text(i, "password_file")) secret = first_line_of(*file, e.secret_fault);
    if (rows.boolean(i, "uses_oauth")) {
        e.token = smtp::RenewedToken{rows.text(i, "access_token")};
        if (e.username.empty()) e.username = rows.text(i, "login");
    } else if (rows.text(i, "auth") == "xoauth2") {
        e.oauth_bearer = std::move(secret);
    } else {
        e.password = std::move(secret);
    }
    e.helo_name = rows.text(i, "helo_name");
    e.max_connections = static_cast<int>(rows.bigint(i, "max_connections"));
    e.max_messages_per_connection = static_cast<int>(rows.bigint(i, "max_per_connection"));
    e.idle = std::chrono::seconds(rows.bigint(i, "idle_seconds"));
    read_connection(rows, i, e);
    return e;
}

}  // namespace

void Accounts::read() {
    static Statement statement(
        R"sql(
            SELECT m.mailbox_id, m.name, m.host, m.port, m.tls, m.ca_file, m.username, s.password,
                CASE WHEN mailer._may_read_files(m.files_by) THEN m.password_file END AS password_file, m.auth, m.helo_name,
                m.max_connections, m.max_per_connection, m.idle_seconds, m.from_address, m.from_name,
                num_nonnulls(m.password_file, m.ca_file, m.client_cert_file, m.client_key_file) > 0
                AND NOT mailer._may_read_files(m.files_by) AS is_denied_files,
                a.mailbox_id IS NOT NULL AS uses_oauth, t.access_token,
                coalesce(a.login, m.from_address) AS login, m.allowed_from, m.signature_text, m.signature_html,
                m.max_recipients, m.login_mechanism, m.client_cert_file, m.client_key_file, m.min_tls,
                m.source_address, m.proxy, m.pipelining,
                (extract(epoch FROM m.connect_timeout) * 1000)::bigint AS connect_timeout_ms, m.return_path, m.dsn, m.connection,
                m.forward_mailbox
            FROM mailer.mailbox m
            LEFT JOIN mailer.mailbox_secret s ON s.mailbox_id = m.mailbox_id
            LEFT JOIN mailer.oauth_account a ON a.mailbox_id = m.mailbox_id
            LEFT JOIN mailer.oauth_app p ON p.app_id = a.app_id
            LEFT JOIN mailer.oauth_token t ON t.app_id = a.app_id
                AND t.expires_at > pg_catalog.clock_timestamp()
                AND t.mailbox_id = CASE p.grant_type WHEN 'client_credentials' THEN 0 ELSE a.mailbox_id END)sql",
        {});
    std::map<std::int64_t, Account> fresh;
    Rows rows = statement.run({});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        Account account;
        account.id = rows.bigint(i, "mailbox_id");
        account.name = rows.text(i, "name");
        account.from_address = rows.text(i, "from_address");
        account.from_name = rows.text(i, "from_name");
        account.is_denied_files = rows.boolean(i, "is_denied_files");
        account.uses_oauth = rows.boolean(i, "uses_oauth");
        if (!rows.is_null(i, "allowed_from")) account.allowed_from = rows.texts(i, "allowed_from");
        account.signature_text = rows.text(i, "signature_text");
        account.signature_html = rows.text(i, "signature_html");
        if (const auto most = rows.maybe_bigint(i, "max_recipients")) account.max_recipients = static_cast<int>(*most);
        account.return_path = rows.text(i, "return_path");
        account.dsn = rows.text(i, "dsn");
        account.connection = rows.text(i, "connection");
        account.forward_mailbox = rows.text(i, "forward_mailbox");
        smtp::Endpoint endpoint = endpoint_at(rows, i);
        auto known = accounts_.find(account.id);
        const auto token_of = [](const smtp::Endpoint& e) { return e.token ? e.token->text : std::string(); };
        if (known != accounts_.end() && *known->second.endpoint == endpoint &&
            token_of(*known->second.endpoint) == token_of(endpoint)) {
            account.endpoint = known->second.endpoint;
        } else {
            account.endpoint = std::make_shared<const smtp::Endpoint>(std::move(endpoint));
        }
        fresh.emplace(account.id, std::move(account));
    }
    accounts_ = std::move(fresh);
}

const Account* Accounts::find(std::int64_t mailbox_id) const {
    auto it = accounts_.find(mailbox_id);
    return it == accounts_.end() ? nullptr : &it->second;
}

}  // namespace mailer::pg
