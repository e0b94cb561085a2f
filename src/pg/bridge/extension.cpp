// Reads pg_extension; see extension.hpp.
#include "pg/bridge/extension.hpp"

#include <cstring>

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
}

namespace mailer::pg {

namespace {

constexpr std::size_t version_size = 64;

// How much of a version is its major and minor number.
std::size_t minor_length(const char* version) noexcept {
    const char* const dot = strchr(version, '.');
    return dot == nullptr ? strlen(version) : static_cast<std::size_t>(dot - version) + 1 + strcspn(dot + 1, ".");
}

}  // namespace

Fit look_for_extension(char* version) {
    version[0] = '\0';
    Fit fit = Fit::absent;
    Relation const catalog = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("mailer"));
    SysScanDesc const scan = systable_beginscan(catalog, ExtensionNameIndexId, true, nullptr, 1, &key);
    if (HeapTuple const row = systable_getnext(scan); HeapTupleIsValid(row)) {
        bool is_null;
        Datum const value = heap_getattr(row, Anum_pg_extension_extversion, RelationGetDescr(catalog), &is_null);
        if (!is_null) {
            char* const copy = TextDatumGetCString(value);
            strlcpy(version, copy, version_size);
            pfree(copy);
        }
        fit = is_fit(version) ? Fit::fits : Fit::misfit;
    }
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return fit;
}

bool is_fit(const char* extension_version) noexcept {
    std::size_t const length = minor_length(MAILER_VERSION);
    return minor_length(extension_version) == length && strncmp(extension_version, MAILER_VERSION, length) == 0;
}

}  // namespace mailer::pg
