// PostgreSQL's headers, as every file of this room includes them: after the C++ headers that it needs,
// inside extern "C", with the macros that collide with C++ put away.
//
// What differs between PostgreSQL 13 and 18 is hidden here and nowhere else.
#pragma once

// C++ and system headers that must be seen before postgres.h redefines names (libintl's printf macros, Min, Max …).
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

extern "C" {
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
}

#undef Min
#undef Max
#undef Abs
#undef gettext
#undef dgettext
#undef ngettext
#undef dngettext

// SQL-callable symbols and worker mains; everything else in the library is hidden.
#if PG_VERSION_NUM >= 160000
#define MAILER_EXPORT extern "C" PGDLLEXPORT
#else
#define MAILER_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// Declares an SQL-callable function in the fmgr calling convention (version 1).
#define MAILER_FUNCTION(name)                                                            \
    extern "C" {                                                                         \
    __attribute__((visibility("default"))) Datum name(FunctionCallInfo fcinfo);          \
    __attribute__((visibility("default"))) const Pg_finfo_record* pg_finfo_##name(void); \
    const Pg_finfo_record* pg_finfo_##name(void) {                                       \
        static const Pg_finfo_record record = {1};                                       \
        return &record;                                                                  \
    }                                                                                    \
    }                                                                                    \
    Datum name([[maybe_unused]] FunctionCallInfo fcinfo)
