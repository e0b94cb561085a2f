// See message_reader.hpp. One pass over the mail; parts are cut out of it, then decoded within what is left of the
// budget.
#include "core/feedback/message_reader.hpp"

#include <algorithm>

#include "core/feedback/charset.hpp"
#include "core/feedback/text.hpp"
#include "core/mail/html_entity.hpp"

namespace mailer::core::feedback {

namespace {

bool is_field_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= 100 &&
           std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < '\x7F' && c != ':'; });
}

bool is_local_octet(char c) noexcept {
    const auto u = static_cast<unsigned char>(c);
    return u > 0x20 && u != 0x7F && std::string_view("<>()[],;:\\\"@").find(c) == std::string_view::npos;
}

bool is_domain_octet(char c) noexcept {
    return is_digit(c) || (lowered(c) >= 'a' && lowered(c) <= 'z') || c == '-' || c == '.' || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool is_header_type(std::string_view type) noexcept {
    return type == "message/rfc822" || type == "text/rfc822-headers" || type == "message/rfc822-headers" ||
           type == "text/rfc822" || type == "message/global" || type == "message/global-headers";
}

class Reader {
public:
    explicit Reader(Mail& mail) : mail_(mail) {}

    void read(Fields fields, std::string_view body, int depth) {
        const std::string_view content_type = fields.value("content-type");
        std::string type = lowered(trimmed(content_type.substr(0, content_type.find(';'))));
        if (type.find('/') == std::string::npos) type = "text/plain";
        if (depth == 0) mail_.type = type;
        if (type.starts_with("multipart/") && depth < max_depth) {
            const std::string boundary = parameter(content_type, "boundary");
            if (!boundary.empty() && read_multipart(body, boundary, depth)) return;
            type = "text/plain";
        }
        add(std::move(type), std::move(fields), body);
    }

private:
    // False when its boundary is nowhere: then it isn't one.
    bool read_multipart(std::string_view body, const std::string& boundary, int depth) {
        std::string_view rest = body;
        std::optional<const char*> start;
        bool is_found = false;
        while (!rest.empty()) {
            const char* const line_start = rest.data();
            const std::string_view line = take_line(rest);
            if (!line.starts_with("--") || !line.substr(2).starts_with(boundary)) continue;
            const std::string_view tail = trimmed(line.substr(2 + boundary.size()));
            if (!tail.empty() && tail != "--") continue;
            if (start) read_part({*start, static_cast<std::size_t>(line_start - *start)}, depth + 1);
            is_found = true;
            start.reset();
            if (tail == "--") break;
            start = rest.data();
        }
        if (start) read_part({*start, static_cast<std::size_t>(body.data() + body.size() - *start)}, depth + 1);
        return is_found;
    }

    void read_part(std::string_view part, int depth) {
        if (mail_.parts.size() >= max_parts) return;
        Fields fields = take_fields(part);
        read(std::move(fields), part, depth);
    }

    void add(std::string type, Fields fields, std::string_view body) {
        Part part{std::move(type), std::move(fields), {}, body, {}, false};
        const std::string_view disposition = part.fields.value("content-disposition");
        part.is_attachment =
            starts_ignoring_case(disposition, "attachment") || !parameter(disposition, "filename").empty();
        const bool is_useful = part.type.starts_with("text/") || part.type.starts_with("message/") ||
                               part.type == "application/json" || part.type.starts_with("application/ms-tnef+");
        if (is_useful) {
            std::string text = decoded(part, body);
            if (is_header_type(part.type)) {
                std::string_view rest = text;
                part.returned = take_fields(rest);
            } else {
                part.text = std::move(text);
            }
        }
        mail_.parts.push_back(std::move(part));
    }

    std::string decoded(const Part& part, std::string_view body) {
        const std::string_view encoding = part.fields.value("content-transfer-encoding");
        const std::size_t limit = max_text - used_;
        std::string text;
        if (starts_ignoring_case(encoding, "quoted-printable")) {
            text = decoded_quoted_printable(body, limit);
        } else if (starts_ignoring_case(encoding, "base64")) {
            text = decoded_base64(body, limit);
        } else {
            text = body.substr(0, limit);
        }
        const std::string charset = parameter(part.fields.value("content-type"), "charset");
        if (!charset.empty() && part.type.starts_with("text/"))
            text = to_utf8(text, charset, limit).value_or(std::move(text));
        used_ += text.size();
        return text;
    }

    Mail& mail_;
    std::size_t used_ = 0;
};

std::string without_tags(std::string_view html) {
    std::string out;
    for (std::size_t i = 0; i < html.size();) {
        if (html[i] == '<') {
            const std::string_view rest = html.substr(i);
            const bool is_hidden = starts_ignoring_case(rest, "<style") || starts_ignoring_case(rest, "<script");
            const auto end = rest.find('>');
            if (end == std::string_view::npos) break;
            out += starts_ignoring_case(rest, "<br") || starts_ignoring_case(rest, "<p") ||
                           starts_ignoring_case(rest, "</p") || starts_ignoring_case(rest, "</div") ||
                           starts_ignoring_case(rest, "</tr")
                       ? '\n'
                       : ' ';
            i += end + 1;
            if (is_hidden) i = std::min(html.size(), html.find("</", i));
        } else if (html[i] == '&') {
            const auto end = html.substr(i + 1, longest_html_entity).find(';');
            const std::string text =
                end == std::string_view::npos ? std::string() : html_character(html.substr(i + 1, end));
            out += text.empty() ? "&" : text == "\x7F" ? "" : text;
            i += text.empty() ? 1 : end + 2;
        } else {
            out += html[i++];
        }
    }
    return out;
}

}  // namespace

