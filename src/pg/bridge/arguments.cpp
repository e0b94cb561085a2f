// See arguments.hpp.
#include "pg/bridge/arguments.hpp"

extern "C" {
#include "utils/lsyscache.h"
}

namespace mailer::pg {

void refuse(std::string message, std::string detail, std::string hint, std::string sqlstate) {
    throw Refusal({std::move(sqlstate), std::move(message), std::move(detail), std::move(hint)});
}

void refuse_null(const char* parameter) { refuse(std::string(parameter) + " must not be NULL", {}, {}, "22004"); }

Param p_jsonb(const RawValue& v) { return p_datum(JSONBOID, v.datum, v.is_null); }

TextValue detoasted_text(Datum value) {
    auto* plain = call([&] { return PG_DETOAST_DATUM_PACKED(value); });
    return {false, PointerGetDatum(plain), {VARDATA_ANY(plain), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(plain))}};
}

TextValue text_value(std::string_view text) {
    const Datum datum =
        call([&] { return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))); });
    return detoasted_text(datum);
}

ArrayElements elements_of(Datum array, Oid element_type) {
    return call([&] {
        ArrayElements out;
        int16 length = 0;
        bool by_value = false;
        char align = 0;
        get_typlenbyvalalign(element_type, &length, &by_value, &align);
        deconstruct_array(DatumGetArrayTypeP(array), element_type, length, by_value, align, &out.values, &out.nulls,
                          &out.count);
        return out;
    });
}

TextValue Arguments::text() {
    const RawValue value = raw();
    return value ? detoasted_text(value.datum) : TextValue{};
}

RawValue Arguments::raw() {
    const int n = next_++;
    if (n >= fcinfo_->nargs || fcinfo_->args[n].isnull) return {};
    return {false, fcinfo_->args[n].value};
}

std::optional<std::int64_t> Arguments::bigint() {
    const RawValue value = raw();
    return value ? std::optional(DatumGetInt64(value.datum)) : std::nullopt;
}

std::optional<std::int32_t> Arguments::integer() {
    const RawValue value = raw();
    return value ? std::optional(DatumGetInt32(value.datum)) : std::nullopt;
}

std::optional<bool> Arguments::boolean() {
    const RawValue value = raw();
    return value ? std::optional(DatumGetBool(value.datum)) : std::nullopt;
}

std::optional<std::int64_t> Arguments::time() {
    const RawValue value = raw();
    return value ? std::optional<std::int64_t>(DatumGetTimestampTz(value.datum)) : std::nullopt;
}

std::optional<std::vector<std::optional<std::string>>> Arguments::texts() {
    const RawValue value = raw();
    if (!value) return std::nullopt;
    const ArrayElements elements = elements_of(value.datum, TEXTOID);
    std::vector<std::optional<std::string>> out;
    out.reserve(static_cast<std::size_t>(elements.count));
    for (int i = 0; i < elements.count; ++i) {
        if (elements.nulls[i])
            out.emplace_back();
        else
            out.emplace_back(detoasted_text(elements.values[i]).view);
    }
    return out;
}

}  // namespace mailer::pg
