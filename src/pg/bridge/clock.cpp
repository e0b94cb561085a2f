// See clock.hpp. The one place that asks whether time is virtual.
#include "pg/bridge/clock.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
}

namespace mailer::pg {

std::optional<core::Time> virtual_now() {
    const auto at = call([]() -> std::optional<std::int64_t> {
        const char* text = GetConfigOption("mailer.virtual_now", true, false);
        if (text == nullptr || *text == '\0') return std::nullopt;
        return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
                                                       ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    });
    return at ? std::optional(from_pg(*at)) : std::nullopt;
}

std::int64_t transaction_now() {
    const auto at = virtual_now();
    return at ? to_pg(*at) : GetCurrentTransactionStartTimestamp();
}

}  // namespace mailer::pg
