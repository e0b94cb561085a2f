// A stored message as values, and those values as the bytes of a mail: what the sender and message_source() share.
//
// Reading needs a transaction; composing needs none and calls nothing of PostgreSQL's, so that the worker does it with
// no transaction open. The same row, templates, variables and date give the same bytes; core::fingerprint_of() of them
// is in the attempt log, so that message_source() can tell whether it shows what was sent.
#pragma once

#include <functional>

#include "core/mail/mime.hpp"
#include "core/mail/value.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/engine/template_cache.hpp"

namespace mailer::pg {

// Whose rights the functions of a message have, as the claim's transaction sees them.
struct Caller {
    Oid role = InvalidOid;  // InvalidOid: its principal stands for no role here
    bool may_connect = false;
    Oid owner = InvalidOid;  // the extension's, if that may connect
};

struct StoredMessage {
    std::int64_t id = 0;
    std::int64_t tenant_id = 0;
    Caller caller;  // who queued it, if it names functions to run
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
    bool has_own_attachments = false;            // beside them
    std::vector<StoredAttachment> attachments;
    bool is_raw = false;           // ready-made: the one attachment is the mail
    core::Value options;           // null: none
    core::Value loaded_variables;  // what the loader gave at the last try; null: none
    core::Time date{};             // of the first try's claim, as the composing process knows it
    std::string loader, send_if;
    std::string in_reply_to;
    std::vector<std::string> references;
    bool is_auto_submitted = false;
    bool is_purged = false;
    bool is_partial = false;        // texts, variables and headers are large, and were left out
    std::string fault;              // why the row can't be sent, whatever happens
    std::string unsubscribe_token;  // empty: no List-Unsubscribe
    bool is_of_campaign = false;
    bool is_later_step = false;           // of a sequence: without a subject it answers in the lead's thread
    std::string thread_subject;           // of the mail that began it, as rendered
    std::vector<std::string> thread_ids;  // Message-IDs of the thread's mails so far, in order
};

// What is stored under a message: what all mails of its batch get, or what it alone gets. Requires a transaction and an
// Spi.
enum class AttachmentsFor { all, one };
std::vector<StoredAttachment> read_attachments(std::int64_t message_id, AttachmentsFor whom);

// Those of `ids` that exist, without their attachments: those are large, and read when a message is composed. So are
// texts and variables of some: `small` leaves those out, so that whatever is claimed at a time fits into memory.
// Requires a transaction and an Spi as the extension's owner.
enum class Texts { small, all };
std::vector<StoredMessage> read_messages(std::span<const std::int64_t> ids, Texts texts);
void leave_out_texts(StoredMessage& message);  // as `small` would have

// Loads into the cache what rendering the message will ask for. Requires a transaction and an Spi.
void load_templates(TemplateCache& templates, const StoredMessage& message);

// Who it is from, as the mailbox says.
struct Sender {
    std::string address, name;
    std::vector<std::string> allowed_from = {};
    std::string signature_text = {}, signature_html = {};
};

// The mailbox that the message was sent from; before that the one that has it; else the first of its pool. Refuses when
// there is none. Requires a transaction and an Spi as the extension's owner.
Sender stored_sender(std::int64_t message_id);

struct ContentOptions {
    std::size_t max_message_size = 25u << 20;
    std::string unsubscribe_url;                // `{token}` stands for the token; empty: no header
    std::function<core::Status()> interrupted;  // whether rendering has to stop: core::RenderOptions
    // Not owned; gets the variables that are missing, which then are no fault of a strict template's either.
    std::vector<std::string>* missing = nullptr;
};

// Renders and composes. `variables` replaces the stored ones when a loader gave them. `thread_subject` gets the
// rendered subject of a campaign's mail that begins a thread.
core::Result<core::Composed> compose_message(const StoredMessage& message, const Sender& sender,
                                             TemplateCache& templates, const core::Value* variables,
                                             const ContentOptions& options, std::string* thread_subject = nullptr);

// The mail before it is composed: what compose_message() renders of one that isn't ready-made.
core::Result<core::Mail> render_message(const StoredMessage& message, const Sender& sender, TemplateCache& templates,
                                        const core::Value* variables, const ContentOptions& options,
                                        std::string* thread_subject = nullptr);

// What a report names the message by: its id and the random part of its Message-ID, as mailer._find_token() reads it.
// Empty where the Message-ID isn't ours.
std::string report_token(const StoredMessage& message);

// What another database knows the message by: the same at every try. The Message-ID is in it because a promoted server
// may give the number of a message that it never heard of to another one.
std::string forward_key(const StoredMessage& m);
std::string message_option(const StoredMessage& message, std::string_view name);  // empty: not set

// A composed mail with the header that names its recipients, who don't get it (mailer.redirect_to).
std::string with_redirect_header(const std::string& composed, std::span<const std::string> recipients);

}  // namespace mailer::pg
