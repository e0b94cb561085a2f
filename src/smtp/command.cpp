// See command.hpp. Parameters are written only when offered: RFC 5321 4.1.1.11 forbids others.
#include "smtp/command.hpp"

#include <algorithm>

#include "core/octets.hpp"

namespace mailer::smtp {

namespace {

// A space, '<' or '>' is legal inside a quoted local part, but no server needs one and every filter fears one.
bool is_safe_path(const std::string& path) {
    return std::none_of(path.begin(), path.end(), [](char c) {
        const auto u = static_cast<unsigned char>(c);
        return u <= 0x20 || u == 0x7f || c == '<' || c == '>';
    });
}

// Of the mail itself: header and sender.
bool needs_smtputf8(const Delivery& delivery) { return delivery.needs_smtputf8 || !core::is_ascii(delivery.sender); }

bool has_utf8_recipient(const Delivery& delivery) {
    return !std::all_of(delivery.recipients.begin(), delivery.recipients.end(), core::is_ascii);
}

bool has_ascii_recipient(const Delivery& delivery) {
    return std::any_of(delivery.recipients.begin(), delivery.recipients.end(), core::is_ascii);
}

// No server said it: it has no code.
core::Reply not_sent(const char* enhanced, std::string why) { return {0, enhanced, "not sent: " + std::move(why)}; }

// RFC 3461 4: what isn't printable ASCII, + and = as + and two digits.
std::string xtext(const std::string& text) {
    constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (u > 0x20 && u < 0x7F && c != '+' && c != '=') {
            out += c;
        } else {
            out += '+';
            out += digits[u >> 4];
            out += digits[u & 15];
        }
    }
    return out;
}

}  // namespace

std::optional<core::Reply> find_misfit(const Delivery& delivery, const Capabilities& capabilities) {
    if (!is_safe_path(delivery.sender)) return not_sent("5.1.7", "the sender's address is not valid");
    for (const std::string& recipient : delivery.recipients) {
        if (recipient.empty() || !is_safe_path(recipient))
            return not_sent("5.1.3", "a recipient's address is not valid");
    }
    if (delivery.recipients.empty()) return not_sent("5.5.1", "there is no recipient");
    if (!capabilities.has_smtputf8 && (needs_smtputf8(delivery) || !has_ascii_recipient(delivery)))
        return not_sent("5.6.7", "the server does not offer SMTPUTF8, and an address needs it");
    if (delivery.is_8bit && !capabilities.has_8bitmime)
        return not_sent("5.6.3", "the server does not offer 8BITMIME, and the message needs it");
    const std::size_t size = delivery.body ? delivery.body->size() : 0;
    if (capabilities.has_size && capabilities.size_limit > 0 && size > capabilities.size_limit)
        return not_sent("5.3.4", "the message has " + std::to_string(size) + " bytes, and the server takes at most " +
                                     std::to_string(capabilities.size_limit));
    return std::nullopt;
}

std::optional<core::Reply> find_recipient_misfit(const std::string& recipient, const Capabilities& capabilities) {
    if (capabilities.has_smtputf8 || core::is_ascii(recipient)) return std::nullopt;
    return not_sent("5.6.7", "the server does not offer SMTPUTF8, and this address needs it");
}

std::string mail_command(const Delivery& delivery, const Capabilities& capabilities) {
    std::string line = "MAIL FROM:<" + delivery.sender + ">";
    if (capabilities.has_size) line += " SIZE=" + std::to_string(delivery.body ? delivery.body->size() : 0);
    if (delivery.is_8bit) line += " BODY=8BITMIME";
    const bool is_utf8 = needs_smtputf8(delivery) || has_utf8_recipient(delivery);
    if (is_utf8 && capabilities.has_smtputf8) line += " SMTPUTF8";
    if (capabilities.has_dsn && !delivery.notify.empty()) {
        line += " RET=HDRS";
        if (!delivery.envelope_id.empty()) line += " ENVID=" + xtext(delivery.envelope_id);
    }
    return line + "\r\n";
}

std::string rcpt_command(const Delivery& delivery, std::size_t recipient, const Capabilities& capabilities) {
    const std::string& address = delivery.recipients[recipient];
    std::string line = "RCPT TO:<" + address + ">";
    if (capabilities.has_dsn && !delivery.notify.empty()) {
        line += " NOTIFY=" + delivery.notify;
        if (core::is_ascii(address)) line += " ORCPT=rfc822;" + xtext(address);
    }
    return line + "\r\n";
}

}  // namespace mailer::smtp
