// Keeps OAuth2 tokens fresh: looks at what is due, takes the lease, asks the provider, stores the answer.
//
//  1. No transaction is open while a provider is asked. The lease has committed, synchronously, before the request
//  leaves, and a token is used
//     only when it has been stored, with the refresh token that came along.
//  2. An answer is kept until it is stored: a lock or an error in between loses nothing but time.
//  3. A held copy, a standby and a database whose mail is captured ask for nothing.
//
// The same in every process that logs in: the sender, the listener, a session. Which of them asks is settled by the
// lease; the others read what it brought. Time left to a token is counted on the monotonic clock from when it was read.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "net/http_client.hpp"
#include "oauth/answer.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/engine/accounts.hpp"
#include "pg/engine/transaction.hpp"

namespace mailer::pg {

oauth::Flow flow_of(std::string_view text);

class TokenKeeper {
public:
    // Both must outlive it.
    TokenKeeper(Transactions& transactions, const Accounts& accounts)
        : transactions_(transactions), accounts_(accounts) {}

    // One look: takes what was answered, asks for what is due. True when accounts must be read again: a token came, ran
    // out, or a mailbox without one has been held for a while. Throws PgError; then the transaction is to be aborted,
    // and it goes on at the next call.
    bool turn(core::Time now, bool may_fetch);

    // The server refused these logins: their tokens may have been withdrawn.
    void renew(const std::map<std::int64_t, core::Time>& refused);

    void look_again() { next_look_ = {}; }

    int poll_fd() const { return client_.poll_fd(); }
    core::Duration next_timeout(core::Time now) const;
    bool is_fetching() const { return !asked_.empty() || !answered_.empty(); }

private:
    using Steady = std::chrono::steady_clock;
    using Key = std::pair<std::int64_t, std::int64_t>;  // application, mailbox or 0

    struct Due {
        Key key;
        std::int64_t mailbox_id;  // one that uses it: whose proxy is used
    };
    struct Asked {
        Key key;
        std::int64_t lease;
        int failures;
        oauth::Grant grant;
    };
    struct Answered {
        Asked asked;
        oauth::Answer answer;
    };

    void plan(bool may_fetch);
    void lease(const Due& due, core::Time now);
    void force();
    void collect(core::Time now);
    bool store();
    void store_one(const Answered& answered);
    std::optional<std::string> proxy_of(std::int64_t mailbox_id) const;

    Transactions& transactions_;
    const Accounts& accounts_;
    net::HttpClient client_;
    std::uint64_t next_id_ = 1;
    std::map<std::uint64_t, Asked> asked_;
    std::vector<Answered> answered_;
    std::vector<Due> due_;
    std::map<std::int64_t, core::Time> refused_;
    std::uint64_t generation_ = 0;
    std::optional<Steady::time_point> next_look_;
    std::optional<Steady::time_point> runs_out_;    // the first of the tokens that are valid now
    std::optional<Steady::time_point> held_until_;  // when who has none must be held again
};

}  // namespace mailer::pg
