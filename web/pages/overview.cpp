// The first page: what needs a person, then the numbers of status(), and the switch for everything.
#include "site/page.hpp"

namespace mailer::web {

namespace {

core::Value show(Visit& visit) {
    core::Value alerts = visit.rows("SELECT severity, subject, problem, since, hint FROM mailer.health()");
    core::Value campaigns = visit.rows(
        R"sql(
            SELECT campaign_id, name, progress, blocked_by
            FROM mailer.campaign_progress
            WHERE state = 'running' ORDER BY campaign_id DESC LIMIT 20)sql");
    const core::Value begin = visit.row(
        R"sql(
            SELECT NOT EXISTS (SELECT FROM mailer.mailbox_status) AS has_no_mailbox, NOT EXISTS (SELECT
                FROM mailer.template_list) AS has_no_template, NOT EXISTS (SELECT
                FROM mailer.campaign_list) AS has_no_campaign)sql");
    const bool has_campaigns = !campaigns.items().empty();
    const bool has_alerts = !alerts.items().empty();
    return object({
        {"alerts", std::move(alerts)},
        {"has_alerts", core::Value::boolean(has_alerts)},
        {"is_well", core::Value::boolean(!has_alerts && !begin.find("has_no_mailbox")->is_truthy())},
        {"begin", begin},
        {"status", visit.row(R"sql(
            SELECT pending, sending, sent, failed, cancelled, unconfirmed, next_due_at, worker
            FROM mailer.status())sql")},
        {"is_paused", core::Value::boolean(visit.value("SELECT paused FROM mailer._metric_sending()") == "1")},
        {"rates", visit.row(R"sql(
             SELECT sum(recent) FILTER (WHERE outcome = 'sent'
                     AND "window" = '1m')::bigint AS sent_1m, sum(recent) FILTER (WHERE outcome = 'sent'
                     AND "window" = '5m')::bigint AS sent_5m,
                 sum(recent) FILTER (WHERE outcome NOT IN ('sent', 'requeued')
                     AND "window" = '5m')::bigint AS troubled_5m
             FROM mailer._metric_attempts())sql")},
        {"listeners", visit.row(R"sql(
            SELECT count(*) FILTER (WHERE listen_state = 'listening') AS listening,
                count(*) FILTER (WHERE listen_state = 'in trouble') AS in_trouble,
                count(*) FILTER (WHERE listen_state <> 'off') AS wanted
            FROM mailer.mailbox_status)sql")},
        {"campaigns", std::move(campaigns)},
        {"has_campaigns", core::Value::boolean(has_campaigns)},
    });
}

std::string pause(Visit& visit) {
    visit.rows("SELECT mailer.pause($1)", {visit.form("reason")});
    return "Sending is paused. What is queued waits.";
}

std::string resume(Visit& visit) {
    visit.rows("SELECT mailer.resume()");
    return "Sending goes on.";
}

}  // namespace

static const Registered here{Page{
    .path = "/",
    .title = "Overview",
    .menu_place = 10,
    .template_name = "overview.html",
    .show = show,
    .actions = {{.name = "pause", .needs = "pause", .run = pause},
                {.name = "resume", .needs = "resume", .run = resume}},
}};

}  // namespace mailer::web
