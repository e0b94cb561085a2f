// jsonb read into the core's Value, and looked at without building one.
//
// Whatever a user hands over is bounded here: core::Value refuses what is
// nested too deeply, and nothing recurses by the shape of the data.
#pragma once

#include "core/mail/value.hpp"
#include "pg/bridge/guard.hpp"

namespace mailer::pg {

// The whole document. Throws a Refusal when it is deeper than core::Value
// allows.
core::Value read_jsonb(Datum jsonb);

// A member of an object as ->> gives it, without reading the rest. Nothing: there is none of that name; an empty inner
// optional: it is null.
std::optional<std::optional<std::string>> find_member(Datum object, std::string_view name);

enum class JsonbShape { object, array, scalar };

struct JsonbFacts {
    JsonbShape shape = JsonbShape::scalar;
    bool is_empty = false;  // {} or []
    std::size_t depth = 0;  // as core::Value counts it
    std::size_t size = 0;   // octets as stored, detoasted
};

// Without building a value: for checking what is only stored now and rendered
// later.
JsonbFacts inspect_jsonb(Datum jsonb);

}  // namespace mailer::pg
