// The type json_list: a jsonb[] that a driver may write as it likes, as an SQL array or as one JSON array.
//
// Drivers send lists of objects as jsonb[], as text[], as one jsonb, or as a text without a type. Overloads for each
// would be ambiguous wherever the parameter is left out; a type has casts instead (sql/12_message_tables.sql). What is
// stored is a jsonb[], octet for octet: a C function that takes a json_list reads an array.
#include <algorithm>
#include <cctype>

#include "pg/bridge/guard.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
}

namespace mailer::pg {
namespace {

// "[{…}]" is JSON; "{…}" and "[1:2]={…}" are arrays as SQL writes them.
bool is_json(const char* words) {
    while (std::isspace(static_cast<unsigned char>(*words)) != 0)
        ++words;
    if (*words != '[') return false;
    do
        ++words;
    while (std::isspace(static_cast<unsigned char>(*words)) != 0);
    return std::isdigit(static_cast<unsigned char>(*words)) == 0 && *words != '+' && *words != '-';
}

bool is_list(Jsonb* json) { return JB_ROOT_IS_ARRAY(json) && !JB_ROOT_IS_SCALAR(json); }

// A null among the elements is an SQL NULL: nothing for that one. Requires is_list().
Datum array_of(Jsonb* json) {
    const int count = static_cast<int>(JB_ROOT_COUNT(json));
    auto* const values = static_cast<Datum*>(palloc(sizeof(Datum) * static_cast<std::size_t>(std::max(count, 1))));
    auto* const nulls = static_cast<bool*>(palloc(sizeof(bool) * static_cast<std::size_t>(std::max(count, 1))));
    for (int i = 0; i < count; ++i) {
        JsonbValue* const element = getIthJsonbValueFromContainer(&json->root, static_cast<uint32>(i));
        nulls[i] = element->type == jbvNull;
        values[i] = nulls[i] ? Datum{0} : JsonbPGetDatum(JsonbValueToJsonb(element));
    }
    int dimensions[] = {count}, from[] = {1};
    if (count == 0) return PointerGetDatum(construct_empty_array(JSONBOID));
    return PointerGetDatum(construct_md_array(values, nulls, 1, dimensions, from, JSONBOID, -1, false, TYPALIGN_INT));
}

Datum list_of(Datum json) {
    Jsonb* const list = call([&] { return DatumGetJsonbP(json); });
    if (!is_list(list))
        throw Refusal({"22023", "a list must be a JSON array", "",
                       R"(One element for each recipient, for example '[{"name": "Ada"}, {"name": "Bob"}]'.)"});
    return call([&] { return array_of(list); });
}

Datum read_array(char* words) {
    return call([&] {
        Oid input = InvalidOid, element = InvalidOid;
        getTypeInputInfo(JSONBARRAYOID, &input, &element);
        return OidInputFunctionCall(input, words, element, -1);
    });
}

Datum read_list(char* words) {
    if (!is_json(words)) return read_array(words);
    return list_of(call([&] {
        Oid input = InvalidOid, unused = InvalidOid;
        getTypeInputInfo(JSONBOID, &input, &unused);
        return OidInputFunctionCall(input, words, unused, -1);
    }));
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_json_list_in) {
    char* const words = PG_GETARG_CSTRING(0);
    return mailer::pg::entry([=] { return mailer::pg::read_list(words); });
}

MAILER_FUNCTION(mailer_json_list_out) {
    const Datum list = PG_GETARG_DATUM(0);
    return mailer::pg::entry([=] {
        return mailer::pg::call([=] {
            Oid output = InvalidOid;
            bool is_varlena = false;
            getTypeOutputInfo(JSONBARRAYOID, &output, &is_varlena);
            return CStringGetDatum(OidOutputFunctionCall(output, list));
        });
    });
}

MAILER_FUNCTION(mailer_json_list_of_jsonb) {
    const Datum json = PG_GETARG_DATUM(0);
    return mailer::pg::entry([=] { return mailer::pg::list_of(json); });
}

MAILER_FUNCTION(mailer_json_list_as_it_is) { PG_RETURN_DATUM(PG_GETARG_DATUM(0)); }
