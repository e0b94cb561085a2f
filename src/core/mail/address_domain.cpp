// Domains: from what people type to what DNS and the wire want (RFC 5321 4.1.2, 4.1.3; RFC 5891; UTS 46).
//
// ASCII never reaches libidn2: it is lower-cased and held against the letter-digit-hyphen rule here. An `xn--` label is
// taken as it is, so that a name which IDNA2008 has no U-label for (emoji domains) can still be mailed in that form.
#include <arpa/inet.h>
#include <idn2.h>

#include <cstdint>
#include <memory>
#include <new>

#include "core/mail/address.hpp"
#include "core/mail/address_grammar.hpp"
#include "core/mail/header_text.hpp"

#include "core/octets.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t kMaxDomain = 255;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxTyped = 1024;  // octets of UTF-8 that could still become 255 of ASCII; bounds punycode's work

Error refusal(std::string_view domain, std::string what, std::string hint = {}) {
    return {"22023", "invalid mail address: " + std::move(what), "The domain is " + quoted_for_error(domain) + ".",
            std::move(hint)};
}

bool is_digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

Status check_label(std::string_view domain, std::string_view label) {
    if (label.empty())
        return refusal(domain, "the domain has an empty label", "A dot stands first, last or next to another dot.");
    if (label.size() > kMaxLabel)
        return refusal(domain, "a label of the domain is longer than " + std::to_string(kMaxLabel) + " octets");
    for (const char c : label)
        if (!is_alphanumeric(c) && c != '-')
            return refusal(domain, "the domain holds the illegal character " + quoted_for_error({&c, 1}));
    if (label.front() == '-' || label.back() == '-')
        return refusal(domain, "a label of the domain begins or ends with a hyphen");
    return std::nullopt;
}

Status check_ascii(std::string_view typed, std::string_view domain) {
    if (domain.size() > kMaxDomain)
        return refusal(typed, "the domain is longer than " + std::to_string(kMaxDomain) + " octets");
    std::string_view rest = domain;
    std::string_view label;
    for (bool is_last = false; !is_last;) {
        const auto dot = rest.find('.');
        is_last = dot == std::string_view::npos;
        label = rest.substr(0, dot);
        if (auto error = check_label(typed, label)) return error;
        if (!is_last) rest.remove_prefix(dot + 1);
    }
    if (is_digits(label))
        return refusal(typed, "the domain ends in a number", "An IP address stands in brackets: user@[192.0.2.1].");
    return std::nullopt;
}

Result<std::string> from_literal(std::string_view domain) {
    const std::string inner(domain.substr(1, domain.size() - 2));
    char canonical[INET6_ADDRSTRLEN];
    unsigned char octets[sizeof(in6_addr)];
    if (inet_pton(AF_INET, inner.c_str(), octets) == 1 && inner.find('\0') == std::string::npos) {
        inet_ntop(AF_INET, octets, canonical, sizeof canonical);
        return "[" + std::string(canonical) + "]";
    }
    std::string tag = inner.substr(0, 5);
    tag = lowered(tag);
    if (tag == "ipv6:" && inner.find('\0') == std::string::npos &&
        inet_pton(AF_INET6, inner.c_str() + 5, octets) == 1) {
        inet_ntop(AF_INET6, octets, canonical, sizeof canonical);
        return "[IPv6:" + std::string(canonical) + "]";
    }
    return refusal(domain, "the domain literal isn't an IP address",
                   "Write [192.0.2.1] for IPv4 and [IPv6:2001:db8::1] for IPv6.");
}

Result<std::string> to_a_labels(std::string_view domain) {
    const std::string typed(domain);
    std::uint8_t* converted = nullptr;
    const int rc = idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(typed.c_str()), &converted,
                                  IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (rc == IDN2_MALLOC) throw std::bad_alloc();
    if (rc != IDN2_OK)
        return refusal(domain, std::string("the domain isn't a valid international name: ") + idn2_strerror_name(rc),
                       "A domain that exists can also be written in its ASCII form (xn--…).");
    const std::unique_ptr<std::uint8_t, void (*)(void*)> owner(converted, idn2_free);
    return std::string(reinterpret_cast<const char*>(converted));
}

}  // namespace

Result<std::string> normalise_domain(std::string_view domain) {
    if (domain.empty())
        return Error{"22023", "invalid mail address: the domain is missing", "Nothing follows the \"@\".",
                     "A mail address looks like name@example.com."};
    if (const auto offence = find_offence(domain))
        return refusal(domain, "the domain holds an illegal character", "It is " + offence->what + ".");
    if (domain.size() > kMaxTyped) return refusal(domain, "the domain is too long");
    if (domain.front() == '[' && domain.back() == ']' && domain.size() > 2) return from_literal(domain);

    std::string ascii(domain);
    if (!is_ascii(domain)) {
        auto converted = to_a_labels(domain);
        if (!converted) return converted;
        ascii = std::move(converted).value();
    }
    ascii = lowered(ascii);
    if (auto error = check_ascii(domain, ascii)) return std::move(*error);
    return ascii;
}

Result<std::string> normalise_host(std::string_view host) {
    const auto refuse_host = [&](std::string what, std::string hint) {
        return Error{"22023", quoted_for_error(host) + " " + std::move(what), {}, std::move(hint)};
    };
    constexpr const char* plain = "Give the name or address of the server, without a scheme, user or port.";
    std::string_view inner = host;
    if (inner.size() > 2 && inner.front() == '[' && inner.back() == ']') inner = inner.substr(1, inner.size() - 2);
    unsigned char octets[sizeof(in6_addr)];
    const std::string numeric(inner);
    const bool is_ip = numeric.find('\0') == std::string::npos && (inet_pton(AF_INET, numeric.c_str(), octets) == 1 ||
                                                                   inet_pton(AF_INET6, numeric.c_str(), octets) == 1);
    if (is_ip) {
        return lowered(numeric);
    }
    if (host.empty()) return refuse_host("is not a host name", plain);
    if (find_offence(host)) return refuse_host("is not a host name: it holds a control character", plain);
    if (const auto colon = host.rfind(':');
        colon != std::string_view::npos && is_digits(host.substr(colon + 1)) && host.find(':') == colon)
        return refuse_host("holds a port", "Give the port by itself, as port or imap_port.");
    if (host.find_first_of(" /@:[]\"") != std::string_view::npos) return refuse_host("is not a host name", plain);
    if (host.size() > kMaxTyped) return refuse_host("is too long for a host name", {});
    std::string ascii(host);
    if (!is_ascii(host)) {
        auto converted = to_a_labels(host);
        if (!converted) return refuse_host("is not a valid international name", "Its ASCII form (xn--…) works, too.");
        ascii = std::move(converted).value();
    }
    ascii = lowered(ascii);
    if (ascii.size() > 1 && ascii.back() == '.') ascii.pop_back();
    if (ascii.size() > kMaxDomain) return refuse_host("is longer than 255 octets", {});
    std::string hyphens = ascii;  // an underscore is common in the names of containers
    for (char& c : hyphens)
        if (c == '_') c = 'a';
    std::string_view rest = hyphens;
    for (;;) {
        const auto dot = rest.find('.');
        if (check_label(host, rest.substr(0, dot))) return refuse_host("is not a host name", plain);
        if (dot == std::string_view::npos) break;
        rest.remove_prefix(dot + 1);
    }
    return ascii;
}

}  // namespace mailer::core
