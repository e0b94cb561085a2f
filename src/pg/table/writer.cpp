// See pg/table/writer.hpp. The steps of ExecInsert() for a plain table, in its order: constraints, heap, indexes.
#include "pg/table/writer.hpp"

#include <algorithm>

#include "pg/table/difference.hpp"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace mailer::pg {
namespace {

ExprState**& constraints_of(ResultRelInfo* target) {
#if PG_VERSION_NUM >= 180000
    return target->ri_CheckConstraintExprs;
#else
    return target->ri_ConstraintExprs;
#endif
}

void insert_entry(Relation index, Datum* values, bool* nulls, ItemPointer place, Relation table, IndexUniqueCheck check,
                  IndexInfo* info) {
#if PG_VERSION_NUM >= 140000
    index_insert(index, values, nulls, place, table, check, false, info);
#else
    index_insert(index, values, nulls, place, table, check, info);
#endif
}

bool is_over_texts(Relation index) {
    for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); ++i) {
        if (TupleDescAttr(RelationGetDescr(index), i)->atttypid == TEXTOID) return true;
    }
    return false;
}

Tuplesortstate* begin_sort(Relation table, Relation index) {
    // Not for it to tell what is there twice: the index does, in its own words.
#if PG_VERSION_NUM >= 150000
    return tuplesort_begin_index_btree(table, index, false, false, work_mem, nullptr, TUPLESORT_NONE);
#else
    return tuplesort_begin_index_btree(table, index, false, work_mem, nullptr, false);
#endif
}

// The column of `WHERE column IS NOT NULL`, which is most of what our indexes ask for and is seen at a glance.
AttrNumber column_wanted_by(List* predicate) {
    if (list_length(predicate) != 1 || !IsA(linitial(predicate), NullTest)) return 0;
    const auto* test = static_cast<NullTest*>(linitial(predicate));
    if (test->nulltesttype != IS_NOT_NULL || test->argisrow || !IsA(test->arg, Var)) return 0;
    return std::max<AttrNumber>(0, reinterpret_cast<Var*>(test->arg)->varattno);
}

}  // namespace

// ── Shape ────────────────────────────────────────────────────────────────────────────────────────────────────────

TableShape::TableShape(const ShippedTable& table, std::initializer_list<const char*> columns)
    : shipped_(table), watch_(table.name) {
    Assert(columns.size() <= most_columns);
    for (const char* column : columns)
        columns_[static_cast<std::size_t>(count_++)] = column;
}

// What was prepared for the table's earlier shape is dropped. May ereport.
bool TableShape::refresh() {
    if (!watch_.is_news() && is_known_) return is_plain_;
    is_known_ = false;
    if (estate_ != nullptr) FreeExecutorState(std::exchange(estate_, nullptr));
    constraints_ = nullptr;
    MemoryContext caller = MemoryContextSwitchTo(CacheMemoryContext);
    estate_ = CreateExecutorState();
    MemoryContextSwitchTo(caller);
    Relation relation = table_open(watch_.oid(), RowExclusiveLock);
    watch_.settle();  // what changes from here on is seen in open()
    is_plain_ = false;
    is_plain_ = resolve(relation);
    table_close(relation, NoLock);
    is_known_ = true;
    return is_plain_;
}

// Plain: exactly as the extension made it. May ereport.
bool TableShape::resolve(Relation relation) {
    List* indexes = RelationGetIndexList(relation);
    ListCell* cell = nullptr;
    // Those that were added too: one of them may be renamed. More than it can watch is more than there may be.
    foreach (cell, indexes)
        watch_.also(lfirst_oid(cell));
    const char* difference = difference_from(shipped_, relation);
    if (difference != nullptr) {
        ereport(DEBUG1,
                (errmsg_internal("rows of table \"%s\" are written by INSERT, because it isn't as installed: %s",
                                 shipped_.name, difference)));
    } else {
        resolve_columns(relation);
    }
    const bool is_plain = difference == nullptr && resolve_indexes(indexes);
    list_free(indexes);
    return is_plain;
}

void TableShape::resolve_columns(Relation relation) {
    std::array<bool, MaxTupleAttributeNumber> is_written{};
    for (int c = 0; c < count_; ++c) {
        const AttrNumber n = get_attnum(watch_.oid(), columns_[static_cast<std::size_t>(c)]);
        if (n == InvalidAttrNumber)
            elog(ERROR, "table %s ships without column %s", shipped_.name, columns_[static_cast<std::size_t>(c)]);
        place_[static_cast<std::size_t>(c)] = n - 1;
        is_written[static_cast<std::size_t>(n - 1)] = true;
    }
    // The others become NULL.
    const TupleDesc tuple = RelationGetDescr(relation);
    for (int i = 0; i < tuple->natts; ++i) {
        [[maybe_unused]] const Form_pg_attribute column = TupleDescAttr(tuple, i);
        Assert(is_written[static_cast<std::size_t>(i)] || column->attisdropped ||
               (!column->attnotnull && !column->atthasdef));
    }
}

