// Typed SPI; see spi.hpp. Every PostgreSQL call that can ereport goes through call().
#include "pg/bridge/spi.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
}

namespace mailer::pg {

Spi::Spi() : exceptions_(std::uncaught_exceptions()) {
    call([] {
        if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    });
}

Spi::~Spi() {
    // The ErrorData of a PgError on its way out lies in SPI's memory: finishing would free it under the error's feet.
    if (std::uncaught_exceptions() > exceptions_) return;
    // SPI_finish only pops memory contexts; it can't ereport while the connection is ours.
    SPI_finish();
}

// ── Parameters ───────────────────────────────────────────────────────────────────────────────────────────────────

Param p_datum(Oid type, Datum v, bool is_null) { return {type, v, is_null}; }
Param p_null(Oid type) { return {type, Datum{0}, true}; }
Param p_bool(bool v) { return {BOOLOID, BoolGetDatum(v), false}; }
Param p_int(std::int32_t v) { return {INT4OID, Int32GetDatum(v), false}; }
Param p_bigint(std::int64_t v) { return {INT8OID, Int64GetDatum(v), false}; }
Param p_bigint(const std::optional<std::int64_t>& v) { return v ? p_bigint(*v) : p_null(INT8OID); }
Param p_float(double v) { return {FLOAT8OID, Float8GetDatum(v), false}; }
Param p_time(std::int64_t pg_us) { return {TIMESTAMPTZOID, TimestampTzGetDatum(pg_us), false}; }
Param p_time(const std::optional<std::int64_t>& v) { return v ? p_time(*v) : p_null(TIMESTAMPTZOID); }

static Datum make_varlena(std::string_view v) {
    return call([&]() -> Datum {
        auto* out = static_cast<struct varlena*>(palloc(v.size() + VARHDRSZ));
        SET_VARSIZE(out, v.size() + VARHDRSZ);
        memcpy(VARDATA(out), v.data(), v.size());
        return PointerGetDatum(out);
    });
}

Param p_text(std::string_view v) { return {TEXTOID, make_varlena(v), false}; }
Param p_text(const std::string& v) { return p_text(std::string_view(v)); }
Param p_text(const char* v) { return p_text(std::string_view(v)); }
Param p_text(const std::optional<std::string>& v) { return v ? p_text(std::string_view(*v)) : p_null(TEXTOID); }
Param p_bytea(std::string_view v) { return {BYTEAOID, make_varlena(v), false}; }

namespace {

struct ElementType {
    Oid array;
    Oid element;
    int16 length;
    bool by_value;
    char align;
};
constexpr ElementType bigint_element{INT8ARRAYOID, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE};
constexpr ElementType int_element{INT4ARRAYOID, INT4OID, 4, true, TYPALIGN_INT};
constexpr ElementType bool_element{BOOLARRAYOID, BOOLOID, 1, true, TYPALIGN_CHAR};
constexpr ElementType time_element{TIMESTAMPTZARRAYOID, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE};
constexpr ElementType text_element{TEXTARRAYOID, TEXTOID, -1, false, TYPALIGN_INT};
constexpr ElementType bytea_element{BYTEAARRAYOID, BYTEAOID, -1, false, TYPALIGN_INT};
constexpr ElementType tid_element{TIDARRAYOID, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT};

template <class Value, class IsNull>
Param make_array(std::size_t n, const ElementType& type, Value value, IsNull is_null) {
    Datum* values = call([&] { return static_cast<Datum*>(palloc(sizeof(Datum) * (n + 1))); });
    bool* nulls = call([&] { return static_cast<bool*>(palloc(n + 1)); });
    for (std::size_t i = 0; i < n; ++i) {
        nulls[i] = is_null(i);
        values[i] = nulls[i] ? Datum{0} : value(i);
    }
    Datum array = call([&]() -> Datum {
        int dims[1] = {static_cast<int>(n)}, lower[1] = {1};
        if (n == 0) return PointerGetDatum(construct_empty_array(type.element));
        return PointerGetDatum(
            construct_md_array(values, nulls, 1, dims, lower, type.element, type.length, type.by_value, type.align));
    });
    return {type.array, array, false};
}

constexpr auto never_null = [](std::size_t) { return false; };

}  // namespace

Param p_bigints(std::span<const std::int64_t> v) {
    const auto datum = [&](std::size_t i) { return Int64GetDatum(v[i]); };
    return make_array(v.size(), bigint_element, datum, never_null);
}
Param p_ints(std::span<const std::int32_t> v) {
    const auto datum = [&](std::size_t i) { return Int32GetDatum(v[i]); };
    return make_array(v.size(), int_element, datum, never_null);
}
Param p_times(std::span<const std::int64_t> v) {
    const auto datum = [&](std::size_t i) { return TimestampTzGetDatum(v[i]); };
    return make_array(v.size(), time_element, datum, never_null);
}
Param p_texts(std::span<const std::string> v) {
    const auto datum = [&](std::size_t i) { return make_varlena(v[i]); };
    return make_array(v.size(), text_element, datum, never_null);
}
Param p_byteas(std::span<const std::string> v) {
    const auto datum = [&](std::size_t i) { return make_varlena(v[i]); };
    return make_array(v.size(), bytea_element, datum, never_null);
}
Param p_bools(const std::vector<bool>& v) {
    const auto datum = [&](std::size_t i) { return BoolGetDatum(v[i]); };
    return make_array(v.size(), bool_element, datum, never_null);
}
Param p_bigints(std::span<const std::optional<std::int64_t>> v) {
    return make_array(
        v.size(), bigint_element, [&](std::size_t i) { return Int64GetDatum(*v[i]); },
        [&](std::size_t i) { return !v[i]; });
}
Param p_ints(std::span<const std::optional<std::int32_t>> v) {
    return make_array(
        v.size(), int_element, [&](std::size_t i) { return Int32GetDatum(*v[i]); },
        [&](std::size_t i) { return !v[i]; });
}
Param p_times(std::span<const std::optional<std::int64_t>> v) {
    return make_array(
        v.size(), time_element, [&](std::size_t i) { return TimestampTzGetDatum(*v[i]); },
        [&](std::size_t i) { return !v[i]; });
}
Param p_texts(std::span<const std::optional<std::string>> v) {
    return make_array(
        v.size(), text_element, [&](std::size_t i) { return make_varlena(*v[i]); },
        [&](std::size_t i) { return !v[i]; });
}

Param p_tids(std::span<const std::optional<ItemPointerData>> v) {
    return make_array(
        v.size(), tid_element, [&](std::size_t i) { return PointerGetDatum(&*v[i]); },
        [&](std::size_t i) { return !v[i]; });
}

// ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

int Rows::number_of(Column column) const {
    if (column.name_ == nullptr) return column.number_;
    const int count = table_->tupdesc->natts;
    for (int i = 0; i < count; ++i) {
        const int at = (last_ + i) % count;
        if (strcmp(NameStr(TupleDescAttr(table_->tupdesc, at)->attname), column.name_) != 0) continue;
        last_ = at + 1;
        return last_;
    }
    throw Refusal({"XX000", "a statement of mailer's own has no column " + std::string(column.name_)});
}

Datum Rows::value(std::uint64_t row, int number, bool* is_null) const {
    Assert(table_ != nullptr && row < count_ && number >= 1 && number <= table_->tupdesc->natts);
    return SPI_getbinval(table_->vals[row], table_->tupdesc, number, is_null);
}

Datum Rows::datum(std::uint64_t row, Column column, bool* is_null) const {
    return value(row, number_of(column), is_null);
}

bool Rows::is_null(std::uint64_t row, Column column) const {
    bool null = false;
    datum(row, column, &null);
    return null;
}

bool Rows::boolean(std::uint64_t row, Column column) const {
    bool null = false;
    Datum d = datum(row, column, &null);
    return !null && DatumGetBool(d);
}

std::int64_t Rows::bigint(std::uint64_t row, Column column) const { return maybe_bigint(row, column).value_or(0); }

std::optional<std::int64_t> Rows::maybe_bigint(std::uint64_t row, Column column) const {
    bool null = false;
    const int number = number_of(column);
    Datum d = value(row, number, &null);
    if (null) return std::nullopt;
    const Oid type = TupleDescAttr(table_->tupdesc, number - 1)->atttypid;
    switch (type) {
        case INT2OID:
            return DatumGetInt16(d);
        case INT4OID:
        case DATEOID:
            return DatumGetInt32(d);
        case OIDOID:
            return DatumGetObjectId(d);
        default:
            Assert(type == INT8OID || type == TIMESTAMPTZOID || type == TIMEOID);
            return DatumGetInt64(d);
    }
}

char Rows::letter(std::uint64_t row, Column column) const {
    bool null = false;
    Datum d = datum(row, column, &null);
    return null ? '\0' : DatumGetChar(d);
}

std::string Rows::text(std::uint64_t row, Column column) const {
    return maybe_text(row, column).value_or(std::string());
}

std::optional<std::string> Rows::maybe_text(std::uint64_t row, Column column) const {
    bool null = false;
    Datum d = datum(row, column, &null);
    if (null) return std::nullopt;
    struct varlena* plain =
        call([&] { return pg_detoast_datum_packed(reinterpret_cast<struct varlena*>(DatumGetPointer(d))); });
    std::string out(VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
    if (plain != reinterpret_cast<struct varlena*>(DatumGetPointer(d))) pfree(plain);
    return out;
}

std::vector<std::string> Rows::texts(std::uint64_t row, Column column) const {
    std::vector<std::string> out;
    bool null = false;
    Datum d = datum(row, column, &null);
    if (null) return out;
    Datum* values = nullptr;
    bool* nulls = nullptr;
    int n = 0;
    call([&] { deconstruct_array(DatumGetArrayTypeP(d), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n); });
    for (int i = 0; i < n; ++i) {
        if (nulls[i]) {
            out.emplace_back();
            continue;
        }
        struct varlena* item = call([&] { return PG_DETOAST_DATUM_PACKED(values[i]); });
        out.emplace_back(VARDATA_ANY(item), VARSIZE_ANY_EXHDR(item));
    }
    return out;
}

std::vector<std::int64_t> Rows::bigints(std::uint64_t row, Column column) const {
    std::vector<std::int64_t> out;
    bool null = false;
    Datum d = datum(row, column, &null);
    if (null) return out;
    Datum* values = nullptr;
    bool* nulls = nullptr;
    int n = 0;
    call([&] {
        deconstruct_array(DatumGetArrayTypeP(d), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, &n);
    });
    for (int i = 0; i < n; ++i) {
        if (!nulls[i]) out.push_back(DatumGetInt64(values[i]));
    }
    return out;
}

ItemPointerData Rows::place(std::uint64_t row, Column column) const {
    bool null = false;
    return *reinterpret_cast<ItemPointer>(DatumGetPointer(datum(row, column, &null)));
}

// ── Statements ───────────────────────────────────────────────────────────────────────────────────────────────────

void Statement::prepare() {
    plan_ = call([&]() -> SPIPlanPtr {
        SPIPlanPtr plan =
            SPI_prepare_cursor(sql_, static_cast<int>(types_.size()), types_.data(), CURSOR_OPT_GENERIC_PLAN);
        if (plan == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
        SPI_keepplan(plan);
        return plan;
    });
}

Rows Statement::run(std::span<const Param> params, bool is_read_only, long limit) {
    if (plan_ == nullptr) prepare();
    is_read_only |= OneSnapshot::is_in_force();
    constexpr std::size_t most_params = 64;
    Datum values[most_params];
    char nulls[most_params];
    int n = 0;
    if (params.size() != types_.size() || params.size() > most_params)
        call([&] { elog(ERROR, "statement expects other parameters: %s", sql_); });
    for (const Param& p : params) {
        Assert(p.type == types_[static_cast<std::size_t>(n)]);
        values[n] = p.value;
        nulls[n] = p.is_null ? 'n' : ' ';
        ++n;
    }
    call([&] {
        int rc = SPI_execute_plan(plan_, values, nulls, is_read_only, limit);
        if (rc < 0) elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
    });
    return Rows(SPI_tuptable, SPI_processed);
}

}  // namespace mailer::pg
