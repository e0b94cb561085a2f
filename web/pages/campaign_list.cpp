// All campaigns: how far each is, what holds it up, when it will be done. Those that are over are on a list of their
// own.
#include "site/page.hpp"

namespace mailer::web {

namespace {

core::Value show(Visit& visit) {
    const std::string which = visit.request.query.get("which");
    if (!which.empty() && which != "over") throw HttpError(400, "There is no such list of campaigns.");
    const bool is_over = which == "over";
    core::Value list = visit.list(
        R"sql(
            WITH c AS MATERIALIZED (SELECT l.campaign_id, l.mailboxes, l.template, l.completed_at
                FROM mailer.campaign_list l WHERE (l.state IN ('completed', 'cancelled')) = $1
                    AND (:after::bigint IS NULL OR l.campaign_id < :after::bigint)
                ORDER BY l.campaign_id DESC LIMIT :limit)
            SELECT c.*, s.name, s.state, s.total, s.sent, s.pending, s.progress, s.blocked_by, s.next_at,
                s.replied, s.bounced, s.total > 0 AS has_leads, CASE WHEN s.state = 'running'
                AND s.pending BETWEEN 1 AND 200 THEN (SELECT max(f.slot_at)
                FROM mailer.campaign_forecast(c.campaign_id) f) END AS finishes_at
            FROM c
            CROSS JOIN LATERAL mailer.campaign_status(c.campaign_id) s
            ORDER BY c.campaign_id DESC)sql",
        {is_over ? "true" : "false"}, "campaign_id", 30);
    const bool has_rows = !list.find("rows")->items().empty();
    core::Value shown = object({{"list", std::move(list)},
                                {"has_rows", core::Value::boolean(has_rows)},
                                {"is_over", core::Value::boolean(is_over)}});
    if (visit.may("campaign_create") && !is_over) {
        core::Value templates = visit.rows("SELECT name FROM mailer.template_list ORDER BY name LIMIT 500");
        (void)shown.set("has_no_template", core::Value::boolean(templates.items().empty()));
        (void)shown.set("templates", std::move(templates));
        (void)shown.set("mailboxes",
                        visit.rows("SELECT mailbox FROM mailer.mailbox_status ORDER BY mailbox LIMIT 200"));
    }
    return shown;
}

std::string create(Visit& visit) {
    const std::vector<std::string> chosen = visit.request.form.all("mailbox"), days = visit.request.form.all("day");
    // What the form leaves out is as campaign_create() has it.
    const std::string id = visit.value(
        R"sql(
            SELECT mailer.campaign_create($1::text, $2::text, mailboxes => $3::text[],
                window_start => COALESCE($4::time, '09:00'), window_end => COALESCE($5::time, '17:00'),
                allowed_days => COALESCE($6::text[], '{MON,TUE,WED,THU,FRI}'), gap => COALESCE($7::interval,
                '90 s'), list => $8::text))sql",
        {visit.form("name"), visit.form("template"), chosen.empty() ? Parameter() : Parameter(text_array(chosen)),
         visit.form("window_start"), visit.form("window_end"), days.empty() ? Parameter() : Parameter(text_array(days)),
         visit.form("gap"), visit.form("list")});
    visit.leads_to = "/campaigns/" + id;
    return "The draft is there. Import leads, look at the forecast, then start it.";
}

}  // namespace

static const Registered here{Page{
    .path = "/campaigns",
    .title = "Campaigns",
    .menu_place = 30,
    .template_name = "campaign_list.html",
    .show = show,
    .actions = {{.name = "create", .needs = "campaign_create", .run = create}},
}};

}  // namespace mailer::web
