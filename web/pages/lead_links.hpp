// What pages that show leads share.
#pragma once

#include "site/page.hpp"

namespace mailer::web {

// The rows, each with `lead_href`: where its lead (campaign_id, address_key) is shown. Without a campaign there is
// none.
core::Value with_lead_links(const core::Value& rows);

// A campaign that is in the path: its id, checked to exist and to be visible, with name and state.
core::Value campaign_of(Visit& visit);

}  // namespace mailer::web
