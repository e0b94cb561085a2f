// Reads an RFC 5322 3.4 address-list. One pass over the text, no recursion, nothing quadratic.
//
// Stricter than the obsolete grammar (no routes, no empty elements, no dots at odd places), since a person who types
// such an address means something else. Laxer in one point: a dot in an unquoted name (`John Q. Public <…>`) is valid.
#include <algorithm>
#include <optional>

#include "core/bounds.hpp"
#include "core/mail/address.hpp"
#include "core/mail/address_grammar.hpp"
#include "core/mail/header_text.hpp"
#include "core/octets.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t usual_words = 4;  // of a name, at the most

struct Word {
    std::string text;
    std::size_t start;
    bool is_quoted;
};

class AddressListParser {
public:
    AddressListParser(std::string_view text, EmptyGroups groups) : text_(text), groups_(groups) {}

    Result<std::vector<Address>> parse();

private:
    bool at_end() const { return at_ >= text_.size(); }
    char peek() const { return at_end() ? '\0' : text_[at_]; }
    bool take(char c) {
        if (at_end() || text_[at_] != c) return false;
        ++at_;
        return true;
    }

    // All of these return false after setting error_.
    bool element(bool in_group);
    bool group(std::size_t start, bool in_group);
    bool address_spec(const Word& local, std::string name);
    bool angle(std::string name, std::vector<Word>& local);  // uses the memory of `local`
    bool words(std::vector<Word>& out);
    bool quoted_string(std::string& out);
    bool skip_blanks();
    bool separator(bool in_group);
    bool fail(std::size_t at, std::string what, std::string hint = {});
    bool fail_missing_at(const std::vector<Word>& words);
    std::string name_hint(std::size_t start) const;

    std::string_view text_;
    EmptyGroups groups_;
    std::size_t at_ = 0;
    std::vector<Address> found_ = {};
    std::optional<Error> error_ = {};
};

bool AddressListParser::fail(std::size_t at, std::string what, std::string hint) {
    error_ = Error{"22023", "invalid mail address: " + std::move(what),
                   "The problem is at character " + std::to_string(character_number(text_, at)) + " of " +
                       quoted_for_error(text_) + ".",
                   std::move(hint)};
    return false;
}

// Blanks and comments (CFWS). Comments nest; a backslash takes the next character's meaning away.
bool AddressListParser::skip_blanks() {
    std::size_t depth = 0;
    std::size_t opened = 0;
    for (; !at_end(); ++at_) {
        const char c = text_[at_];
        if (c == '(') {
            if (depth++ == 0) opened = at_;
        } else if (c == ')' && depth > 0) {
            --depth;
        } else if (c == '\\' && depth > 0) {
            ++at_;
        } else if (depth == 0 && c != ' ' && c != '\t') {
            break;
        }
    }
    if (at_ > text_.size()) at_ = text_.size();
    if (depth > 0) return fail(opened, "a comment isn't closed", "A \"(\" needs its \")\".");
    return true;
}

bool AddressListParser::quoted_string(std::string& out) {
    const std::size_t opened = at_++;
    while (!at_end() && text_[at_] != '"') {
        if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
        if (text_[at_] == '\t') return fail(at_, "a quoted part holds a tab");
        out += text_[at_++];
    }
    if (!take('"')) return fail(opened, "a double quote isn't closed");
    return true;
}

// Atoms (with dots) and quoted strings up to the next special character.
bool AddressListParser::words(std::vector<Word>& out) {
    for (;;) {
        if (!skip_blanks()) return false;
        Word word{{}, at_, peek() == '"'};
        if (word.is_quoted) {
            if (!quoted_string(word.text)) return false;
        } else {
            while (!at_end() && (is_atext(text_[at_]) || text_[at_] == '.'))
                ++at_;
            if (at_ == word.start) return true;
            word.text = text_.substr(word.start, at_ - word.start);
        }
        out.push_back(std::move(word));
    }
}

