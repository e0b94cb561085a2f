// Whether the extension is in this database, and whether its SQL fits this library.
#pragma once

#include "pg/bridge/pg.hpp"

#ifndef MAILER_VERSION
#define MAILER_VERSION "1.0.0"
#endif

namespace mailer::pg {

enum class Fit : int { unknown, absent, fits, misfit };

// Looks in the catalogs; requires a transaction. `version` (64 bytes) gets the installed version, or nothing. May
// ereport.
Fit look_for_extension(char* version);

// Releases of one major.minor share their SQL; others don't fit.
bool is_fit(const char* extension_version) noexcept;

}  // namespace mailer::pg
