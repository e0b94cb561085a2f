// See notification.hpp.
#include "core/notification.hpp"

#include "core/mail/header_text.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t longest_name = 1000;  // characters; nobody's name is, and a header must end somewhere

bool begins_character(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

// Without blanks at its ends, which controls may have become.
std::string visible_name(std::string_view name) {
    const std::string plain = without_controls(name);
    const std::size_t first = plain.find_first_not_of(' ');
    if (first == std::string::npos) return {};
    return plain.substr(first, plain.find_last_not_of(' ') - first + 1);
}

}  // namespace

NotificationPlan plan_notification(const NotificationFacts& facts) noexcept {
    NotificationPlan plan;
    plan.is_in_app = facts.is_required || facts.wants_in_app;
    plan.is_collapsed = facts.has_key && !facts.is_alone;
    plan.is_mailed = facts.has_address && (facts.is_required || facts.wants_mail);
    if (!plan.is_mailed) return plan;
    if (facts.wants_digest) {
        plan.group = MailGroup::digest;
        plan.makes_mail = !facts.is_alone;
        return plan;
    }
    plan.group = plan.is_collapsed ? MailGroup::key : MailGroup::none;
    plan.makes_mail = true;
    plan.is_counted = facts.is_rated && !facts.is_alone;
    return plan;
}

std::string mail_group_name(MailGroup group, std::string_view key) {
    switch (group) {
        case MailGroup::none:
            break;
        case MailGroup::key:
            return "key:" + std::string(key);
        case MailGroup::rest:
            return "rest";
        case MailGroup::digest:
            return "digest";
    }
    return {};
}

MailGroup mail_group_of(std::string_view name) noexcept {
    if (name.empty()) return MailGroup::none;
    if (name == "rest") return MailGroup::rest;
    if (name == "digest") return MailGroup::digest;
    return MailGroup::key;
}

std::string contact_mailbox(std::string_view address, std::string_view name) {
    const std::string shown = visible_name(name);
    if (shown.empty()) return std::string(address);
    std::string out = "\"";
    std::size_t characters = 0;
    for (const char c : shown) {
        if (begins_character(c) && ++characters > longest_name) break;
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += "\" <";
    out += address;
    out += '>';
    return out;
}

}  // namespace mailer::core
