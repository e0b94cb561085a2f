// mailer.sender_lease: something outside the database that says whether this server is the one that sends.
//
//   http://HOST[:PORT]/PATH   asked again and again; a 200 is good for five seconds
//   file:/PATH:AGE            good while the file was touched no longer ago than that; AGE is 10s, 500ms or 1min
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/pace/time.hpp"
#include "core/result.hpp"

namespace mailer::core {

struct LeaseSource {
    enum class Kind { none, http, file };
    Kind kind = Kind::none;
    std::string address;  // the URL, or the file's path
    Duration good_for{};
};

Result<LeaseSource> parse_lease(std::string_view text);

}  // namespace mailer::core
