// See header_words.hpp. Sizes are counted in octets of the encoded form; characters are cut by their UTF-8 lead octet.
#include "core/mail/header_words.hpp"

#include <algorithm>

#include "core/mail/address_grammar.hpp"
#include "core/mail/header_text.hpp"
#include "core/mail/mime_encode.hpp"

namespace mailer::core {
namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr std::size_t kFrame = 12;  // =?utf-8?Q??=

void append_octet(char mark, char c, std::string& out) {
    const auto octet = static_cast<unsigned char>(c);
    out += mark;
    out += kHex[octet >> 4];
    out += kHex[octet & 0x0F];
}

std::size_t character_length(char lead) noexcept {
    const auto octet = static_cast<unsigned char>(lead);
    return octet < 0xC0 ? 1 : octet < 0xE0 ? 2 : octet < 0xF0 ? 3 : 4;
}

// RFC 2047 4.2 and 5: a phrase takes letters, digits and these five; text takes what doesn't mean something in Q.
bool stays_as_it_is(char c, WordPlace place) noexcept {
    if (is_alphanumeric(c)) return true;
    if (place == WordPlace::kPhrase) return std::string_view("!*+-/").find(c) != std::string_view::npos;
    return c > ' ' && c < 0x7F && c != '=' && c != '?' && c != '_';
}

bool is_token_char(char c) noexcept {
    return c > ' ' && c < 0x7F && std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
}

// RFC 5987 attr-char: what an extended value holds without a percent sign.
bool is_attribute_char(char c) noexcept {
    return is_alphanumeric(c) || (c != '\0' && std::string_view("!#$&+-.^_`|~").find(c) != std::string_view::npos);
}

}  // namespace

EncodedWords::EncodedWords(std::string_view text, WordPlace place) : rest_(text), place_(place) {
    std::size_t q = 0;
    for (const char c : text)
        q += width(c);
    prefers_base64_ = (text.size() + 2) / 3 * 4 * 4 < q * 3;  // Q may take a third more
}

std::size_t EncodedWords::width(char c) const noexcept { return c == ' ' || stays_as_it_is(c, place_) ? 1 : 3; }

std::size_t EncodedWords::whole_size() const noexcept {
    if (prefers_base64_) return kFrame + (rest_.size() + 2) / 3 * 4;
    std::size_t size = kFrame;
    for (const char c : rest_)
        size += width(c);
    return size;
}

std::size_t EncodedWords::octets_for_q(std::size_t room) const noexcept {
    std::size_t taken = 0;
    while (taken < rest_.size()) {
        const std::size_t length = std::min(character_length(rest_[taken]), rest_.size() - taken);
        std::size_t cost = 0;
        for (std::size_t i = 0; i < length; ++i)
            cost += width(rest_[taken + i]);
        if (cost > room) break;
        room -= cost;
        taken += length;
    }
    return taken;
}

// Zero when no character ends on a group of three before the room does.
std::size_t EncodedWords::octets_for_base64(std::size_t room) const noexcept {
    const std::size_t most = room / 4 * 3;
    if (rest_.size() <= most) return rest_.size();
    std::size_t best = 0;
    for (std::size_t end = 0; end <= most; end += character_length(rest_[end]))
        if (end % 3 == 0) best = end;
    return best;
}

void EncodedWords::append_next(std::size_t room, std::string& out) {
    room = std::min(room, kLongestWord) - kFrame;
    std::size_t octets = prefers_base64_ ? octets_for_base64(room) : 0;
    const bool is_base64 = octets > 0;
    if (!is_base64) octets = octets_for_q(room);
    const std::string_view piece = rest_.substr(0, octets);
    rest_.remove_prefix(piece.size());
    out += is_base64 ? "=?utf-8?B?" : "=?utf-8?Q?";
    if (is_base64) {
        append_base64(piece, out, Base64Lines::kNone);
    } else {
        for (const char c : piece) {
            if (c == ' ')
                out += '_';
            else if (stays_as_it_is(c, place_))
                out += c;
            else
                append_octet('=', c, out);
        }
    }
    out += "?=";
}

bool is_token(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

void append_parameter(std::string_view name, std::string_view value, std::vector<std::string>& parameters) {
    constexpr std::size_t kRoom = kHeaderLine - 2;  // the blank that folds it and its semicolon
    // Escapes inside quotes and encoded words as file names confuse readers: such names are extended, too.
    const bool is_plain = is_ascii(value) && value.find_first_of("\"\\%") == std::string_view::npos &&
                          value.find("=?") == std::string_view::npos && value.find("''") == std::string_view::npos;
    if (is_plain && name.size() + value.size() + 3 <= kRoom) {
        std::string parameter(name);
        parameter += '=';
        if (!value.empty() && std::all_of(value.begin(), value.end(), is_attribute_char)) {
            parameter += value;
        } else {
            parameter += '"';
            parameter += value;
            parameter += '"';
        }
        parameters.push_back(std::move(parameter));
        return;
    }

    std::vector<std::string> pieces(1);
    const std::size_t room = kRoom - name.size() - std::string_view("*999*=").size();
    for (std::size_t i = 0; i < value.size();) {
        const std::size_t length = std::min(character_length(value[i]), value.size() - i);
        std::string character;
        for (const char c : value.substr(i, length))
            is_attribute_char(c) ? character += c : (append_octet('%', c, character), character);
        const std::size_t taken = pieces.back().size() + (pieces.size() == 1 ? std::string_view("utf-8''").size() : 0);
        if (taken + character.size() > room) pieces.emplace_back();
        pieces.back() += character;
        i += length;
    }
    for (std::size_t n = 0; n < pieces.size(); ++n) {
        std::string parameter(name);
        parameter += '*';
        if (pieces.size() > 1) parameter += std::to_string(n) + "*";
        parameter += n == 0 ? "=utf-8''" : "=";
        parameter += pieces[n];
        parameters.push_back(std::move(parameter));
    }
}

}  // namespace mailer::core
