// What a template mentions, and the table of templates by name.
//
// Names are collected from the parsed nodes when somebody asks; rendering never needs them.
#include "core/mail/template_partials.hpp"

#include <algorithm>
#include <set>

namespace mailer::core {

namespace {

// The names of the nodes that `is_wanted`, sorted, each once.
std::vector<std::string> names_of(const Template& source, auto is_wanted) {
    std::set<std::string_view> names;
    for (const TemplateNode& node : source.nodes()) {
        if (is_wanted(node)) names.insert(source.slice(node.text));
    }
    return {names.begin(), names.end()};
}

bool is_dynamic_partial(const TemplateNode& node) {
    return node.kind == TemplateNode::Kind::partial && node.is_dynamic;
}

}  // namespace

std::vector<std::string> Template::partial_names() const {
    return names_of(
        *this, [](const TemplateNode& node) { return node.kind == TemplateNode::Kind::partial && !node.is_dynamic; });
}

std::vector<std::string> Template::variable_names() const {
    // Only what is looked up has a path: text, static partials and "." have none, ends have none either.
    return names_of(*this, [](const TemplateNode& node) { return node.path_size > 0; });
}

bool Template::has_dynamic_partials() const { return std::any_of(nodes_.begin(), nodes_.end(), is_dynamic_partial); }

Status PartialTable::add(std::string_view name, std::string_view source) {
    Result<Template> parsed = Template::parse(source, name);
    if (!parsed) return parsed.error();
    templates_.insert_or_assign(std::string(name), std::move(parsed).value());
    return {};
}

void PartialTable::remove(std::string_view name) {
    if (const auto at = templates_.find(name); at != templates_.end()) templates_.erase(at);
}

Result<const Template*> PartialTable::find(std::string_view name) {
    const auto at = templates_.find(name);
    return at == templates_.end() ? nullptr : &at->second;
}

std::vector<std::string> PartialTable::missing_names() const {
    std::set<std::string> missing;
    for (const auto& [name, source] : templates_) {
        for (std::string& partial : source.partial_names()) {
            if (!templates_.contains(partial)) missing.insert(std::move(partial));
        }
    }
    return {missing.begin(), missing.end()};
}

}  // namespace mailer::core
