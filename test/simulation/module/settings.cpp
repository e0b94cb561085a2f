// The product's own list of settings, compiled once more: what defines a setting there reads it here, by its name, for
// a setting can be defined by one library only.
#include "settings.hpp"

#include "pg/bridge/guard.hpp"

extern "C" {
#include "utils/guc.h"
}

namespace {

const char* value_of(const char* name) {
    const char* value = GetConfigOption(name, false, false);
    return value != nullptr ? value : "";
}

// With the parameters of the functions whose place they take.
void adopt_int(const char* name, const char*, const char*, int* variable, auto...) { *variable = atoi(value_of(name)); }

void adopt_bool(const char* name, const char*, const char*, bool* variable, auto...) {
    *variable = strcmp(value_of(name), "on") == 0;
}

// What guc.c has may move with the next SET.
void adopt_string(const char* name, const char*, const char*, char** variable, auto...) {
    char* const copy = MemoryContextStrdup(TopMemoryContext, value_of(name));
    if (*variable != nullptr) pfree(*variable);
    *variable = copy;
}

void adopt_enum(const char* name, const char*, const char*, int* variable, int, const config_enum_entry* entries,
                auto...) {
    for (; entries->name != nullptr; ++entries) {
        if (strcmp(entries->name, value_of(name)) == 0) *variable = entries->val;
    }
}

}  // namespace

#undef EmitWarningsOnPlaceholders
#define DefineCustomIntVariable adopt_int
#define DefineCustomBoolVariable adopt_bool
#define DefineCustomStringVariable adopt_string
#define DefineCustomEnumVariable adopt_enum
#define MarkGUCPrefixReserved(prefix)
#define EmitWarningsOnPlaceholders(prefix)
#define SetConfigOption(name, value, context, source) static_cast<void>(value)
#include "pg/bridge/settings.cpp"

namespace mailer::pg {

void adopt_settings() {
    call([] { define_settings(); });
}

}  // namespace mailer::pg
