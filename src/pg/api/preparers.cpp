// _preparers(): the processes that run users' functions, from shared memory, for health() and people.
#include "pg/bridge/result_set.hpp"
#include "pg/server/preparer_slots.hpp"

namespace mailer::pg {

namespace {

std::optional<std::int64_t> time_or_none(TimestampTz time) {
    return time == 0 ? std::nullopt : std::optional<std::int64_t>(time);
}

void preparers(FunctionCallInfo fcinfo) {
    PreparerInfo found[most_preparers];
    TimestampTz refused_at = 0, waiting_since = 0;
    const int count = list_preparers(found, &refused_at, &waiting_since);
    ResultSet rows(fcinfo);
    for (int i = 0; i < count; ++i) {
        const PreparerInfo& one = found[i];
        rows.bigint(one.pid).bigint(one.database).bigint(one.role);
        rows.bigint(one.message_id == 0 ? std::nullopt : std::optional(one.message_id));
        rows.time(one.since).time(time_or_none(one.ended_at)).end_row();
    }
}

void preparer_shortage(FunctionCallInfo fcinfo) {
    PreparerInfo found[most_preparers];
    TimestampTz refused_at = 0, waiting_since = 0;
    (void)list_preparers(found, &refused_at, &waiting_since);
    ResultSet rows(fcinfo);
    rows.time(time_or_none(refused_at)).time(time_or_none(waiting_since)).end_row();
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_preparers) {
    mailer::pg::entry([&] { mailer::pg::preparers(fcinfo); });
    return Datum{0};
}

MAILER_FUNCTION(mailer_preparer_shortage) {
    mailer::pg::entry([&] { mailer::pg::preparer_shortage(fcinfo); });
    return Datum{0};
}
