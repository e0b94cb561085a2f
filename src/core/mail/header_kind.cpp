// See header_kind.hpp.
#include "core/mail/header_kind.hpp"

#include <algorithm>
#include <array>

#include "core/mail/header.hpp"

namespace mailer::core {
namespace {

constexpr std::array<std::string_view, 15> structured_fields{
    "References",   "In-Reply-To", "Auto-Submitted",      "Disposition-Notification-Options",
    "Precedence",   "Importance",  "Sensitivity",         "Priority",
    "Supersedes",   "Obsoletes",   "Feedback-ID",         "Expires",
    "TLS-Required", "Autocrypt",   "Original-Message-ID",
};
constexpr std::array<std::string_view, 7> address_fields{
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Errors-To",
    "X-Confirm-Reading-To",
    "Mail-Followup-To",
    "Mail-Reply-To",
    "X-Errors-To",
};

bool is_any_of(std::string_view name, const auto& fields) {
    return std::any_of(fields.begin(), fields.end(), [&](std::string_view f) { return same_field_name(name, f); });
}

// The end of the comment that begins at `at`, or npos.
std::size_t end_of_comment(std::string_view value, std::size_t at) {
    for (std::size_t i = at + 1; i < value.size(); ++i) {
        if (value[i] == '\\')
            ++i;
        else if (value[i] == '(')
            return std::string_view::npos;
        else if (value[i] == ')')
            return i + 1;
    }
    return std::string_view::npos;
}

// `"Bob, B."` as `Bob, B.`; what isn't one quoted string stays.
std::string unquoted(std::string_view text) {
    if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::string(text);
    std::string out;
    for (std::size_t i = 1; i + 1 < text.size(); ++i) {
        if (text[i] == '\\' && i + 2 < text.size()) ++i;
        out += text[i];
    }
    return out;
}

}  // namespace

FieldKind kind_of_field(std::string_view name) noexcept {
    constexpr std::string_view list = "List-";
    if (same_field_name(name, "List-Id")) return FieldKind::list_id;
    if (name.size() > list.size() && same_field_name(name.substr(0, list.size()), list)) return FieldKind::structured;
    if (is_any_of(name, structured_fields)) return FieldKind::structured;
    return is_any_of(name, address_fields) ? FieldKind::addresses : FieldKind::text;
}

std::vector<FieldPiece> split_field(std::string_view value, bool has_phrase) {
    std::vector<FieldPiece> pieces;
    if (const auto opened = value.find('<'); has_phrase && opened != std::string_view::npos && opened > 0) {
        std::string_view phrase = value.substr(0, opened);
        while (!phrase.empty() && phrase.back() == ' ')
            phrase.remove_suffix(1);
        if (!phrase.empty()) pieces.push_back({FieldPiece::Kind::phrase, " ", unquoted(phrase)});
        value.remove_prefix(opened);
        pieces.push_back({FieldPiece::Kind::word, " ", std::string(value)});
        return pieces;
    }
    while (!value.empty()) {
        const std::size_t start = std::min(value.find_first_not_of(' '), value.size());
        std::size_t end = value[start] == '(' ? end_of_comment(value, start) : std::string_view::npos;
        const bool is_comment = end != std::string_view::npos;
        if (!is_comment) end = std::min(value.find(' ', start), value.size());
        pieces.push_back({is_comment ? FieldPiece::Kind::comment : FieldPiece::Kind::word,
                          std::string(value.substr(0, start)), std::string(value.substr(start, end - start))});
        value.remove_prefix(end);
    }
    return pieces;
}

bool looks_encoded(std::string_view text) noexcept {
    for (auto at = text.find("=?"); at != std::string_view::npos; at = text.find("=?", at + 2)) {
        const auto charset_end = text.find('?', at + 2);
        if (charset_end == std::string_view::npos) return false;
        const bool has_encoding = charset_end + 2 < text.size() && text[charset_end + 2] == '?';
        if (charset_end > at + 2 && has_encoding && text.find("?=", charset_end + 3) != std::string_view::npos)
            return true;
    }
    return false;
}

}  // namespace mailer::core
