// The whole forecast of a campaign, and what-if: the same forecast with another gap, window, cap or other mailboxes.
// Looking changes nothing; a person who may alter the campaign can apply the settings shown.
#include "pages/lead_links.hpp"

namespace mailer::web {

namespace {

constexpr int page_size = 50;

// What the form says, as campaign_forecast and campaign_alter take it; empty fields leave the setting as it is.
core::Value wanted(const Fields& fields) {
    core::Value settings = core::Value::object();
    for (const char* name : {"gap", "window_start", "window_end"})
        if (!fields.get(name).empty()) (void)settings.set(name, text(fields.get(name)));
    const std::string& cap = fields.get("max_per_day");
    if (!cap.empty()) {
        if (cap.size() > 9 || cap.find_first_not_of("0123456789") != std::string::npos)
            throw HttpError(400, "The most mails a day are a whole number.");
        (void)settings.set("max_per_day", core::Value::number(static_cast<std::int64_t>(std::stol(cap))));
    }
    core::Value mailboxes = core::Value::array();
    for (const std::string& name : fields.all("mailbox"))
        (void)mailboxes.append(text(name));
    if (!mailboxes.items().empty()) (void)settings.set("mailboxes", std::move(mailboxes));
    return settings;
}

std::string json(const core::Value& value) {
    std::string out;
    value.append_json(out);
    return out;
}

std::int64_t after(Visit& visit) {
    const std::string given = visit.query("after").value_or("0");
    if (given.size() > 9 || given.find_first_not_of("0123456789") != std::string::npos)
        throw HttpError(400, "That is not a place in a forecast.");
    return std::stol(given);
}

core::Value show(Visit& visit) {
    core::Value campaign = campaign_of(visit);
    const std::string id = visit.id();
    const core::Value settings = wanted(visit.request.query);
    const bool is_what_if = !settings.members().empty();
    const bool is_over = text_of(campaign, "state") == "completed" || text_of(campaign, "state") == "cancelled";
    core::Value shown = object({{"is_over", core::Value::boolean(is_over)},
                                {"is_what_if", core::Value::boolean(is_what_if)},
                                {"asked", object({{"gap", text(visit.request.query.get("gap"))},
                                                  {"window_start", text(visit.request.query.get("window_start"))},
                                                  {"window_end", text(visit.request.query.get("window_end"))},
                                                  {"max_per_day", text(visit.request.query.get("max_per_day"))}})}});
    (void)shown.set("settings", visit.row(R"sql(
            SELECT window_start, window_end, gap, max_per_day, mailboxes
            FROM mailer.campaign_list
            WHERE campaign_id = $1::bigint)sql",
                                          {id}));
    (void)shown.set("mailboxes", visit.rows(R"sql(
            SELECT b.mailbox, b.mailbox = ANY ($1::text[]) AS is_chosen
            FROM mailer.mailbox_status b ORDER BY b.mailbox LIMIT 200)sql",
                                            {text_array(visit.request.query.all("mailbox"))}));
    if (!is_over) {
        // Of a page the plan is worked out up to its end; when it will all be done is asked for with the numbers.
        const std::int64_t from = after(visit);
        core::Value list = visit.list(
            R"sql(
                SELECT f.ordinal, f.message_id, f.recipient, f.step, f.mailbox, f.slot_at
                FROM mailer.campaign_forecast($1::bigint, $2::jsonb, $3) f
                WHERE f.ordinal > COALESCE(:after::bigint, 0) ORDER BY f.ordinal
                LIMIT :limit)sql",
            {id, json(settings), std::to_string(from + page_size + 1)}, "ordinal", page_size);
        (void)shown.set("has_rows", core::Value::boolean(!list.find("rows")->items().empty()));
        (void)shown.set("list", std::move(list));
        const std::string numbers =
            R"sql(
                SELECT count(*) AS mails, max(slot_at) AS finishes_at,
                    count(DISTINCT (slot_at AT TIME ZONE $3)::date) AS days
                FROM mailer.campaign_forecast($1::bigint, $2::jsonb))sql";
        const std::string zone =
            visit.value("SELECT timezone FROM mailer.campaign_list WHERE campaign_id = $1::bigint", {id});
        if (is_what_if || visit.query("all")) {
            (void)shown.set("now", visit.row(numbers, {id, "{}", zone}));
            if (is_what_if) (void)shown.set("then", visit.row(numbers, {id, json(settings), zone}));
        }
    }
    (void)shown.set("campaign", std::move(campaign));
    return shown;
}

std::string apply(Visit& visit) {
    const core::Value settings = wanted(visit.request.form);
    if (settings.members().empty()) throw HttpError(400, "Nothing is to be changed.");
    visit.rows("SELECT mailer.campaign_alter($1::bigint, $2::jsonb)", {visit.id(), json(settings)});
    return "Changed. This is the forecast now.";
}

}  // namespace

static const Registered here{Page{
    .path = "/campaigns/{id}/forecast",
    .title = "Forecast",
    .template_name = "campaign_forecast.html",
    .show = show,
    .actions = {{.name = "apply", .needs = "campaign_alter", .run = apply}},
}};

}  // namespace mailer::web
