// campaign_explain and explain: the gates of a lane, and of one message in it, as rows.
#include "pg/bridge/clock.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/result_set.hpp"
#include "pg/forecast/plan.hpp"

namespace mailer::pg {

namespace {

std::optional<std::string> not_empty(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

void put(ResultSet& rows, const core::GateLine& line) {
    std::string gate(core::gate_name(line.gate));
    if (!line.mailbox.empty()) gate += ":" + line.mailbox;
    rows.text(gate).boolean(line.is_open).text(not_empty(line.limit)).text(not_empty(line.used));
    rows.time(line.opens_at ? std::optional(to_pg(*line.opens_at)) : std::nullopt).text(not_empty(line.detail));
    rows.end_row();
}

void put_fact(ResultSet& rows, const char* gate, bool is_open, std::optional<core::Time> at,
              const std::string& detail) {
    rows.text(std::string(gate)).boolean(is_open).text(std::nullopt).text(std::nullopt);
    rows.time(at ? std::optional(to_pg(*at)) : std::nullopt).text(detail);
    rows.end_row();
}

void campaign_explain(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    const std::int64_t campaign_id = PG_GETARG_INT64(0);
    const core::Time now = time_of_plan();
    const std::int64_t lane_id = lane_of_campaign(campaign_id);
    const std::int64_t lanes[] = {lane_id};
    core::Planner planner = read_planner(lanes, now);
    for (const core::GateLine& line : planner.explain(lane_id, nullptr, now))
        put(rows, line);
}

// What a message that isn't waiting has come to; nothing when it waits.
std::optional<std::string> settled_words(std::int64_t message_id) {
    static Statement statement("SELECT state, coalesce(reason, '') FROM mailer.message_status WHERE message_id = $1",
                               {INT8OID});
    Rows rows = statement.run({p_bigint(message_id)});
    if (rows.empty()) {
        throw Refusal({"42704", "message " + std::to_string(message_id) + " does not exist", "",
                       "The ids are what mailer.enqueue() returned; mailer.message_status lists them."});
    }
    const std::string state = rows.text(0, 1), reason = rows.text(0, 2);
    if (state == "pending") return std::nullopt;
    if (state == "sending") return "on its way: a mail server is being talked to";
    return "settled: " + state + (reason.empty() ? "" : " (" + reason + ")");
}

// A mail that came with a dump or a copy waits for mailer.arm(), whatever the gates of its lane say.
bool is_of_another_epoch(std::int64_t message_id) {
    static Statement statement(
        "SELECT NOT q.epoch = ANY (a.adopted) FROM mailer.queue_entry q CROSS JOIN mailer.arming a WHERE q.message_id "
        "= $1 AND NOT EXISTS (SELECT FROM mailer.promotion p WHERE q.epoch = ANY (p.held_epochs))",
        {INT8OID});
    Rows rows = statement.run({p_bigint(message_id)});
    return !rows.empty() && rows.boolean(0, 1);
}

bool is_held_since_promotion(std::int64_t message_id) {
    static Statement statement(
        "SELECT mailer._is_held(q.epoch, q.due_at) FROM mailer.queue_entry q WHERE q.message_id = $1", {INT8OID});
    Rows rows = statement.run({p_bigint(message_id)});
    return !rows.empty() && rows.boolean(0, 1);
}

void explain(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    const std::int64_t message_id = PG_GETARG_INT64(0);
    const core::Time now = time_of_plan();
    if (auto words = settled_words(message_id)) return put_fact(rows, "state", false, std::nullopt, *words);
    auto candidate = read_candidate(message_id, now);
    if (!candidate) return put_fact(rows, "state", false, std::nullopt, "it was settled this moment");
    if (is_of_another_epoch(message_id)) {
        put_fact(rows, "message_armed", false, std::nullopt,
                 "the message came with a dump or a copy of the database: held until mailer.arm()");
    }
    const std::int64_t lanes[] = {candidate->lane_id};
    core::Planner planner = read_planner(lanes, now);
    if (is_held_since_promotion(message_id)) {
        core::SystemFacts system = planner.system();
        system.is_armed = false;
        system.held_reason = "it was due when this server was promoted, and the old primary may have sent it";
        planner.set_system(system);
    }
    for (const core::GateLine& line : planner.explain(candidate->lane_id, &candidate->facts, now))
        put(rows, line);
    const MessageForecast forecast = forecast_of(*candidate, now);
    put_fact(rows, "forecast", true, forecast.slot_at, forecast.words);
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_campaign_explain) {
    mailer::pg::entry([&] { mailer::pg::campaign_explain(fcinfo); });
    return Datum{0};
}

MAILER_FUNCTION(mailer_explain) {
    mailer::pg::entry([&] { mailer::pg::explain(fcinfo); });
    return Datum{0};
}
