// The application's users, each tenant's apart: what tables of notifications call user_id.
//
// Two tenants may both have a user 17. A user of the operators' is known by the application's own id; one of another
// tenant by the tenant's id, U+001F and the application's id (ids have no control characters). So every key and every
// index of notifications keeps tenants apart, and what is shown to people is the application's id again.
#pragma once

#include "pg/bridge/arguments.hpp"

namespace mailer::pg {

TextValue user_key(std::int64_t tenant_id, const TextValue& user_id);  // NULL for NULL
TextValue shown_user(const TextValue& key);                            // the application's id
std::int64_t tenant_of_user(const TextValue& key);

}  // namespace mailer::pg
