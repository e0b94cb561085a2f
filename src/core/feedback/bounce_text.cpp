// See bounce_text.hpp. A line that begins with an address opens that address's block; its words are the block's.
#include "core/feedback/bounce_text.hpp"

#include <algorithm>
#include <array>

#include "core/feedback/bounce_rules.hpp"
#include "core/feedback/phrase_set.hpp"
#include "core/feedback/reply_code.hpp"
#include "core/feedback/text.hpp"

namespace mailer::core::feedback {

namespace {

template <std::size_t N>
PhraseSet set_of(const Sign (&signs)[N]) {
    std::vector<std::string_view> phrases;
    for (const Sign& sign : signs)
        phrases.push_back(sign.text);
    return PhraseSet(std::move(phrases));
}

template <std::size_t N>
const Sign* beginning_of(const Sign (&signs)[N], std::string_view text) {
    const auto* found =
        std::find_if(std::begin(signs), std::end(signs), [&](const Sign& sign) { return text.starts_with(sign.text); });
    return found == std::end(signs) ? nullptr : found;
}

bool is_machine_address(std::string_view value) {
    const std::string local = lowered(first_address(value));
    const std::string bare = local.empty() ? lowered(trimmed(value)) : local;
    return beginning_of(machine_senders, bare.starts_with('<') ? std::string_view{bare}.substr(1) : bare) != nullptr;
}

// "Re:", "Fwd:" and the like, which a person's program adds.
bool is_answer_subject(std::string_view subject) {
    constexpr std::array<std::string_view, 8> prefixes{"re:", "re :", "aw:", "fw:", "fwd:", "wg:", "tr:", "sv:"};
    return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view p) { return subject.starts_with(p); });
}

// The address at the start of a line, and what follows it. Codes and marks before it are skipped.
std::string leading_address(std::string_view line, std::string_view& codes, std::string_view& tail) {
    while (!line.empty() &&
           (line.front() == '*' || line.front() == '>' || line.front() == '-' || is_blank(line.front())))
        line.remove_prefix(1);
    while (line.size() > 4 && is_digit(line[0]) && (line[3] == ' ' || line[1] == '.')) {
        const auto blank = line.find(' ');
        if (blank == std::string_view::npos || blank > 9) return {};
        codes = {codes.empty() ? line.data() : codes.data(),
                 static_cast<std::size_t>(line.data() + blank - (codes.empty() ? line.data() : codes.data()))};
        line = trimmed(line.substr(blank));
    }
    const bool is_quoted = line.starts_with('<') || line.starts_with('"') || line.starts_with('\'');
    const auto at = line.find('@');
    if (at == std::string_view::npos || at > 256) return {};
    std::string address = first_address(line);
    const auto start = address.empty() ? std::string_view::npos : line.find(address);
    if (start == std::string_view::npos || start > (is_quoted ? 2U : 0U)) return {};
    tail = line.substr(start + address.size());
    while (!tail.empty() && (tail.front() == '>' || tail.front() == '"' || tail.front() == '\''))
        tail.remove_prefix(1);
    return address;
}

// "… please contact" before a line break: the address after it isn't one that failed.
bool is_contact_line(std::string_view line) {
    constexpr std::array<std::string_view, 9> words{"contact", "to",   "by",    "from",  "at",
                                                    "see",     "mail", "email", "e-mail"};
    line = trimmed(line);
    const auto blank = line.find_last_of(" \t");
    const std::string last = lowered(blank == std::string_view::npos ? line : line.substr(blank + 1));
    return std::find(words.begin(), words.end(), last) != words.end();
}

