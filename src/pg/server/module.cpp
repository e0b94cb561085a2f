// Where PostgreSQL enters the library: magic block and _PG_init.
//
// The library loads in two ways. Preloaded (shared_preload_libraries): shared memory, launcher and DDL hooks are set
// up, once, in the postmaster. Otherwise, when a session first calls one of our functions: settings and the transaction
// callback only; mail is queued, and CALL mailer.run() sends.
#include "pg/bridge/extension.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/server/ddl_hooks.hpp"
#include "pg/server/launcher.hpp"
#include "pg/server/preparer_slots.hpp"
#include "pg/server/shared.hpp"
#include "pg/server/wake.hpp"
#include "pg/tenancy/room.hpp"

extern "C" {
#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "mailer", .version = MAILER_VERSION);
#else
PG_MODULE_MAGIC;
#endif
}

MAILER_EXPORT void _PG_init(void);

void _PG_init(void) {
    using namespace mailer::pg;
    define_settings();
    register_wake();
    register_room();
    if (!process_shared_preload_libraries_in_progress) return;
    request_shared_memory();
    request_preparer_memory();
    request_room_memory();
    register_launcher();
    install_ddl_hooks();
}
