// A stored message as values, and those values as the bytes of a mail: what the sender and message_source() share.
//
// Reading needs a transaction; composing needs none and calls nothing of PostgreSQL's, so that the worker does it with
// no transaction open. The same row, templates and variables give the same bytes: Message-ID and Date are the row's.
#pragma once

#include "core/mail/mime.hpp"
#include "core/mail/value.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/engine/template_cache.hpp"

namespace mailer::pg {

struct StoredAttachment {
    std::string filename, content_type, content_id;
    std::shared_ptr<const std::string> content;
};

struct StoredMessage {
    std::int64_t id = 0;
    Oid role = InvalidOid;  // that queued it, if it names functions to run; none: its principal stands for no role here
    std::vector<std::string> addresses;
    std::string roles;  // t, c or b for each
    std::string header_to, header_cc, reply_to;
    std::string internet_message_id;
    std::string subject, body_text, body_html;
    std::string template_name;
    core::Value variables;
    std::string variables_text;  // as jsonb text, when there is a loader or send_if
    std::vector<core::HeaderField> headers;
    std::optional<std::int64_t> attachments_of;  // whose attachments go along: read_attachments()
    std::vector<StoredAttachment> attachments;
    core::Time date{};
    std::string loader, send_if;
    std::string in_reply_to;
    std::vector<std::string> references;
    bool is_auto_submitted = false;
    bool is_purged = false;
    std::string fault;              // why the row can't be sent, whatever happens
    std::string unsubscribe_token;  // empty: no List-Unsubscribe
};

// The attachments stored with a message, in order. Requires a transaction and an Spi.
std::vector<StoredAttachment> read_attachments(std::int64_t message_id);

// Those of `ids` that exist, without their attachments: those are large, and read when a message is composed. Requires
// a transaction and an Spi as the extension's owner.
std::vector<StoredMessage> read_messages(std::span<const std::int64_t> ids);

// Loads into the cache what rendering the message will ask for. Requires a transaction and an Spi.
void load_templates(TemplateCache& templates, const StoredMessage& message);

// Who it is from, as the mailbox says.
struct Sender {
    std::string address, name;
};

struct ContentOptions {
    std::size_t max_message_size = 25u << 20;
    std::string unsubscribe_url;  // `{token}` stands for the token; empty: no header
};

// Renders and composes. `variables` replaces the stored ones when a loader gave them.
core::Result<core::Composed> compose_message(const StoredMessage& message, const Sender& sender,
                                             TemplateCache& templates, const core::Value* variables,
                                             const ContentOptions& options);

}  // namespace mailer::pg
