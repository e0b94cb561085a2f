// See pg/table/reader.hpp.
#include "pg/table/reader.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace mailer::pg {

// The steps of a statement of SPI that isn't read-only.
FreshSnapshot::FreshSnapshot() : exceptions_(std::uncaught_exceptions()) {
    call([] {
        CommandCounterIncrement();
        PushActiveSnapshot(GetTransactionSnapshot());
    });
}

FreshSnapshot::~FreshSnapshot() {
    // After an error the transaction's abort pops it.
    if (std::uncaught_exceptions() > exceptions_) return;
    Assert(ActiveSnapshotSet());
    PopActiveSnapshot();
}

TableReader::TableReader(const char* table, std::initializer_list<const char*> key,
                         std::initializer_list<const char*> columns)
    : watch_(table), key_count_(key.size()), column_count_(columns.size()) {
    Assert(key.size() <= most_keys && columns.size() <= TableRow::most_columns);
    std::copy(key.begin(), key.end(), key_names_.begin());
    std::copy(columns.begin(), columns.end(), names_.begin());
}

static AttrNumber column_of(Oid table, const char* name) {
    const AttrNumber place = get_attnum(table, name);
    if (place == InvalidAttrNumber) elog(ERROR, "table %s has no column %s", get_rel_name(table), name);
    return place;
}

void TableReader::resolve() {
    index_ = InvalidOid;  // until all is known
    Relation table = table_open(watch_.oid(), AccessShareLock);
    watch_.settle();
    list_free(RelationGetIndexList(table));  // which also finds the primary key
    const Oid key = table->rd_pkindex;
    if (!OidIsValid(key)) elog(ERROR, "table %s has no primary key", RelationGetRelationName(table));
    Relation index = index_open(key, AccessShareLock);
    for (std::size_t k = 0; k < key_count_; ++k) {
        key_place_[k] = column_of(watch_.oid(), key_names_[k]);
        collation_[k] = index->rd_indcollation[k];
    }
    index_close(index, NoLock);
    for (std::size_t c = 0; c < column_count_; ++c)
        place_[c] = column_of(watch_.oid(), names_[c]);
    table_close(table, NoLock);
    index_ = key;
}

// The lock may have had to wait for somebody who altered the table.
Relation TableReader::open() {
    for (;;) {
        if (watch_.is_news() || !OidIsValid(index_)) resolve();
        Relation table = table_open(watch_.oid(), AccessShareLock);
        if (!watch_.is_stale()) return table;
        table_close(table, NoLock);
    }
}

bool TableReader::read(const Datum* key, TableRow* row) {
    Relation table = open();
    ScanKeyData keys[most_keys];
    for (std::size_t k = 0; k < key_count_; ++k)
        ScanKeyEntryInitialize(&keys[k], 0, key_place_[k], BTEqualStrategyNumber, InvalidOid, collation_[k], F_TEXTEQ,
                               key[k]);
    SysScanDesc scan = systable_beginscan(table, index_, true, GetActiveSnapshot(), static_cast<int>(key_count_), keys);
    HeapTuple found = systable_getnext(scan);
    const bool is_found = HeapTupleIsValid(found);
    if (is_found) copy(found, table, row);
    systable_endscan(scan);
    table_close(table, NoLock);
    return is_found;
}

bool TableReader::read_first(std::optional<std::size_t> that, TableRow* row) {
    Relation table = open();
    Relation index = index_open(index_, AccessShareLock);
    SysScanDesc scan = systable_beginscan_ordered(table, index, GetActiveSnapshot(), 0, nullptr);
    bool is_found = false;
    while (!is_found) {
        HeapTuple found = systable_getnext_ordered(scan, ForwardScanDirection);
        if (!HeapTupleIsValid(found)) break;
        copy(found, table, row);
        is_found = !that || row->boolean(*that);
    }
    systable_endscan_ordered(scan);
    index_close(index, AccessShareLock);
    table_close(table, NoLock);
    return is_found;
}

// The values must outlive the scan, whose end gives the page back.
void TableReader::copy(HeapTuple tuple, Relation table, TableRow* row) const {
    HeapTuple own = heap_copytuple(tuple);
    for (std::size_t c = 0; c < column_count_; ++c)
        row->values_[c] = heap_getattr(own, place_[c], RelationGetDescr(table), &row->nulls_[c]);
}

std::optional<TableRow> TableReader::find(std::initializer_list<TextValue> key) {
    Datum values[most_keys] = {};
    std::size_t n = 0;
    for (const TextValue& one : key)
        values[n++] = one.datum;
    Assert(n == key_count_);
    TableRow row;
    if (!call([&] { return read(values, &row); })) return std::nullopt;
    return row;
}

std::optional<TableRow> TableReader::first(std::optional<std::size_t> that) {
    TableRow row;
    if (!call([&] { return read_first(that, &row); })) return std::nullopt;
    return row;
}

}  // namespace mailer::pg
