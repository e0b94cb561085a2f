// mailer._parse_address and mailer._address_key: the core's reading of
// addresses, for SQL that works on sets of them.
#include "core/mail/address.hpp"
#include "pg/bridge/arguments.hpp"

extern "C" {
#include "access/htup_details.h"
}

namespace mailer::pg {
namespace {

constexpr int columns = 3;  // address, address_key, error

// Looked up once a query: this runs once for each of 100,000 leads.
TupleDesc result_shape(FunctionCallInfo fcinfo) {
    if (fcinfo->flinfo->fn_extra == nullptr) {
        call([&] {
            TupleDesc shape = nullptr;
            if (get_call_result_type(fcinfo, nullptr, &shape) != TYPEFUNC_COMPOSITE || shape->natts != columns)
                elog(ERROR, "mailer._parse_address must return three columns");
            MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
            fcinfo->flinfo->fn_extra = BlessTupleDesc(CreateTupleDescCopy(shape));
            MemoryContextSwitchTo(caller);
        });
    }
    return static_cast<TupleDesc>(fcinfo->flinfo->fn_extra);
}

void put(Datum& value, bool& is_null, std::string_view text) {
    value = text_value(text).datum;
    is_null = false;
}

Datum parse_address(FunctionCallInfo fcinfo) {
    TupleDesc shape = result_shape(fcinfo);
    Datum values[columns] = {};
    bool nulls[columns] = {true, true, true};
    if (const TextValue text = Arguments(fcinfo).text()) {
        const core::Result<core::Address> address = core::parse_address(text.view);
        if (address) {
            put(values[0], nulls[0], address->mailbox());
            put(values[1], nulls[1], core::address_key(*address));
        } else {
            const core::Error& error = address.error();
            put(values[2], nulls[2], error.text());
        }
    }
    return call([&] { return HeapTupleGetDatum(heap_form_tuple(shape, values, nulls)); });
}

struct Maybe {
    Datum value;
    bool is_null;
};

Maybe address_key(FunctionCallInfo fcinfo) {
    const core::Result<core::Address> address = core::parse_address(Arguments(fcinfo).text().view);
    if (!address) return {Datum{0}, true};
    return {text_value(core::address_key(*address)).datum, false};
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_parse_address) {
    return mailer::pg::entry([&] { return mailer::pg::parse_address(fcinfo); });
}

MAILER_FUNCTION(mailer_address_key) {
    const auto key = mailer::pg::entry([&] { return mailer::pg::address_key(fcinfo); });
    fcinfo->isnull = key.is_null;
    return key.value;
}
