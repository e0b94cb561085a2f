// Leads from a CSV file. First the file is shown as it is understood: columns mapped, bad addresses and missing
// variables listed. Only the second step stores, and it stores good lines alone.
//
// Nothing is kept between the steps: the form carries the file.
#include "pages/lead_file.hpp"
#include "pages/lead_links.hpp"

namespace mailer::web {

namespace {

constexpr std::size_t max_lines = 20000, max_columns = 60, listed = 50;

constexpr struct {
    Role role;
    const char *word, *name;
} roles[] = {{Role::unused, "unused", "not used"},
             {Role::recipient, "recipient", "the address"},
             {Role::external_id, "external_id", "your own key"},
             {Role::timezone, "timezone", "time zone"},
             {Role::mailbox, "mailbox", "mailbox to send from"},
             {Role::variable, "variable", "a variable named"}};

struct Upload {
    std::string content;
    bool has_names = true;
    std::vector<CsvLine> lines;
    std::vector<Column> columns;
};

Upload read_upload(const Fields& form) {
    Upload upload;
    upload.content = as_utf8(form.get("file").empty() ? form.get("csv") : form.get("file"));
    if (upload.content.find('\0') != std::string::npos)
        throw HttpError(400, "That is no CSV file. A spreadsheet saves one as \"CSV UTF-8\".");
    // A box that isn't ticked isn't sent: the first form has none yet.
    upload.has_names = !form.has("mapped") || form.has("has_names");
    upload.lines = read_csv(upload.content, max_lines + 2);
    if (upload.lines.size() > max_lines + (upload.has_names ? 1 : 0))
        throw HttpError(413, "That are more than " + std::to_string(max_lines) + " lines. Split the file.");
    if (upload.lines.empty()) throw HttpError(400, "There is nothing in the file.");
    upload.columns = guess_columns(upload.lines, upload.has_names);
    if (upload.columns.size() > max_columns)
        throw HttpError(400, "That are more than " + std::to_string(max_columns) + " columns.");
    for (std::size_t i = 0; i < upload.columns.size(); ++i) {
        const std::string number = std::to_string(i), word = form.get("map_" + number),
                          name = form.get("variable_" + number);
        for (const auto& role : roles)
            if (word == role.word) upload.columns[i].role = role.role;
        if (!name.empty()) upload.columns[i].variable = name;
    }
    return upload;
}

// What the campaign's templates name, as far as every mail has it.
std::set<std::string> needed_variables(Visit& visit, const std::string& id) {
    const core::Value found = visit.rows(
        R"sql(
            SELECT DISTINCT v.name
            FROM (SELECT DISTINCT s.template FROM mailer.campaign_step_status s
                WHERE s.campaign_id = $1::bigint) t
            CROSS JOIN LATERAL mailer.template_preview(t.template, '{}') p
            CROSS JOIN LATERAL unnest(p.missing) v(name)
            WHERE v.name <> 'unsubscribe_url'
                AND split_part(v.name, '.', 1) <> 'sender' ORDER BY 1)sql",
        {id});
    std::set<std::string> names;
    for (const core::Value& row : found.items())
        names.insert(text_of(row, "name"));
    return names;
}

// Addresses that the campaign has already: they are left as they are.
std::set<std::string> known_keys(Visit& visit, const std::string& id, const LeadFile& file) {
    std::vector<std::string> keys;
    for (const FileLead& lead : file.leads)
        keys.push_back(lead.key);
    const core::Value found = visit.rows(
        R"sql(
            SELECT k.key
            FROM unnest($2::text[]) k(key)
            WHERE EXISTS (SELECT FROM mailer.lead_status l WHERE l.campaign_id = $1::bigint
                    AND l.address_key = k.key))sql",
        {id, text_array(keys)});
    std::set<std::string> known;
    for (const core::Value& row : found.items())
        known.insert(text_of(row, "key"));
    return known;
}

core::Value number(std::size_t n) { return core::Value::number(static_cast<std::int64_t>(n)); }

core::Value columns_shown(const Upload& upload) {
    core::Value shown = core::Value::array();
    for (std::size_t i = 0; i < upload.columns.size(); ++i) {
        const Column& column = upload.columns[i];
        core::Value choices = core::Value::array();
        for (const auto& role : roles)
            (void)choices.append(object({{"word", text(role.word)},
                                         {"choice", text(role.name)},
                                         {"is_chosen", core::Value::boolean(column.role == role.role)}}));
        std::string example;
        for (std::size_t line = upload.has_names ? 1 : 0; line < upload.lines.size() && example.empty() && line < 20;
             ++line)
            if (i < upload.lines[line].cells.size()) example = upload.lines[line].cells[i];
        (void)shown.append(object({{"number", text(std::to_string(i))},
                                   {"column", text(column.name)},
                                   {"variable", text(column.variable)},
                                   {"example", text(example)},
                                   {"choices", std::move(choices)}}));
    }
    return shown;
}