const std::string* Fields::find(std::string_view name) const noexcept {
    for (const Field& field : fields_) {
        if (field.name == name) return &field.value;
    }
    return nullptr;
}

std::string_view Fields::value(std::string_view name) const noexcept {
    const std::string* found = find(name);
    return found ? trimmed(*found) : std::string_view{};
}

Fields take_fields(std::string_view& rest) {
    Fields fields;
    std::optional<Field> open;
    while (!rest.empty()) {
        std::string_view ahead = rest;
        const std::string_view line = take_line(ahead);
        if (line.empty()) {
            rest = ahead;
            break;
        }
        const bool is_continued = line.front() == ' ' || line.front() == '\t';
        const auto colon = line.find(':');
        const std::string_view name = trimmed(line.substr(0, colon));
        const bool is_field = !is_continued && colon != std::string_view::npos && is_field_name(name);
        if (is_continued && open) {
            if (open->value.size() < 8192) open->value.append(" ").append(trimmed(line));
        } else if (is_field) {
            if (open && fields.all().size() < max_fields) fields.add(std::move(*open));
            open = Field{lowered(name), std::string{trimmed(line.substr(colon + 1)).substr(0, 8192)}};
        } else if (!line.starts_with("From ") && !line.starts_with(">From ") && open) {
            // A parameter on a line of its own that should have been folded: a relay's fault.
            if (open->value.ends_with(';') && open->value.size() < 8192) open->value.append(" ").append(trimmed(line));
        } else if (!open && !line.starts_with("From ") && !line.starts_with(">From ")) {
            break;  // no header at all: all of it is body
        }
        rest = ahead;
    }
    if (open) fields.add(std::move(*open));
    return fields;
}

std::string parameter(std::string_view value, std::string_view name) {
    for (auto at = value.find(';'); at != std::string_view::npos; at = value.find(';', at + 1)) {
        std::string_view rest = trimmed(value.substr(at + 1));
        if (!starts_ignoring_case(rest, name)) continue;
        rest = trimmed(rest.substr(name.size()));
        if (!rest.starts_with('=')) continue;
        rest = trimmed(rest.substr(1));
        if (rest.starts_with('"')) return std::string{rest.substr(1, rest.find('"', 1) - 1)};
        return std::string{trimmed(rest.substr(0, rest.find_first_of("; \t")))};
    }
    return {};
}

const Part* Mail::part(std::string_view wanted) const noexcept {
    for (const Part& p : parts) {
        if (p.type == wanted) return &p;
    }
    return nullptr;
}

const Fields* Mail::returned() const noexcept {
    for (const Part& p : parts) {
        if (!p.returned.empty()) return &p.returned;
    }
    return nullptr;
}

std::string Mail::human_text() const {
    std::string text;
    for (const Part& p : parts) {
        const bool is_text = p.type == "text/plain" || p.type == "text" || p.type == "text/x-plain";
        if (is_text && !p.is_attachment) text.append(p.text).append("\n");
    }
    if (!trimmed(text).empty()) return text;
    for (const Part& p : parts) {
        if (p.type == "text/html" && !p.is_attachment) text.append(without_tags(p.text)).append("\n");
    }
    return text;
}

Mail read_mail(std::string_view raw) {
    Mail mail;
    while (!raw.empty() && (raw.front() == '\n' || raw.front() == '\r'))
        raw.remove_prefix(1);
    mail.fields = take_fields(raw);
    Fields top;
    for (const char* name : {"content-type", "content-transfer-encoding", "content-disposition"}) {
        if (const std::string* value = mail.fields.find(name)) top.add({name, *value});
    }
    Reader(mail).read(std::move(top), raw, 0);
    return mail;
}

std::vector<std::string> message_ids(std::string_view text, std::size_t limit) {
    std::vector<std::string> ids;
    for (auto start = text.find('<'); start != std::string_view::npos && ids.size() < limit;
         start = text.find('<', start + 1)) {
        const auto end = text.find_first_of("<> \t\r\n", start + 1);
        if (end == std::string_view::npos) break;
        if (text[end] != '>') continue;
        const std::string_view id = text.substr(start + 1, end - start - 1);
        if (id.size() <= 500 && id.find('@') != std::string_view::npos) ids.emplace_back(id);
    }
    return ids;
}

std::string first_address(std::string_view text) {
    for (auto at = text.find('@'); at != std::string_view::npos; at = text.find('@', at + 1)) {
        std::size_t start = at;
        if (start > 0 && text[start - 1] == '"') {
            const auto quote = text.rfind('"', start - 2);
            if (start >= 2 && quote != std::string_view::npos && start - quote < 66) start = quote;
        } else {
            while (start > 0 && is_local_octet(text[start - 1]) && at - start < 256)
                --start;
        }
        std::size_t end = at + 1;
        while (end < text.size() && is_domain_octet(text[end]) && end - at < 256)
            ++end;
        while (end > at + 1 && (text[end - 1] == '.' || text[end - 1] == '-'))
            --end;
        while (start < at && (text[start] == '\'' || text[start] == '*' || text[start] == '=') && text[start] != '"')
            ++start;
        if (start < at && end > at + 1) return std::string{text.substr(start, end - start)};
    }
    return {};
}

}  // namespace mailer::core::feedback
