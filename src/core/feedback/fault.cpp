// See fault.hpp. The text is compared without the codes that servers repeat in every line of it.
#include "core/feedback/fault.hpp"

#include <algorithm>
#include <string>

#include "core/feedback/fault_rules.hpp"
#include "core/feedback/phrase_set.hpp"
#include "core/feedback/text.hpp"

namespace mailer::core::feedback {

namespace {

const PhraseSet& phrases() {
    static const PhraseSet set = [] {
        std::vector<std::string_view> all;
        for (const FaultRule& rule : fault_rules)
            all.push_back(rule.phrase);
        return PhraseSet(std::move(all));
    }();
    return set;
}

// 550, 550-5.7.1, 5.7.1: what stands between the words of a folded reply.
bool is_code(std::string_view word) noexcept {
    const bool is_reply =
        word.size() >= 3 && word[0] >= '2' && word[0] <= '5' && is_digit(word[1]) && is_digit(word[2]);
    if (is_reply && word.size() == 3) return true;
    if (is_reply && word[3] == '-') word.remove_prefix(4);
    return word.size() >= 5 && (word[0] == '2' || word[0] == '4' || word[0] == '5') && word[1] == '.' &&
           std::all_of(word.begin(), word.end(), [](char c) { return is_digit(c) || c == '.'; });
}

std::string without_codes(std::string_view words) {
    const std::string text = comparable(words);
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find(' ', at), text.size());
        const std::string_view word{text.data() + at, end - at};
        if (!is_code(word)) out.append(word).append(" ");
        at = end + 1;
    }
    return out;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> codes) {
    return std::find(codes.begin(), codes.end(), text) != codes.end();
}

Fault fault_of(Cause cause) {
    switch (cause) {
        case Cause::unknown_user:
        case Cause::moved:
        case Cause::unknown_host:
            return Fault::hard;
        case Cause::authentication:
        case Cause::reputation:
        case Cause::policy:
        case Cause::content:
        case Cause::system:
            return Fault::not_its_own;
        case Cause::full:
        case Cause::disabled:
        case Cause::temporary:
        case Cause::unknown:
            break;
    }
    return Fault::soft;
}

// RFC 3463 and 7505, where the words said nothing. A bare 550 is as often a policy as a missing mailbox.
Cause cause_of_codes(int code, std::string_view enhanced) {
    if (is_one_of(enhanced, {"5.1.1", "5.1.2", "5.1.3", "5.1.10"})) return Cause::unknown_user;
    if (enhanced == "5.1.6") return Cause::moved;
    if (enhanced == "5.4.4") return Cause::unknown_host;
    if (is_one_of(enhanced, {"5.2.2", "4.2.2"})) return Cause::full;
    if (enhanced == "5.2.1") return Cause::disabled;
    if (enhanced.starts_with("5.7.") || enhanced.starts_with("5.1.7") || enhanced.starts_with("5.1.8"))
        return Cause::policy;
    if (enhanced.starts_with("5.6.") || enhanced == "5.3.4" || enhanced == "5.2.3") return Cause::content;
    if (enhanced.starts_with("4.") || (code >= 400 && code < 500)) return Cause::temporary;
    return Cause::unknown;
}

// "<a@example.com>: Recipient address rejected." and nothing more.
bool is_bare_rejection(std::string_view words) {
    words = trimmed(words);
    while (!words.empty() && (words.back() == '.' || words.back() == ' '))
        words.remove_suffix(1);
    return words.ends_with("recipient address rejected");
}

}  // namespace

Finding weigh(int code, std::string_view enhanced, std::string_view words) {
    const std::string text = without_codes(words.substr(0, 16 * 1024));
    const int rule = phrases().first_in(text);
    Cause cause = rule == PhraseSet::none ? cause_of_codes(code, enhanced) : fault_rules[rule].cause;
    if (rule == PhraseSet::none && code >= 500 && is_bare_rejection(text)) cause = Cause::unknown_user;
    return {cause, fault_of(cause)};
}

std::string_view to_text(Cause cause) {
    switch (cause) {
        case Cause::unknown:
            return "unknown";
        case Cause::authentication:
            return "authentication";
        case Cause::reputation:
            return "reputation";
        case Cause::policy:
            return "policy";
        case Cause::content:
            return "content";
        case Cause::full:
            return "full";
        case Cause::disabled:
            return "disabled";
        case Cause::unknown_user:
            return "unknown_user";
        case Cause::moved:
            return "moved";
        case Cause::temporary:
            return "temporary";
        case Cause::unknown_host:
            return "unknown_host";
        case Cause::system:
            return "system";
    }
    return "unknown";
}

}  // namespace mailer::core::feedback
