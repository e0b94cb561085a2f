// A tuplestore behind typed columns; see result_set.hpp.
#include "pg/bridge/result_set.hpp"

#include "pg/bridge/spi.hpp"

extern "C" {
#include "nodes/execnodes.h"
}

namespace mailer::pg {

ResultSet::ResultSet(FunctionCallInfo fcinfo) {
    call([&] {
        auto* info = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        if (info == nullptr || !IsA(info, ReturnSetInfo) || !(info->allowedModes & SFRM_Materialize)) {
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("set-valued function called in context that cannot accept a set")));
        }
        MemoryContext old = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
        if (get_call_result_type(fcinfo, nullptr, &row_) != TYPEFUNC_COMPOSITE)
            elog(ERROR, "return type must be a row type");
        Assert(row_->natts <= static_cast<int>(lengthof(values_)));
        row_ = CreateTupleDescCopy(row_);
        store_ = tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
        info->returnMode = SFRM_Materialize;
        info->setResult = store_;
        info->setDesc = row_;
        MemoryContextSwitchTo(old);
    });
}

void ResultSet::put(Datum v, bool is_null) {
    Assert(column_ < row_->natts);
    values_[column_] = v;
    nulls_[column_] = is_null;
    ++column_;
}

ResultSet& ResultSet::text(const std::optional<std::string>& v) {
    put(v ? call([&] { return PointerGetDatum(cstring_to_text_with_len(v->data(), static_cast<int>(v->size()))); })
          : Datum{0},
        !v);
    return *this;
}

ResultSet& ResultSet::texts(const std::vector<std::string>& v) {
    put(p_texts(v).value, false);
    return *this;
}

ResultSet& ResultSet::integer(std::optional<std::int32_t> v) {
    put(Int32GetDatum(v.value_or(0)), !v);
    return *this;
}

ResultSet& ResultSet::bigint(std::optional<std::int64_t> v) {
    put(Int64GetDatum(v.value_or(0)), !v);
    return *this;
}

ResultSet& ResultSet::boolean(bool v) {
    put(BoolGetDatum(v), false);
    return *this;
}

ResultSet& ResultSet::time(std::optional<std::int64_t> pg_us) {
    put(TimestampTzGetDatum(pg_us.value_or(0)), !pg_us);
    return *this;
}

void ResultSet::end_row() {
    call([this] {
        if (column_ != row_->natts) elog(ERROR, "a row has other columns than were declared");
        tuplestore_putvalues(store_, row_, values_, nulls_);
    });
    column_ = 0;
}

}  // namespace mailer::pg
