// PostgreSQL's time zones as values for the core.
#pragma once

#include "core/pace/zone.hpp"
#include "pg/bridge/guard.hpp"

namespace mailer::pg {

// Every transition from 2000 to 2100 of the zone that PostgreSQL knows by this name (IANA or POSIX). Kept for the
// life of the process. Throws Refusal for an unknown name.
const core::Zone& zone(const std::string& name);

}  // namespace mailer::pg
