// The tables whose rows are written without the executor, as the installation script makes them.
//
// Only a table that is exactly this is written past the executor. What somebody adds to it (an index, a constraint, a
// column, a trigger) may need what only an INSERT does, and pg_depend doesn't tell all of it: indexes are no members
// of an extension. test/pgtap/same_rows.sql compares the list with the catalog of a new installation.
#pragma once

#include <span>

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

struct ShippedColumn {
    const char* name;
    Oid type;
    bool is_not_null = false;
    bool has_default = false;
};

struct ShippedTable {
    const char* name;
    std::span<const ShippedColumn> columns;  // in any order: an upgrade adds them at the end
    std::span<const char* const> checks;     // names as the catalog has them, 63 characters at most
    std::span<const char* const> indexes;    // those of the primary key included; all B-trees
};

namespace shipped {
extern const ShippedTable message, queue_entry, tally_delta, lead, notification, notification_item;
}

std::span<const ShippedTable* const> shipped_tables();

}  // namespace mailer::pg
