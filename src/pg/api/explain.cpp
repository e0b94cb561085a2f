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

std::vector<std::int64_t> lanes_of_campaign(std::int64_t campaign_id) {
    static Statement statement("SELECT lane_id FROM mailer.lane WHERE campaign_id = $1 ORDER BY 1", {INT8OID});
    const Rows rows = statement.run({p_bigint(campaign_id)}, true);
    std::vector<std::int64_t> ids;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        ids.push_back(rows.bigint(i, 1));
    return ids;
}

// The gate inbox_heard of the campaign: that of the first mailbox whose follow-ups it holds back, which blocks no first
// mails; else the main lane's.
core::GateLine shut_inbox(const core::Planner& planner, const std::vector<std::int64_t>& lanes, std::int64_t main,
                          core::Time now) {
    core::GateLine found{.gate = core::Gate::inbox_heard};
    for (const std::int64_t id : lanes) {
        for (const core::GateLine& line : planner.explain(id, nullptr, now)) {
            if (line.gate != core::Gate::inbox_heard || (id != main && line.is_open)) continue;
            if (id == main) {
                found = line;
                continue;
            }
            core::GateLine shut = line;
            shut.is_open = true;  // of the campaign as a whole: first mails go
            return shut;
        }
    }
    return found;
}

void campaign_explain(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    OneSnapshot snapshot;
    const std::int64_t campaign_id = PG_GETARG_INT64(0);
    const core::Time now = time_of_plan();
    const std::int64_t lane_id = lane_of_campaign(campaign_id);
    const std::vector<std::int64_t> lanes = lanes_of_campaign(campaign_id);
    core::Planner planner = read_planner(lanes, now);
    const core::GateLine deaf = shut_inbox(planner, lanes, lane_id, now);
    for (const core::GateLine& line : planner.explain(lane_id, nullptr, now))
        put(rows, line.gate == core::Gate::inbox_heard ? deaf : line);
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
    OneSnapshot snapshot;
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