// False: one of them is being built.
bool TableShape::resolve_indexes(List* oids) {
    index_count_ = 0;
    bool is_ready = true;
    ListCell* cell = nullptr;
    foreach (cell, oids) {
        Relation index = index_open(lfirst_oid(cell), RowExclusiveLock);
        is_ready = is_ready && resolve_index(index);
        index_close(index, RowExclusiveLock);
    }
    return is_ready;
}

bool TableShape::resolve_index(Relation index) {
    // An index that becomes ready invalidates nothing but itself: look again each time.
    if (!index->rd_index->indisready) {
        watch_.unsettle();
        return false;
    }
    MemoryContext caller = MemoryContextSwitchTo(estate_->es_query_cxt);
    IndexInfo* info = BuildIndexInfo(index);
    const AttrNumber not_null = column_wanted_by(info->ii_Predicate);
    const bool is_evaluated = info->ii_Predicate != NIL && not_null == 0;
    ExprState* predicate = is_evaluated ? ExecPrepareQual(info->ii_Predicate, estate_) : nullptr;
    MemoryContextSwitchTo(caller);
    Assert(index_count_ < indexes_.size());
    indexes_[index_count_++] = {RelationGetRelid(index), info, predicate, not_null, index->rd_index->indisunique,
                                is_over_texts(index)};
    return true;
}

// ── Writer ───────────────────────────────────────────────────────────────────────────────────────────────────────

TableWriter::TableWriter(TableShape& shape) : shape_(shape), exceptions_(std::uncaught_exceptions()) {}

TableWriter::~TableWriter() noexcept(false) {
    if (relation_ == nullptr) return;
    shape_.is_in_use_ = false;
    // After an error the transaction's abort releases all of this.
    if (std::uncaught_exceptions() == exceptions_) finish();
}

bool TableWriter::open() {
    if (!is_supported || shape_.is_in_use_) return false;
    return call([&] {
        PreventCommandIfReadOnly("INSERT");  // the executor's check
        if (!shape_.refresh()) return false;
        relation_ = table_open(shape_.watch_.oid(), RowExclusiveLock);
        if (shape_.watch_.is_stale()) {  // it changed while we waited for the lock
            table_close(relation_, NoLock);
            relation_ = nullptr;
            return false;
        }
        target_ = makeNode(ResultRelInfo);
        InitResultRelInfo(target_, relation_, 0, nullptr, 0);
        constraints_of(target_) = shape_.constraints_;
        slot_ = MakeSingleTupleTableSlot(RelationGetDescr(relation_), &TTSOpsVirtual);
        slot_->tts_tableOid = shape_.watch_.oid();
        shape_.is_in_use_ = true;
        return true;
    });
}

// Stores the values in the slot and checks the table's constraints.
void TableWriter::fill(TupleTableSlot* slot, std::span<const Param> values) {
    Assert(values.size() <= static_cast<std::size_t>(shape_.count_));
    ExecClearTuple(slot);
    const int natts = RelationGetDescr(relation_)->natts;
    memset(slot->tts_isnull, true, static_cast<std::size_t>(natts));
    for (std::size_t c = 0; c < values.size(); ++c) {
        const int place = shape_.place_[c];
        Assert(TupleDescAttr(RelationGetDescr(relation_), place)->atttypid == values[c].type);
        slot->tts_values[place] = values[c].value;
        slot->tts_isnull[place] = values[c].is_null;
    }
    ExecStoreVirtualTuple(slot);
    // The first time this prepares the expressions, in the shape's own memory.
    ExecConstraints(target_, slot, shape_.estate_);
    shape_.constraints_ = constraints_of(target_);
}

void TableWriter::insert(std::span<const Param> values) {
    Assert(relation_ != nullptr && waiting_ == 0);  // open(); rows of append() would come later than this one
    call([&] {
        CHECK_FOR_INTERRUPTS();
        fill(slot_, values);
        MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(shape_.estate_));
        table_tuple_insert(relation_, slot_, GetCurrentCommandId(true), 0, nullptr);
        insert_index_entries({&slot_, 1}, false);
        MemoryContextSwitchTo(caller);
        ResetPerTupleExprContext(shape_.estate_);
    });
}

