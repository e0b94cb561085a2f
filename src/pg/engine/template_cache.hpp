// The templates of the database, parsed once for many mails.
#pragma once

#include <memory>

#include "core/mail/template_partials.hpp"
#include "pg/bridge/spi.hpp"

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
    TemplateCache() = default;
    // What the templates said then, as far as template_history knows. PostgreSQL's microseconds.
    explicit TemplateCache(std::int64_t as_of) : as_of_(as_of) {}
    // Loads a template and every partial that it names, directly or not. False: there is none of that name.
    bool load(const std::string& name);
    // The partials that a source outside the database names; every template when only the variables know the names.
    void load_partials(const core::Template& source);
    // nullptr, and why, when it wasn't loaded or doesn't parse.
    const StoredTemplate* find(const std::string& name, std::string* fault) const;
    core::PartialTable& partials(bool is_html) { return is_html ? html_partials_ : text_partials_; }
    // Forgets everything when any template has changed since.
    void refresh();

private:
    bool load_one(const std::string& name);
    void load_named(std::vector<std::string> names);
    void load_all();
    struct Entry {
        StoredTemplate parsed;
        std::string fault;  // why it can't be used
    };
    std::map<std::string, Entry> entries_;
    core::PartialTable text_partials_, html_partials_;
    std::int64_t newest_ = 0, count_ = -1;
    std::optional<std::int64_t> as_of_;
};

}  // namespace mailer::pg
