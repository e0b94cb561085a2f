// The mailboxes as senders see them: server, login, From. Read with the settings, kept until they change.
//
// The one reader of passwords. What it reads lives in process memory only; nothing here or behind it logs a secret.
#pragma once

#include "net/endpoint.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/bridge/spi.hpp"

namespace mailer::pg {

struct Account {
    std::int64_t id = 0;
    std::string name;
    std::string from_address;
    std::string from_name;
    bool is_denied_files = false;  // names files of the server, in the name of a role that may not read them
    bool uses_oauth = false;       // logs in with a token that renews itself
    bool has_token() const { return !uses_oauth || !endpoint->token->text.empty(); }
    std::vector<std::string> allowed_from;
    std::string signature_text, signature_html;
    std::optional<int> max_recipients;
    std::string return_path;      // with {token}; empty: from_address
    std::string connection;       // of a forwarder: the database that it hands its mail to
    std::string forward_mailbox;  // and the mailbox there; empty: the default pool
    bool is_forwarder() const { return !connection.empty(); }
    std::string dsn;  // what reports are asked for; empty: none
    std::shared_ptr<const smtp::Endpoint> endpoint;
};

class Accounts {
public:
    // Requires a transaction and an Spi. Endpoints that didn't change stay the same objects.
    void read();
    const Account* find(std::int64_t mailbox_id) const;

private:
    std::map<std::int64_t, Account> accounts_;
};

}  // namespace mailer::pg