std::string some_lines(const std::vector<std::size_t>& lines) {
    std::string out;
    for (std::size_t i = 0; i < lines.size() && i < 10; ++i)
        out += (i ? ", " : "") + std::to_string(lines[i]);
    return lines.size() > 10 ? out + ", …" : out;
}

core::Value check(Visit& visit) {
    core::Value campaign = campaign_of(visit);
    const std::string id = visit.id();
    const Upload upload = read_upload(visit.request.form);
    const LeadFile file = sort_lines(upload.lines, upload.has_names, upload.columns, needed_variables(visit, id));
    core::Value bad = core::Value::array(), missing = core::Value::array();
    for (std::size_t i = 0; i < file.bad.size() && i < listed; ++i)
        (void)bad.append(object(
            {{"line", number(file.bad[i].line)}, {"value", text(file.bad[i].value)}, {"why", text(file.bad[i].why)}}));
    for (const auto& [name, lines] : file.missing)
        (void)missing.append(
            object({{"variable", text(name)}, {"count", number(lines.size())}, {"lines", text(some_lines(lines))}}));
    const std::size_t known = known_keys(visit, id, file).size(), fresh = file.leads.size() - known;
    core::Value checked = object({{"columns", columns_shown(upload)},
                                  {"csv", text(upload.content)},
                                  {"has_names", core::Value::boolean(upload.has_names)},
                                  {"good", number(fresh)},
                                  {"known", number(known)},
                                  {"bad_count", number(file.bad.size())},
                                  {"bad", std::move(bad)},
                                  {"has_more", core::Value::boolean(file.bad.size() > listed)},
                                  {"missing", std::move(missing)},
                                  {"has_missing", core::Value::boolean(!file.missing.empty())}});
    return object({{"campaign", std::move(campaign)}, {"checked", std::move(checked)}});
}

std::string json_of(const std::map<std::string, std::string>& variables) {
    core::Value made = core::Value::object();
    for (const auto& [name, value] : variables)
        (void)made.set(name, text(value));
    std::string out;
    made.append_json(out);
    return out;
}

std::string import(Visit& visit) {
    const Upload upload = read_upload(visit.request.form);
    const LeadFile file = sort_lines(upload.lines, upload.has_names, upload.columns, {});
    if (file.leads.empty()) throw HttpError(400, "No line of the file has an address.");
    std::vector<std::string> recipients, variables, keys, zones, mailboxes;
    for (const FileLead& lead : file.leads) {
        recipients.push_back(lead.recipient);
        variables.push_back(json_of(lead.variables));
        keys.push_back(lead.external_id);
        zones.push_back(lead.timezone);
        mailboxes.push_back(lead.mailbox);
    }
    // An empty cell says nothing: NULL, and where a whole column is empty none is passed.
    const auto cells = [](const std::vector<std::string>& of) -> Parameter {
        for (const std::string& one : of)
            if (!one.empty()) return text_array(of);
        return {};
    };
    const std::string count = visit.value(
        R"sql(
            SELECT mailer.campaign_add_many($1::bigint, $2::text[], $3::jsonb[],
                external_ids => array_replace($4::text[], '', NULL), timezones => array_replace($5::text[],
                '', NULL), mailboxes => array_replace($6::text[], '', NULL)))sql",
        {visit.id(), text_array(recipients), text_array(variables), cells(keys), cells(zones), cells(mailboxes)});
    const std::size_t left_out = file.bad.size(), known = file.leads.size() - std::stoul(count);
    return count + " leads are new" + (known ? ", " + std::to_string(known) + " were in already" : "") +
           (left_out ? ", " + std::to_string(left_out) + " lines were left out" : "") + ".";
}

core::Value show(Visit& visit) { return object({{"campaign", campaign_of(visit)}}); }

}  // namespace

static const Registered here{Page{
    .path = "/campaigns/{id}/import",
    .title = "Import leads",
    .template_name = "campaign_import.html",
    .show = show,
    .actions = {{.name = "check", .needs = "campaign_add_many", .run = {}, .show = check},
                {.name = "import", .needs = "campaign_add_many", .run = import}},
    .body_limit = 8u << 20,
}};

}  // namespace mailer::web
