// Content types: checked when given, guessed from the file name when not (RFC 2045 5.1).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace mailer::core {

struct ContentType {
    std::string type;                     // `type/subtype`, lower case
    std::vector<std::string> parameters;  // `attribute=value`, legal as they stand

    bool is_in(std::string_view top_level) const noexcept;  // is_in("text")
    bool has_parameter(std::string_view name) const;        // lower case
};

// Reads `text/csv; charset=utf-8`. A `name` parameter is left out: the attachment's file name says it.
Result<ContentType> parse_content_type(std::string_view text);

// By the file name's ending; application/octet-stream for unknown ones.
std::string_view guess_content_type(std::string_view filename) noexcept;

}  // namespace mailer::core
