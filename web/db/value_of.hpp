// What a statement gave back, as values that templates read.
#pragma once

#include <libpq-fe.h>

#include "core/mail/value.hpp"

namespace mailer::web {

// An array of objects: one a row, with a member a column. NULL is null.
core::Value value_of(const PGresult& result);

// A JSON text; null where it is none.
core::Value value_of_json(std::string_view text);

}  // namespace mailer::web
