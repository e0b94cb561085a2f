// Loading and parsing templates with their partials; see template_cache.hpp.
#include "pg/engine/template_cache.hpp"

#include <set>

namespace mailer::pg {

void TemplateCache::refresh() {
    static Statement statement("SELECT max(updated_at), count(*) FROM mailer.template", {});
    Rows rows = statement.run({});
    const std::int64_t newest = rows.bigint(0, 1), count = rows.bigint(0, 2);
    if (newest == newest_ && count == count_) return;
    entries_.clear();
    text_partials_.clear();
    html_partials_.clear();
    newest_ = newest;
    count_ = count;
}

// A template's text serves as a partial in the kind of body that it is written for, or in the other when it has only
// one.
bool TemplateCache::load_one(const std::string& name) {
    static Statement statement("SELECT subject, body_text, body_html FROM mailer.template WHERE name = $1", {TEXTOID});
    if (entries_.contains(name)) return true;
    Rows rows = statement.run({p_text(name)});
    if (rows.empty()) return false;
    Entry entry;
    auto parse = [&](std::optional<std::string> source) -> std::optional<core::Template> {
        if (!source) return std::nullopt;
        auto parsed = core::Template::parse(*source, name);
        if (!parsed.ok()) {
            entry.fault =
                parsed.error().message + (parsed.error().detail.empty() ? "" : " (" + parsed.error().detail + ")");
            return std::nullopt;
        }
        return std::move(parsed).value();
    };
    auto text = rows.maybe_text(0, 2), html = rows.maybe_text(0, 3);
    entry.parsed.subject = parse(rows.maybe_text(0, 1));
    entry.parsed.text = parse(text);
    entry.parsed.html = parse(html);
    if (entry.fault.empty()) {
        if (auto bad = text_partials_.add(name, text ? *text : html.value_or(""))) entry.fault = bad->message;
        if (auto bad = html_partials_.add(name, html ? *html : text.value_or(""))) entry.fault = bad->message;
    }
    entries_.emplace(name, std::move(entry));
    return true;
}

bool TemplateCache::load(const std::string& name) {
    if (!load_one(name)) return false;
    const StoredTemplate& parsed = entries_.at(name).parsed;
    for (const auto* part : {&parsed.subject, &parsed.text, &parsed.html}) {
        if (*part) load_partials(**part);
    }
    return true;
}

void TemplateCache::load_partials(const core::Template& source) {
    if (source.has_dynamic_partials()) return load_all();
    load_named(source.partial_names());
}

void TemplateCache::load_all() {
    static Statement statement("SELECT name FROM mailer.template", {});
    Rows rows = statement.run({});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        load_one(rows.text(i, 1));
}

void TemplateCache::load_named(std::vector<std::string> names) {
    std::set<std::string> asked;
    while (!names.empty()) {
        bool is_any = false;
        for (const std::string& name : names) {
            if (asked.insert(name).second && load_one(name)) is_any = true;
        }
        names.clear();
        if (!is_any) break;
        names = text_partials_.missing_names();
        for (const auto& more : html_partials_.missing_names())
            names.push_back(more);
    }
}

const StoredTemplate* TemplateCache::find(const std::string& name, std::string* fault) const {
    auto it = entries_.find(name);
    if (it == entries_.end()) {
        *fault = "template \"" + name + "\" does not exist";
        return nullptr;
    }
    if (!it->second.fault.empty()) {
        *fault = "template \"" + name + "\": " + it->second.fault;
        return nullptr;
    }
    return &it->second.parsed;
}

}  // namespace mailer::pg
