// SQL from C++: connections to SPI, prepared statements and typed rows, every call through the guard.
//
// A Statement is prepared on first use and kept for the life of the process; its plan is generic, so it does not
// depend on statistics of the moment (the engine also pins the planner's choices, see queue_transaction).
// Rows are valid until the Spi they were read under is gone. Statement objects are function-local statics.
#pragma once

#include <initializer_list>
#include <span>

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

// SPI_connect … SPI_finish. When an exception passes, the (sub)transaction's abort that must follow finishes instead:
// until then the error's text is needed, and it lies in SPI's memory.
class Spi {
public:
    Spi();
    ~Spi();
    Spi(const Spi&) = delete;
    Spi& operator=(const Spi&) = delete;

private:
    int exceptions_;
};

// A parameter: an SQL type, a value, or NULL. Values are palloc'ed in the current (SPI) context by the makers.
struct Param {
    Oid type;
    Datum value;
    bool is_null;
};

Param p_null(Oid type);
Param p_bool(bool v);
Param p_int(std::int32_t v);
Param p_bigint(std::int64_t v);
Param p_bigint(const std::optional<std::int64_t>& v);
Param p_float(double v);
Param p_text(std::string_view v);
Param p_text(const std::string& v);
Param p_text(const char* v);
Param p_text(const std::optional<std::string>& v);
Param p_bytea(std::string_view v);
Param p_time(std::int64_t pg_us);  // timestamptz, microseconds since 2000
Param p_time(const std::optional<std::int64_t>& pg_us);
Param p_datum(Oid type, Datum v, bool is_null = false);

// Arrays for unnest(): one element a row.
Param p_bigints(std::span<const std::int64_t> v);
Param p_ints(std::span<const std::int32_t> v);
Param p_times(std::span<const std::int64_t> pg_us);
Param p_texts(std::span<const std::string> v);
Param p_bigints(std::span<const std::optional<std::int64_t>> v);
Param p_ints(std::span<const std::optional<std::int32_t>> v);
Param p_times(std::span<const std::optional<std::int64_t>> v);
Param p_texts(std::span<const std::optional<std::string>> v);
Param p_bools(const std::vector<bool>& v);
Param p_byteas(std::span<const std::string> v);
Param p_tids(std::span<const std::optional<ItemPointerData>> v);

// What a statement returned. A column is asked for by its name; by its number, from 1, where it is the only one or has a
// name of the user's. Getters throw PgError when detoasting fails, and Refusal (XX000) for a name that the result doesn't have.
class Rows {
public:
    // A name is looked for behind the one that was asked for last: who reads in the statement's order pays for one
    // comparison.
    class Column {
    public:
        Column(const char* name) : name_(name) {}
        Column(int number) : number_(number) {}

    private:
        friend class Rows;
        const char* name_ = nullptr;
        int number_ = 0;
    };

    Rows(SPITupleTable* table, std::uint64_t count) : table_(table), count_(count) {}

    std::uint64_t count() const { return count_; }  // rows returned, or rows changed by a DML statement
    bool empty() const { return count_ == 0; }
    Datum datum(std::uint64_t row, Column column, bool* is_null) const;
    bool is_null(std::uint64_t row, Column column) const;
    bool boolean(std::uint64_t row, Column column) const;         // NULL is false
    std::int64_t bigint(std::uint64_t row, Column column) const;  // int2, int4 and int8 columns; NULL is 0
    std::optional<std::int64_t> maybe_bigint(std::uint64_t row, Column column) const;
    char letter(std::uint64_t row, Column column) const;       // "char"; NULL is '\0'
    std::string text(std::uint64_t row, Column column) const;  // text, varchar, bytea; NULL is empty
    std::optional<std::string> maybe_text(std::uint64_t row, Column column) const;
    std::vector<std::string> texts(std::uint64_t row, Column column) const;     // text[]
    std::vector<std::int64_t> bigints(std::uint64_t row, Column column) const;  // bigint[]
    ItemPointerData place(std::uint64_t row, Column column) const;              // tid; must not be NULL

private:
    int number_of(Column column) const;
    Datum value(std::uint64_t row, int number, bool* is_null) const;

    SPITupleTable* table_;
    std::uint64_t count_;
    mutable int last_ = 0;  // the number of the column that was asked for by name last
};

// While it lives, every statement reads with the snapshot of the statement that called: what several of them read
// belongs together. None may change anything.
class OneSnapshot {
public:
    OneSnapshot() { ++count_; }
    ~OneSnapshot() { --count_; }
    OneSnapshot(const OneSnapshot&) = delete;
    OneSnapshot& operator=(const OneSnapshot&) = delete;
    static bool is_in_force() { return count_ > 0; }

private:
    static inline int count_ = 0;
};

class Statement {
public:
    // `sql` must outlive the object (a string literal). Types are those of $1, $2, …
    Statement(const char* sql, std::initializer_list<Oid> types) : sql_(sql), types_(types) {}

    // Runs under the current Spi. `limit` 0 is no limit. Throws PgError.
    Rows run(std::span<const Param> params, bool is_read_only = false, long limit = 0);
    Rows run(std::initializer_list<Param> params, bool is_read_only = false, long limit = 0) {
        return run(std::span(params.begin(), params.size()), is_read_only, limit);
    }

private:
    void prepare();

    const char* sql_;
    std::vector<Oid> types_;
    SPIPlanPtr plan_ = nullptr;
};

// PostgreSQL counts from 2000-01-01, core::Time from 1970-01-01.
constexpr std::int64_t pg_epoch_offset_us = 946684800LL * 1000000LL;

}  // namespace mailer::pg
