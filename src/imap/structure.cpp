// See structure.hpp.
#include "imap/structure.hpp"

#include <algorithm>
#include <array>

#include "core/octets.hpp"

namespace mailer::imap {

namespace {

constexpr std::size_t most_parts = 8;
constexpr int deepest = 6;
constexpr std::string_view boundary = "=_mailer_part";
constexpr std::string_view text_limit = "<0.262144>";

// What goes into a header that we write.
std::string token(std::string_view text) {
    std::string out = core::lowered(text.substr(0, 60));
    std::erase_if(out, [](char c) { return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'); });
    return out;
}

bool is_list(const Value& value) { return value.kind == Value::Kind::list; }

void gather(const Value& value, const std::string& number, int depth, Structure& out) {
    if (!is_list(value) || value.items.empty() || depth > deepest || out.parts.size() >= most_parts) return;
    if (is_list(value.items[0])) {
        std::size_t n = 0;
        while (n < value.items.size() && is_list(value.items[n])) {
            gather(value.items[n], number.empty() ? std::to_string(n + 1) : number + '.' + std::to_string(n + 1),
                   depth + 1, out);
            ++n;
        }
        return;
    }
    if (value.items.size() < 2) return;
    const std::string type = core::lowered(value.items[0].text) + '/' + core::lowered(value.items[1].text);
    const bool is_returned = type == "message/rfc822" || type == "message/global";
    constexpr std::array<std::string_view, 9> wanted{"text/plain",
                                                     "text/html",
                                                     "message/delivery-status",
                                                     "message/global-delivery-status",
                                                     "message/feedback-report",
                                                     "message/disposition-notification",
                                                     "text/rfc822-headers",
                                                     "message/global-headers",
                                                     "text/calendar"};
    if (is_returned || std::find(wanted.begin(), wanted.end(), type) != wanted.end())
        out.parts.push_back({number, is_returned});
}

// "header\r\n" without a field of this name and its continuation lines.
std::string without_field(std::string_view header, std::string_view name) {
    std::string out;
    bool is_dropped = false;
    while (!header.empty()) {
        const std::size_t end = std::min(header.find('\n'), header.size() - 1) + 1;
        const std::string_view line = header.substr(0, end);
        header.remove_prefix(end);
        if (line == "\r\n" || line == "\n") break;
        if (!line.starts_with(' ') && !line.starts_with('\t')) {
            is_dropped = line.size() > name.size() && line[name.size()] == ':' &&
                         equals_ignoring_case(line.substr(0, name.size()), name);
        }
        if (!is_dropped) out += line;
    }
    return out;
}

bool has(std::string_view text, std::string_view what) { return text.find(what) != std::string_view::npos; }

const std::string* find(const std::vector<Fetched>& fetched, std::string_view name) {
    for (const Fetched& one : fetched)
        if (equals_ignoring_case(one.name, name)) return &one.content;
    return nullptr;
}

}  // namespace

Structure structure_of(const Value& bodystructure) {
    Structure out;
    if (!is_list(bodystructure) || bodystructure.items.empty()) return out;
    out.is_multipart = is_list(bodystructure.items[0]);
    if (!out.is_multipart) {
        out.parts.push_back({"TEXT", false});
        return out;
    }
    gather(bodystructure, "", 0, out);
    std::size_t n = 0;
    while (n < bodystructure.items.size() && is_list(bodystructure.items[n]))
        ++n;
    if (n < bodystructure.items.size()) out.subtype = token(bodystructure.items[n].text);
    if (n + 1 < bodystructure.items.size() && is_list(bodystructure.items[n + 1])) {
        const auto& parameters = bodystructure.items[n + 1].items;
        for (std::size_t i = 0; i + 1 < parameters.size(); i += 2)
            if (equals_ignoring_case(parameters[i].text, "report-type"))
                out.report_type = token(parameters[i + 1].text);
    }
    return out;
}

std::string_view header_items() {
    return "BODY.PEEK[HEADER.FIELDS (FROM SENDER TO CC SUBJECT DATE MESSAGE-ID IN-REPLY-TO REFERENCES RETURN-PATH "
           "DELIVERED-TO "
           "X-ORIGINAL-TO AUTO-SUBMITTED X-AUTOREPLY X-AUTORESPOND X-AUTO-RESPONSE-SUPPRESS PRECEDENCE "
           "X-FAILED-RECIPIENTS "
           "X-GOOGLE-ORIGINAL-MESSAGE-ID X-MICROSOFT-ORIGINAL-MESSAGE-ID "
           "LIST-ID LIST-UNSUBSCRIBE X-LOOP FEEDBACK-ID MIME-VERSION CONTENT-TYPE CONTENT-TRANSFER-ENCODING)]";
}

std::string items_for(const Structure& structure) {
    std::string out;
    for (const PartPlace& part : structure.parts) {
        if (!out.empty()) out += ' ';
        if (part.number == "TEXT") {
            out += "BODY.PEEK[TEXT]";
            out += text_limit;
            continue;
        }
        out += "BODY.PEEK[" + part.number + ".MIME] BODY.PEEK[" + part.number;
        out += part.is_header_only ? std::string(".HEADER]") : "]" + std::string(text_limit);
    }
    return out;
}

bool may_be_report(const Structure& structure, std::string_view header) {
    if (structure.is_multipart && structure.subtype == "report") return true;
    for (const PartPlace& part : structure.parts)
        if (part.is_header_only) return true;
    const std::string text = "\n" + core::lowered(header);
    constexpr std::array<std::string_view, 12> signs{
        "\nx-failed-recipients:", "\nreturn-path: <>",        "\nx-autoreply:",     "\nx-autorespond:",
        "\nfrom: mailer-daemon",  "\nfrom: postmaster",       "mailer-daemon@",     "postmaster@",
        "\nauto-submitted: auto", "\nprecedence: auto_reply", "\nprecedence: bulk", "mail delivery s"};
    if (std::any_of(signs.begin(), signs.end(), [&](std::string_view sign) { return has(text, sign); })) return true;
    constexpr std::array<std::string_view, 10> subjects{
        "undeliver",     "delivery status", "delivery fail", "returned mail", "failure notice",
        "out of office", "automatic reply", "auto-reply",    "unsubscribe",   "delivery notification"};
    const auto at = text.find("\nsubject:");
    if (at == std::string::npos) return false;
    const std::string_view subject = std::string_view(text).substr(at + 9, 300);
    return std::any_of(subjects.begin(), subjects.end(),
                       [&](std::string_view sign) { return has(subject.substr(0, subject.find('\n')), sign); });
}

std::string assemble(std::string_view header, const Structure& structure, const std::vector<Fetched>& fetched) {
    if (!structure.is_multipart) {
        std::string out = without_field(header, "");
        const std::string* text = find(fetched, "BODY[TEXT]<0>");
        out += "\r\n";
        if (text != nullptr) out += *text;
        return out;
    }
    std::string out = without_field(header, "Content-Type");
    out += "Content-Type: multipart/" + (structure.subtype.empty() ? "mixed" : structure.subtype);
    if (!structure.report_type.empty()) out += "; report-type=\"" + structure.report_type + '"';
    out += "; boundary=\"" + std::string(boundary) + "\"\r\n\r\n";
    for (const PartPlace& part : structure.parts) {
        const std::string* mime = find(fetched, "BODY[" + part.number + ".MIME]");
        const std::string* content =
            find(fetched, part.is_header_only ? "BODY[" + part.number + ".HEADER]" : "BODY[" + part.number + "]<0>");
        if (content == nullptr) continue;
        out += "--" + std::string(boundary) + "\r\n";
        if (mime != nullptr) out += without_field(*mime, "");
        out += "\r\n" + *content + "\r\n";
    }
    return out + "--" + std::string(boundary) + "--\r\n";
}

}  // namespace mailer::imap
