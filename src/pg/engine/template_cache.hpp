// The templates of the database, parsed once for many mails.
#pragma once

#include <memory>

#include "core/mail/template_partials.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/tenancy/principal.hpp"

namespace mailer::pg {

struct StoredAttachment {
    std::string filename, content_type, content_id;
    std::shared_ptr<const std::string> content;
    bool is_alternative = false;
};

struct StoredTemplate {
    std::optional<core::Template> subject, text, html;
    std::vector<StoredAttachment> attachments;
    bool is_strict = false;
};

// Templates of the database, parsed once. Load under a transaction; rendering from what was loaded needs none.
class TemplateCache {
public:
    // What isn't shared with the tenant is not there as a partial; a message's own template was checked when it was
    // queued. as_of: what the templates said then, as far as template_history knows; PostgreSQL's microseconds.
    explicit TemplateCache(std::int64_t tenant_id, std::optional<std::int64_t> as_of = {})
        : tenant_id_(tenant_id), as_of_(as_of) {}
    // Loads a template and every partial that it names, directly or not. False: there is none of that name.
    bool load(const std::string& name);
    // The partials that a source outside the database names; every template when only the variables know the names.
    void load_partials(const core::Template& source);
    // nullptr, and why, when it wasn't loaded or doesn't parse.
    const StoredTemplate* find(const std::string& name, std::string* fault) const;
    core::PartialTable& partials(bool is_html) { return is_html ? html_partials_ : text_partials_; }

private:
    bool load_one(const std::string& name, std::int64_t for_tenant);
    void load_named(std::vector<std::string> names);
    void load_all();
    struct Entry {
        StoredTemplate parsed;
        std::string fault;  // why it can't be used
    };
    std::map<std::string, Entry> entries_;
    std::int64_t tenant_id_;
    core::PartialTable text_partials_, html_partials_;
    std::optional<std::int64_t> as_of_;
};

// One cache for all, as long as every template is shared; else one for each tenant.
class TemplateCaches {
public:
    // Forgets everything when any template, or who may use it, has changed since. Under a transaction.
    void refresh();
    TemplateCache& of(std::int64_t tenant_id);

private:
    std::map<std::int64_t, TemplateCache> caches_;
    bool are_all_shared_ = true;
    std::int64_t newest_ = 0, count_ = -1, grants_ = 0;
};

}  // namespace mailer::pg
