// A connection to PostgreSQL as one role, and what its statements give back as template values.
//
// Statements take parameters ($1, $2, …), always: no value is ever put into SQL text. Everything that goes wrong is an
// exception: SqlError when the server refused a statement, DatabaseAway when there is no server to ask, LoginRefused
// when it doesn't let the role in.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/mail/value.hpp"

namespace mailer::web {

class SqlError : public std::runtime_error {
public:
    SqlError(std::string state, const std::string& message, std::string the_detail, std::string the_hint)
        : std::runtime_error(message),
          sqlstate(std::move(state)),
          detail(std::move(the_detail)),
          hint(std::move(the_hint)) {}
    std::string sqlstate, detail, hint;
};

class DatabaseAway : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

class LoginRefused : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

// NULL, or a value as text. Octets go as \x… (see bytea()).
using Parameter = std::optional<std::string>;
using Parameters = std::vector<Parameter>;
std::string bytea(std::string_view octets);
// An array of text: {"a","b"}.
std::string text_array(const std::vector<std::string>& items);

struct Credentials {
    std::string role;
    std::string password;
};

// A WARNING or NOTICE that a statement raised.
struct Remark {
    bool is_warning = false;
    std::string words, detail, hint;
};

class Connection {
public:
    static constexpr std::size_t max_remarks = 20;

    Connection(const Connection&) = delete;
    ~Connection() = default;

    // conninfo as libpq reads it. With credentials they are all that counts: without a password that the server asked
    // for and took, LoginRefused. Without them role and password come from conninfo, pgpass or a service file.
    static std::unique_ptr<Connection> open(const std::string& conninfo, const std::optional<Credentials>& credentials);
    // Logs in as the role that conninfo names and is `role` from the first moment on: RESET ROLE leads back to `role`.
    // LoginRefused when there is no such role or the other may not SET ROLE to it.
    static std::unique_ptr<Connection> open_in_role(const std::string& conninfo, const std::string& role);

    // Rows as an array of objects. Numbers, booleans, json and arrays of text keep their kind, all else is text.
    core::Value rows(const std::string& sql, const Parameters& parameters = {});
    // The same; on_notice gets each NOTICE's text while the statement still runs, instead of take_remarks().
    core::Value rows(const std::string& sql, const Parameters& parameters,
                     const std::function<void(const std::string&)>& on_notice);

    // What the statements since the last call remarked, oldest first; the first max_remarks of them.
    std::vector<Remark> take_remarks() { return std::exchange(remarks_, {}); }

    bool is_usable() const;  // the server hasn't closed it in the meantime
    std::chrono::steady_clock::time_point opened_at() const { return opened_at_; }

private:
    struct Finish {
        void operator()(PGconn* c) const { PQfinish(c); }
    };
    static std::unique_ptr<Connection> start(std::vector<const char*> keys, std::vector<const char*> values);
    void prepare();
    explicit Connection(PGconn* connection) : connection_(connection) {}
    static void keep_remark(void* connection, const PGresult* notice);
    std::unique_ptr<PGconn, Finish> connection_;
    std::vector<Remark> remarks_;
    std::chrono::steady_clock::time_point opened_at_ = std::chrono::steady_clock::now();
};

// Whether a server answers there at all; asks for no role.
bool is_server_there(const std::string& conninfo);

// What conninfo itself says for a keyword: nothing when it leaves it to the environment or a service file. Throws
// std::runtime_error when it can't be read.
std::optional<std::string> conninfo_value(const std::string& conninfo, std::string_view keyword);

// Throws std::runtime_error when conninfo can't be read, or holds a password.
void check_conninfo(const std::string& conninfo);

}  // namespace mailer::web
