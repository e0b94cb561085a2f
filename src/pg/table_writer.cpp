// See table_writer.hpp. The steps of ExecInsert() for a plain table, in its order: constraints, heap, indexes.
#include "pg/table_writer.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace mailer::pg {
namespace {

// Before 14 a failing constraint needs a range table to be told of; not worth a second way there.
constexpr bool is_supported = PG_VERSION_NUM >= 140000;

ExprState**& constraints_of(ResultRelInfo* target) {
#if PG_VERSION_NUM >= 180000
    return target->ri_CheckConstraintExprs;
#else
    return target->ri_ConstraintExprs;
#endif
}

void insert_index_tuples([[maybe_unused]] ResultRelInfo* target, TupleTableSlot* slot, EState* estate) {
#if PG_VERSION_NUM >= 160000
    ExecInsertIndexTuples(target, slot, estate, false, false, nullptr, NIL, false);
#elif PG_VERSION_NUM >= 140000
    ExecInsertIndexTuples(target, slot, estate, false, false, nullptr, NIL);
#else
    ExecInsertIndexTuples(slot, estate, false, nullptr, NIL);
#endif
}

}  // namespace

// ── Shape ────────────────────────────────────────────────────────────────────────────────────────────────────────

TableShape::TableShape(const char* table, std::initializer_list<const char*> columns) : watch_(table) {
    for (const char* column : columns)
        columns_[static_cast<std::size_t>(count_++)] = column;
}

// What was prepared for the table's earlier shape is dropped. May ereport.
bool TableShape::refresh() {
    if (!watch_.is_news()) return is_plain_;
    if (estate_ != nullptr) FreeExecutorState(std::exchange(estate_, nullptr));
    constraints_ = nullptr;
    MemoryContext caller = MemoryContextSwitchTo(CacheMemoryContext);
    estate_ = CreateExecutorState();
    MemoryContextSwitchTo(caller);
    Relation relation = table_open(watch_.oid(), RowExclusiveLock);
    watch_.settle();  // what changes from here on is seen in open()
    resolve(relation);
    table_close(relation, NoLock);
    return is_plain_;
}

// Plain: no column that the caller would have to know, and nothing that fires.
void TableShape::resolve(Relation relation) {
    is_plain_ = false;
    const Form_pg_class facts = relation->rd_rel;
    if (facts->relkind != RELKIND_RELATION || facts->relhastriggers || facts->relrowsecurity || facts->relispartition)
        return;
    std::array<bool, MaxTupleAttributeNumber> is_known{};
    for (int c = 0; c < count_; ++c) {
        const AttrNumber n = get_attnum(watch_.oid(), columns_[static_cast<std::size_t>(c)]);
        if (n == InvalidAttrNumber) return;
        place_[static_cast<std::size_t>(c)] = n - 1;
        is_known[static_cast<std::size_t>(n - 1)] = true;
    }
    const TupleDesc tuple = RelationGetDescr(relation);
    for (int i = 0; i < tuple->natts; ++i) {
        const Form_pg_attribute column = TupleDescAttr(tuple, i);
        const bool is_optional = column->attisdropped || (!column->attnotnull && !column->atthasdef);
        if (!is_known[static_cast<std::size_t>(i)] && !is_optional) return;
    }
    is_plain_ = true;
}

// ── Writer ───────────────────────────────────────────────────────────────────────────────────────────────────────

TableWriter::TableWriter(TableShape& shape) : shape_(shape), exceptions_(std::uncaught_exceptions()) {}

TableWriter::~TableWriter() {
    // After an error the transaction's abort releases all of this.
    if (std::uncaught_exceptions() == exceptions_) finish();
}

bool TableWriter::open() {
    if (!is_supported) return false;
    return call([&] {
        if (!shape_.refresh()) return false;
        relation_ = table_open(shape_.watch_.oid(), RowExclusiveLock);
        if (shape_.watch_.is_stale()) {  // it changed while we waited for the lock
            table_close(relation_, NoLock);
            relation_ = nullptr;
            return false;
        }
        estate_ = CreateExecutorState();
        target_ = makeNode(ResultRelInfo);
        InitResultRelInfo(target_, relation_, 0, nullptr, 0);
        constraints_of(target_) = shape_.constraints_;
        ExecOpenIndices(target_, false);
        slot_ = MakeSingleTupleTableSlot(RelationGetDescr(relation_), &TTSOpsVirtual);
        slot_->tts_tableOid = shape_.watch_.oid();
        return true;
    });
}

void TableWriter::insert(std::span<const Param> values) {
    call([&] {
        CHECK_FOR_INTERRUPTS();
        ExecClearTuple(slot_);
        const int natts = RelationGetDescr(relation_)->natts;
        for (int i = 0; i < natts; ++i)
            slot_->tts_isnull[i] = true;
        for (std::size_t c = 0; c < values.size(); ++c) {
            const int place = shape_.place_[c];
            slot_->tts_values[place] = values[c].value;
            slot_->tts_isnull[place] = values[c].is_null;
        }
        ExecStoreVirtualTuple(slot_);
        // The first time this prepares the expressions, in the shape's own memory.
        ExecConstraints(target_, slot_, shape_.estate_);
        shape_.constraints_ = constraints_of(target_);
        ResetPerTupleExprContext(shape_.estate_);

        MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate_));
        table_tuple_insert(relation_, slot_, GetCurrentCommandId(true), 0, nullptr);
        insert_index_tuples(target_, slot_, estate_);
        MemoryContextSwitchTo(caller);
        ResetPerTupleExprContext(estate_);
    });
}

void TableWriter::finish() {
    if (relation_ == nullptr) return;
    call([&] {
        ExecDropSingleTupleTableSlot(slot_);
        ExecCloseIndices(target_);
        FreeExecutorState(estate_);
        table_close(std::exchange(relation_, nullptr), NoLock);
        CommandCounterIncrement();
    });
}

}  // namespace mailer::pg
