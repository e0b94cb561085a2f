// The private C functions of sql/20_internal.sql and 25_clock.sql: what the plpgsql API and the views need from the
// library itself.
#include "core/pace/quota.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/bridge/extension.hpp"
#include "pg/bridge/guard.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/server/clone_guard.hpp"
#include "pg/server/shared.hpp"
#include "pg/server/wake.hpp"

#include <libpq-fe.h>

extern "C" {
#include "access/htup_details.h"
#include "mb/pg_wchar.h"
}

namespace mailer::pg {

namespace {

void require_utf8() {
    if (GetDatabaseEncoding() == PG_UTF8) return;
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("mailer needs a database with encoding UTF8, and this one has %s", GetDatabaseEncodingName()),
             errhint("Create a database with ENCODING 'UTF8' TEMPLATE template0.")));
}

void warn_without_worker() {
    if (is_preloaded()) return;
    ereport(
        WARNING,
        (errmsg("mailer is not in shared_preload_libraries, so no background worker sends mail"),
         errdetail("Mail can be queued and waits until it is sent from a session."),
         errhint("Add mailer to shared_preload_libraries and restart the server, or send with CALL mailer.run().")));
}

// A password would be in dumps, in views and in the log of events.
void check_connection(const std::string& connection) {
    char* words = nullptr;
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
        PQconninfoParse(connection.c_str(), &words), PQconninfoFree);
    const std::string problem = words == nullptr ? "" : words;
    PQfreemem(words);
    if (options == nullptr)
        throw Refusal({"22023", "the connection string is not understood", problem,
                       "It looks like 'host=cell2 dbname=app user=relay' or postgresql://relay@cell2/app."});
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
        if (option->val != nullptr &&
            (std::string_view(option->keyword) == "password" || std::string_view(option->keyword) == "sslpassword"))
            throw Refusal({"22023", "a connection string with a password in it would be shown and dumped", "",
                           "Set it with mailer.mailbox_set_password(), or use passfile."});
    }
}

TupleDesc result_row(FunctionCallInfo fcinfo) {
    TupleDesc row;
    if (get_call_result_type(fcinfo, nullptr, &row) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "the function must be declared with OUT parameters");
    return BlessTupleDesc(row);
}

Datum text_or_null(const char* text, bool* is_null) {
    *is_null = *text == '\0';
    return *is_null ? Datum{0} : CStringGetTextDatum(text);
}

Datum time_or_null(TimestampTz time, bool* is_null) {
    *is_null = time == 0;
    return TimestampTzGetDatum(time);
}

const char* kind_name(SenderKind kind) {
    switch (kind) {
        case SenderKind::worker:
            return "worker";
        case SenderKind::session:
            return "run";
        case SenderKind::none:
            break;
    }
    return "";
}

}  // namespace

}  // namespace mailer::pg

using namespace mailer::pg;

// Called once by the extension's script.
MAILER_FUNCTION(mailer_created) {
    require_utf8();
    warn_without_worker();
    mark_created();
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_now) {
    return entry([] { return TimestampTzGetDatum(transaction_now()); });
}

MAILER_FUNCTION(mailer_wake) {
    mark_wake(PG_GETARG_INT64(0), PG_GETARG_TIMESTAMPTZ(1));
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_changed) {
    mark_changed();
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_new_epoch) {
    std::int64_t random = 0;
    if (!pg_strong_random(&random, sizeof random)) ereport(ERROR, (errmsg("could not draw a random number")));
    PG_RETURN_INT64(random & PG_INT64_MAX);
}

MAILER_FUNCTION(mailer_binding) {
    TupleDesc const row = result_row(fcinfo);
    Binding const* const binding = entry([] {
        static Binding found;  // freed with the process: nothing C++ may live across what follows
        found = current_binding();
        return &found;
    });
    Datum values[4] = {Int64GetDatum(binding->system_identifier), ObjectIdGetDatum(binding->database_oid),
                       CStringGetTextDatum(binding->machine.c_str()), Int64GetDatum(binding->timeline)};
    bool nulls[4] = {false, false, false, false};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(row, values, nulls)));
}

MAILER_FUNCTION(mailer_arming) {
    TupleDesc const row = result_row(fcinfo);
    struct Seen {
        bool is_armed;
        const char* why;
    };
    Seen const seen = entry([] {
        Spi const spi;
        ArmingState const state = look_at_arming();
        return Seen{state.arming == Arming::armed, state.why};
    });
    Datum values[2] = {BoolGetDatum(seen.is_armed), Datum{0}};
    bool nulls[2] = {false, false};
    values[1] = text_or_null(seen.why, &nulls[1]);
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(row, values, nulls)));
}

MAILER_FUNCTION(mailer_default_timezone) { PG_RETURN_TEXT_P(cstring_to_text(default_timezone())); }

MAILER_FUNCTION(mailer_library_version) { PG_RETURN_TEXT_P(cstring_to_text(MAILER_VERSION)); }

MAILER_FUNCTION(mailer_day_limit) {
    const auto number = [&](int n) -> std::optional<int> {
        return PG_ARGISNULL(n) ? std::nullopt : std::optional<int>(PG_GETARG_INT32(n));
    };
    const mailer::core::DailyLimit limit{number(0), number(1), number(2).value_or(0)};
    const std::optional<int> most = limit.after(number(3).value_or(0));
    if (!most) PG_RETURN_NULL();
    PG_RETURN_INT32(*most);
}

MAILER_FUNCTION(mailer_is_host_allowed) {
    text* const host = PG_GETARG_TEXT_PP(0);
    int const port = PG_GETARG_INT32(1);
    std::string_view const name(VARDATA_ANY(host), VARSIZE_ANY_EXHDR(host));
    PG_RETURN_BOOL(entry([=] { return is_host_allowed(settings(), name, port); }));
}

MAILER_FUNCTION(mailer_check_connection) {
    text* const connection = PG_GETARG_TEXT_PP(0);
    mailer::pg::entry([=] {
        check_connection(std::string(VARDATA_ANY(connection), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(connection))));
    });
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_worker) {
    constexpr int columns = 14;
    TupleDesc const row = result_row(fcinfo);
    SenderStatus const status = sender_status();
    Datum values[columns];
    bool nulls[columns] = {};
    int n = 0;
    values[n++] = BoolGetDatum(status.is_preloaded);
    nulls[n] = status.launcher_pid == 0;
    values[n++] = Int32GetDatum(status.launcher_pid);
    nulls[n] = status.pid == 0;
    values[n++] = Int32GetDatum(status.pid);
    values[n] = text_or_null(kind_name(status.kind), &nulls[n]);
    ++n;
    values[n] = text_or_null(status.state, &nulls[n]);
    ++n;
    values[n] = time_or_null(status.started_at, &nulls[n]);
    ++n;
    values[n] = time_or_null(status.beat_at, &nulls[n]);
    ++n;
    values[n++] = Int64GetDatum(status.tick_count);
    values[n++] = Int64GetDatum(status.start_count);
    values[n++] = Int64GetDatum(status.generation);
    values[n++] = BoolGetDatum(status.stay_away_count > 0);
    values[n] = time_or_null(status.next_start_at, &nulls[n]);
    ++n;
    values[n] = time_or_null(status.error_at, &nulls[n]);
    ++n;
    values[n] = text_or_null(status.error, &nulls[n]);
    ++n;
    Assert(n == columns && row->natts == columns);
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(row, values, nulls)));
}
