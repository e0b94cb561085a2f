// Turns a server's bytes into replies (RFC 5321 4.2), one at a time, however they are cut into packets.
//
// The bytes are hostile: lines without end, replies without end, codes that change half-way, control characters, broken
// UTF-8. The parser holds a bounded amount of memory whatever comes and never reads outside it. Once broken it stays
// broken: after nonsense nobody can tell which reply belongs to which command.
// Lenient in one thing only: a bare LF ends a line too.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/outcome/reply.hpp"

namespace mailer::smtp {

class ReplyParser {
public:
    static constexpr std::size_t kept_line = 4096;      // RFC 5321 4.5.3.1.5 says 512; what is beyond is cut
    static constexpr std::size_t max_line = 64 * 1024;  // beyond this it is no reply
    static constexpr std::size_t max_lines = 1000;      // banners have hundreds

    enum class State { incomplete, complete, broken };

    // Consumes bytes up to the end of one reply at most and returns how many; call again with the rest after take().
    // Consumes nothing when a complete reply waits to be taken, everything when broken.
    std::size_t feed(std::string_view bytes);

    State state() const { return state_; }
    bool is_between_replies() const { return state_ == State::incomplete && lines_ == 0 && line_size_ == 0; }
    const char* problem() const { return problem_; }  // why it is broken; "" otherwise

    // Requires State::complete.
    core::Reply take();

private:
    void end_line();
    void breaks(const char* problem);

    State state_ = State::incomplete;
    const char* problem_ = "";
    std::string line_;           // its first octets
    std::size_t line_size_ = 0;  // all of them
    std::size_t lines_ = 0;
    core::Reply reply_;
};

// The code of a reply line and whether more lines follow; code 0 when it isn't one.
struct ReplyLine {
    int code = 0;
    bool is_last = true;
    std::string_view text;  // after code and separator
};
ReplyLine split_reply_line(std::string_view line);

// Appends `raw` to `text` as valid UTF-8 without control characters, never beyond core::max_reply_text.
void append_sanitised(std::string& text, std::string_view raw);

}  // namespace mailer::smtp
