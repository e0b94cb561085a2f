// Begin, commit and abort in a worker and in a session; see transaction.hpp.
#include "pg/transaction.hpp"

#include "pg/pins.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace mailer::pg {

namespace {

struct Pin {
    const char* name;
    const char* value;
};

// The engine's statements have one right plan each, index scans in nested loops, whatever the statistics say: right
// after ANALYZE of an empty table a planner would sort a million rows for one claim.
constexpr Pin planner_pins[] = {
    {"plan_cache_mode", "force_generic_plan"},
    {"enable_seqscan", "off"},
    {"enable_bitmapscan", "off"},
    {"enable_sort", "off"},
    {"enable_hashjoin", "off"},
    {"enable_mergejoin", "off"},
    {"enable_material", "off"},
};

void pin_planner() {
    for (const Pin& p : planner_pins) {
        (void)set_config_option(p.name, p.value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
    }
}

Oid look_up_owner() {
    Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key[1];
    ScanKeyInit(&key[0], Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("mailer"));
    SysScanDesc scan = systable_beginscan(extensions, ExtensionNameIndexId, true, nullptr, 1, key);
    HeapTuple tuple = systable_getnext(scan);
    Oid owner = HeapTupleIsValid(tuple) ? reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extowner : InvalidOid;
    systable_endscan(scan);
    table_close(extensions, AccessShareLock);
    if (!OidIsValid(owner)) {
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("extension \"mailer\" is not installed in this database")));
    }
    return owner;
}

}  // namespace

Oid extension_owner() {
    return call([] { return look_up_owner(); });
}

void Transactions::begin() {
    call([this] {
        if (!is_session_) {
            SetCurrentStatementStartTimestamp();
            StartTransactionCommand();
        }
        is_open_ = true;
        GetUserIdAndSecContext(&caller_, &caller_context_);
        if (is_session_) {
            if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT) elog(ERROR, "SPI_connect_ext failed");
            SetUserIdAndSecContext(look_up_owner(), caller_context_ | SECURITY_LOCAL_USERID_CHANGE);
            pin_transaction();
        } else if (SPI_connect() != SPI_OK_CONNECT) {
            elog(ERROR, "SPI_connect failed");
        }
        pin_planner();
        PushActiveSnapshot(GetTransactionSnapshot());
    });
}

void Transactions::commit() {
    call([this] {
        if (ActiveSnapshotSet()) PopActiveSnapshot();
        if (is_session_) {
            SetUserIdAndSecContext(caller_, caller_context_);
            SPI_commit();
            SPI_finish();
        } else {
            SPI_finish();
            CommitTransactionCommand();
        }
        is_open_ = false;
        // Its wait for a standby was cut short to end the process: nothing may be sent that no standby knows to be
        // claimed.
        if (ProcDiePending) CHECK_FOR_INTERRUPTS();
    });
}

void Transactions::abort() noexcept {
    if (!is_open_) return;
    is_open_ = false;
    try {
        call([this] {
            if (is_session_) {
                SetUserIdAndSecContext(caller_, caller_context_);
                SPI_rollback();
                SPI_finish();
            } else {
                AbortCurrentTransaction();
            }
        });
    } catch (const std::exception& error) {
        elog(LOG, "mailer: could not roll back: %s", error.what());
    }
}

}  // namespace mailer::pg
