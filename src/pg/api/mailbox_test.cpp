// CALL mailer.mailbox_test(name): connects, secures, logs in and names the sender, a NOTICE for each step, an ERROR for
// the one that failed.
//
// Sends nothing, and counts nothing against the mailbox. No transaction is open while the server is talked to.
#include "pg/bridge/clock.hpp"
#include "pg/bridge/procedure.hpp"
#include "pg/engine/accounts.hpp"
#include "pg/engine/engine.hpp"
#include "pg/engine/token_keeper.hpp"
#include "pg/engine/transaction.hpp"
#include "smtp/probe.hpp"

extern "C" {
#include <curl/curl.h>
}

namespace mailer::pg {

namespace {

constexpr core::Duration longest_wait = std::chrono::seconds(60);

struct Tested {
    std::shared_ptr<const smtp::Endpoint> endpoint;
    std::string sender;
};

Tested account_of(const std::string& name) {
    static Statement statement("SELECT mailbox_id FROM mailer.mailbox WHERE name = $1", {TEXTOID});
    Transactions transactions(true);
    transactions.begin();
    try {
        Rows rows = statement.run({p_text(name)});
        if (rows.empty()) {
            throw Refusal(
                {"42704", "mailbox \"" + name + "\" does not exist", "", "mailer.mailbox_status lists the mailboxes."});
        }
        Accounts accounts;
        accounts.read();
        const Account& account = *accounts.find(rows.bigint(0, 1));
        if (account.is_denied_files)
            throw Refusal({"42501",
                           "the role that named the files of mailbox \"" + name + "\" may not read the server's files",
                           "", "Set them again, as a member of pg_read_server_files."});
        if (account.is_forwarder())
            throw Refusal(
                {"0A000", "mailbox \"" + name + "\" hands its mail to another database, and talks to no mail server",
                 "", "Queue a mail, and look at mailer.mailbox_status: it says what is wrong with the connection."});
        auto endpoint = account.endpoint;
        if (!is_host_allowed(settings(), endpoint->host, endpoint->port)) {
            throw Refusal({"42501", "host \"" + endpoint->host + "\" is not in mailer.allowed_hosts"});
        }
        transactions.commit();
        return {std::move(endpoint), account.from_address};
    } catch (...) {
        transactions.abort();
        throw;
    }
}

// What the provider of this mailbox said last, as one sentence; empty while it has said nothing.
std::string token_trouble(Transactions& transactions, const std::string& name) {
    static Statement statement(
        R"sql(
            SELECT pg_catalog.concat_ws(': ', a.token_state, a.failure_code, a.failure_words, a.failure_hint)
            FROM mailer._oauth_accounts() a
            WHERE a.mailbox = $1 AND (a.failure_kind IS NOT NULL OR a.token_state = 'consent_needed'))sql",
        {TEXTOID});
    transactions.begin();
    Rows rows = statement.run({p_text(name)});
    std::string trouble = rows.empty() ? std::string() : rows.text(0, 1);
    transactions.commit();
    return trouble;
}

// The endpoint with a token, which is fetched here when nobody else has done so.
Tested with_token(const std::string& name, EngineContext& context) {
    Transactions transactions(true);
    Accounts accounts;
    TokenKeeper tokens(transactions, accounts);
    const core::Time until = now() + longest_wait;
    try {
        for (;;) {
            (void)tokens.turn(now(), true);
            Tested account = account_of(name);
            if (!account.endpoint->token || !account.endpoint->token->text.empty()) return account;
            const std::string trouble = token_trouble(transactions, name);
            if (!trouble.empty() || now() >= until) {
                throw Refusal({"08006", "mailbox \"" + name + "\" can't send: it has no OAuth2 token",
                               trouble.empty() ? "No answer within a minute" : trouble, "See oauth_status."});
            }
            if (context.should_stop()) context.raise_interrupts();
            context.wait(tokens.poll_fd(),
                         std::min<core::Duration>(tokens.next_timeout(now()), std::chrono::seconds(1)));
        }
    } catch (...) {
        transactions.abort();
        throw;
    }
}

void tell(const smtp::ProbeStep& step) {
    const std::string words = std::string(core::to_text(step.stage)) + ": " + step.text;
    call([&] { ereport(NOTICE, (errmsg_internal("%s", words.c_str()))); });
}

void mailbox_test(FunctionCallInfo fcinfo) {
    require_no_transaction_block(fcinfo, "mailer.mailbox_test");
    if (PG_ARGISNULL(0)) throw Refusal({"22004", "name must not be NULL"});
    const std::string name = call([&] { return std::string_view(text_to_cstring(PG_GETARG_TEXT_PP(0))); }).data();
    Tested account = account_of(name);
    static const bool is_curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (!is_curl_ready) throw Refusal({"XX000", "libcurl could not be initialised"});

    EngineContext context(EngineContext::Host::session);
    if (account.endpoint->token && account.endpoint->token->text.empty()) account = with_token(name, context);
    // Somebody waits: 30 s for a greeting, not the five minutes that a mail would (RFC 5321 4.5.3.2.1).
    auto endpoint = std::make_shared<smtp::Endpoint>(*account.endpoint);
    endpoint->timeouts.session = std::min<core::Duration>(endpoint->timeouts.session, std::chrono::seconds(30));
    const core::Time until = now() + longest_wait;
    smtp::Probe probe(endpoint, account.sender, now());
    std::optional<smtp::ProbeStep> failed;
    auto on_step = [&](const smtp::ProbeStep& step) {
        if (!step.is_ok)
            failed = step;
        else
            tell(step);
    };
    while (!probe.turn(now(), on_step)) {
        if (context.should_stop()) context.raise_interrupts();
        if (now() >= until) {
            failed = smtp::ProbeStep{core::Stage::connect, false, "no answer within a minute"};
            break;
        }
        context.wait(probe.poll_fd(), std::min(until - now(), probe.next_timeout(now()).value_or(until - now())));
    }
    if (failed) {
        throw Refusal({"08006",
                       "mailbox \"" + name + "\" can't send: " + std::string(core::to_text(failed->stage)) + " failed",
                       failed->text,
                       "mailer.mailbox_alter() changes host, port, tls and username, mailer.mailbox_set_password() the "
                       "password."});
    }
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_mailbox_test) {
    mailer::pg::entry([&] { mailer::pg::mailbox_test(fcinfo); });
    PG_RETURN_VOID();
}
