// See notification.hpp.
#include "core/notification.hpp"

#include <algorithm>

#include "core/mail/header_text.hpp"
#include "core/octets.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t longest_name = 1000;  // characters; nobody's name is, and a header must end somewhere

bool begins_character(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

// Without blanks at its ends, which controls may have become.
std::string visible_name(std::string_view name) { return std::string(trimmed(without_controls(name), " ")); }

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

std::vector<std::string> locale_suffixes(std::string_view locale) {
    std::vector<std::string> suffixes{std::string(locale)};
    std::vector<std::string> names;  // of the tag's beginnings: pt, pt-BR
    std::string tag;
    for (std::string_view rest = locale.substr(0, locale.find_first_of(".@")); !rest.empty();) {
        const std::size_t end = std::min(rest.find_first_of("-_"), rest.size());
        std::string part(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const bool is_region = !tag.empty() && part.size() == 2;
        const bool is_script = !tag.empty() && part.size() == 4;
        for (std::size_t i = 0; i < part.size(); ++i)
            part[i] = is_region || (is_script && i == 0) ? raised(part[i]) : lowered(part[i]);
        tag += tag.empty() ? part : "-" + part;
        names.push_back(tag);
    }
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
        suffixes.push_back(*name);
        std::replace(name->begin(), name->end(), '-', '_');
        suffixes.push_back(*name);
    }
    std::vector<std::string> once;
    for (std::string& suffix : suffixes)
        if (std::find(once.begin(), once.end(), suffix) == once.end()) once.push_back(std::move(suffix));
    return once;
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
