#include "pages/lead_links.hpp"

namespace mailer::web {

std::string text_of(const core::Value& row, std::string_view name) {
    std::string out;
    if (const core::Value* found = row.find(name)) found->append_text(out);
    return out;
}

core::Value with_lead_links(const core::Value& rows) {
    core::Value made = core::Value::array();
    for (const core::Value& row : rows.items()) {
        core::Value linked = row;
        const std::string campaign = text_of(row, "campaign_id"), key = text_of(row, "address_key");
        if (!campaign.empty() && !key.empty())
            (void)linked.set("lead_href", text("/campaigns/" + campaign + "/leads?address=" + encode_percent(key)));
        (void)made.append(std::move(linked));
    }
    return made;
}

core::Value campaign_of(Visit& visit) {
    return visit.row("SELECT campaign_id, name, state FROM mailer.campaign_status($1::bigint)", {visit.id()});
}

}  // namespace mailer::web
