// A stored message as values, and those values as the bytes of a mail: what the sender and message_source() share.
//
// Reading needs a transaction; composing needs none and calls nothing of PostgreSQL's, so that the worker does it with no
// transaction open. The same row, templates and variables give the same bytes: Message-ID and Date are the row's.
#pragma once

#include "core/mime.hpp"
#include "core/template_partials.hpp"
#include "core/value.hpp"
#include "pg/spi.hpp"

namespace mailer::pg {

struct StoredAttachment {
    std::string filename, content_type, content_id;
    std::shared_ptr<const std::string> content;
};

struct StoredTemplate {
    std::optional<core::Template> subject, text, html;
};

struct StoredMessage {
    std::int64_t id = 0;
    std::string queued_by;
    std::vector<std::string> addresses;
    std::string roles;       // t, c or b for each
    std::string header_to, header_cc, reply_to;
    std::string internet_message_id;
    std::string subject, body_text, body_html;
    std::string template_name;
    core::Value variables;
    std::string variables_text;  // as jsonb text, when there is a loader or send_if
    std::vector<core::HeaderField> headers;
    std::vector<StoredAttachment> attachments;
    core::Time date{};
    std::string loader, send_if;
    std::string in_reply_to;
    std::vector<std::string> references;
    bool is_auto_submitted = false;
    bool is_purged = false;
    std::string unsubscribe_token;  // empty: no List-Unsubscribe
};

// Templates of the database, parsed once. Load under a transaction; rendering from what was loaded needs none.
class TemplateCache {
public:
    // Loads a template and every partial that it names, directly or not. False: there is none of that name.
    bool load(const std::string& name);
    void load_partials(std::vector<std::string> names);
    // nullptr, and why, when it wasn't loaded or doesn't parse.
    const StoredTemplate* find(const std::string& name, std::string* fault) const;
    core::PartialTable& partials(bool is_html) { return is_html ? html_partials_ : text_partials_; }
    // Forgets everything when any template has changed since.
    void refresh();

private:
    bool load_one(const std::string& name);
    struct Entry {
        StoredTemplate parsed;
        std::string fault;  // why it can't be used
    };
    std::map<std::string, Entry> entries_;
    core::PartialTable text_partials_, html_partials_;
    std::int64_t newest_ = 0, count_ = -1;
};

// Those of `ids` that exist. Requires a transaction and an Spi as the extension's owner.
std::vector<StoredMessage> read_messages(std::span<const std::int64_t> ids);

// Who it is from, as the mailbox says.
struct Sender {
    std::string address, name;
};

struct ContentOptions {
    std::size_t max_message_size = 25u << 20;
    std::string unsubscribe_url;  // `{token}` stands for the token; empty: no header
};

// Renders and composes. `variables` replaces the stored ones when a loader gave them.
core::Result<core::Composed> compose_message(const StoredMessage& message, const Sender& sender, TemplateCache& templates,
                                             const core::Value* variables, const ContentOptions& options);

}  // namespace mailer::pg
