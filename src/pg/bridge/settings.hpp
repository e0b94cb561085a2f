// The settings mailer.*, as the rest of the library reads them: values, taken in one go.
//
// The variables themselves are plain C (int, bool, char*) owned by guc.c; no assign hook keeps C++ memory, so
// nothing leaks or dangles when a transaction rolls a SET back. settings() copies them into a value; callers take a
// new one when the engine says that settings changed (EngineContext::take_reload) and never hold on to char*.
#pragma once

#include "core/mail/address.hpp"
#include "core/pace/time.hpp"
#include "pg/bridge/pg.hpp"

namespace mailer::pg {

enum class Delivery { smtp, capture };
enum class OnPromotion { by_promise, hold };

// mailer.allowed_hosts: `smtp.example.com`, `*.example.com`, each with an optional `:port`; `*:port` is any host.
struct AllowedHost {
    std::string host;         // lower case; "*" is any, a leading "*." is any host below
    std::optional<int> port;  // none: any
};

struct Settings {
    bool enabled = true;
    int max_connections = 0;  // in all
    std::string timezone;     // an IANA name that PostgreSQL knows; never empty
    std::vector<core::Duration> retry_delays;
    int max_attempts = 0;
    core::Duration max_age{};
    core::Duration sweep_interval{};
    core::Duration loader_timeout{};
    int max_preparers = 0;
    core::Duration shutdown_grace{};
    std::int64_t max_message_size = 0;       // bytes
    std::int64_t max_body_memory = 0;        // bytes
    std::vector<AllowedHost> allowed_hosts;  // empty: any
    std::string unsubscribe_url;             // empty: none; `{token}` stands for the token
    OnPromotion on_promotion = OnPromotion::by_promise;
    core::Duration promise_time = std::chrono::seconds{75};
    std::string promise_to;    // all, or names
    std::string sender_lease;  // empty: none
    Delivery delivery = Delivery::smtp;
    std::string redirect_to;  // empty: none; else one address

    // By how much the clocks of two servers may differ: 5 s of the default promise_time.
    core::Duration promise_margin() const {
        return std::min(promise_time / 15, core::Duration(std::chrono::seconds{5}));
    }
};

// The values of now. Throws std::bad_alloc only.
Settings settings();

// Whether mail may be sent through this host and port. Host names compare without regard to case.
bool is_host_allowed(const Settings& settings, std::string_view host, int port);

// mailer.timezone, or the server's when it is empty: what a NULL time zone stands for at create.
const char* default_timezone() noexcept;

// mailer.identity; empty: none.
const char* identity_setting() noexcept;

// mailer.allow_cleartext_login: whether a password may cross a network without TLS.
bool allows_cleartext_login() noexcept;

// mailer.shutdown_grace alone: it is asked every turn while leaving, and copying all settings allocates.
core::Duration shutdown_grace() noexcept;

// Once, from _PG_init.
void define_settings();

}  // namespace mailer::pg
