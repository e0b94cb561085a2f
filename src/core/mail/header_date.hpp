// Date fields (RFC 5322 3.3): `Sat, 26 Oct 2024 09:30:00 +0200`. English and Gregorian, whatever the server's locale.
#pragma once

#include <string>

#include "core/pace/time.hpp"

namespace mailer::core {

// The offset is cut to ±23:59, which is more than any place on earth uses.
std::string format_date(Time time, int utc_offset_minutes);

}  // namespace mailer::core
