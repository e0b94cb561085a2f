#include "pages/csv.hpp"

#include <algorithm>

#include "core/mail/header_text.hpp"
#include "core/octets.hpp"

namespace mailer::web {

namespace {

char separator_of(std::string_view content) {
    const std::string_view first = content.substr(0, content.find_first_of("\r\n"));
    char best = ',';
    for (const char candidate : {';', '\t'})
        if (std::count(first.begin(), first.end(), candidate) > std::count(first.begin(), first.end(), best))
            best = candidate;
    return best;
}

// What 80 to 9F stand for; 0 where nothing does.
constexpr char16_t windows_1252[] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                     0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                     0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                     0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

void append_utf8(std::string& out, char16_t c) {
    if (c < 0x800) {
        out += static_cast<char>(0xC0 | c >> 6);
    } else {
        out += static_cast<char>(0xE0 | c >> 12);
        out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    }
    out += static_cast<char>(0x80 | (c & 0x3F));
}

}  // namespace

std::string as_utf8(std::string content) {
    if (!core::first_invalid_utf8(content)) return content;
    std::string out;
    for (const char c : content) {
        const auto octet = static_cast<unsigned char>(c);
        if (octet < 0x80) {
            out += c;
            continue;
        }
        const char16_t meant = octet < 0xA0 ? windows_1252[octet - 0x80] : octet;
        append_utf8(out, meant ? meant : u'\uFFFD');
    }
    return out;
}

std::vector<CsvLine> read_csv(std::string_view content, std::size_t max_lines) {
    if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);
    const char separator = separator_of(content);
    std::vector<CsvLine> lines;
    CsvLine line{.number = 1, .cells = {}};
    std::string cell;
    bool is_quoted = false, was_quoted = false;
    std::size_t number = 1;
    const auto end_cell = [&] {
        line.cells.push_back(was_quoted ? cell : std::string(core::trimmed(cell, core::wsp)));
        cell.clear();
        was_quoted = false;
    };
    const auto end_line = [&] {
        end_cell();
        if (line.cells.size() > 1 || !line.cells.front().empty()) lines.push_back(std::move(line));
        line = {.number = number, .cells = {}};
    };
    for (std::size_t at = 0; at < content.size() && lines.size() < max_lines; ++at) {
        const char c = content[at];
        if (c == '\n') ++number;
        if (is_quoted) {
            if (c != '"')
                cell += c;
            else if (at + 1 < content.size() && content[at + 1] == '"')
                cell += content[++at];
            else
                is_quoted = false;
        } else if (c == '"' && core::trimmed(cell, core::wsp).empty() && !was_quoted) {
            cell.clear();
            is_quoted = was_quoted = true;
        } else if (c == separator) {
            end_cell();
        } else if (c == '\n') {
            end_line();
        } else if (c != '\r') {
            cell += c;
        }
    }
    if (lines.size() < max_lines && (!cell.empty() || !line.cells.empty() || was_quoted)) end_line();
    return lines;
}

}  // namespace mailer::web
