// What pages that show leads share.
#pragma once

#include "site/page.hpp"

namespace mailer::web {

// The rows, each with `lead_href`: where its lead (campaign_id, address_key) is shown. Without a campaign there is
// none.
core::Value with_lead_links(const core::Value& rows);

// The campaign whose id is in the path, with name and state; HttpError 404 when there is none.
core::Value campaign_of(Visit& visit);

// A member of a row as text; "" when it is missing or null.
std::string text_of(const core::Value& row, std::string_view name);

}  // namespace mailer::web
