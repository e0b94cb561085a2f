// What sql/43_health.sql says of tables that somebody altered.
#include "pg/bridge/result_set.hpp"
#include "pg/table/difference.hpp"
#include "pg/table/watch.hpp"
#include "pg/table/writer.hpp"

extern "C" {
#include "access/table.h"
#include "storage/lmgr.h"
}

namespace mailer::pg {

namespace {

// Of a table that somebody has locked nothing is said: health() waits for nobody.
const char* change_of(const ShippedTable& shipped) {
    return call([&]() -> const char* {
        const Oid oid = oid_of_relation(shipped.name);
        if (!ConditionalLockRelationOid(oid, AccessShareLock)) return nullptr;
        Relation table = table_open(oid, NoLock);
        const char* change = difference_from(shipped, table);
        table_close(table, AccessShareLock);
        return change;
    });
}

void table_changes(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    if (!TableWriter::is_supported) return;  // every table is written by INSERT anyway
    for (const ShippedTable* table : shipped_tables()) {
        if (const char* change = change_of(*table); change != nullptr) rows.text(table->name).text(change).end_row();
    }
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_table_changes) {
    mailer::pg::entry([&] { mailer::pg::table_changes(fcinfo); });
    return Datum{0};
}