void open_block(std::vector<Block>& blocks, std::size_t& current, std::string address, std::string_view codes,
                std::string_view tail) {
    const auto known = std::find_if(blocks.begin(), blocks.end(),
                                    [&](const Block& b) { return equals_ignoring_case(b.address, address); });
    if (known == blocks.end()) {
        if (blocks.size() >= max_items) return;
        current = blocks.size();
        blocks.push_back({std::move(address), {}});
    } else {
        current = static_cast<std::size_t>(known - blocks.begin());
    }
    if (!codes.empty()) blocks[current].words.append(codes).append(" ");
    blocks[current].words.append(trimmed(tail)).append("\n");
}

}  // namespace

std::vector<Block> find_blocks(std::string_view text) {
    std::vector<Block> blocks;
    std::size_t current = 0;
    std::string_view previous;
    bool is_complete = false;
    while (!text.empty()) {
        const std::string_view line = trimmed(take_line(text));
        if (line.empty()) continue;
        std::string_view codes;
        std::string_view tail;
        std::string address;
        if (const Sign* lead = beginning_of(address_leads, comparable(line.substr(0, 100)))) {
            const std::string_view rest = line.substr(std::min(line.size(), lead->text.size()));
            address = first_address(rest);
            if (!address.empty()) tail = rest.substr(rest.find(address) + address.size());
        } else if (!is_contact_line(previous)) {
            address = leading_address(line, codes, tail);
        }
        if (!address.empty()) {
            open_block(blocks, current, std::move(address), codes, tail);
            // "<ada@example.com>... User unknown" is complete: what follows belongs to the next.
            is_complete = tail.starts_with("...") && tail.size() > 6;
        } else if (!blocks.empty() && !is_complete && blocks[current].words.size() < 16 * 1024) {
            blocks[current].words.append(line).append("\n");
        }
        previous = line;
    }
    return blocks;
}

namespace {

// X-Failed-Recipients: ada@example.com, bob@example.com
std::vector<Block> named_blocks(std::string_view header, std::vector<Block> found) {
    std::vector<Block> blocks;
    while (!header.empty() && blocks.size() < max_items) {
        const auto comma = std::min(header.find(','), header.size());
        std::string address = first_address(header.substr(0, comma));
        header.remove_prefix(std::min(header.size(), comma + 1));
        if (address.empty()) continue;
        const auto known = std::find_if(found.begin(), found.end(),
                                        [&](const Block& b) { return equals_ignoring_case(b.address, address); });
        blocks.push_back({std::move(address), known == found.end() ? std::string{} : known->words});
    }
    if (blocks.size() == 1 && found.size() == 1 && blocks[0].words.empty()) blocks[0].words = found[0].words;
    return blocks.empty() ? found : blocks;
}

std::string returned_recipient(const Mail& mail, std::string_view quoted) {
    if (const Fields* returned = mail.returned()) {
        std::string address = first_address(returned->value("to"));
        if (!address.empty()) return address;
    }
    while (!quoted.empty()) {
        const std::string_view line = trimmed(take_line(quoted));
        if (starts_ignoring_case(line, "to:")) return first_address(line.substr(3));
    }
    return {};
}

Item item_of(const Block& block, std::string_view own, bool is_only, bool is_delay) {
    Item item;
    item.kind = is_delay ? Kind::delay : Kind::bounce;
    item.address = readable(block.address, 320);
    std::string_view words = block.words;
    item.code = find_code(words);
    item.enhanced = find_enhanced(words);
    Finding finding = weigh(item.code, item.enhanced, words);
    if (is_only && finding.cause == Cause::unknown) {
        const int code = find_code(own);
        const Finding whole = weigh(code, find_enhanced(own), own);
        if (whole.cause != Cause::unknown || trimmed(words).empty()) {
            finding = whole;
            words = own;
            item.code = code;
            item.enhanced = find_enhanced(own);
        }
    }
    item.cause = finding.cause;
    item.is_hard = !is_delay && finding.is_hard();
    item.words = readable(words, max_words);
    return item;
}

}  // namespace

