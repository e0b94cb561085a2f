#include "http/message.hpp"

#include <algorithm>
#include <array>

#include "core/octets.hpp"

namespace mailer::web {

namespace {

const std::string empty;
constexpr std::size_t max_fields = 2000;

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// The table of well-formed sequences of Unicode 15, 3-7, without NUL.
bool is_clean_utf8(std::string_view s) {
    for (std::size_t i = 0; i < s.size();) {
        const auto c = static_cast<unsigned char>(s[i]);
        if (c == 0) return false;
        std::size_t more = 0;
        unsigned char low = 0x80, high = 0xBF;
        if (c < 0x80)
            more = 0;
        else if (c >= 0xC2 && c <= 0xDF)
            more = 1;
        else if (c >= 0xE0 && c <= 0xEF)
            more = 2, low = c == 0xE0 ? 0xA0 : 0x80, high = c == 0xED ? 0x9F : 0xBF;
        else if (c >= 0xF0 && c <= 0xF4)
            more = 3, low = c == 0xF0 ? 0x90 : 0x80, high = c == 0xF4 ? 0x8F : 0xBF;
        else
            return false;
        if (i + more >= s.size() && more > 0) return false;
        for (std::size_t k = 1; k <= more; ++k, low = 0x80, high = 0xBF) {
            const auto next = static_cast<unsigned char>(s[i + k]);
            if (next < low || next > high) return false;
        }
        i += more + 1;
    }
    return true;
}

// A parameter of a header as `name="value"` or `name=value`; nothing when it isn't there.
std::optional<std::string> header_parameter(std::string_view header, std::string_view name) {
    std::size_t at = header.find(';');
    while (at != std::string_view::npos) {
        const std::string_view rest = core::trimmed(header.substr(at + 1));
        const std::size_t equals = rest.find('=');
        if (equals == std::string_view::npos) return std::nullopt;
        const bool is_it = core::lowered(core::trimmed(rest.substr(0, equals))) == name;
        std::string_view value = rest.substr(equals + 1);
        std::string text;
        std::size_t end = 0;
        if (!value.empty() && value.front() == '"') {
            for (end = 1; end < value.size() && value[end] != '"'; ++end) {
                if (value[end] == '\\' && end + 1 < value.size()) ++end;
                text += value[end];
            }
        } else {
            end = std::min(value.find(';'), value.size());
            text = core::trimmed(value.substr(0, end));
        }
        if (is_it) return text;
        const std::size_t next = value.find(';', end);
        if (next == std::string_view::npos) return std::nullopt;
        header = value;
        at = next;
    }
    return std::nullopt;
}

void add_field(Fields& fields, Field field) {
    if (fields.list().size() >= max_fields) throw HttpError(400, "There are too many fields.");
    fields.add(std::move(field));
}

// RFC 7578. A file may hold any octets; what reads it decides about them.
Fields parse_multipart(std::string_view body, const std::string& boundary) {
    const HttpError malformed(400, "The form can't be read.");
    const std::string delimiter = "\r\n--" + boundary;
    Fields fields;
    std::size_t at = 0;
    if (body.starts_with(delimiter.substr(2)))
        at = delimiter.size() - 2;
    else
        throw malformed;
    while (body.substr(at, 2) != "--") {
        if (body.substr(at, 2) != "\r\n") throw malformed;
        const std::size_t head_end = body.find("\r\n\r\n", at);
        const std::size_t end = head_end == std::string_view::npos ? head_end : body.find(delimiter, head_end + 2);
        if (end == std::string_view::npos) throw malformed;
        Field field;
        // A part may have no head at all: then the blank line is the delimiter's own end.
        std::string_view head = head_end > at ? body.substr(at + 2, head_end - at - 2) : std::string_view();
        bool is_file = false;
        while (!head.empty()) {
            const std::size_t line_end = std::min(head.find("\r\n"), head.size());
            const std::string_view line = head.substr(0, line_end);
            if (core::lowered(line.substr(0, 20)) == "content-disposition:") {
                field.name = header_parameter(line, "name").value_or("");
                if (auto name = header_parameter(line, "filename")) field.file_name = *name, is_file = true;
            }
            head.remove_prefix(std::min(line_end + 2, head.size()));
        }
        const std::size_t begin = head_end + 4;
        field.value = end > begin ? body.substr(begin, end - begin) : std::string_view();
        if (!is_clean_utf8(field.name) || !is_clean_utf8(field.file_name) || (!is_file && !is_clean_utf8(field.value)))
            throw malformed;
        add_field(fields, std::move(field));
        at = end + delimiter.size();
    }
    return fields;
}

}  // namespace

const std::string& Fields::get(std::string_view name) const noexcept {
    const auto found = std::find_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.name == name; });
    return found == fields_.end() ? empty : found->value;
}

bool Fields::has(std::string_view name) const noexcept {
    return std::any_of(fields_.begin(), fields_.end(), [&](const Field& f) { return f.name == name; });
}

std::vector<std::string> Fields::all(std::string_view name) const {
    std::vector<std::string> values;
    for (const Field& f : fields_)
        if (f.name == name) values.push_back(f.value);
    return values;
}

const std::string& Request::header(std::string_view name) const noexcept {
    const auto found = headers.find(name);
    return found == headers.end() ? empty : found->second;
}

std::string Request::cookie(std::string_view name) const {
    std::string_view rest = header("cookie");
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(';'), rest.size());
        const std::string_view pair = core::trimmed(rest.substr(0, end));
        if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
            return std::string(pair.substr(name.size() + 1));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return {};
}

Response see_other(const std::string& address) {
    Response response{.status = 303};
    response.set("Location", address);
    return response;
}

std::optional<std::string> decode_percent(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus_is_space) {
            out += ' ';
        } else if (text[i] == '%') {
            if (i + 2 >= text.size()) return std::nullopt;
            const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0) return std::nullopt;
            out += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            out += text[i];
        }
    }
    if (!is_clean_utf8(out)) return std::nullopt;
    return out;
}

std::string encode_percent(std::string_view text) {
    static constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto octet = static_cast<unsigned char>(c);
        const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                              c == '_' || c == '.' || c == '~';
        if (is_plain)
            out += c;
        else
            out += {'%', digits[octet >> 4], digits[octet & 15]};
    }
    return out;
}

Fields parse_query(std::string_view text) {
    Fields fields;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('&'), text.size());
        const std::string_view pair = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (pair.empty()) continue;
        const std::size_t equals = std::min(pair.find('='), pair.size());
        auto name = decode_percent(pair.substr(0, equals), true);
        auto value = decode_percent(pair.substr(std::min(equals + 1, pair.size())), true);
        if (!name || !value) throw HttpError(400, "A field can't be read: it is cut short, or not UTF-8.");
        add_field(fields, {.name = std::move(*name), .value = std::move(*value)});
    }
    return fields;
}

void read_form(Request& request) {
    const std::string& type = request.header("content-type");
    const std::string kind = core::lowered(core::trimmed(std::string_view(type).substr(0, type.find(';'))));
    if (kind == "application/x-www-form-urlencoded") {
        request.form = parse_query(request.body);
    } else if (kind == "multipart/form-data") {
        const auto boundary = header_parameter(type, "boundary");
        if (!boundary || boundary->empty() || boundary->size() > 200) throw HttpError(400, "The form can't be read.");
        request.form = parse_multipart(request.body, *boundary);
    }
}

}  // namespace mailer::web
