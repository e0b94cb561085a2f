// Loading and parsing templates with their partials; see template_cache.hpp.
#include "pg/engine/template_cache.hpp"

#include <set>

namespace mailer::pg {

void TemplateCaches::refresh() {
    static Statement statement(
        R"sql(
            SELECT max(t.updated_at) AS newest, count(*), bool_and(t.is_shared) AS are_all_shared,
                (SELECT sum(hashtext(g.template || g.tenant_id))
                FROM mailer.template_grant g) AS grants
            FROM mailer.template t)sql",
        {});
    Rows rows = statement.run({});
    const std::int64_t newest = rows.bigint(0, "newest"), count = rows.bigint(0, "count"),
                       grants = rows.bigint(0, "grants");
    if (newest == newest_ && count == count_ && grants == grants_) return;
    caches_.clear();
    are_all_shared_ = count == 0 || rows.boolean(0, "are_all_shared");
    newest_ = newest;
    count_ = count;
    grants_ = grants;
}

TemplateCache& TemplateCaches::of(std::int64_t tenant_id) {
    const std::int64_t key = are_all_shared_ ? operator_tenant : tenant_id;
    return caches_.try_emplace(key, key).first->second;
}

namespace {

std::vector<StoredAttachment> attachments_of_template(const std::string& name) {
    static Statement statement(
        R"sql(
            SELECT filename, content_type, content_id, content, is_alternative
            FROM mailer.template_attachment
            WHERE template = $1 ORDER BY n)sql",
        {TEXTOID});
    std::vector<StoredAttachment> found;
    Rows rows = statement.run({p_text(name)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        found.push_back({rows.text(i, "filename"), rows.text(i, "content_type"), rows.text(i, "content_id"),
                         std::make_shared<const std::string>(rows.text(i, "content")),
                         rows.boolean(i, "is_alternative")});
    return found;
}

}  // namespace

// A template's text serves as a partial in the kind of body that it is written for, or in the other when it has only
// one.
bool TemplateCache::load_one(const std::string& name, std::int64_t for_tenant) {
    static Statement statement(
        R"sql(
        SELECT x.* FROM (
            SELECT * FROM (SELECT h.subject, h.body_text, h.body_html, h.is_strict FROM mailer.template_history h
                WHERE h.name = $1 AND h.replaced_at > $2 ORDER BY h.replaced_at LIMIT 1) h
            UNION ALL
            SELECT t.subject, t.body_text, t.body_html, t.is_strict FROM mailer.template t WHERE t.name = $1
        ) x
        WHERE $3 = 1
           OR COALESCE((SELECT t.is_shared FROM mailer.template t WHERE t.name = $1), true)
           OR EXISTS (SELECT FROM mailer.template_grant g WHERE g.template = $1 AND g.tenant_id = $3)
        )sql",
        {TEXTOID, TIMESTAMPTZOID, INT8OID});
    if (entries_.contains(name)) return true;
    Rows rows = statement.run({p_text(name), as_of_ ? p_time(*as_of_) : p_time(DT_NOEND), p_bigint(for_tenant)});
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
    auto text = rows.maybe_text(0, "body_text"), html = rows.maybe_text(0, "body_html");
    entry.parsed.subject = parse(rows.maybe_text(0, "subject"));
    entry.parsed.text = parse(text);
    entry.parsed.html = parse(html);
    entry.parsed.is_strict = rows.boolean(0, "is_strict");
    entry.parsed.attachments = attachments_of_template(name);
    if (entry.fault.empty()) {
        if (auto bad = text_partials_.add(name, text ? *text : html.value_or(""))) entry.fault = bad->message;
        if (auto bad = html_partials_.add(name, html ? *html : text.value_or(""))) entry.fault = bad->message;
    }
    entries_.emplace(name, std::move(entry));
    return true;
}

bool TemplateCache::load(const std::string& name) {
    if (!load_one(name, operator_tenant)) return false;
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
        load_one(rows.text(i, 1), tenant_id_);
}

void TemplateCache::load_named(std::vector<std::string> names) {
    std::set<std::string> asked;
    while (!names.empty()) {
        bool is_any = false;
        for (const std::string& name : names) {
            if (asked.insert(name).second && load_one(name, tenant_id_)) is_any = true;
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