Sender read_sender(const Mail& mail) {
    Sender sender;
    const std::string_view from = mail.fields.value("from");
    const std::string* path = mail.fields.find("return-path");
    const bool is_null_path = path && (trimmed(*path) == "<>" || trimmed(*path).empty());
    sender.is_machine = is_machine_address(from) || from == "<>" || from.ends_with(" <>") || is_null_path ||
                        (path && is_machine_address(*path));
    const std::string subject = comparable(decoded_words(mail.fields.value("subject")));
    static const PhraseSet delays = set_of(delay_subjects);
    static const PhraseSet bounces = set_of(bounce_subjects);
    // Some put their name, or "**", before: a machine's subject may hold the words anywhere.
    sender.is_bounce_subject = beginning_of(bounce_subjects, subject) != nullptr ||
                               (sender.is_machine && !is_answer_subject(subject) && bounces.first_in(subject) >= 0);
    sender.is_delay_subject = !is_answer_subject(subject) && delays.first_in(subject) >= 0;
    sender.names_failed = mail.fields.find("x-failed-recipients") != nullptr;
    return sender;
}

std::string_view before_copy(std::string_view text, std::string_view& quoted) {
    std::string_view rest = text;
    bool is_begun = false;
    while (!rest.empty()) {
        const char* const start = rest.data();
        std::string_view line = take_line(rest);
        const bool is_indented = line.starts_with(' ') || line.starts_with('\t');
        while (!line.empty() &&
               (line.front() == '-' || line.front() == '|' || line.front() == '=' || is_blank(line.front())))
            line.remove_prefix(1);
        if (line.empty()) continue;
        const Sign* sign = beginning_of(copy_lines, comparable(line.substr(0, 80)));
        const bool is_field = sign && sign->text.ends_with(':');
        if (sign && is_begun && !(is_field && is_indented)) {
            quoted = {start, static_cast<std::size_t>(text.data() + text.size() - start)};
            return text.substr(0, static_cast<std::size_t>(start - text.data()));
        }
        is_begun = true;
    }
    quoted = {};
    return text;
}

bool is_delay_notice(const Sender& sender, std::string_view human) {
    static const PhraseSet delays = set_of(delay_texts);
    return sender.is_delay_subject || delays.first_in(comparable(human.substr(0, 4096))) >= 0;
}

std::vector<Item> read_bounce_text(const Mail& mail, const Sender& sender, std::string_view human) {
    static const PhraseSet failures = set_of(failure_texts);
    const std::string from = lowered(first_address(mail.fields.value("from")));
    const bool is_robot =
        from.starts_with("no-reply@") || from.starts_with("noreply@") || from.find("-admin@") != std::string::npos;
    const std::string subject = comparable(decoded_words(mail.fields.value("subject")));
    if (is_answer_subject(subject) && !is_machine_address(from)) return {};
    if (!sender.is_machine && !sender.is_bounce_subject && !sender.names_failed && !is_robot) return {};

    std::string_view quoted;
    const std::string_view own = before_copy(human, quoted);
    const bool says_so = sender.names_failed || failures.first_in(comparable(own)) >= 0;
    const bool is_proper = sender.is_machine && sender.is_bounce_subject;
    if (!says_so && !(is_proper && !quoted.empty())) return {};

    std::vector<Block> blocks = find_blocks(own);
    if (const std::string* named = mail.fields.find("x-failed-recipients"))
        blocks = named_blocks(*named, std::move(blocks));
    if (blocks.empty() && (sender.is_machine || sender.is_bounce_subject)) {
        std::string address = returned_recipient(mail, quoted);
        if (address.empty() && !is_proper) return {};
        blocks.push_back({std::move(address), {}});
    }
    const bool is_delay = is_delay_notice(sender, own);
    std::vector<Item> items;
    items.reserve(blocks.size());
    for (const Block& block : blocks)
        items.push_back(item_of(block, own, blocks.size() == 1, is_delay));
    return items;
}

}  // namespace mailer::core::feedback
