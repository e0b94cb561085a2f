// /templates: what is stored, and which campaigns use it.
#include "site/page.hpp"

namespace mailer::web {

namespace {

core::Value show(Visit& visit) {
    core::Value page = visit.list(
        R"sql(
            SELECT t.name, t.subject, t.has_text, t.has_html, t.updated_at, t.updated_by, t.campaigns
            FROM mailer.template_list t
            WHERE ($1::text IS NULL OR t.name >= $1) AND (:after::text IS NULL OR t.name > :after::text)
            ORDER BY t.name LIMIT :limit)sql",
        {visit.query("from")}, "name");
    core::Value linked = core::Value::array();
    for (const core::Value& found : page.find("rows")->items()) {
        core::Value row = found;
        (void)row.set("address", text("/templates/view?name=" + encode_percent(found.find("name")->scalar_text())));
        (void)linked.append(std::move(row));
    }
    (void)page.set("is_empty", core::Value::boolean(linked.items().empty()));
    (void)page.set("rows", std::move(linked));
    (void)page.set("from", text(visit.query("from").value_or("")));
    return page;
}

}  // namespace

static const Registered here{Page{
    .path = "/templates", .title = "Templates", .menu_place = 60, .template_name = "template_list.html", .show = show}};

}  // namespace mailer::web
