// What is known of a mailbox outside SQL: its rate as it is stored, whether its host is this machine, and until when it
// has fewer connections.
#include "core/pace/connection_limit.hpp"
#include "core/pace/rate.hpp"
#include "net/cleartext.hpp"
#include "pg/bridge/arguments.hpp"
#include "pg/bridge/clock.hpp"

MAILER_FUNCTION(mailer_rate) {
    return mailer::pg::entry([&] {
        mailer::pg::Arguments arguments(fcinfo);
        return mailer::pg::text_value(mailer::pg::expect(mailer::core::parse_rate(arguments.text().view)).text()).datum;
    });
}

MAILER_FUNCTION(mailer_is_loopback) {
    return mailer::pg::entry([&] {
        mailer::pg::Arguments arguments(fcinfo);
        return BoolGetDatum(mailer::smtp::is_loopback(std::string(arguments.text().view)));
    });
}

MAILER_FUNCTION(mailer_stays_on_this_machine) {
    return mailer::pg::entry([&] {
        mailer::pg::Arguments arguments(fcinfo);
        const std::string host(arguments.text().view);
        const bool has_proxy = static_cast<bool>(arguments.text());
        return BoolGetDatum(mailer::smtp::stays_on_this_machine(host, has_proxy));
    });
}

MAILER_FUNCTION(mailer_lowered_until) {
    using namespace mailer;
    return pg::entry([&] {
        const int configured = PG_GETARG_INT32(0);
        const core::LoweredConnections lowered{
            .connections = PG_GETARG_INT32(1),
            .next_at = pg::from_pg(PG_GETARG_TIMESTAMPTZ(2)),
            .pause = std::min(core::Duration(PG_GETARG_INTERVAL_P(3)->time), core::longest_connection_pause)};
        const core::Time at = pg::from_pg(PG_GETARG_TIMESTAMPTZ(4));
        if (core::most_connections(configured, lowered, at) >= configured) PG_RETURN_NULL();
        return TimestampTzGetDatum(pg::to_pg(core::all_connections_at(configured, lowered)));
    });
}