// What stands between `local` and here is "@"; reads the domain and keeps the address.
bool AddressListParser::address_spec(const Word& local, std::string name) {
    if (!local.is_quoted && !is_dot_atom(local.text))
        return fail(local.start, "a dot stands at an illegal place in " + quoted_for_error(local.text),
                    "If the dot belongs there, put the part before \"@\" in double quotes.");
    if (!take('@')) return fail(at_, "\"@\" is missing");
    if (!skip_blanks()) return false;
    const std::size_t start = at_;
    if (peek() == '[') {
        while (!at_end() && text_[at_] != ']')
            ++at_;
        if (!take(']')) return fail(start, "a bracket isn't closed");
    } else {
        while (!at_end() && (is_atext(text_[at_]) || text_[at_] == '.'))
            ++at_;
    }
    auto domain = normalise_domain(text_.substr(start, at_ - start));
    if (domain) {
        found_.push_back({std::move(name), local.text, std::move(domain).value()});
        if (auto error = check_beside_domain(found_.back())) error_ = std::move(error);
    } else {
        error_ = domain.error();
    }
    if (error_) {
        error_->detail += " It is part of " + quoted_for_error(text_) + ", at character " +
                          std::to_string(character_number(text_, local.start)) + ".";
        return false;
    }
    if (!skip_blanks()) return false;
    if (peek() == '@') return fail(at_, "a second \"@\"", "Put the part before the last \"@\" in double quotes.");
    return true;
}

bool AddressListParser::angle(std::string name, std::vector<Word>& local) {
    const std::size_t opened = at_++;
    local.clear();
    if (!words(local)) return false;
    if (local.empty() && peek() == '@')
        return fail(at_, "nothing stands before \"@\"", "Source routes (<@relay:user@host>) are not supported.");
    if (local.empty()) return fail(opened, "the angle brackets are empty");
    if (peek() != '@') return fail_missing_at(local);
    if (local.size() > 1) return fail(local[1].start, "a blank stands in the part before \"@\"");
    if (!address_spec(local.front(), std::move(name))) return false;
    if (!take('>')) return fail(at_, "\">\" is missing");
    return skip_blanks();
}

// What begins at `start` and holds a special character is the name of the address in angle brackets behind it.
// Empty: there are no such brackets before the next comma.
std::string AddressListParser::name_hint(std::size_t start) const {
    const std::string_view rest = text_.substr(start, std::min(text_.find(',', start), text_.size()) - start);
    const auto opened = rest.find('<');
    if (opened == std::string_view::npos) return {};
    std::string_view name = rest.substr(0, opened);
    while (!name.empty() && name.back() == ' ')
        name.remove_suffix(1);
    return "Put the name in double quotes: \"" + std::string(whole_characters(name, 60)) + "\" " +
           std::string(whole_characters(rest.substr(opened), 60));
}

bool AddressListParser::fail_missing_at(const std::vector<Word>& words) {
    std::string hint = peek() == ',' ? "" : name_hint(words.front().start);
    if (hint.empty())
        hint = peek() == ',' ? "A name that holds a comma or another special character stands in double quotes."
                             : "A mail address looks like name@example.com.";
    return fail(words.back().start, "\"@\" and a domain are missing after " + quoted_for_error(words.back().text),
                std::move(hint));
}

bool AddressListParser::group(std::size_t start, bool in_group) {
    if (in_group) return fail(start, "a group inside a group");
    ++at_;
    for (;;) {
        if (!skip_blanks()) return false;
        if (take(';')) break;
        if (at_end() || !element(true)) {
            // What element() found is the better word, unless the ";" is missing altogether.
            if (error_ && text_.find(';', start) != std::string_view::npos) return false;
            std::string hint = name_hint(start);
            if (hint.empty()) hint = "A group ends in \";\": Team: ada@example.com;";
            return fail(start, "a group isn't closed", std::move(hint));
        }
    }
    return skip_blanks();
}

