// The arguments of an SQL-callable function, read in order and typed. NULL is
// always allowed for by the reader: these functions aren't STRICT, because most
// parameters have a default.
#pragma once

#include "pg/bridge/spi.hpp"

namespace mailer::pg {

// A text or bytea value, detoasted. The view lives as long as the call's memory
// context.
struct TextValue {
    bool is_null = true;
    Datum datum = 0;
    std::string_view view = {};

    explicit operator bool() const noexcept { return !is_null; }
    Param param() const { return p_datum(TEXTOID, datum, is_null); }
};

TextValue detoasted_text(Datum value);
TextValue text_value(std::string_view text);  // a copy in the current memory context

// A value passed on as it came.
struct RawValue {
    bool is_null = true;
    Datum datum = 0;
    explicit operator bool() const noexcept { return !is_null; }
};

Param p_jsonb(const RawValue& v);

struct ArrayElements {
    int count = 0;
    Datum* values = nullptr;
    bool* nulls = nullptr;
};
ArrayElements elements_of(Datum array, Oid element_type);

class Arguments {
public:
    explicit Arguments(FunctionCallInfo fcinfo, int first = 0) : fcinfo_(fcinfo), next_(first) {}

    TextValue text();
    RawValue raw();
    std::optional<std::int64_t> bigint();
    std::optional<std::int32_t> integer();
    std::optional<bool> boolean();
    std::optional<std::int64_t> time();  // timestamptz; refuses infinity, naming `name`
    std::optional<std::vector<std::optional<std::string>>> texts();

private:
    FunctionCallInfo fcinfo_;
    int next_;
};

// Refuses with SQLSTATE 22023 unless the caller names another.
[[noreturn]] void refuse(std::string message, std::string detail = {}, std::string hint = {},
                         std::string sqlstate = "22023");
[[noreturn]] void refuse_null(const char* parameter);

}  // namespace mailer::pg
