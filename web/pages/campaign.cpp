// One campaign: its true schedule, past and forecast on one line, what holds it up, its steps, and what can be done
// with it.
#include <charconv>
#include <cstdint>

#include "pages/lead_links.hpp"

namespace mailer::web {

namespace {

constexpr int past_rows = 25, coming_rows = 25;
// To read the mails of a small campaign, or of one of which little has gone, and sort them costs less than to look for
// them among everybody's.
constexpr std::int64_t small_campaign = 20000, little = 1000;
constexpr std::int64_t quickly_foretold = 3000;

std::int64_t number_of(const core::Value& row, std::string_view name) {
    std::string digits;
    if (const core::Value* found = row.find(name)) found->append_text(digits);
    std::int64_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

// What has been, newest first, a page of it.
core::Value past(Visit& visit, const std::string& id, const core::Value& status) {
    std::int64_t settled = 0;
    for (const char* state : {"sent", "failed", "cancelled", "unconfirmed"})
        settled += number_of(status, state);
    if (settled == 0) return object({{"rows", core::Value::array()}});
    const bool is_small = number_of(status, "total") <= small_campaign || settled <= little;
    const std::string of_campaign = "FROM mailer.campaign_schedule x WHERE x.campaign_id = $1::bigint ";
    const std::string rows =
        is_small
            ? "WITH mine AS MATERIALIZED (SELECT x.id " + of_campaign +
                  ") SELECT y.* FROM (SELECT m.id FROM mine m WHERE (:after::bigint IS NULL OR m.id < :after::bigint) "
                  "ORDER BY m.id DESC LIMIT :limit) n JOIN mailer.campaign_schedule y ON y.id = n.id"
            : "SELECT x.* " + of_campaign +
                  "AND (:after::bigint IS NULL OR x.id < :after::bigint) ORDER BY x.id DESC LIMIT :limit";
    return visit.list(
        R"sql(
            SELECT s.id, s.message_id, s.campaign_id, s.address_key, s.recipient, s.step, s.mailbox, s.state,
                s.reason, s.at, s.foretold_at, extract(epoch FROM s.at)::bigint AS second,
                CASE WHEN abs(extract(epoch FROM s.difference)) < 60 THEN to_char(extract(epoch FROM
                s.difference), 'FMSG990.0') || ' s' ELSE date_trunc('second',
                s.difference)::text END AS difference
            FROM ()sql" +
            rows + ") s ORDER BY s.id DESC",
        {id}, "id", past_rows);
}

// Oldest first: mails that went, and between them the intervals in which slots passed unused.
core::Value on_one_line(const core::Value& mails, const core::Value& missed) {
    core::Value line = core::Value::array();
    std::size_t next = 0;
    const auto& gaps = missed.items();
    const auto add_gaps = [&](std::int64_t until) {
        for (; next < gaps.size() && number_of(gaps[next], "second") <= until; ++next)
            (void)line.append(object({{"gap", gaps[next]}}));
    };
    for (std::size_t i = mails.items().size(); i-- > 0;) {
        const core::Value& mail = mails.items()[i];
        add_gaps(number_of(mail, "second"));
        (void)line.append(object({{"mail", mail}}));
    }
    add_gaps(INT64_MAX);
    return line;
}

core::Value schedule(Visit& visit, const std::string& id, const core::Value& status) {
    core::Value before = past(visit, id, status);
    const bool is_first = !visit.query("after");
    const core::Value mails = with_lead_links(*before.find("rows"));
    // On the first page what was missed since its oldest mail, or ever when it shows all; on others what lies between.
    const bool is_last = !before.find("next");
    const Parameter oldest =
        is_last || mails.items().empty() ? Parameter() : std::to_string(number_of(mails.items().back(), "second"));
    const Parameter newest =
        is_first || mails.items().empty() ? Parameter() : std::to_string(number_of(mails.items().front(), "second"));
    core::Value missed = visit.rows(
        R"sql(
            SELECT *
            FROM (SELECT m.from_at, m.to_at, m.slot_count, m.reason,
                extract(epoch FROM m.from_at)::bigint AS second
                FROM mailer.missed_slot m WHERE m.campaign_id = $1::bigint AND ($2::bigint IS NULL
                        OR m.from_at >= to_timestamp($2::bigint)) AND ($3::bigint IS NULL
                        OR m.from_at < to_timestamp($3::bigint)) ORDER BY m.from_at DESC LIMIT 50) x
            ORDER BY x.from_at)sql",
        {id, oldest, newest});
    core::Value shown = object({{"is_first", core::Value::boolean(is_first)}, {"line", on_one_line(mails, missed)}});
    if (const core::Value* next = before.find("next")) (void)shown.set("earlier", *next);
    if (is_first && !number_of(status, "is_over")) {
        core::Value coming = visit.rows(
            R"sql(
                SELECT f.message_id, f.recipient, f.mailbox, f.slot_at, f.step
                FROM mailer.campaign_forecast($1::bigint, max_rows => $2) f
                ORDER BY f.ordinal)sql",
            {id, std::to_string(coming_rows)});
        (void)shown.set("has_coming", core::Value::boolean(!coming.items().empty()));
        (void)shown.set("coming", std::move(coming));
    }
    (void)shown.set("truth", visit.row(R"sql(
            SELECT count(*) AS compared, date_trunc('milliseconds',
                percentile_disc(0.5) WITHIN GROUP (ORDER BY greatest(d.difference,
                -d.difference)))::text AS middle, date_trunc('milliseconds', max(greatest(d.difference,
                -d.difference)))::text AS most
            FROM (SELECT s.difference FROM mailer.campaign_schedule s WHERE s.id = ANY ($1::bigint[])
                    AND s.difference IS NOT NULL) d)sql",
                                       {[&] {
                                           std::string ids;
                                           for (const core::Value& mail : mails.items())
                                               ids += (ids.empty() ? "" : ",") + std::to_string(number_of(mail, "id"));
                                           return "{" + ids + "}";
                                       }()}));
    return shown;
}