bool AddressListParser::element(bool in_group) {
    if (!skip_blanks()) return false;
    const std::size_t start = at_;
    std::vector<Word> before;
    before.reserve(usual_words);
    if (!words(before)) return false;
    if (peek() == '<') {
        std::string name;
        for (const Word& word : before) {
            if (!name.empty()) name += ' ';
            name += word.text;
        }
        return angle(std::move(name), before) && separator(in_group);
    }
    if (before.empty()) {
        if (at_end() || peek() == ',') return fail(start, "an empty element in the list", "Remove the extra comma.");
        if (peek() == '@') return fail(at_, "nothing stands before \"@\"");
        return fail(at_, "unexpected " + quoted_for_error(text_.substr(at_, 1)));
    }
    if (peek() == ':' && before.size() == 1 && equals_ignoring_case(before.front().text, "mailto"))
        return fail(start, "\"mailto:\" belongs to a link, not to an address",
                    "Drop mailto: and keep what follows it.");
    if (peek() == ':') return group(start, in_group) && separator(in_group);
    if (peek() != '@') return fail_missing_at(before);
    if (before.size() > 1)
        return fail(before[1].start, "a blank stands in the part before \"@\"",
                    "With a name, the address stands in angle brackets: Ada <ada@example.com>.");
    if (!address_spec(before.front(), {})) return false;
    if (peek() == '<') return fail(start, "an address is followed by another one", name_hint(start));
    return separator(in_group);
}

// After an element: the comma and, behind it, the promise of one more; or the end of the list or group.
bool AddressListParser::separator(bool in_group) {
    if (at_end()) return true;
    if (in_group && peek() == ';') return true;
    if (!take(','))
        return fail(at_, "unexpected " + quoted_for_error(text_.substr(at_, 1)), "Addresses are separated by commas.");
    if (!skip_blanks()) return false;
    if (at_end() || (in_group && peek() == ';'))
        return fail(at_, "nothing follows the last comma", "Remove the extra comma.");
    return true;
}

Result<std::vector<Address>> AddressListParser::parse() {
    if (const auto offence = find_offence(text_, Tabs::kAllowed)) {
        fail(offence->offset, offence->what,
             "Addresses hold no line ends and other control characters. Separate them with commas.");
        return std::move(*error_);
    }
    if (!skip_blanks()) return std::move(*error_);
    if (at_end()) {
        fail(0, "there is none", "A mail address looks like name@example.com.");
        return std::move(*error_);
    }
    while (!at_end())
        if (!element(false)) return std::move(*error_);
    if (found_.empty() && groups_ == EmptyGroups::refused) {
        fail(0, "the list has only empty groups");
        return std::move(*error_);
    }
    return std::move(found_);
}

}  // namespace

Result<std::vector<Address>> parse_address_list(std::string_view text, EmptyGroups groups) {
    if (text.size() > longest_addresses)
        return Error{
            "54000",
            "the list of addresses is too long",
            "It has " + std::to_string(text.size()) + " octets; " + std::to_string(longest_addresses) + " are allowed.",
            {}};
    Result<std::vector<Address>> list = AddressListParser(text, groups).parse();
    if (!list) return list;
    for (const Address& address : *list) {
        if (address.name.size() > longest_display_name)
            return Error{"54000",
                         "a display name is too long",
                         "It has " + std::to_string(address.name.size()) + " octets; " +
                             std::to_string(longest_display_name) + " are allowed.",
                         {}};
    }
    return list;
}

Result<Address> parse_address(std::string_view text) {
    auto list = parse_address_list(text);
    if (!list) return list.error();
    if (list->size() != 1)
        return Error{"22023",
                     "invalid mail address: exactly one is wanted",
                     "There are " + std::to_string(list->size()) + " in " + quoted_for_error(text) + ".",
                     {}};
    return std::move(list->front());
}

}  // namespace mailer::core
