// The background worker that listens in one database. Its database's sender starts it and ends it (starter.hpp), so
// whatever asks the sender to leave gets the listener out of the way too; it also looks for such a request itself.
//
// An error that reaches this file ends the process; the sender starts it again, later each time.
#include "pg/bridge/extension.hpp"
#include "pg/engine/pins.hpp"
#include "pg/listen/listener.hpp"
#include "pg/listen/listener_lock.hpp"
#include "pg/server/worker_signals.hpp"

extern "C" {
#include "access/xact.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
}

MAILER_EXPORT void mailer_listener_main(Datum argument);

namespace mailer::pg {

namespace {

std::optional<ListenerLock> listener_lock;  // for the life of the process

void listen() {
    listener_lock = ListenerLock::try_take();
    if (!listener_lock) return;
    EngineContext context(EngineContext::Host::worker);
    run_listener(context, {});
}

bool is_here_and_fits() {
    char version[64];
    StartTransactionCommand();
    Fit const fit = look_for_extension(version);
    CommitTransactionCommand();
    return fit == Fit::fits;
}

}  // namespace

}  // namespace mailer::pg

void mailer_listener_main(Datum argument) {
    using namespace mailer::pg;
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    prepare_to_leave();
    heed_own_cancels_only();
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(argument), InvalidOid, 0);
    pin_session();
    SetConfigOption("application_name", "mailer listener", PGC_USERSET, PGC_S_SESSION);
    CHECK_FOR_INTERRUPTS();
    if (is_here_and_fits()) entry([] { listen(); });
    proc_exit(0);
}
