// The list of pins; see pins.hpp.
#include "pg/engine/pins.hpp"

#include <cstring>

namespace mailer::pg {

namespace {

struct Pin {
    const char* name;
    const char* value;
};

// What a transaction of the engine needs wherever it runs. Values as GetConfigOption() shows them.
constexpr Pin for_transactions[] = {
    {"search_path", "pg_catalog, pg_temp"},
    {"TimeZone", "UTC"},
    {"DateStyle", "ISO, YMD"},
    {"IntervalStyle", "postgres"},
    {"statement_timeout", "0"},
    {"lock_timeout", "50"},
    {"transform_null_equals", "off"},
    {"session_replication_role", "origin"},
    {"row_security", "on"},
    {"default_tablespace", ""},
    {"check_function_bodies", "on"},
    {"jit", "off"},
    {"max_parallel_workers_per_gather", "0"},
    {"force_parallel_mode", "off"},  // renamed in 16; skipped where it isn't known
    {"debug_parallel_query", "off"},
    // On this server's disk, and no further: a mail waits for the standbys before its dot (fence.hpp), without
    // blocking.
    {"synchronous_commit", "local"},
};

// What only makes sense for a whole session.
constexpr Pin for_the_session[] = {
    {"role", "none"},
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_read_only", "off"},
    {"default_transaction_deferrable", "off"},
    {"idle_in_transaction_session_timeout", "0"},
    {"transaction_timeout", "0"},   // 17
    {"idle_session_timeout", "0"},  // 14
    {"application_name", "mailer worker"},
};

void pin(const Pin& p, GucContext context, GucSource source, GucAction action) {
    if (GetConfigOption(p.name, true, false) == nullptr) return;
    (void)set_config_option(p.name, p.value, context, source, action, true, 0, false);
}

}  // namespace

void pin_session() {
    for (const Pin& p : for_the_session)
        pin(p, PGC_SUSET, PGC_S_OVERRIDE, GUC_ACTION_SET);
    for (const Pin& p : for_transactions)
        pin(p, PGC_SUSET, PGC_S_OVERRIDE, GUC_ACTION_SET);
}

void pin_transaction() {
    XactIsoLevel = XACT_READ_COMMITTED;
    XactReadOnly = false;
    XactDeferrable = false;
    // Many are pinned in the worker already; a local value equal to the current one is cheap to leave out.
    for (const Pin& p : for_transactions) {
        const char* const current = GetConfigOption(p.name, true, false);
        if (current == nullptr || strcmp(current, p.value) == 0) continue;
        pin(p, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL);
    }
}

}  // namespace mailer::pg
