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
