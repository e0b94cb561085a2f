// /templates/view?name=NAME: what a template says, by itself or to a real lead, with what is missing marked. The name
// is in the query, for it may hold anything.
#include <algorithm>

#include "pages/mail_frame.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

constexpr const char* mark_begin = "\xe2\x9f\xa6";  // ⟦
constexpr const char* mark_end = "\xe2\x9f\xa7";    // ⟧

// `into` with the variable of this path (a.b.c) set.
core::Value with(core::Value into, std::string_view path, const std::string& value) {
    if (into.kind() != core::Value::Kind::object) into = core::Value::object();
    const std::size_t dot = path.find('.');
    const std::string_view key = path.substr(0, dot);
    if (dot == std::string_view::npos) {
        (void)into.set(key, text(value));
    } else {
        const core::Value* inner = into.find(key);
        (void)into.set(key, with(inner ? *inner : core::Value::object(), path.substr(dot + 1), value));
    }
    return into;
}

// The text in pieces: {text, is_missing} each.
core::Value marked(std::string_view all) {
    core::Value pieces = core::Value::array();
    const auto add = [&](std::string_view piece, bool is_missing) {
        if (!piece.empty())
            (void)pieces.append(
                object({{"text", text(std::string(piece))}, {"is_missing", core::Value::boolean(is_missing)}}));
    };
    for (;;) {
        const std::size_t begin = all.find(mark_begin);
        const std::size_t end = begin == std::string_view::npos ? begin : all.find(mark_end, begin);
        if (end == std::string_view::npos) break;
        add(all.substr(0, begin), false);
        add(all.substr(begin + 3, end - begin - 3), true);
        all.remove_prefix(end + 3);
    }
    add(all, false);
    return pieces;
}

struct Preview {
    core::Value variables = core::Value::object();
    core::Value said;     // subject, body_text, body_html, with marks
    core::Value missing;  // names
    core::Value lead;     // null: none was asked for, or found
};

// The lead's variables, those of the query, or none.
Preview preview(Visit& visit) {
    Preview made;
    const Parameter name = visit.query("name"), campaign = visit.query("campaign"), address = visit.query("address");
    if (campaign) {
        const Parameter key = address_key_of(address);
        if (address && !key) throw HttpError(400, "That is no mail address.");
        const core::Value leads = visit.rows(
            R"sql(
                SELECT l.address, l.campaign, l.state, l.step, l.variables
                FROM mailer.lead_status l
                WHERE l.campaign_id = $1::bigint AND ($2::text IS NULL OR l.address_key = $2)
                ORDER BY l.address_key LIMIT 1)sql",
            {campaign, key});
        if (!leads.items().empty()) {
            made.lead = leads.items().front();
            made.variables = *made.lead.find("variables");
        }
    } else if (const Parameter given = visit.query("variables")) {
        const core::Value read = visit.row("SELECT $1::jsonb AS variables", {given});
        made.variables = *read.find("variables");
    }
    const auto render = [&] {
        std::string json;
        made.variables.append_json(json);
        return visit.row("SELECT subject, body_text, body_html, missing FROM mailer.template_preview($1, $2::jsonb)",
                         {name, json});
    };
    made.said = render();
    made.missing = *made.said.find("missing");
    for (const core::Value& missing : made.missing.items()) {
        const std::string variable(missing.scalar_text());
        made.variables = with(std::move(made.variables), variable, mark_begin + variable + mark_end);
    }
    if (!made.missing.items().empty()) made.said = render();
    return made;
}

std::string member_text(const core::Value& of, const char* name) {
    const core::Value* found = of.find(name);
    return found ? std::string(found->scalar_text()) : "";
}

core::Value show(Visit& visit) {
    const Parameter name = visit.query("name"), campaign = visit.query("campaign");
    core::Value page = object({{"stored", visit.row(R"sql(
            SELECT name, subject, has_text, has_html, updated_at, updated_by, campaigns
            FROM mailer.template_list
            WHERE name = $1)sql",
                                                    {name})}});
    try {
        const Preview made = preview(visit);
        const std::string html = member_text(made.said, "body_html"), plain = member_text(made.said, "body_text");
        const bool has_missing = !made.missing.items().empty();
        core::Value names = core::Value::array();
        for (const core::Value& one : made.missing.items())
            (void)names.append(object({{"name", one}}));
        std::string address = "/templates/html?";
        for (const Field& f : visit.request.query.list())
            address += encode_percent(f.name) + "=" + encode_percent(f.value) + "&";
        (void)page.set("preview", object({{"subject", marked(member_text(made.said, "subject"))},
                                          {"plain", marked(plain)},
                                          {"has_plain", core::Value::boolean(!plain.empty())},
                                          {"frame", html.empty() ? core::Value() : text(address)},
                                          {"missing", std::move(names)},
                                          {"has_missing", core::Value::boolean(has_missing)},
                                          {"lead", made.lead},
                                          {"has_no_lead", core::Value::boolean(campaign && made.lead.is_null())}}));
    } catch (const SqlError& error) {
        if (error.sqlstate == "57014" || error.sqlstate == "42501") throw;
        (void)page.set(
            "problem",
            object({{"what", text(error.what())}, {"detail", text(error.detail)}, {"hint", text(error.hint)}}));
    }
    const core::Value campaigns =
        visit.rows("SELECT campaign_id, name FROM mailer.campaign_progress ORDER BY campaign_id DESC LIMIT 100");
    core::Value choices = core::Value::array();
    for (const core::Value& one : campaigns.items()) {
        core::Value choice = one;
        (void)choice.set("is_chosen", core::Value::boolean(campaign && member_text(one, "campaign_id") == *campaign));
        (void)choices.append(std::move(choice));
    }
    const bool has_campaigns = !choices.items().empty();
    (void)page.set("campaigns", std::move(choices));
    (void)page.set("has_campaigns", core::Value::boolean(has_campaigns));
    if (campaign && !page.find("problem"))
        (void)page.set("leads", visit.rows(R"sql(
                           SELECT l.address
                           FROM mailer.lead_status l
                           WHERE l.campaign_id = $1::bigint ORDER BY l.address_key
                           LIMIT 20)sql",
                                           {campaign}));
    (void)page.set("asked", object({{"name", text(name.value_or(""))},
                                    {"address", text(visit.query("address").value_or(""))},
                                    {"variables", text(visit.query("variables").value_or(""))}}));
    return page;
}

Response html(Visit& visit) {
    const std::string said = member_text(preview(visit).said, "body_html");
    if (said.empty()) throw HttpError(404, "This template has no HTML.");
    return mail_frame(said);
}

}  // namespace

static const Registered here{
    Page{.path = "/templates/view", .title = "Template", .template_name = "template_preview.html", .show = show}};
static const Registered html_frame{
    Page{.path = "/templates/html", .title = "Template", .template_name = "", .show = nullptr, .respond = html}};

}  // namespace mailer::web
