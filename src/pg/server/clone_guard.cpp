// Reads the binding of this server and compares it with the stored one; see clone_guard.hpp.
#include "pg/server/clone_guard.hpp"

#include <cerrno>
#include <cstring>

#include <sys/stat.h>

#include "pg/bridge/settings.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/server/shared.hpp"

extern "C" {
#include "access/xlog.h"
#include "replication/syncrep.h"
}

namespace mailer::pg {

namespace {

constexpr const char* control_file = "global/pg_control";

constexpr const char* why_copy =
    "this database was copied or restored as files: it sends nothing until somebody says mailer.arm()";
constexpr const char* why_promotion =
    "this server was promoted from a standby without synchronous replication: it sends nothing until somebody says "
    "mailer.arm()";
constexpr const char* why_missing =
    "the row of mailer.arming is missing: nothing is sent until somebody says mailer.arm()";

bool may_go_on_after_promotion() {
    switch (settings().on_promotion) {
        case OnPromotion::hold:
            return false;
        case OnPromotion::resume:
            return true;
        case OnPromotion::automatic:
            break;
    }
    return SyncRepStandbyNames != nullptr && *SyncRepStandbyNames != '\0';
}

// Only the inode may differ: a promoted standby is the same cluster and the same database in other files.
bool is_promotion(const Binding& stored, const Binding& current) {
    return was_standby() && stored.system_identifier == current.system_identifier &&
           stored.database_oid == current.database_oid;
}

void bind_to_this_server(const Binding& current) {
    static Statement rebind("UPDATE mailer.arming SET control_inode = $1", {INT8OID});
    static Statement log(
        "INSERT INTO mailer.event (kind, by_role, detail) VALUES ('resumed_after_promotion', NULL, '{}')", {});
    rebind.run({p_bigint(current.control_inode)});
    log.run({});
}

}  // namespace

Binding current_binding() {
    struct stat control;
    if (stat(control_file, &control) != 0) {
        const char* const why = strerror(errno);
        ereport(ERROR, (errcode_for_file_access(), errmsg("could not stat file \"%s\": %s", control_file, why)));
    }
    return {static_cast<std::int64_t>(GetSystemIdentifier()), MyDatabaseId, static_cast<std::int64_t>(control.st_ino)};
}

std::uint32_t current_timeline() {
#if PG_VERSION_NUM >= 150000
    return GetWALInsertionTimeLine();
#else
    (void)RecoveryInProgress();  // sets it
    return ThisTimeLineID;
#endif
}

ArmingState look_at_arming() {
    static Statement select(
        "SELECT epoch, adopted, system_identifier, database_oid::bigint, control_inode FROM mailer.arming", {});
    ArmingState state;
    Rows const rows = select.run({});
    if (rows.empty()) {
        state.why = why_missing;
        return state;
    }
    state.epoch = rows.bigint(0, 1);
    state.adopted = rows.bigints(0, 2);
    Binding const stored{rows.bigint(0, 3), static_cast<Oid>(rows.bigint(0, 4)), rows.bigint(0, 5)};
    Binding const current = call([] { return current_binding(); });
    if (stored == current) {
        state.arming = Arming::armed;
    } else if (!is_promotion(stored, current)) {
        state.arming = Arming::held_copy;
        state.why = why_copy;
    } else {
        state.arming = Arming::held_promotion;
        state.why = why_promotion;
    }
    return state;
}

ArmingState read_arming() {
    ArmingState state = look_at_arming();
    if (state.arming == Arming::held_promotion && may_go_on_after_promotion()) {
        bind_to_this_server(call([] { return current_binding(); }));
        state.arming = Arming::armed;
        state.why = "";
    }
    return state;
}

}  // namespace mailer::pg
