// What is known of a mailbox's settings outside SQL: its rate as it is stored, and whether its host is this machine.
#include "core/pace/rate.hpp"
#include "net/cleartext.hpp"
#include "pg/bridge/arguments.hpp"

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
