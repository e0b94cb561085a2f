// Whether a table is as the installation script made it.
#pragma once

#include "pg/table/shipped.hpp"

extern "C" {
#include "utils/relcache.h"
}

namespace mailer::pg {

// What differs, in words for an operator: added index "x", missing constraint "y". nullptr: nothing. palloc'ed.
// Takes a table that the caller has locked; takes no lock itself. May ereport.
char* difference_from(const ShippedTable& shipped, Relation table);

}  // namespace mailer::pg
