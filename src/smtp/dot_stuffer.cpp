// See dot_stuffer.hpp. Most bodies hold few dots at line starts: runs between them are copied whole.
#include "smtp/dot_stuffer.hpp"

#include <algorithm>

namespace mailer::smtp {

namespace {

bool is_line_end(char c) { return c == '\n' || c == '\r'; }

}  // namespace

std::size_t DotStuffer::append(std::string& out, std::size_t room, bool may_dot) {
    if (is_done_) return 0;
    const std::size_t end = at_ + std::min(room, body_.size() - at_);
    const std::string_view piece = body_.substr(0, end);  // so that the search ends with the piece
    for (std::size_t begin = at_; begin < end;) {
        const std::size_t dot = piece.find('.', begin);
        out.append(piece.substr(begin, std::min(dot, end) - begin));
        if (dot == std::string_view::npos) break;
        if (dot == 0 || is_line_end(body_[dot - 1])) out += '.';
        out += '.';
        begin = dot + 1;
    }
    at_ = end;
    if (at_ < body_.size() || !may_dot) return 0;
    if (!body_.empty() && !body_.ends_with("\r\n")) out += "\r\n";
    out += ".\r\n";
    is_done_ = true;
    return 3;
}

}  // namespace mailer::smtp
