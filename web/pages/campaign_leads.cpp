// The leads of a campaign, by address; one of them with what it would get, and what can be done with it.
#include "core/mail/address.hpp"
#include "pages/lead_links.hpp"

namespace mailer::web {

namespace {

constexpr const char* states[] = {"waiting",      "active",      "held",       "replied", "bounced",
                                  "unsubscribed", "complained",  "suppressed", "stopped", "left",
                                  "failed",       "unconfirmed", "finished"};

// The identity of an address as people type it; nothing when it is none.
Parameter key_of(const std::string& address) {
    const auto parsed = core::parse_address(address);
    return parsed ? Parameter(core::address_key(parsed.value())) : Parameter();
}

core::Value list_of(Visit& visit, const std::string& id, const Parameter& state, const Parameter& prefix) {
    // The order of the key, so the index gives the page; a beginning of an address is a range of it.
    core::Value list = visit.list(
        "SELECT l.campaign_id, l.address, l.address_key, l.state, l.step, l.mailbox, l.due_at, l.last_sent_at, "
        "l.reason, l.label, l.variant, "
        "l.message_id FROM mailer.lead_status l WHERE l.campaign_id = $1::bigint AND ($2::text IS NULL OR l.state = "
        "$2) AND ($3::text IS NULL "
        "OR l.address_key >= $3 AND l.address_key < $3 || U&'\\+10FFFF') AND (:after::text IS NULL OR l.address_key > "
        ":after) "
        "ORDER BY l.address_key LIMIT :limit",
        {id, state, prefix}, "address_key");
    (void)list.set("rows", with_lead_links(*list.find("rows")));
    return list;
}

int step_of(Visit& visit) {
    const std::string given = visit.query("step").value_or("1");
    if (given.size() > 3 || given.find_first_not_of("0123456789") != std::string::npos)
        throw HttpError(400, "A step is a number.");
    return std::stoi(given);
}

// What cannot be shown is no reason not to show the lead.
core::Value preview_of(Visit& visit, const std::string& id, const std::string& address, int step) {
    core::Value preview = core::Value::object();
    try {
        preview =
            visit.row("SELECT subject, body_text, body_html, missing FROM mailer.campaign_preview($1::bigint, $2, $3)",
                      {id, address, std::to_string(step)});
        const core::Value* missing = preview.find("missing");
        (void)preview.set("has_missing", core::Value::boolean(missing && !missing->items().empty()));
    } catch (const SqlError& error) {
        (void)preview.set("problem", text(error.what()));
    }
    (void)preview.set("step", core::Value::number(static_cast<std::int64_t>(step)));
    (void)preview.set("html_href", text("/campaigns/" + id + "/preview?step=" + std::to_string(step) +
                                        "&address=" + encode_percent(address)));
    return preview;
}

core::Value lead_of(Visit& visit, const std::string& id, const std::string& key) {
    const core::Value found = visit.rows(
        R"sql(
            SELECT l.*, l.state = 'held' AS is_held, l.ended_at IS NOT NULL
                OR l.state IN ('failed', 'stopped', 'suppressed', 'unsubscribed') AS is_ended,
                jsonb_pretty(l.variables) AS variables_text
            FROM mailer.lead_status l
            WHERE l.campaign_id = $1::bigint AND l.address_key = $2)sql",
        {id, key});
    if (found.items().empty()) return {};
    core::Value lead = found.items().front();
    if (visit.may("campaign_preview")) {
        (void)lead.set("preview", preview_of(visit, id, key, step_of(visit)));
        (void)lead.set("steps", visit.rows(R"sql(
            SELECT DISTINCT s.step AS place, s.step = $2::integer AS is_chosen
            FROM mailer.campaign_step_status s
            WHERE s.campaign_id = $1::bigint ORDER BY 1)sql",
                                           {id, std::to_string(step_of(visit))}));
    }
    return lead;
}

