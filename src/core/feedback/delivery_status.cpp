// See delivery_status.hpp. Groups are separated by empty lines; field names are compared without case.
#include "core/feedback/delivery_status.hpp"

#include <algorithm>

#include "core/feedback/reply_code.hpp"
#include "core/feedback/text.hpp"

namespace mailer::core::feedback {

namespace {

// "rfc822; ada@example.com" without its type.
std::string_view typed_value(std::string_view value) {
    const auto semicolon = value.find(';');
    return semicolon == std::string_view::npos ? value : trimmed(value.substr(semicolon + 1));
}

std::string recipient_of(const Fields& group, std::string_view field) {
    const std::string_view value = typed_value(group.value(field));
    return readable(first_address(value), 320);
}

std::optional<Kind> kind_of(std::string_view action, std::string_view status) {
    if (equals_ignoring_case(action, "delayed")) return Kind::delay;
    if (equals_ignoring_case(action, "delivered") || equals_ignoring_case(action, "relayed") ||
        equals_ignoring_case(action, "expanded"))
        return Kind::delivered;
    if (starts_ignoring_case(action, "failed") || starts_ignoring_case(action, "expired")) return Kind::bounce;
    if (action.empty()) {  // a field that was cut: the status says it
        if (status.starts_with('5')) return Kind::bounce;
        if (status.starts_with('4')) return Kind::delay;
        if (status.starts_with('2')) return Kind::delivered;
        return std::nullopt;
    }
    return Kind::bounce;
}

// Where the text names the address, its lines are about it, and their codes are the server's; else all of it may be.
std::string_view reason_for(const Item& item, const Explanation& human, bool& is_its_own) {
    for (const Block& block : human.blocks) {
        is_its_own = !trimmed(block.words).empty() && (equals_ignoring_case(block.address, item.address) ||
                                                       equals_ignoring_case(block.address, item.original_address));
        if (is_its_own) return block.words;
    }
    return human.text;
}

std::optional<Item> item_of(const Fields& group, const Explanation& human) {
    const std::string_view status = group.value("status");
    const std::string_view action = group.value("action");
    const bool has_recipient = group.find("final-recipient") || group.find("original-recipient");
    if (!has_recipient) return std::nullopt;
    const auto kind = kind_of(trimmed(action.substr(0, action.find(' '))), status);
    if (!kind) return std::nullopt;

    Item item;
    item.kind = *kind;
    item.original_address = recipient_of(group, "original-recipient");
    item.address = recipient_of(group, "final-recipient");
    if (item.address.empty()) item.address = item.original_address;

    const std::string_view diagnostic = group.value("diagnostic-code");
    const std::string_view type = trimmed(diagnostic.substr(0, diagnostic.find(';')));
    const bool is_smtp = diagnostic.find(';') == std::string_view::npos || equals_ignoring_case(type, "smtp");
    std::string_view words = typed_value(diagnostic);
    if (diagnostic.find(';') > 20) words = diagnostic;  // the semicolon is the text's
    const bool is_silent = words.size() < 5;
    bool is_its_own = false;
    if (is_silent) words = status.size() > 8 ? status : reason_for(item, human, is_its_own);

    item.enhanced = find_enhanced((is_smtp && !is_silent) || is_its_own ? words : std::string_view{});
    if (item.enhanced.empty()) item.enhanced = find_enhanced(status);
    item.code = find_code(words.substr(0, 2000));
    const Finding finding = weigh(item.code, item.enhanced, words);
    item.cause = finding.cause;
    item.is_hard = item.kind == Kind::bounce && finding.is_hard();
    item.words = readable(is_silent && !is_its_own && status.size() <= 8 ? item.enhanced : words, max_words);
    return item;
}

void take_group(const Fields& group, const Explanation& human, StatusReport& report) {
    if (const auto id = group.value("original-envelope-id"); !id.empty() && report.envelope_id.empty())
        report.envelope_id = readable(id, 200);
    if (auto item = item_of(group, human); item && report.items.size() < max_items)
        report.items.push_back(std::move(*item));
}

}  // namespace

void read_delivery_status(std::string_view text, const Explanation& human, StatusReport& report) {
    report.is_report = true;
    while (!text.empty()) {
        const std::size_t before = text.size();
        const Fields group = take_fields(text);
        if (!group.empty()) take_group(group, human, report);
        if (text.size() == before) take_line(text);  // no field: skip it
    }
}

void find_delivery_status(std::string_view text, StatusReport& report) {
    while (!text.empty()) {
        std::string_view ahead = text;
        const std::string_view line = trimmed(take_line(ahead));
        const bool is_start =
            starts_ignoring_case(line, "final-recipient:") || starts_ignoring_case(line, "original-recipient:") ||
            starts_ignoring_case(line, "reporting-mta:") || starts_ignoring_case(line, "action: failed");
        if (!is_start) {
            text = ahead;
            continue;
        }
        const Fields group = take_fields(text);
        if (text.size() > ahead.size()) text = ahead;
        take_group(group, {}, report);
    }
}

}  // namespace mailer::core::feedback
