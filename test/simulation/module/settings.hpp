// The settings of mailer.so in the variables of this library.
#pragma once

#include "pg/bridge/settings.hpp"

namespace mailer::pg {

// Reads them all again. Throws PgError.
void adopt_settings();

}  // namespace mailer::pg
