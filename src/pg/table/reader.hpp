// One row of a table of the extension by its primary key of texts, for the few look-ups that every caller pays.
//
// A SELECT through SPI starts an executor, 3 to 5 µs for each table of a join; this is the descent of the index and the
// row, about 1 µs (decision 015), and it has no plan that could be a wrong one. It checks no privileges: the caller
// has decided that the row may be read. Rows are what the active snapshot shows: see FreshSnapshot.
#pragma once

#include <array>
#include <initializer_list>

#include "pg/bridge/arguments.hpp"
#include "pg/table/watch.hpp"

extern "C" {
#include "utils/relcache.h"
}

namespace mailer::pg {

// While it lives, what is read is as of now, with all that this transaction has done: as a statement of its own would
// see it.
class FreshSnapshot {
public:
    FreshSnapshot();
    ~FreshSnapshot();
    FreshSnapshot(const FreshSnapshot&) = delete;
    FreshSnapshot& operator=(const FreshSnapshot&) = delete;

private:
    int exceptions_;
};

// A row's columns in the order in which the reader named them; palloc'ed in the context of the time it was found.
class TableRow {
public:
    static constexpr std::size_t most_columns = 10;

    bool is_null(std::size_t column) const { return nulls_[column]; }
    bool boolean(std::size_t column) const { return !nulls_[column] && DatumGetBool(values_[column]); }
    // These three: of a column that isn't NULL.
    std::int64_t bigint(std::size_t column) const { return DatumGetInt64(value(column)); }
    std::int32_t integer(std::size_t column) const { return DatumGetInt32(value(column)); }
    Interval interval(std::size_t column) const { return *DatumGetIntervalP(value(column)); }
    TextValue text(std::size_t column) const { return nulls_[column] ? TextValue{} : detoasted_text(values_[column]); }

private:
    friend class TableReader;
    Datum value(std::size_t column) const {
        Assert(!nulls_[column]);
        return values_[column];
    }
    std::array<Datum, most_columns> values_;
    std::array<bool, most_columns> nulls_;
};

// A static object for each table.
class TableReader {
public:
    // Columns of the primary key (text; none for first()), then those that are wanted.
    TableReader(const char* table, std::initializer_list<const char*> key, std::initializer_list<const char*> columns);

    std::optional<TableRow> find(std::initializer_list<TextValue> key);
    // The first row in the order of the key, whatever its type, or the first of which this boolean column says true.
    std::optional<TableRow> first(std::optional<std::size_t> that = {});

private:
    static constexpr std::size_t most_keys = 2;
    void resolve();
    Relation open();
    bool read(const Datum* key, TableRow* row);
    bool read_first(std::optional<std::size_t> that, TableRow* row);
    void copy(HeapTuple tuple, Relation table, TableRow* row) const;

    TableWatch watch_;
    std::size_t key_count_, column_count_;
    std::array<const char*, most_keys> key_names_{};
    std::array<const char*, TableRow::most_columns> names_{};
    Oid index_ = InvalidOid;
    std::array<AttrNumber, most_keys> key_place_{};
    std::array<Oid, most_keys> collation_{};
    std::array<AttrNumber, TableRow::most_columns> place_{};
};

}  // namespace mailer::pg
