// See raw.hpp. One pass over the lines of the header, one over those of the body.
#include "core/mail/raw.hpp"

#include <algorithm>

#include "core/mail/header.hpp"
#include "core/mail/header_date.hpp"
#include "core/mail/header_text.hpp"

#include "core/octets.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t longest_line = 998;  // RFC 5322 2.1.1
constexpr std::size_t longest_subject = 1000;

Error refusal(std::string detail, std::string hint = {}) {
    return {"22023", "the source is not a mail that can be sent", std::move(detail), std::move(hint)};
}

// The next line without its end; takes it off.
std::string_view take_line(std::string_view& rest) {
    const auto end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
}

Status check_line(std::string_view line, std::size_t number) {
    const std::string where = "Line " + std::to_string(number) + " ";
    if (line.size() > longest_line)
        return refusal(where + "has " + std::to_string(line.size()) + " octets, and 998 are allowed (RFC 5322 2.1.1).",
                       "Encode the part in quoted-printable or base64.");
    if (line.find('\r') != std::string_view::npos) return refusal(where + "holds a CR that doesn't end it.");
    if (line.find('\0') != std::string_view::npos) return refusal(where + "holds a NUL.");
    return std::nullopt;
}

// Reads the fields that matter, one after the other.
class Header {
public:
    // A field with its lines joined.
    Status add(std::string_view name, std::string_view value) {
        value = trimmed(value, wsp);
        if (same_field_name(name, "Bcc"))
            return refusal("It has a Bcc, which everybody who gets it would see.",
                           "Leave it out: the recipients are a parameter.");
        if (same_field_name(name, "From")) return addresses("From", facts_.from, value, has_from_);
        if (same_field_name(name, "Sender")) return addresses("Sender", facts_.sender, value, has_sender_);
        if (same_field_name(name, "Date")) return once("Date", facts_.has_date);
        if (same_field_name(name, "Subject") && facts_.subject.empty()) {
            const std::string subject = without_controls(value);
            if (!first_invalid_utf8(subject)) facts_.subject = whole_characters(subject, longest_subject);
        }
        if (!same_field_name(name, "Message-ID")) return std::nullopt;
        facts_.message_id = value;
        if (auto error = check_message_id(facts_.message_id)) return error;
        return once("Message-ID", has_message_id_);
    }

    Result<RawFacts> finish(std::string_view header, std::string_view source) && {
        if (!has_from_) return refusal("It has no From.");
        if (facts_.sender.size() > 1) return refusal("Sender names more than one.");
        facts_.needs_smtputf8 = !is_ascii(header);
        facts_.is_8bit = !is_ascii(source);
        return std::move(facts_);
    }

private:
    static Status once(const char* name, bool& has) {
        if (has) return refusal(std::string("It has ") + name + " twice.");
        has = true;
        return std::nullopt;
    }

    static Status addresses(const char* name, std::vector<Address>& to, std::string_view value, bool& has) {
        if (auto error = once(name, has)) return error;
        auto list = parse_address_list(value);
        if (!list) return refusal(std::string(name) + ": " + list.error().text());
        to = std::move(list).value();
        return std::nullopt;
    }

    RawFacts facts_;
    bool has_from_ = false;
    bool has_sender_ = false;
    bool has_message_id_ = false;
};

}  // namespace

Result<RawFacts> inspect_raw(std::string_view source) {
    Header header;
    std::string name, value;
    std::string_view rest = source;
    std::size_t number = 0;
    bool is_header = true;
    std::size_t header_size = 0;
    const auto finish_field = [&]() -> Status { return name.empty() ? std::nullopt : header.add(name, value); };
    while (!rest.empty()) {
        const std::string_view line = take_line(rest);
        if (auto error = check_line(line, ++number)) return std::move(*error);
        if (!is_header) continue;
        if (line.empty()) {
            is_header = false;
            header_size = source.size() - rest.size();
            continue;
        }
        if (line.front() == ' ' || line.front() == '\t') {
            if (name.empty()) return refusal("Its first line begins with a blank.");
            value += line;
            continue;
        }
        if (auto error = finish_field()) return std::move(*error);
        const auto colon = line.find(':');
        if (colon == std::string_view::npos || !is_field_name(trimmed(line.substr(0, colon), wsp)))
            return refusal("Line " + std::to_string(number) + " of its header is no field: " + quoted_for_error(line),
                           "A header ends in an empty line.");
        name = trimmed(line.substr(0, colon), wsp);
        value = line.substr(colon + 1);
    }
    if (number == 0) return refusal("It is empty.");
    if (auto error = finish_field()) return std::move(*error);
    if (is_header) header_size = source.size();
    return std::move(header).finish(source.substr(0, header_size), source);
}

std::string finish_raw(std::string_view source, const RawFacts& facts, std::string_view message_id, Time date) {
    std::string out;
    out.reserve(source.size() + source.size() / 40 + 200);
    HeaderWriter writer(out);
    if (!facts.has_date) writer.structured("Date", format_date(date, 0));
    if (facts.message_id.empty()) writer.structured("Message-ID", message_id);
    bool has_body = false;
    while (!source.empty()) {
        const std::string_view line = take_line(source);
        has_body |= line.empty();
        out += line;
        out += "\r\n";
    }
    if (!has_body) out += "\r\n";
    return out;
}

}  // namespace mailer::core
