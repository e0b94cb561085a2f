// Reading CSV as people have it: RFC 4180, with the comma, semicolon or tab that their program wrote.
//
// Never fails: what isn't well-formed (a quote that doesn't end, text behind a quote) is read as it stands, and a
// person sees the result before anything is stored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mailer::web {

struct CsvLine {
    std::size_t number = 0;  // of the line in the file on which it begins, from 1
    std::vector<std::string> cells;
};

// At most max_lines of them; empty lines are left out. The separator is the one that the first line has most of.
std::vector<CsvLine> read_csv(std::string_view content, std::size_t max_lines);

// What isn't UTF-8 is Windows-1252, as Excel writes CSV where it isn't asked for another.
std::string as_utf8(std::string content);

}  // namespace mailer::web
