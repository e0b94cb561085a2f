// What an application may put into a header, and what it may not and why (see header.hpp).
//
// Fields that mailer writes itself can't be given twice: a second To or Content-Type makes a mail that two readers
// understand differently. Fields that only servers may write would be lies.
#include <algorithm>

#include "core/mail/header.hpp"
#include "core/mail/header_text.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t kLongestName = 76;
constexpr std::size_t kLongestValue = 32'000;  // a third of what Postfix takes for a whole header by default
constexpr std::size_t kLongestMessageId = 900;

struct OwnedField {
    std::string_view name;  // ending in "-": every name that begins so
    std::string_view hint;
};

constexpr std::string_view kFromServers = "Mail servers write it.";
constexpr std::string_view kFromContent = "It follows from the bodies and attachments.";
constexpr OwnedField kOwned[] = {
    {"From", "It is the mailbox's from_address."},
    {"Sender", "It is the mailbox's from_address."},
    {"Reply-To", "Use the parameter reply_to."},
    {"To", "Use the parameter recipient."},
    {"Cc", "Use the parameter cc."},
    {"Bcc", "Use the parameter bcc."},
    {"Subject", "Use the parameter subject."},
    {"Date", "It is the time of sending."},
    {"Message-ID", "It is made when the mail is queued. Use thread_key to hold a conversation together."},
    {"MIME-Version", kFromContent},
    {"Content-", kFromContent},
    {"Resent-", kFromServers},
    {"Received", kFromServers},
    {"Received-", kFromServers},
    {"Return-Path", kFromServers},
    {"DKIM-Signature", kFromServers},
    {"Authentication-Results", kFromServers},
    {"ARC-", kFromServers},
};

Status check_name(std::string_view name) {
    if (!is_field_name(name))
        return Error{"22023",
                     "invalid header field name " + quoted_for_error(name),
                     "A field name has 1 to 76 printable ASCII characters, without blanks and colons.",
                     {}};
    for (const OwnedField& owned : kOwned) {
        const bool is_prefix = owned.name.back() == '-';
        if (is_prefix ? starts_ignoring_case(name, owned.name) : same_field_name(name, owned.name))
            return Error{"22023", "header \"" + std::string(name) + "\" can't be set",
                         "This field is written by mailer or by mail servers.", std::string(owned.hint)};
    }
    return std::nullopt;
}

Status check_value(std::string_view name, std::string_view value) {
    if (const auto offence = find_offence(value, Tabs::kAllowed))
        return Error{"22023", "header \"" + std::string(name) + "\" holds an illegal character",
                     "Character " + std::to_string(character_number(value, offence->offset)) + " of " +
                         quoted_for_error(value) + " is " + offence->what + ".",
                     "A header value is one line; mailer folds long ones."};
    if (value.size() > kLongestValue)
        return Error{
            "22023",
            "header \"" + std::string(name) + "\" is too long",
            "It has " + std::to_string(value.size()) + " octets; " + std::to_string(kLongestValue) + " are allowed.",
            {}};
    return std::nullopt;
}

Status check_message_ids(std::string_view value) {
    while (!value.empty()) {
        const auto start = value.find_first_not_of(' ');
        if (start == std::string_view::npos) break;
        const auto end = std::min(value.find(' ', start), value.size());
        if (auto error = check_message_id(value.substr(start, end - start))) return error;
        value.remove_prefix(end);
    }
    return std::nullopt;
}

}  // namespace

bool is_field_name(std::string_view name) noexcept {
    const auto is_ftext = [](char c) { return c > ' ' && c < 0x7F && c != ':'; };
    return !name.empty() && name.size() <= kLongestName && std::all_of(name.begin(), name.end(), is_ftext);
}

bool same_field_name(std::string_view a, std::string_view b) noexcept { return equals_ignoring_case(a, b); }

Status check_message_id(std::string_view message_id) {
    const auto refuse = [&](const char* why) {
        return Error{"22023", "invalid message identifier " + quoted_for_error(message_id), why,
                     "It looks like <unique@example.com>."};
    };
    if (message_id.size() < 5 || message_id.front() != '<' || message_id.back() != '>')
        return refuse("It must stand in angle brackets.");
    if (message_id.size() > kLongestMessageId) return refuse("It is longer than 900 octets.");
    const std::string_view inner = message_id.substr(1, message_id.size() - 2);
    const auto is_allowed = [](char c) { return c > ' ' && c < 0x7F && c != '<' && c != '>'; };
    if (!std::all_of(inner.begin(), inner.end(), is_allowed))
        return refuse("It holds a blank, an angle bracket, or a character that isn't printable ASCII.");
    const auto at = inner.find('@');
    if (at == std::string_view::npos || at == 0 || at + 1 == inner.size())
        return refuse("Something must stand on both sides of an \"@\".");
    return std::nullopt;
}

Status check_subject(std::string_view subject) {
    if (const auto offence = find_offence(subject, Tabs::kAllowed))
        return Error{"22023", "invalid subject",
                     "Character " + std::to_string(character_number(subject, offence->offset)) + " of " +
                         quoted_for_error(subject) + " is " + offence->what + ".",
                     "A subject is one line."};
    return std::nullopt;
}

Status check_header(std::string_view name, std::string_view value) {
    if (auto error = check_name(name)) return error;
    if (auto error = check_value(name, value)) return error;
    if (same_field_name(name, "In-Reply-To") || same_field_name(name, "References")) return check_message_ids(value);
    std::string scratch;  // whatever can't be written is refused
    HeaderWriter writer(scratch);
    writer.application(name, without_controls(value));
    return writer.error();
}

Status check_header_template(std::string_view name, std::string_view source) {
    if (auto error = check_name(name)) return error;
    return check_value(name, source);
}

}  // namespace mailer::core
