// campaign_explain and explain: the gates of a lane, and of one message in it, as rows; and the first shut one of each
// row that view queue shows.
#include "pg/bridge/clock.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/result_set.hpp"
#include "pg/forecast/message_gates.hpp"

#include <set>

namespace mailer::pg {

namespace {

std::optional<std::string> not_empty(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

void put(ResultSet& rows, const NamedGate& gate) {
    rows.text(gate.name).boolean(gate.is_open).text(not_empty(gate.limit)).text(not_empty(gate.used));
    rows.time(gate.opens_at ? std::optional(to_pg(*gate.opens_at)) : std::nullopt).text(not_empty(gate.detail));
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

std::set<std::int64_t> lanes_with_mail(std::int64_t campaign_id) {
    static Statement statement(
        "SELECT l.lane_id FROM mailer.lane l WHERE l.campaign_id = $1 "
        "AND EXISTS (SELECT FROM mailer.queue_entry q WHERE q.lane_id = l.lane_id AND q.state = 'p')",
        {INT8OID});
    const Rows rows = statement.run({p_bigint(campaign_id)}, true);
    std::set<std::int64_t> ids;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        ids.insert(rows.bigint(i, 1));
    return ids;
}

// The gate inbox_heard of the campaign: that of the first mailbox whose follow-ups it holds back, else the main lane's.
// It is shut for the campaign as a whole if everything that waits is held back so; otherwise first mails, or follow-ups
// of other mailboxes, still go.
core::GateLine shut_inbox(const core::Planner& planner, const std::vector<std::int64_t>& lanes, std::int64_t main,
                          const std::set<std::int64_t>& with_mail, core::Time now) {
    core::GateLine open{.gate = core::Gate::inbox_heard};
    std::optional<core::GateLine> shut;
    bool something_goes = with_mail.empty();
    for (const std::int64_t id : lanes) {
        for (const core::GateLine& line : planner.explain(id, nullptr, now)) {
            if (line.gate != core::Gate::inbox_heard) continue;
            if (id == main) open = line;
            if (line.is_open)
                something_goes = something_goes || with_mail.count(id) != 0;
            else if (!shut)
                shut = line;
        }
    }
    if (!shut) return open;
    shut->is_open = something_goes;
    return *shut;
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
    core::Planner planner = read_planner(look_at_arming(), lanes, now);
    const core::GateLine deaf = shut_inbox(planner, lanes, lane_id, lanes_with_mail(campaign_id), now);
    for (const core::GateLine& line : planner.explain(lane_id, nullptr, now))
        put(rows, named(line.gate == core::Gate::inbox_heard ? deaf : line));
}

// What a message that isn't waiting has come to; nothing when it waits.
std::optional<std::string> settled_words(std::int64_t message_id) {
    static Statement statement(
        "SELECT state, coalesce(reason, '') AS reason FROM mailer.message_status WHERE message_id = $1", {INT8OID});
    Rows rows = statement.run({p_bigint(message_id)});
    if (rows.empty()) {
        throw Refusal({"42704", "message " + std::to_string(message_id) + " does not exist", "",
                       "The ids are what mailer.enqueue() returned; mailer.message_status lists them."});
    }
    const std::string state = rows.text(0, "state"), reason = rows.text(0, "reason");
    if (state == "pending") return std::nullopt;
    if (state == "sending") return sending_words(message_id).value_or("on its way");
    return "settled: " + state + (reason.empty() ? "" : " (" + reason + ")");
}

std::optional<WaitingRow> waiting_row(std::int64_t message_id) {
    static Statement statement(
        "SELECT q.lane_id, q.epoch, q.due_at FROM mailer.queue_entry q WHERE q.message_id = $1 AND q.state = 'p'",
        {INT8OID});
    const Rows rows = statement.run({p_bigint(message_id)});
    if (rows.empty()) return std::nullopt;
    return WaitingRow{message_id, rows.bigint(0, "lane_id"), rows.bigint(0, "epoch"), *time_at(rows, 0, "due_at")};
}

void put_state(ResultSet& rows, const std::string& words) {
    put(rows, {.name = "state", .is_open = false, .detail = words});
}

void explain(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    OneSnapshot snapshot;
    const std::int64_t message_id = PG_GETARG_INT64(0);
    const core::Time now = time_of_plan();
    if (auto words = settled_words(message_id)) return put_state(rows, *words);
    const auto candidate = read_candidate(message_id, now);
    const auto row = waiting_row(message_id);
    if (!candidate || !row) return put_state(rows, "it was settled this moment");
    for (const NamedGate& gate : MessageGates(now).all(*row, &candidate->facts))
        put(rows, gate);
    const MessageForecast forecast = forecast_of(*candidate, now);
    put(rows, {.name = "forecast", .opens_at = forecast.slot_at, .detail = forecast.words});
}

// ── View queue ───────────────────────────────────────────────────────────────────────────────────────────────────

void forget_gates(void* gates) { delete static_cast<MessageGates*>(gates); }

// One for all rows that a query shows. Requires an Spi as the owner where there is none yet.
MessageGates& gates_of_query(FunctionCallInfo fcinfo) {
    FmgrInfo* const function = fcinfo->flinfo;
    if (function->fn_extra == nullptr) {
        auto* const at_end = call([&] {
            return static_cast<MemoryContextCallback*>(
                MemoryContextAllocZero(function->fn_mcxt, sizeof(MemoryContextCallback)));
        });
        at_end->func = forget_gates;
        at_end->arg = new MessageGates(time_of_plan());
        call([&] { MemoryContextRegisterResetCallback(function->fn_mcxt, at_end); });
        function->fn_extra = at_end->arg;
    }
    return *static_cast<MessageGates*>(function->fn_extra);
}

Datum text_datum(const std::string& words) {
    return call(
        [&] { return PointerGetDatum(cstring_to_text_with_len(words.data(), static_cast<int>(words.size()))); });
}

Datum waits_for(FunctionCallInfo fcinfo) {
    const bool is_sending = PG_GETARG_CHAR(2) == 's';
    const WaitingRow row{PG_GETARG_INT64(0), PG_GETARG_INT64(1), PG_GETARG_INT64(3), from_pg(PG_GETARG_TIMESTAMPTZ(4))};
    if (!is_sending && fcinfo->flinfo->fn_extra != nullptr) {
        const std::string* known = static_cast<MessageGates*>(fcinfo->flinfo->fn_extra)->cached(row);
        if (known != nullptr) return text_datum(*known);
    }
    std::string words;
    {
        AsOwner owner(fcinfo);
        Spi spi;
        OneSnapshot snapshot;
        words = is_sending ? sending_words(row.message_id).value_or("nothing: it was settled this moment")
                           : gates_of_query(fcinfo).waits_for(row);
    }
    return text_datum(words);
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_campaign_explain) {
    mailer::pg::entry([&] { mailer::pg::campaign_explain(fcinfo); });
    return Datum{0};
}

MAILER_FUNCTION(mailer_waits_for) {
    return mailer::pg::entry([&] { return mailer::pg::waits_for(fcinfo); });
}

MAILER_FUNCTION(mailer_explain) {
    mailer::pg::entry([&] { mailer::pg::explain(fcinfo); });
    return Datum{0};
}