// As ExecInsertIndexTuples(), one index after the other.
void TableWriter::insert_index_entries(std::span<TupleTableSlot* const> rows, bool has_more) {
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    ExprContext* context = GetPerTupleExprContext(shape_.estate_);
    for (std::size_t i = 0; i < shape_.index_count_; ++i) {
        const TableShape::Index& index = shape_.indexes_[i];
        for (TupleTableSlot* row : rows) {
            context->ecxt_scantuple = row;
            if (index.not_null > 0 && slot_attisnull(row, index.not_null)) continue;
            if (index.predicate != nullptr && !ExecQual(index.predicate, context)) continue;
            if (indexes_[i] == nullptr) indexes_[i] = index_open(index.oid, RowExclusiveLock);
            FormIndexDatum(index.info, row, shape_.estate_, values, nulls);
            if (has_more && index.is_scattered) {
                sort_later(i, values, nulls, &row->tts_tid);
                continue;
            }
            insert_entry(indexes_[i], values, nulls, &row->tts_tid, relation_,
                         index.is_unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, index.info);
        }
    }
    context->ecxt_scantuple = nullptr;
}

void TableWriter::sort_later(std::size_t index, Datum* values, bool* nulls, ItemPointer place) {
    if (sorts_[index] == nullptr) {
        MemoryContext caller = MemoryContextSwitchTo(slot_->tts_mcxt);
        sorts_[index] = begin_sort(relation_, indexes_[index]);
        MemoryContextSwitchTo(caller);
    }
    tuplesort_putindextuplevalues(sorts_[index], indexes_[index], place, values, nulls);
}

void TableWriter::insert_sorted(std::size_t index) {
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    const TableShape::Index& shape = shape_.indexes_[index];
    tuplesort_performsort(sorts_[index]);
    while (IndexTuple entry = tuplesort_getindextuple(sorts_[index], true)) {
        CHECK_FOR_INTERRUPTS();
        index_deform_tuple(entry, RelationGetDescr(indexes_[index]), values, nulls);
        MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(shape_.estate_));
        insert_entry(indexes_[index], values, nulls, &entry->t_tid, relation_,
                     shape.is_unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, shape.info);
        MemoryContextSwitchTo(caller);
        ResetPerTupleExprContext(shape_.estate_);
    }
    tuplesort_end(std::exchange(sorts_[index], nullptr));
}

void TableWriter::append(std::span<const Param> values) {
    if (slots_.empty()) slots_.reserve(most_waiting);
    call([&] {
        CHECK_FOR_INTERRUPTS();
        if (waiting_ == slots_.size()) {  // within the reserved room: nothing that throws here
            MemoryContext caller = MemoryContextSwitchTo(slot_->tts_mcxt);  // the caller's may be gone after this row
            slots_.push_back(table_slot_create(relation_, nullptr));
            MemoryContextSwitchTo(caller);
        }
        TupleTableSlot* slot = slots_[waiting_];
        fill(slot, values);
        ExecMaterializeSlot(slot);  // the values are the caller's
        ResetPerTupleExprContext(shape_.estate_);
        octets_ += ExecFetchSlotHeapTuple(slot, true, nullptr)->t_len;
        ++waiting_;
        if (waiting_ == most_waiting || octets_ >= most_octets) flush();
    });
}

// Within call().
void TableWriter::flush() {
    if (waiting_ == 0) return;
    MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(shape_.estate_));
    table_multi_insert(relation_, slots_.data(), static_cast<int>(waiting_), GetCurrentCommandId(true), 0, nullptr);
    insert_index_entries({slots_.data(), waiting_}, true);
    for (std::size_t i = 0; i < waiting_; ++i)
        ExecClearTuple(slots_[i]);
    MemoryContextSwitchTo(caller);
    ResetPerTupleExprContext(shape_.estate_);
    waiting_ = octets_ = 0;
}

void TableWriter::finish() {
    if (relation_ == nullptr) return;
    call([&] {
        flush();
        for (std::size_t i = 0; i < shape_.index_count_; ++i) {
            if (sorts_[i] != nullptr) insert_sorted(i);
        }
        shape_.is_in_use_ = false;
        for (TupleTableSlot* slot : slots_)
            ExecDropSingleTupleTableSlot(slot);
        slots_.clear();
        ExecDropSingleTupleTableSlot(slot_);
        for (Relation& index : indexes_) {
            if (index != nullptr) index_close(std::exchange(index, nullptr), RowExclusiveLock);
        }
        table_close(std::exchange(relation_, nullptr), NoLock);
        CommandCounterIncrement();
    });
}

}  // namespace mailer::pg
