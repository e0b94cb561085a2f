// A file of leads: which column is what, and what is wrong with which line. Asks the database nothing and stores
// nothing.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "pages/csv.hpp"

namespace mailer::web {

enum class Role { unused, recipient, external_id, timezone, mailbox, variable };

struct Column {
    Role role = Role::unused;
    std::string name;  // of the file's first line, or "Column 3"
    std::string variable;
};

struct FileLead {
    std::size_t line = 0;
    std::string recipient, key, external_id, timezone, mailbox;
    std::map<std::string, std::string> variables;  // without empty ones
};

struct BadLine {
    std::size_t line = 0;
    std::string value, why;
};

struct LeadFile {
    std::vector<Column> columns;
    std::vector<FileLead> leads;                              // good ones, each address once
    std::vector<BadLine> bad;                                 // no address, or the same one again
    std::map<std::string, std::vector<std::size_t>> missing;  // variable: lines without it
};

// What the columns seem to be: by their names, and the addresses by what is in them.
std::vector<Column> guess_columns(const std::vector<CsvLine>& lines, bool has_names);

// Sorts lines into leads and bad ones. `needed`: variables that the templates name.
LeadFile sort_lines(const std::vector<CsvLine>& lines, bool has_names, std::vector<Column> columns,
                    const std::set<std::string>& needed);

}  // namespace mailer::web
