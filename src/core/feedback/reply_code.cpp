// See reply_code.hpp. An IP address, a version or a part number must not be taken for a code.
#include "core/feedback/reply_code.hpp"

#include "core/feedback/text.hpp"

namespace mailer::core::feedback {

namespace {

bool is_word_octet(char c) noexcept {
    return is_digit(c) || (lowered(c) >= 'a' && lowered(c) <= 'z') || c == '.' || c == '-' || c == '_' || c == '/' ||
           c == '@' || c == '=';
}

std::size_t digits_at(std::string_view text, std::size_t at) noexcept {
    std::size_t n = 0;
    while (at + n < text.size() && is_digit(text[at + n]))
        ++n;
    return n;
}

}  // namespace

int find_code(std::string_view text) noexcept {
    for (std::size_t i = 0; i + 3 <= text.size(); ++i) {
        const bool is_first = trimmed(text.substr(0, i)).empty();
        const char c = text[i];
        if (c != '4' && c != '5' && !(c == '2' && is_first)) continue;
        if (digits_at(text, i) != 3 || text[i + 1] > '5') continue;
        if (i > 0 && is_word_octet(text[i - 1])) continue;
        if (i + 3 < text.size() && !is_blank(text[i + 3]) && text[i + 3] != '-' && text[i + 3] != ':' &&
            text[i + 3] != ',' && text[i + 3] != ')')
            continue;
        return (c - '0') * 100 + (text[i + 1] - '0') * 10 + (text[i + 2] - '0');
    }
    return 0;
}

std::string find_enhanced(std::string_view text) {
    for (std::size_t i = 0; i + 5 <= text.size(); ++i) {
        const char c = text[i];
        if ((c != '2' && c != '4' && c != '5') || text[i + 1] != '.') continue;
        if (i > 0 && is_word_octet(text[i - 1])) {
            const bool is_after_code = text[i - 1] == '-' && i >= 4 && digits_at(text, i - 4) == 3;
            if (!is_after_code) continue;
        }
        const std::size_t subject = digits_at(text, i + 2);
        if (subject < 1 || subject > 3 || i + 2 + subject >= text.size() || text[i + 2 + subject] != '.') continue;
        const std::size_t last = i + 3 + subject;
        const std::size_t detail = digits_at(text, last);
        if (detail < 1 || detail > 3) continue;
        const std::size_t end = last + detail;
        if (end < text.size() && text[end] == '.' && end + 1 < text.size() && is_digit(text[end + 1])) continue;
        return std::string{text.substr(i, end - i)};
    }
    return {};
}

}  // namespace mailer::core::feedback
