// What a mail server said: one complete SMTP reply (RFC 5321 4.2) as a value.
//
// It is made by smtp/reply_parser from bytes that nobody can be trusted with, so its text is bounded and valid
// UTF-8 without control characters: it goes into tables, logs and views as it is. It judges nothing:
// what a reply means for a message is core/outcome/verdict's alone.
#pragma once

#include <cstddef>
#include <string>

namespace mailer::core {

// Longest `text` in bytes; the rest of a longer reply is dropped.
inline constexpr std::size_t max_reply_text = 1000;

struct Reply {
    int code = 0;          // 200 … 599; 0 stands for "no reply"
    std::string enhanced;  // RFC 3463, such as "5.1.1"; empty when the server gave none
    std::string text;      // the lines without code and enhanced code, joined by \n

    bool is_positive() const { return code >= 200 && code < 300; }
    bool is_intermediate() const { return code >= 300 && code < 400; }
    bool is_temporary() const { return code >= 400 && code < 500; }
    bool is_permanent() const { return code >= 500 && code < 600; }

    bool operator==(const Reply&) const = default;
};

// "550 5.1.1 no such user", on one line, for logs.
std::string to_line(const Reply& reply);

}  // namespace mailer::core
