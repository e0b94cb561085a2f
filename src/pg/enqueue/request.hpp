// What one call of enqueue, enqueue_batch or the trigger asks for, checked as
// far as that needs no table.
//
// Reading a request runs as the caller: names of functions are looked up by the
// caller's search_path and rights. Whatever a table must say (does the template
// exist, which lane is it) comes later, as the owner (enqueue_store). Text is
// kept where PostgreSQL put it: a body is never copied before it is stored.
#pragma once

#include "core/mail/envelope.hpp"
#include "pg/bridge/arguments.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/tenancy/principal.hpp"

namespace mailer::pg {

struct AttachmentRow {
    std::string filename;
    std::optional<std::string> content_type;
    std::optional<std::string> content_id;
    TextValue content;
    bool is_alternative = false;
};

// A mail that was given ready-made (enqueue_raw).
struct RawSource {
    TextValue octets;  // bytea; NULL: the mail is composed
    std::string message_id = {};
    std::string subject = {};
};

struct Request {
    Actor by = {};  // who queues it, for which tenant

    TextValue subject;
    TextValue body_text;
    TextValue body_html;
    TextValue template_name;
    RawValue variables;                       // jsonb object; NULL: none
    RawValue headers;                         // jsonb object of strings; NULL: none
    RawValue options;                         // jsonb object, checked; NULL: none
    std::vector<core::Address> senders = {};  // that From and Sender name; every mailbox must allow them
    RawSource raw;
    std::vector<AttachmentRow> attachments = {};

    std::vector<std::string> mailboxes = {};  // names; empty: the default pool
    std::vector<core::Address> cc = {};
    std::vector<core::Address> bcc = {};
    std::string reply_to = {};  // empty: none

    std::optional<std::int64_t> send_at;
    std::optional<std::int64_t> expires_at;
    std::int64_t now = 0;     // mailer._now()
    std::int64_t due_at = 0;  // send_at or now, whichever is later
    int priority = 2;
    bool is_warmup = false;

    TextValue idempotency_key;
    TextValue external_id;
    TextValue thread_key;
    std::optional<std::string> loader;   // qualified name
    std::optional<std::string> send_if;  // qualified name
    TextValue category;                  // of a notification that may be unsubscribed from
};

// Reads the arguments that enqueue and enqueue_batch share, `subject` to
// `send_if`, from argument 1 on, and their `options`.
// With `has_more_variables` there are others to render with than the request's own.
Request read_request(FunctionCallInfo fcinfo, const RawValue& options, bool has_more_variables = false);

constexpr int arguments_of_request = 21;

// Refuses headers that can't be written; where they are templates, only what rendering can't change is looked at. {}
// becomes NULL.
void check_headers(RawValue& headers, bool are_templates);

// Checks and keeps what options asks for.
void read_options(Request& request, const RawValue& options);

void read_priority_and_kind(Request& request, std::optional<std::int32_t> priority, const TextValue& kind);
void check_times(Request& request);
void check_key(const char* parameter, const TextValue& key);
void check_object(const char* parameter, RawValue& jsonb, std::size_t limit);

// mailer.max_message_size in octets.
std::size_t message_size_limit();

// Everything that makes up the content, in one canonical string: two calls with
// the same key must agree in it. When and how urgently it is sent isn't
// content: a retry of the caller may well say another send_at.
std::string canonical_content(const Request& request, std::string_view recipients);

std::string canonical_jsonb(const RawValue& jsonb);

// SHA-256, 32 octets.
std::string sha256(std::string_view text);

// Refuses a key (idempotency_key, external_id, thread_key) that no index would take.
void check_key_length(const char* parameter, std::string_view key);

// Looks up a late-bound function as the caller and gives its qualified name.
// `result` is the type that it must return.
std::string resolve_late_bound(std::string_view parameter, const TextValue& name, Oid result);

}  // namespace mailer::pg