core::Value show(Visit& visit) {
    const std::string id = visit.id();
    core::Value status = visit.row(
        R"sql(
            SELECT s.*, (s.state IN ('completed', 'cancelled'))::int AS is_over, s.total > 0 AS has_leads,
                s.state = 'draft' AS is_draft, s.state = 'running' AS is_running,
                s.state = 'paused' AS is_paused, s.state <> 'cancelled' AS is_alive,
                s.failed > 0 AS has_failed
            FROM mailer.campaign_status($1::bigint) s)sql",
        {id});
    const std::int64_t pending = number_of(status, "pending");
    std::string finishes_at;
    if (pending > 0 && pending <= quickly_foretold && !number_of(status, "is_over"))
        finishes_at = visit.value(
            "SELECT date_trunc('second', max(f.slot_at)) FROM mailer.campaign_forecast($1::bigint) f", {id});
    core::Value shown = object({
        {"schedule", schedule(visit, id, status)},
        {"finishes_at", text(finishes_at)},
        {"settings", visit.row("SELECT * FROM mailer.campaign_list WHERE campaign_id = $1::bigint", {id})},
        {"gates",
         number_of(status, "is_over")
             ? core::Value::array()
             : visit.rows(
                   "SELECT gate, is_open, limit_value, used, opens_at, detail FROM mailer.campaign_explain($1::bigint)",
                   {id})},
        {"steps", visit.rows(R"sql(
            SELECT *
            FROM mailer.campaign_step_status
            WHERE campaign_id = $1::bigint ORDER BY step, variant NULLS LAST)sql",
                             {id})},
    });
    (void)shown.set("campaign", status);
    (void)shown.set("status", std::move(status));
    return shown;
}

// What is foretold at the moment at which it begins is what its mails are compared with.
void keep_forecast(Visit& visit) {
    try {
        visit.rows("SELECT mailer.campaign_forecast_keep($1::bigint)", {visit.id()});
    } catch (const SqlError&) {
        // Nothing may keep a campaign from starting but what keeps it from starting.
    }
}

std::string start(Visit& visit) {
    keep_forecast(visit);
    visit.rows("SELECT mailer.campaign_start($1::bigint)", {visit.id()});
    return "Started. The schedule below compares what happens with today's forecast.";
}

std::string pause(Visit& visit) {
    visit.rows("SELECT mailer.campaign_pause($1::bigint, $2)", {visit.id(), visit.form("reason")});
    return "Paused. Slots that pass meanwhile are counted as missed and not made up for.";
}

std::string resume(Visit& visit) {
    keep_forecast(visit);
    visit.rows("SELECT mailer.campaign_resume($1::bigint)", {visit.id()});
    return "It goes on.";
}

std::string cancel(Visit& visit) {
    visit.rows("SELECT mailer.campaign_cancel($1::bigint, $2)", {visit.id(), visit.form("reason")});
    return "Cancelled. What waited isn't sent.";
}

std::string copy(Visit& visit) {
    visit.rows("SELECT mailer.campaign_copy($1::bigint, $2)", {visit.id(), visit.form("name")});
    return "The copy is a draft without leads, the first on the list.";
}

std::string keep(Visit& visit) {
    return "Kept the forecast of " + visit.value("SELECT mailer.campaign_forecast_keep($1::bigint)", {visit.id()}) +
           " mails to compare with.";
}

std::string retry_failed(Visit& visit) {
    return visit.value("SELECT mailer.campaign_retry_failed($1::bigint)", {visit.id()}) + " failed mails wait again.";
}

std::string test(Visit& visit) {
    return "Message " +
           visit.value("SELECT mailer.campaign_test($1::bigint, $2, COALESCE($3::integer, 1))",
                       {visit.id(), visit.form("address"), visit.form("step")}) +
           " is on its way. The campaign doesn't count it.";
}

}  // namespace

static const Registered here{Page{
    .path = "/campaigns/{id}",
    .title = "Campaign",
    .template_name = "campaign.html",
    .show = show,
    .actions = {{.name = "start", .needs = "campaign_start", .run = start},
                {.name = "pause", .needs = "campaign_pause", .run = pause},
                {.name = "resume", .needs = "campaign_resume", .run = resume},
                {.name = "cancel", .needs = "campaign_cancel", .run = cancel},
                {.name = "copy", .needs = "campaign_copy", .run = copy, .leads_to = "/campaigns"},
                {.name = "keep", .needs = "campaign_forecast_keep", .run = keep},
                {.name = "retry_failed", .needs = "campaign_retry_failed", .run = retry_failed},
                {.name = "test", .needs = "campaign_test", .run = test}},
}};

}  // namespace mailer::web
