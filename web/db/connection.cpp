#include "db/connection.hpp"

#include <poll.h>

#include <algorithm>

#include "db/value_of.hpp"

namespace mailer::web {

namespace {

constexpr std::chrono::seconds connect_time{5};

using ResultPointer = std::unique_ptr<PGresult, decltype(&PQclear)>;

std::string field(const PGresult* result, int code) {
    const char* text = PQresultErrorField(result, code);
    return text ? text : "";
}

// The SQLSTATE in what libpq says about a connection that failed, with verbose errors: "FATAL:  28P01: password …". The
// severity may be in any language, the code isn't.
std::string sqlstate_of(std::string_view message) {
    for (std::size_t at = message.find(":  "); at != std::string_view::npos; at = message.find(":  ", at + 1)) {
        const std::string_view code = message.substr(at + 3, 5);
        const bool is_code = code.size() == 5 && message.substr(at + 8, 1) == ":" &&
                             std::all_of(code.begin(), code.end(),
                                         [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
        if (is_code) return std::string(code);
    }
    return {};
}

// libpq's own time limit counts only in PQconnectdb.
bool complete(PGconn* connection) {
    const auto until = std::chrono::steady_clock::now() + connect_time;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
        pollfd waiting{PQsocket(connection), static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
        if (left <= 0 || poll(&waiting, 1, static_cast<int>(left)) == 0) return false;
        state = PQconnectPoll(connection);
    }
    return state == PGRES_POLLING_OK;
}

[[noreturn]] void fail_to_connect(PGconn* connection) {
    const std::string state = sqlstate_of(PQerrorMessage(connection));
    if (state.starts_with("28") || state == "42501") throw LoginRefused("the server refused the role or password");
    if (PQconnectionNeedsPassword(connection)) throw LoginRefused("the server asks for a password");
    throw DatabaseAway(state.empty() ? "the database doesn't answer"
                                     : "the database takes no connections (" + state + ")");
}

using OnNotice = std::function<void(const std::string&)>;

// Nothing may be thrown through libpq.
void pass_notice(void* to, const PGresult* notice) {
    try {
        (*static_cast<const OnNotice*>(to))(field(notice, PG_DIAG_MESSAGE_PRIMARY));
    } catch (...) {
    }
}

}  // namespace

std::string bytea(std::string_view octets) {
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string out = "\\x";
    out.reserve(2 + octets.size() * 2);
    for (const char c : octets) {
        out += digits[static_cast<unsigned char>(c) >> 4];
        out += digits[static_cast<unsigned char>(c) & 15];
    }
    return out;
}

std::string text_array(const std::vector<std::string>& items) {
    std::string out = "{";
    for (const std::string& item : items) {
        if (out.size() > 1) out += ',';
        out += '"';
        for (const char c : item) {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
        out += '"';
    }
    return out + "}";
}

std::unique_ptr<Connection> Connection::start(std::vector<const char*> keys, std::vector<const char*> values) {
    for (const auto& [key, value] : {std::pair("fallback_application_name", "mailer-web"),
                                     {"client_encoding", "UTF8"},
                                     {"tcp_user_timeout", "15000"},
                                     {static_cast<const char*>(nullptr), static_cast<const char*>(nullptr)}}) {
        keys.push_back(key);
        values.push_back(value);
    }
    std::unique_ptr<Connection> made(new Connection(PQconnectStartParams(keys.data(), values.data(), 1)));
    PGconn* connection = made->connection_.get();
    if (!connection) throw std::bad_alloc();
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    return made;
}

void Connection::prepare() {
    PQsetNoticeReceiver(connection_.get(), keep_remark, this);
    // Compiling a query (jit) takes longer than a page may.
    rows(
        R"sql(
            SELECT set_config(s.name, s.value, false)
            FROM (VALUES ('statement_timeout', '10s'), ('lock_timeout', '5s'),
                ('idle_in_transaction_session_timeout', '15s'), ('search_path', 'pg_catalog'), ('datestyle',
                'ISO'), ('intervalstyle', 'postgres'), ('bytea_output', 'hex'), ('jit', 'off')) s(name, value))sql");
}

std::unique_ptr<Connection> Connection::open(const std::string& conninfo,
                                             const std::optional<Credentials>& credentials) {
    // dbname first: what it expands to is overridden by what comes after.
    std::vector<const char*> keys{"dbname"}, values{conninfo.c_str()};
    if (credentials) {
        // An empty one would make libpq look for another in pgpass.
        if (credentials->role.empty() || credentials->password.empty()) throw LoginRefused("role or password is empty");
        keys.insert(keys.end(), {"user", "password"});
        values.insert(values.end(), {credentials->role.c_str(), credentials->password.c_str()});
    }
    auto made = start(std::move(keys), std::move(values));
    PGconn* connection = made->connection_.get();
    if (PQstatus(connection) == CONNECTION_BAD || !complete(connection)) fail_to_connect(connection);
    // A server that trusts every client must not make everybody an operator.
    if (credentials && !PQconnectionUsedPassword(connection))
        throw LoginRefused("the server didn't ask for the password");
    made->prepare();
    return made;
}

std::unique_ptr<Connection> Connection::open_in_role(const std::string& conninfo, const std::string& role) {
    std::string options = conninfo_value(conninfo, "options").value_or("") + " -c role=";
    for (const char c : role) {
        if (c == '\\' || (c >= '\t' && c <= '\r') || c == ' ') options += '\\';
        options += c;
    }
    auto made = start({"dbname", "options"}, {conninfo.c_str(), options.c_str()});
    PGconn* connection = made->connection_.get();
    if (PQstatus(connection) == CONNECTION_BAD || !complete(connection)) {
        const std::string words = PQerrorMessage(connection), state = sqlstate_of(words);
        if (state == "42501" || state == "22023") throw LoginRefused(words.substr(0, words.find('\n')));
        if (state.starts_with("28") || PQconnectionNeedsPassword(connection))
            throw DatabaseAway("the server refuses the role that --database names");
        fail_to_connect(connection);
    }
    made->prepare();
    // "none" is nobody's name, and something between us and the server may have dropped the options.
    const core::Value found =
        made->rows("SELECT current_user = $1 AND current_user <> session_user AS is_in_role", {role});
    if (!found.items().at(0).find("is_in_role")->is_truthy())
        throw LoginRefused("the connection isn't in the role that was asked for");
    return made;
}

core::Value Connection::rows(const std::string& sql, const Parameters& parameters) {
    std::vector<const char*> values;
    for (const Parameter& one : parameters)
        values.push_back(one ? one->c_str() : nullptr);
    const ResultPointer result(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                                            values.data(), nullptr, nullptr, 0),
                               PQclear);
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return value_of(*result);
    const std::string state = field(result.get(), PG_DIAG_SQLSTATE);
    if (PQstatus(connection_.get()) == CONNECTION_BAD || state.starts_with("57P") ||
        field(result.get(), PG_DIAG_SEVERITY_NONLOCALIZED) == "FATAL")
        throw DatabaseAway("the database went away");
    throw SqlError(state, field(result.get(), PG_DIAG_MESSAGE_PRIMARY), field(result.get(), PG_DIAG_MESSAGE_DETAIL),
                   field(result.get(), PG_DIAG_MESSAGE_HINT));
}

core::Value Connection::rows(const std::string& sql, const Parameters& parameters, const OnNotice& on_notice) {
    PGconn* connection = connection_.get();
    const auto keep = [this](PGconn* c) { PQsetNoticeReceiver(c, keep_remark, this); };
    const std::unique_ptr<PGconn, decltype(keep)> receives(connection, keep);
    PQsetNoticeReceiver(connection, pass_notice, const_cast<OnNotice*>(&on_notice));
    return rows(sql, parameters);
}

// libpq calls it: nothing may be thrown through there.
void Connection::keep_remark(void* connection, const PGresult* notice) {
    try {
        auto& kept = static_cast<Connection*>(connection)->remarks_;
        if (kept.size() < max_remarks)
            kept.push_back({.is_warning = field(notice, PG_DIAG_SEVERITY_NONLOCALIZED) == "WARNING",
                            .words = field(notice, PG_DIAG_MESSAGE_PRIMARY),
                            .detail = field(notice, PG_DIAG_MESSAGE_DETAIL),
                            .hint = field(notice, PG_DIAG_MESSAGE_HINT)});
    } catch (...) {
    }
}

bool Connection::is_usable() const {
    PGconn* connection = connection_.get();
    if (PQtransactionStatus(connection) != PQTRANS_IDLE) return false;
    pollfd said{PQsocket(connection), POLLIN, 0};
    if (poll(&said, 1, 0) > 0 && !PQconsumeInput(connection)) return false;
    return PQstatus(connection) == CONNECTION_OK;
}

bool is_server_there(const std::string& conninfo) {
    const char* keys[] = {"dbname", "connect_timeout", nullptr};
    const char* values[] = {conninfo.c_str(), "3", nullptr};
    return PQpingParams(keys, values, 1) == PQPING_OK;
}

std::optional<std::string> conninfo_value(const std::string& conninfo, std::string_view keyword) {
    char* error = nullptr;
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(PQconninfoParse(conninfo.c_str(), &error),
                                                                              PQconninfoFree);
    const std::unique_ptr<char, decltype(&PQfreemem)> message(error, PQfreemem);
    if (!parsed) throw std::runtime_error(error ? error : "the connection string can't be read");
    for (const PQconninfoOption* o = parsed.get(); o->keyword; ++o)
        if (o->keyword == keyword && o->val) return o->val;
    return std::nullopt;
}

void check_conninfo(const std::string& conninfo) {
    if (conninfo_value(conninfo, "password"))
        throw std::runtime_error(
            "no password in arguments, where others on this machine can read it: use a pgpass or service file");
}

}  // namespace mailer::web
