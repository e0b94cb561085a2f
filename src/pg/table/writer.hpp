// Rows put straight into a table of the extension, for the few inserts whose cost every caller pays.
//
// An INSERT through SPI parses each CHECK constraint's expression again and starts an executor: 40 of the 60 µs that an
// enqueue took (bench/enqueue.sh). This does what the executor does with a row (constraints, heap, indexes), with the
// expressions of constraints and indexes prepared once and again whenever the table changes. A partial index that the
// row isn't for is not even opened, and most of ours are partial. It checks no privileges: the caller has decided
// that the row may be written.
//
// Only for tables that are exactly as the extension made them (shipped.hpp). Anything else, a trigger, a column or an
// index that somebody added, may need what only the executor does: open() is false then, the caller takes an INSERT,
// and a line of the log (DEBUG1) and health() say what differs.
#pragma once

#include <array>
#include <initializer_list>
#include <vector>

#include "pg/bridge/spi.hpp"
#include "pg/table/shipped.hpp"
#include "pg/table/watch.hpp"

extern "C" {
#include "nodes/execnodes.h"
#include "utils/relcache.h"
#include "utils/tuplesort.h"
}

namespace mailer::pg {

// What outlives a call; a static object for each table.
class TableShape {
public:
    // Names of columns, in the order in which values are given. Those that aren't named must be nullable.
    TableShape(const ShippedTable& table, std::initializer_list<const char*> columns);

private:
    friend class TableWriter;
    static constexpr int most_columns = 40;

    struct Index {
        Oid oid;
        IndexInfo* info;
        ExprState* predicate;  // null: every row has an entry, or those where this column isn't NULL
        AttrNumber not_null;   // 0: none
        bool is_unique;
        bool is_scattered;  // rows come in another order than its own
    };

    bool refresh();
    bool resolve(Relation relation);
    void resolve_columns(Relation relation);
    bool resolve_indexes(List* oids);
    bool resolve_index(Relation index);

    const ShippedTable& shipped_;
    TableWatch watch_;
    std::array<const char*, most_columns> columns_{};
    int count_ = 0;

    bool is_known_ = false;  // false: deriving failed half way
    bool is_plain_ = false;
    bool is_in_use_ = false;                 // by a writer that is open
    std::array<int, most_columns> place_{};  // of each column in the tuple, from 0
    EState* estate_ = nullptr;               // owns what is prepared
    ExprState** constraints_ = nullptr;
    std::array<Index, TableWatch::most_indexes> indexes_{};
    std::size_t index_count_ = 0;
};

// Inserts while it lives; the lock stays until the transaction ends. The rows become visible to the transaction's next
// command: finish() counts it up. One at a time for a table: a trigger or a constraint of the owner's may queue a mail
// while one is open, and that one takes an INSERT, for the two would share the memory of their expressions.
class TableWriter {
public:
    // Before 14 a failing constraint needs a range table to be told of; not worth a second way there.
    static constexpr bool is_supported = PG_VERSION_NUM >= 140000;

    explicit TableWriter(TableShape& shape);
    ~TableWriter() noexcept(false);  // finish() may ereport
    TableWriter(const TableWriter&) = delete;
    TableWriter& operator=(const TableWriter&) = delete;

    bool open();                                 // false: not as installed, or in use; take an INSERT
    void insert(std::span<const Param> values);  // of the shape's first columns; the others are NULL
    // The same for one of many rows: they are written a page at a time, at the latest by finish(). Entries of indexes
    // over texts wait for finish(), which puts them in in their own order: that takes half as long.
    void append(std::span<const Param> values);
    void finish();

private:
    void fill(TupleTableSlot* slot, std::span<const Param> values);
    void flush();
    void insert_index_entries(std::span<TupleTableSlot* const> rows, bool has_more);
    void sort_later(std::size_t index, Datum* values, bool* nulls, ItemPointer place);
    void insert_sorted(std::size_t index);

    TableShape& shape_;
    int exceptions_;
    Relation relation_ = nullptr;
    std::array<Relation, TableWatch::most_indexes> indexes_{};       // those that were needed so far
    std::array<Tuplesortstate*, TableWatch::most_indexes> sorts_{};  // and the entries that wait
    ResultRelInfo* target_ = nullptr;
    TupleTableSlot* slot_ = nullptr;

    static constexpr std::size_t most_waiting = 1000;  // rows, and
    static constexpr std::size_t most_octets = 65536;  // octets of them, as COPY gathers
    std::vector<TupleTableSlot*> slots_;               // for rows that wait; the first waiting_ hold one
    std::size_t waiting_ = 0;
    std::size_t octets_ = 0;
};

}  // namespace mailer::pg
