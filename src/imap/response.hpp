// Answers of an IMAP server, taken apart: RFC 9051, section 7, and RFC 3501.
//
// Any octets may be fed, in pieces of any size. Bounded: a line of 64 KB, a literal of 512 KB, 2 MB in all and 32
// levels; beyond them, or where brackets don't match, the parser fails permanently and says so. Untagged answers may
// come at any time: their order is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/octets.hpp"

namespace mailer::imap {

struct Value {
    enum class Kind { nil, atom, text, list };
    Kind kind = Kind::nil;
    std::string text;          // of an atom as it came, of a quoted string or literal its content
    std::vector<Value> items;  // of a list

    bool is(std::string_view word) const;  // case doesn't matter
    std::optional<std::uint32_t> number() const;
};

struct Response {
    std::string tag;            // "*", "+", or the command's
    std::string status;         // OK, NO, BAD, BYE or PREAUTH; empty: data
    std::string code;           // of a status, without brackets: "UIDVALIDITY 7"
    std::string text;           // of a status or a continuation, for people
    std::vector<Value> values;  // of data
};

class ResponseParser {
public:
    void feed(std::string_view bytes) { buffer_ += bytes; }
    std::optional<Response> next();
    bool is_broken() const { return is_broken_; }

private:
    std::optional<std::size_t> frame();

    std::string buffer_;
    std::size_t line_begin_ = 0;  // of the line that is being looked for the end of
    std::size_t scan_ = 0;
    bool is_broken_ = false;
};

using core::equals_ignoring_case;

}  // namespace mailer::imap
