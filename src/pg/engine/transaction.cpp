// Begin, commit and abort in a worker and in a session; see transaction.hpp.
#include "pg/engine/transaction.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "pg/engine/pins.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
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

// ── What the planner sees ──

// Tables whose size is anything between nothing and millions of rows, at any moment.
constexpr const char* changing_tables[] = {"queue_entry", "message", "outcome", "attempt", "recipient"};
constexpr double told_tuples = 1e6;
constexpr BlockNumber told_pages = 20000;

bool is_planning_for_engine = false;
get_relation_info_hook_type next_hook = nullptr;

bool is_changing(Oid relation) {
    const Oid schema = get_namespace_oid("mailer", true);
    if (!OidIsValid(schema) || get_rel_namespace(relation) != schema) return false;
    return std::any_of(std::begin(changing_tables), std::end(changing_tables),
                       [&](const char* table) { return get_relname_relid(table, schema) == relation; });
}

// Which of two joined sides drives is decided by sizes, and no setting says otherwise. After VACUUM of an empty queue
// its estimate stays at one row until the next one, however many come meanwhile: a claim of 200 then read a million.
void tell_sizes(PlannerInfo* root, Oid relation, bool inherits, RelOptInfo* facts) {
    if (next_hook != nullptr) next_hook(root, relation, inherits, facts);
    if (!is_planning_for_engine || !is_changing(relation)) return;
    facts->tuples = std::max(facts->tuples, told_tuples);
    facts->pages = std::max(facts->pages, told_pages);
    ListCell* cell = nullptr;
    foreach (cell, facts->indexlist) {
        auto* index = static_cast<IndexOptInfo*>(lfirst(cell));
        index->tuples = std::max(index->tuples, facts->tuples);
        index->pages = std::max(index->pages, told_pages / 8);
    }
}

void install_hook() {
    static bool is_installed = false;
    if (is_installed) return;
    next_hook = std::exchange(get_relation_info_hook, tell_sizes);
    is_installed = true;
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

void SessionFrame::enter() {
    level_ = GetCurrentTransactionNestLevel();
    owner_ = CurrentResourceOwner;
    if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT) elog(ERROR, "SPI_connect_ext failed");
    MemoryContext const context = CurrentMemoryContext;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
}

void SessionFrame::commit() {
    ReleaseCurrentSubTransaction();
    CurrentResourceOwner = owner_;
    SPI_commit();
    SPI_finish();
}

void SessionFrame::abort() {
    // None is left when it was the commit that failed; owner_ isn't there any more then.
    while (GetCurrentTransactionNestLevel() > level_) {
        RollbackAndReleaseCurrentSubTransaction();
        CurrentResourceOwner = owner_;
    }
    SPI_rollback();
    SPI_finish();
}

void Transactions::begin() {
    Assert(!is_open_);
    call([this] {
        if (!is_session_) {
            SetCurrentStatementStartTimestamp();
            StartTransactionCommand();
        }
        is_open_ = true;
        GetUserIdAndSecContext(&caller_, &caller_context_);
        if (is_session_) {
            frame_.enter();
            SetUserIdAndSecContext(look_up_owner(), caller_context_ | SECURITY_LOCAL_USERID_CHANGE);
            pin_transaction();
        } else if (SPI_connect() != SPI_OK_CONNECT) {
            elog(ERROR, "SPI_connect failed");
        }
        pin_planner();
        install_hook();
        is_planning_for_engine = true;
        PushActiveSnapshot(GetTransactionSnapshot());
    });
}

void Transactions::commit() {
    Assert(is_open_);
    call([this] {
        if (ActiveSnapshotSet()) PopActiveSnapshot();
        XactLastCommitEnd = InvalidXLogRecPtr;
        if (is_session_) {
            SetUserIdAndSecContext(caller_, caller_context_);
            frame_.commit();
        } else {
            SPI_finish();
            CommitTransactionCommand();
        }
        is_open_ = is_planning_for_engine = false;
        last_commit_ = XactLastCommitEnd;
    });
}

void Transactions::abort() noexcept {
    if (!is_open_) return;
    is_open_ = is_planning_for_engine = false;
    try {
        call([this] {
            if (is_session_) {
                SetUserIdAndSecContext(caller_, caller_context_);
                frame_.abort();
            } else {
                AbortCurrentTransaction();
            }
        });
    } catch (const std::exception& error) {
        elog(LOG, "mailer: could not roll back: %s", error.what());
    }
}

}  // namespace mailer::pg
