#include "site/page.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace mailer::web {

namespace {

// Filled before main() begins; read only afterwards.
std::vector<Page>& page_table() {
    static std::vector<Page> table;
    return table;
}
std::vector<PublicPage>& public_table() {
    static std::vector<PublicPage> table;
    return table;
}

void replace_all(std::string& text, std::string_view what, const std::string& by) {
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
}

Parameter not_empty(const std::string& value) { return value.empty() ? Parameter() : Parameter(value); }

}  // namespace

Registered::Registered(Page page) {
    auto& table = page_table();
    const auto after = std::upper_bound(table.begin(), table.end(), page.menu_place,
                                        [](int place, const Page& p) { return place < p.menu_place; });
    table.insert(after, std::move(page));
}

Registered::Registered(PublicPage page) { public_table().push_back(std::move(page)); }

const std::vector<Page>& pages() { return page_table(); }
const std::vector<PublicPage>& public_pages() { return public_table(); }

bool matches(std::string_view pattern, std::string_view path, std::map<std::string, std::string, std::less<>>& names) {
    names.clear();
    for (;;) {
        const std::size_t pattern_end = std::min(pattern.find('/'), pattern.size());
        const std::size_t path_end = std::min(path.find('/'), path.size());
        const std::string_view wanted = pattern.substr(0, pattern_end), given = path.substr(0, path_end);
        if (wanted.starts_with('{') && wanted.ends_with('}')) {
            if (given.empty()) return false;
            names[std::string(wanted.substr(1, wanted.size() - 2))] = given;
        } else if (wanted != given) {
            return false;
        }
        const bool pattern_ends = pattern_end == pattern.size(), path_ends = path_end == path.size();
        if (pattern_ends || path_ends) return pattern_ends && path_ends;
        pattern.remove_prefix(pattern_end + 1);
        path.remove_prefix(path_end + 1);
    }
}

core::Value object(std::initializer_list<std::pair<const char*, core::Value>> members) {
    core::Value made = core::Value::object();
    for (const auto& [name, value] : members)
        (void)made.set(name, value);
    return made;
}

core::Value Visit::row(const std::string& sql, const Parameters& parameters) {
    const core::Value found = rows(sql, parameters);
    if (found.items().empty()) throw HttpError(404, "There is no such thing here, or it is not yours to see.");
    return found.items().front();
}

std::string Visit::value(const std::string& sql, const Parameters& parameters) {
    const core::Value found = rows(sql, parameters);
    std::string out;
    if (!found.items().empty() && !found.items().front().members().empty())
        found.items().front().members().front().value.append_text(out);
    return out;
}

core::Value Visit::list(std::string sql, Parameters parameters, const std::string& key_column, int page_size) {
    replace_all(sql, ":limit", "$" + std::to_string(parameters.size() + 1) + "::integer");
    replace_all(sql, ":after", "$" + std::to_string(parameters.size() + 2));
    parameters.push_back(std::to_string(page_size + 1));
    parameters.push_back(query("after"));
    const core::Value found = rows(sql, parameters);
    core::Value shown = core::Value::array(), page = core::Value::object();
    const auto& all = found.items();
    const std::size_t count = std::min(all.size(), static_cast<std::size_t>(page_size));
    for (std::size_t i = 0; i < count; ++i)
        (void)shown.append(all[i]);
    (void)page.set("rows", std::move(shown));
    if (all.size() > count) {
        std::string next = "?";
        for (const Field& f : request.query.list())
            if (f.name != "after") next += encode_percent(f.name) + "=" + encode_percent(f.value) + "&";
        std::string key;
        if (const core::Value* last = all[count - 1].find(key_column)) last->append_text(key);
        (void)page.set("next", core::Value::string(next + "after=" + encode_percent(key)));
    }
    return page;
}

std::string Visit::id(std::string_view name) const {
    const auto found = request.names.find(name);
    const std::string digits = found == request.names.end() ? "" : found->second;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error == std::errc::result_out_of_range) throw HttpError(404, "There is nothing with such a number.");
    if (error != std::errc() || end != digits.data() + digits.size()) throw HttpError(400, "That is not a number.");
    return std::to_string(number);
}

Parameter Visit::query(std::string_view name) const { return not_empty(request.query.get(name)); }
Parameter Visit::form(std::string_view name) const { return not_empty(request.form.get(name)); }

}  // namespace mailer::web
