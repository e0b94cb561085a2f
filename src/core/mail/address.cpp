// What an Address is worth once it is a value: its spelling on the wire and for people, and whether it may be used.
// Reading one from text is address_parse.cpp's, domains are address_domain.cpp's, identity is address_key.cpp's.
//
// Limits are RFC 5321 4.5.3.1: they count octets of the wire form, quotes included.
#include "core/mail/address.hpp"

#include <unictype.h>
#include <unistr.h>

#include <algorithm>
#include <cstdint>

#include "core/mail/address_grammar.hpp"
#include "core/mail/header_text.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t kMaxLocal = 64;
constexpr std::size_t kMaxPath = 256;  // with the angle brackets

void append_quoted(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += '"';
}

// Of a local part, quoted where it must be.
std::size_t wire_octets(std::string_view local) {
    if (is_dot_atom(local)) return local.size();
    const auto escaped = std::count_if(local.begin(), local.end(), [](char c) { return c == '"' || c == '\\'; });
    return local.size() + static_cast<std::size_t>(escaped) + 2;
}

void append_mailbox(std::string& out, const Address& address) {
    if (is_dot_atom(address.local))
        out += address.local;
    else
        append_quoted(out, address.local);
    out += '@';
    out += address.domain;
}

// The first character that nobody sees but the server: blanks beyond ASCII, zero-width marks, bidi controls. In a local
// part they come from copying out of a web page and make a mail that bounces. The joiners U+200C/D spell Persian words.
std::optional<std::size_t> find_invisible(std::string_view text) {
    if (is_ascii(text)) return std::nullopt;
    const auto* p = reinterpret_cast<const std::uint8_t*>(text.data());
    for (std::size_t i = 0; i < text.size();) {
        ucs4_t c = 0;
        const int length = u8_mbtouc(&c, p + i, text.size() - i);
        const bool is_joiner = c == 0x200C || c == 0x200D;
        if (c != ' ' && !is_joiner &&
            uc_is_general_category_withtable(
                c, UC_CATEGORY_MASK_Zs | UC_CATEGORY_MASK_Zl | UC_CATEGORY_MASK_Zp | UC_CATEGORY_MASK_Cf))
            return i;
        i += static_cast<std::size_t>(length);
    }
    return std::nullopt;
}

Error refusal(std::string what, std::string detail, std::string hint = {}) {
    return {"22023", "invalid mail address: " + std::move(what), std::move(detail), std::move(hint)};
}

Status check_local(const Address& address) {
    const std::string& local = address.local;
    if (local.empty()) return refusal("the part before \"@\" is empty", "The domain is \"" + address.domain + "\".");
    if (const auto offence = find_offence(local))
        return refusal("the part before \"@\" holds an illegal character",
                       "Character " + std::to_string(character_number(local, offence->offset)) + " of " +
                           quoted_for_error(local) + " is " + offence->what + ".");
    if (const auto at = find_invisible(local))
        return refusal(
            "the part before \"@\" holds an invisible character",
            "It is character " + std::to_string(character_number(local, *at)) + " of " + quoted_for_error(local) + ".",
            "It may have been copied from a web page: type the address again.");
    return std::nullopt;
}

}  // namespace

std::string Address::mailbox() const {
    std::string out;
    out.reserve(local.size() + domain.size() + 4);
    append_mailbox(out, *this);
    return out;
}

bool Address::needs_smtputf8() const noexcept { return !is_ascii(local); }

Status check_address(const Address& address) {
    const auto domain = normalise_domain(address.domain);
    if (!domain) return domain.error();
    if (*domain != address.domain)
        return refusal("the domain isn't in wire form", "It is " + quoted_for_error(address.domain) +
                                                            " and should be " + quoted_for_error(*domain) + ".");
    return check_beside_domain(address);
}

Status check_beside_domain(const Address& address) {
    if (auto error = check_local(address)) return error;
    const std::size_t local_octets = wire_octets(address.local);
    const std::size_t octets = local_octets + 1 + address.domain.size();
    if (local_octets > kMaxLocal)
        return refusal(
            "the part before \"@\" is too long",
            "It has " + std::to_string(local_octets) + " octets; RFC 5321 allows " + std::to_string(kMaxLocal) + ".");
    if (octets + 2 > kMaxPath)
        return refusal("it is too long", "It has " + std::to_string(octets) + " octets; RFC 5321 allows " +
                                             std::to_string(kMaxPath - 2) + ".");
    if (const auto offence = find_offence(address.name))
        return refusal("the name holds an illegal character",
                       "Character " + std::to_string(character_number(address.name, offence->offset)) + " of " +
                           quoted_for_error(address.name) + " is " + offence->what + ".");
    return std::nullopt;
}

bool may_send_as(const Address& wanted, std::string_view from_address, const std::vector<std::string>& allowed) {
    const std::string key = address_key(wanted);
    const auto is_it = [&](std::string_view entry) {
        if (entry.starts_with('@')) return entry.substr(1) == wanted.domain;
        const auto address = parse_address(entry);
        return address && address_key(*address) == key;
    };
    return is_it(from_address) || std::any_of(allowed.begin(), allowed.end(), is_it);
}

std::string address_with_name(std::string_view name, Address address) {
    address.name = trimmed(without_controls(name), " ");
    return format_address(address);
}

std::string format_address(const Address& address) {
    std::string out;
    out.reserve(address.name.size() + address.local.size() + address.domain.size() + 8);
    if (address.name.empty()) {
        append_mailbox(out, address);
        return out;
    }
    if (is_phrase(address.name))
        out += address.name;
    else
        append_quoted(out, address.name);
    out += " <";
    append_mailbox(out, address);
    out += '>';
    return out;
}

}  // namespace mailer::core