core::Value show(Visit& visit) {
    core::Value campaign = campaign_of(visit);
    const std::string id = visit.id();
    const Parameter state = visit.query("state"), asked = visit.query("address");
    core::Value tabs = core::Value::array();
    bool is_known = !state;
    for (const char* name : states) {
        is_known = is_known || *state == name;
        (void)tabs.append(object({{"name", text(name)}, {"is_chosen", core::Value::boolean(state && *state == name)}}));
    }
    if (!is_known) throw HttpError(400, "There is no such state of a lead.");
    const Parameter key = asked ? key_of(*asked) : Parameter();
    core::Value lead = key ? lead_of(visit, id, *key) : core::Value();
    const bool is_found = !lead.is_null();
    core::Value shown = object({{"campaign", std::move(campaign)},
                                {"states", std::move(tabs)},
                                {"asked", text(asked.value_or(""))},
                                {"lead", std::move(lead)},
                                {"is_unknown", core::Value::boolean(key && !is_found)}});
    if (!is_found && !key) {
        core::Value list = list_of(visit, id, state, asked);
        (void)shown.set("has_rows", core::Value::boolean(!list.find("rows")->items().empty()));
        (void)shown.set("has_list", core::Value::boolean(true));
        (void)shown.set("list", std::move(list));
    }
    return shown;
}

std::string address_of(Visit& visit) {
    const Parameter address = visit.form("address");
    if (!address) throw HttpError(400, "The form doesn't say which lead is meant.");
    return *address;
}

std::string hold(Visit& visit) {
    visit.rows("SELECT mailer.lead_hold($1::bigint, $2)", {visit.id(), address_of(visit)});
    return address_of(visit) + " is held: it gets nothing until it is released.";
}

std::string release(Visit& visit) {
    visit.rows("SELECT mailer.lead_release($1::bigint, $2)", {visit.id(), address_of(visit)});
    return address_of(visit) + " is released.";
}

std::string stop(Visit& visit) {
    visit.rows("SELECT mailer.lead_stop($1::bigint, $2, $3)", {visit.id(), address_of(visit), visit.form("reason")});
    return "The sequence of " + address_of(visit) + " has ended.";
}

std::string restore(Visit& visit) {
    visit.rows("SELECT mailer.lead_restore($1::bigint, $2)", {visit.id(), address_of(visit)});
    return "The sequence of " + address_of(visit) + " goes on.";
}

std::string label(Visit& visit) {
    visit.rows("SELECT mailer.lead_update($1::bigint, $2, label => $3)",
               {visit.id(), address_of(visit), visit.request.form.get("label")});
    return "The label of " + address_of(visit) + " is changed.";
}

// A mail's own HTML, shut in: no scripts, no forms, nothing from outside.
Response show_html(Visit& visit) {
    if (!visit.may("campaign_preview")) throw HttpError(403, "Your role may not do this.");
    Response response;
    response.body = visit.value("SELECT body_html FROM mailer.campaign_preview($1::bigint, $2, $3::integer)",
                                {visit.id(), visit.query("address"), std::to_string(step_of(visit))});
    if (response.body.empty()) throw HttpError(404, "This mail has no HTML.");
    response.content_policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    return response;
}

}  // namespace

static const Registered here{Page{
    .path = "/campaigns/{id}/leads",
    .title = "Leads",
    .template_name = "campaign_leads.html",
    .show = show,
    .actions = {{.name = "hold", .needs = "lead_hold", .run = hold},
                {.name = "release", .needs = "lead_release", .run = release},
                {.name = "stop", .needs = "lead_stop", .run = stop},
                {.name = "restore", .needs = "lead_restore", .run = restore},
                {.name = "label", .needs = "lead_update", .run = label}},
}};

static const Registered html{
    Page{.path = "/campaigns/{id}/preview", .title = "Preview", .template_name = "", .show = {}, .respond = show_html}};

}  // namespace mailer::web
