// See secret.hpp.
#include "oauth/secret.hpp"

#include "core/octets.hpp"
#include "oauth/request.hpp"

namespace mailer::oauth {

namespace {

constexpr std::size_t longest_text = 500;
constexpr std::size_t token_like = 48;  // trace and correlation ids have 36
constexpr std::string_view mask = "[…]";

void replace_all(std::string& text, std::string_view what) {
    if (what.empty()) return;
    for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += mask.size())
        text.replace(at, what.size(), mask);
}

bool is_token_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '~' || c == '+' || c == '=' || c == '%';
}

// A URL is no token: '/' and ':' end a run.
void mask_tokens(std::string& text) {
    for (std::size_t begin = 0; begin < text.size();) {
        std::size_t end = begin;
        while (end < text.size() && is_token_character(text[end]))
            ++end;
        if (end - begin >= token_like) {
            text.replace(begin, end - begin, mask);
            end = begin + mask.size();
        }
        begin = end + 1;
    }
}

}  // namespace

std::string without_secrets(std::string_view text, std::span<const std::string_view> secrets) {
    std::string out(text.substr(0, 16 * longest_text));
    for (const std::string_view secret : secrets) {
        replace_all(out, secret);
        replace_all(out, form_encoded(secret));
    }
    mask_tokens(out);
    std::string line;
    bool is_space = true;
    for (const char c : out) {
        const bool is_blank = static_cast<unsigned char>(c) <= ' ' || c == 0x7f;
        if (!is_blank) line += c;
        if (is_blank && !is_space) line += ' ';
        is_space = is_blank;
    }
    if (line.ends_with(' ')) line.pop_back();
    return std::string(core::whole_characters(line, longest_text));
}

}  // namespace mailer::oauth
