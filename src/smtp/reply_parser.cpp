// See reply_parser.hpp. A line is gathered up to its LF, checked, and added to the reply under construction.
#include "smtp/reply_parser.hpp"

#include <algorithm>

namespace mailer::smtp {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The length of an RFC 3463 code at the start of `text` whose class fits the reply code; 0 when there is none.
std::size_t enhanced_length(std::string_view text, int code) {
    if (text.size() < 5 || text[0] != static_cast<char>('0' + code / 100) || text[1] != '.') return 0;
    std::size_t at = 2;
    for (int part = 0; part < 2; part++) {
        const std::size_t begin = at;
        while (at < text.size() && is_digit(text[at]))
            at++;
        if (at == begin || at - begin > 3) return 0;
        if (part == 0 && (at == text.size() || text[at++] != '.')) return 0;
    }
    return at == text.size() || text[at] == ' ' ? at : 0;
}

// The length of the well-formed UTF-8 sequence at `at` (RFC 3629), 0 when it isn't one or is a C1 control.
std::size_t utf8_length(std::string_view s, std::size_t at) {
    const auto byte = [&](std::size_t i) { return at + i < s.size() ? static_cast<unsigned char>(s[at + i]) : 0U; };
    const auto is_tail = [&](std::size_t i) { return (byte(i) & 0xc0U) == 0x80U; };
    const unsigned lead = byte(0);
    if (lead >= 0xc2 && lead <= 0xdf) return is_tail(1) && !(lead == 0xc2 && byte(1) < 0xa0) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (!is_tail(1) || !is_tail(2)) return 0;
        if (lead == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
        if (lead == 0xed && byte(1) > 0x9f) return 0;  // surrogate
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (!is_tail(1) || !is_tail(2) || !is_tail(3)) return 0;
        if ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f)) return 0;
        return 4;
    }
    return 0;
}

}  // namespace

void append_sanitised(std::string& text, std::string_view raw) {
    for (std::size_t at = 0; at < raw.size();) {
        const auto c = static_cast<unsigned char>(raw[at]);
        if (c < 0x80) {
            if (text.size() + 1 > core::max_reply_text) return;
            text += c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '?' : static_cast<char>(c);
            at++;
            continue;
        }
        const std::size_t length = utf8_length(raw, at);
        if (text.size() + std::max<std::size_t>(length, 1) > core::max_reply_text) return;
        if (length == 0) {
            text += '?';
            at++;
        } else {
            text.append(raw, at, length);
            at += length;
        }
    }
}

ReplyLine split_reply_line(std::string_view line) {
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r'))
        line.remove_suffix(1);
    if (line.size() < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2])) return {};
    if (line.size() > 3 && line[3] != ' ' && line[3] != '-') return {};
    const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    const bool is_last = line.size() == 3 || line[3] == ' ';
    return {code, is_last, line.size() > 3 ? line.substr(4) : std::string_view{}};
}

std::size_t ReplyParser::feed(std::string_view bytes) {
    std::size_t used = 0;
    while (state_ == State::incomplete && used < bytes.size()) {
        const std::size_t end = bytes.find('\n', used);
        const std::size_t length = (end == std::string_view::npos ? bytes.size() : end + 1) - used;
        line_size_ += length;
        if (line_size_ > max_line) {
            breaks("a reply line is too long");
            break;
        }
        line_.append(bytes, used, std::min(length, kept_line - std::min(kept_line, line_.size())));
        used += length;
        if (end != std::string_view::npos) end_line();
    }
    return state_ == State::broken ? bytes.size() : used;
}

void ReplyParser::end_line() {
    const ReplyLine line = split_reply_line(line_);
    if (line.code == 0) return breaks("a line is not an SMTP reply");
    if (lines_ > 0 && line.code != reply_.code) return breaks("the lines of a reply have different codes");
    if (++lines_ > max_lines) return breaks("a reply has too many lines");

    reply_.code = line.code;
    std::string_view text = line.text;
    if (const std::size_t length = enhanced_length(text, line.code); length > 0) {
        if (reply_.enhanced.empty()) reply_.enhanced = text.substr(0, length);
        text.remove_prefix(std::min(length + 1, text.size()));
    }
    if (lines_ > 1 && reply_.text.size() < core::max_reply_text) reply_.text += '\n';
    append_sanitised(reply_.text, text);
    line_.clear();
    line_size_ = 0;
    if (line.is_last) state_ = State::complete;
}

void ReplyParser::breaks(const char* problem) {
    state_ = State::broken;
    problem_ = problem;
    line_.clear();
    line_.shrink_to_fit();
}

core::Reply ReplyParser::take() {
    core::Reply reply = std::move(reply_);
    reply_ = {};
    lines_ = 0;
    state_ = State::incomplete;
    return reply;
}

}  // namespace mailer::smtp
