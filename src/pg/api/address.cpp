// mailer.address, and the core's reading of addresses and host names for SQL that works on sets of them.
#include "core/mail/address.hpp"
#include "pg/bridge/arguments.hpp"

extern "C" {
#include "access/htup_details.h"
}

namespace mailer::pg {
namespace {

constexpr int columns = 4;  // address, address_key, error, display_name

// Looked up once a query: this runs once for each of 100,000 leads.
TupleDesc result_shape(FunctionCallInfo fcinfo) {
    if (fcinfo->flinfo->fn_extra == nullptr) {
        call([&] {
            TupleDesc shape = nullptr;
            if (get_call_result_type(fcinfo, nullptr, &shape) != TYPEFUNC_COMPOSITE || shape->natts != columns)
                elog(ERROR, "mailer._parse_address must return four columns");
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
    bool nulls[columns] = {true, true, true, true};
    if (const TextValue text = Arguments(fcinfo).text()) {
        const core::Result<core::Address> address = core::parse_address(text.view);
        if (address) {
            put(values[0], nulls[0], address->mailbox());
            put(values[1], nulls[1], core::address_key(*address));
            if (!address->name.empty()) put(values[3], nulls[3], address->name);
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

Maybe address(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const TextValue name = arguments.text();
    const TextValue value = arguments.text();
    if (!value) return {Datum{0}, true};
    core::Address parsed = expect(core::parse_address(value.view));
    return {text_value(core::address_with_name(name.view, std::move(parsed))).datum, false};
}

Datum host_name(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const TextValue value = arguments.text();
    const std::string what(arguments.text().view);
    if (!value) refuse(what + " is missing", {}, "Give the name or address of the server.");
    core::Result<std::string> host = core::normalise_host(value.view);
    if (host) return text_value(*host).datum;
    core::Error error = host.error();
    error.message = what + " " + error.message;
    throw Refusal(std::move(error));
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_address) {
    const auto out = mailer::pg::entry([&] { return mailer::pg::address(fcinfo); });
    fcinfo->isnull = out.is_null;
    return out.value;
}

MAILER_FUNCTION(mailer_host_name) {
    return mailer::pg::entry([&] { return mailer::pg::host_name(fcinfo); });
}

MAILER_FUNCTION(mailer_parse_address) {
    return mailer::pg::entry([&] { return mailer::pg::parse_address(fcinfo); });
}

MAILER_FUNCTION(mailer_address_key) {
    const auto key = mailer::pg::entry([&] { return mailer::pg::address_key(fcinfo); });
    fcinfo->isnull = key.is_null;
    return key.value;
}
