// campaign_forecast: the plan as rows.
#include "pg/bridge/clock.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/result_set.hpp"
#include "pg/forecast/plan.hpp"

namespace mailer::pg {

namespace {

std::unordered_map<std::int64_t, std::string> recipients_of(const std::vector<core::ForecastRow>& rows) {
    static Statement statement(
        "SELECT m.message_id, m.addresses[1] AS address FROM unnest($1) AS i(id) JOIN mailer.message m ON m.message_id = i.id",
        {INT8ARRAYOID});
    std::vector<std::int64_t> ids;
    ids.reserve(rows.size());
    for (const auto& row : rows)
        ids.push_back(row.source_id);
    Rows found = statement.run({p_bigints(ids)}, true);
    std::unordered_map<std::int64_t, std::string> recipients;
    recipients.reserve(found.count());
    for (std::uint64_t i = 0; i < found.count(); ++i)
        recipients.emplace(found.bigint(i, "message_id"), found.text(i, "address"));
    return recipients;
}

void campaign_forecast(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    if (PG_ARGISNULL(0)) throw Refusal({"22004", "campaign_id must not be NULL"});
    AsOwner owner(fcinfo);
    Spi spi;
    OneSnapshot snapshot;  // a claim between two looks would turn the mailboxes' order round
    Datum overrides = PG_ARGISNULL(1) ? call([] { return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")); })
                                      : PG_GETARG_DATUM(1);
    std::optional<std::int64_t> max_rows;
    if (!PG_ARGISNULL(2)) max_rows = PG_GETARG_INT32(2);
    CampaignForecast forecast = forecast_campaign(PG_GETARG_INT64(0), overrides, max_rows, time_of_plan());
    auto recipients = recipients_of(forecast.rows);
    std::int64_t place = 0;
    for (const core::ForecastRow& row : forecast.rows) {
        const core::MailboxFacts* mailbox = forecast.planner.mailbox(row.mailbox_id);
        rows.bigint(++place);
        rows.bigint(row.message_id == 0 ? std::optional<std::int64_t>{} : std::optional(row.message_id))
            .text(recipients[row.source_id]);
        rows.text(mailbox ? std::optional(mailbox->name) : std::nullopt).time(to_pg(row.slot_at)).integer(row.step);
        rows.end_row();
    }
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_campaign_forecast) {
    mailer::pg::entry([&] { mailer::pg::campaign_forecast(fcinfo); });
    return Datum{0};
}
