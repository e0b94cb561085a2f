// Streams a message body as it goes over the wire: a dot added before each line that starts with one, and the final
// ".\r\n" (RFC 5321 4.5.2), in pieces, without ever copying the whole.
//
// A line starts after CR or LF, not only after CRLF: were a bare LF or CR ever to get into a body, a server that takes
// it for a line end must still not see an early end of data (SMTP smuggling).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mailer::smtp {

class DotStuffer {
public:
    DotStuffer() = default;
    explicit DotStuffer(std::string_view body) : body_(body) {}  // the body must outlive it

    // True when the next append() may add the final dot.
    bool is_dot_next(std::size_t room) const { return !is_done_ && body_.size() - at_ <= room; }

    // Appends at most `room` bytes of the body (and the dots they need); with `may_dot` the final dot, once the body
    // is through. Returns how many of the appended bytes belong to the final dot: 3 or 0.
    std::size_t append(std::string& out, std::size_t room, bool may_dot);

    bool is_done() const { return is_done_; }

private:
    std::string_view body_;
    std::size_t at_ = 0;
    bool is_done_ = false;
};

}  // namespace mailer::smtp
