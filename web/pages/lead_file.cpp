#include "pages/lead_file.hpp"

#include <algorithm>

#include "core/mail/address.hpp"

namespace mailer::web {

namespace {

// As a template can name it: "First name" becomes first_name.
std::string variable_name(const std::string& title) {
    std::string name;
    for (const char c : title) {
        const bool is_upper = c >= 'A' && c <= 'Z';
        if (is_upper)
            name += static_cast<char>(c - 'A' + 'a');
        else if (c == ' ' || c == '-' || c == '.' || c == '{' || c == '}')
            name += '_';
        else
            name += c;
    }
    return name;
}

Role role_by_name(const std::string& variable) {
    for (const char* name :
         {"email", "e_mail", "mail", "address", "recipient", "email_address", "e_mail_address", "mailadresse"})
        if (variable == name) return Role::recipient;
    if (variable == "external_id") return Role::external_id;
    if (variable == "timezone" || variable == "time_zone") return Role::timezone;
    if (variable == "mailbox") return Role::mailbox;
    return Role::variable;
}

bool has_role(const std::vector<Column>& columns, Role role) {
    return std::any_of(columns.begin(), columns.end(), [&](const Column& c) { return c.role == role; });
}

}  // namespace

std::vector<Column> guess_columns(const std::vector<CsvLine>& lines, bool has_names) {
    std::size_t count = 0;
    for (const CsvLine& line : lines)
        count = std::max(count, line.cells.size());
    std::vector<Column> columns(count);
    for (std::size_t i = 0; i < count; ++i) {
        Column& column = columns[i];
        const bool is_named = has_names && i < lines.front().cells.size() && !lines.front().cells[i].empty();
        column.name = is_named ? lines.front().cells[i] : "Column " + std::to_string(i + 1);
        column.variable = variable_name(column.name);
        const Role role = is_named ? role_by_name(column.variable) : Role::variable;
        // Each of the others stands in one column alone.
        column.role = role == Role::variable || !has_role(columns, role) ? role : Role::variable;
    }
    const std::size_t first = has_names ? 1 : 0;
    if (!has_role(columns, Role::recipient) && lines.size() > first)
        for (std::size_t i = 0; i < lines[first].cells.size(); ++i)
            if (core::parse_address(lines[first].cells[i])) {
                columns[i].role = Role::recipient;
                break;
            }
    return columns;
}

LeadFile sort_lines(const std::vector<CsvLine>& lines, bool has_names, std::vector<Column> columns,
                    const std::set<std::string>& needed) {
    LeadFile file;
    std::map<std::string, std::size_t> seen;
    for (std::size_t at = has_names ? 1 : 0; at < lines.size(); ++at) {
        FileLead lead{.line = lines[at].number,
                      .recipient = {},
                      .key = {},
                      .external_id = {},
                      .timezone = {},
                      .mailbox = {},
                      .variables = {}};
        for (std::size_t i = 0; i < columns.size() && i < lines[at].cells.size(); ++i) {
            const std::string& cell = lines[at].cells[i];
            switch (columns[i].role) {
                case Role::recipient:
                    lead.recipient = cell;
                    break;
                case Role::external_id:
                    lead.external_id = cell;
                    break;
                case Role::timezone:
                    lead.timezone = cell;
                    break;
                case Role::mailbox:
                    lead.mailbox = cell;
                    break;
                case Role::variable:
                    if (!cell.empty()) lead.variables[columns[i].variable] = cell;
                    break;
                case Role::unused:
                    break;
            }
        }
        const auto address = core::parse_address(lead.recipient);
        if (!address) {
            file.bad.push_back(
                {lead.line, lead.recipient, lead.recipient.empty() ? "there is no address" : address.error().text()});
            continue;
        }
        lead.key = core::address_key(address.value());
        const auto [first, is_new] = seen.try_emplace(lead.key, lead.line);
        if (!is_new) {
            file.bad.push_back(
                {lead.line, lead.recipient, "the same address as in line " + std::to_string(first->second)});
            continue;
        }
        for (const std::string& name : needed)
            if (!lead.variables.contains(name)) file.missing[name].push_back(lead.line);
        file.leads.push_back(std::move(lead));
    }
    file.columns = std::move(columns);
    return file;
}

}  // namespace mailer::web
