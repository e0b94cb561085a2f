// See pg/enqueue/request.hpp. Every refusal says what is wrong, and what to do
// where the caller can do something.
#include "pg/enqueue/request.hpp"

#include "core/bounds.hpp"
#include "core/mail/header.hpp"
#include "core/mail/template.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/enqueue/attachments.hpp"

namespace mailer::pg {

void check_key_length(const char* parameter, std::string_view key) {
    constexpr std::size_t longest_key = 500;  // octets; keys are indexed
    if (key.size() <= longest_key) return;
    refuse(std::string(parameter) + " is too long",
           "It has " + std::to_string(key.size()) + " octets; " + std::to_string(longest_key) + " are allowed.",
           "Use a short identifier, or a hash of what you have.");
}

void check_key(const char* parameter, const TextValue& key) {
    if (!key) return;
    if (key.view.empty()) refuse(std::string(parameter) + " must not be empty", {}, "Leave it out, or pass NULL.");
    check_key_length(parameter, key.view);
}

namespace {

constexpr std::size_t most_header_fields = 100;

std::vector<core::Address> read_addresses(const char* parameter, const TextValue& list) {
    if (!list || list.view.empty()) return {};
    core::Result<std::vector<core::Address>> parsed = core::parse_address_list(list.view);
    if (!parsed) {
        core::Error error = parsed.error();
        error.message = std::string(parameter) + ": " + error.message;
        throw Refusal(std::move(error));
    }
    return std::move(parsed).value();
}

void read_mailboxes(Request& request, const TextValue& mailbox,
                    const std::optional<std::vector<std::optional<std::string>>>& mailboxes) {
    if (mailbox && mailboxes)
        refuse("mailbox and mailboxes exclude each other", {}, "Name one account as mailbox, or several as mailboxes.");
    if (mailbox) request.mailboxes.emplace_back(mailbox.view);
    if (!mailboxes) return;
    if (mailboxes->empty()) refuse("mailboxes is empty", {}, "Leave it out to send from the default pool.");
    for (const std::optional<std::string>& name : *mailboxes) {
        if (!name) refuse_null("an element of mailboxes");
        request.mailboxes.push_back(*name);
    }
}

}  // namespace

void check_object(const char* parameter, RawValue& jsonb, std::size_t limit) {
    if (!jsonb) return;
    const JsonbFacts facts = inspect_jsonb(jsonb.datum);
    if (facts.shape != JsonbShape::object)
        refuse(std::string(parameter) + " must be a JSON object", {}, "Write '{\"name\": \"Ada\"}'.");
    if (facts.depth > core::Value::max_depth)
        refuse(std::string(parameter) + " is nested too deeply",
               "Arrays and objects may be nested " + std::to_string(core::Value::max_depth) + " levels deep.", {},
               "54000");
    if (facts.size > limit)
        refuse(std::string(parameter) + " is too large",
               "It has " + std::to_string(facts.size) + " octets; " + std::to_string(limit) + " are allowed.", {},
               "54000");
    if (facts.is_empty) jsonb = {};
}

void check_headers(RawValue& headers, bool are_templates) {
    check_object("headers", headers, core::most_headers);
    if (!headers) return;
    const core::Value value = read_jsonb(headers.datum);
    if (value.members().size() > most_header_fields)
        refuse("too many headers", "There are " + std::to_string(value.members().size()) + "; " +
                                       std::to_string(most_header_fields) + " are allowed.");
    for (const core::Value::Member& header : value.members()) {
        if (header.value.kind() != core::Value::Kind::string)
            refuse("header \"" + header.key + "\" must be a string", {},
                   "headers is a JSON object of strings: '{\"X-Ticket\": \"156\"}'.");
        const std::string source(header.value.scalar_text());
        if (!are_templates || source.find("{{") == std::string::npos) {
            if (core::Status error = core::check_header(header.key, source)) throw Refusal(*error);
            continue;
        }
        expect(core::Template::parse(source, header.key));
        if (core::Status error = core::check_header_template(header.key, source)) throw Refusal(*error);
    }
}

namespace {

// An address list; or, in a mail that is rendered, a template of one.
std::string read_reply_to(const TextValue& reply_to, bool is_template) {
    if (!is_template || reply_to.view.find("{{") == std::string_view::npos)
        return core::format_address_list(read_addresses("reply_to", reply_to));
    expect(core::Template::parse(reply_to.view, "reply_to"));
    return std::string(reply_to.view);
}

// Without a template, subject and bodies are literal, unless there is something
// to render them with.
void check_inline_template(const char* parameter, const TextValue& source) {
    if (!source || source.view.find("{{") == std::string_view::npos) return;
    expect(core::Template::parse(source.view, parameter));
}

void check_content(const Request& request, bool has_more_variables, std::size_t limit) {
    if (request.template_name) {
        if (request.subject || request.body_text || request.body_html)
            refuse("a template excludes subject, body_text and body_html",
                   "The template \"" + std::string(request.template_name.view) + "\" gives subject and bodies.",
                   "Pass what varies as variables.");
        return;
    }
    if (!request.subject)
        refuse("a mail needs a subject or a template", {},
               "Pass subject and body_text or body_html, or name a template.");
    if (!request.body_text && !request.body_html)
        refuse("a mail needs a body or a template", {}, "Pass body_text (it may be empty), body_html or both.");
    if (request.subject.view.size() > core::longest_subject)
        refuse("the subject is too long",
               "It has " + std::to_string(request.subject.view.size()) + " octets; " +
                   std::to_string(core::longest_subject) + " are allowed.",
               {}, "54000");
    if (core::Status error = core::check_subject(request.subject.view)) throw Refusal(*error);
    std::size_t size = request.body_text.view.size() + request.body_html.view.size();
    for (const AttachmentRow& attachment : request.attachments)
        size += attachment.content.view.size() / 3 * 4;  // as it is sent
    if (size > limit)
        refuse(
            "bodies and attachments are too large",
            "They have " + std::to_string(size) + " octets; mailer.max_message_size is " + std::to_string(limit) + ".",
            {}, "54000");
    if (!request.variables && !request.loader && !has_more_variables) return;
    check_inline_template("subject", request.subject);
    check_inline_template("body_text", request.body_text);
    check_inline_template("body_html", request.body_html);
}

void check_time(const char* parameter, const std::optional<std::int64_t>& at, const char* hint) {
    constexpr std::int64_t first = core::to_unix_us(core::earliest_time) - pg_epoch_offset_us;
    constexpr std::int64_t last = core::to_unix_us(core::latest_time) - pg_epoch_offset_us;
    if (at && (*at < first || *at > last))
        refuse(std::string(parameter) + " must be a time from 1970 to 9999", {}, hint);
}

}  // namespace

void check_times(Request& request) {
    const std::int64_t now = request.now = transaction_now();
    check_time("send_at", request.send_at, "Leave it out for a mail that goes at once.");
    check_time("expires_at", request.expires_at, "Leave it out for a mail that doesn't expire.");
    request.due_at = std::max(request.send_at.value_or(now), now);
    if (request.expires_at && *request.expires_at <= request.due_at)
        refuse(request.send_at && *request.send_at > now ? "expires_at must be after send_at" : "expires_at has passed",
               "The mail would expire before it could be sent.");
}

void read_priority_and_kind(Request& request, std::optional<std::int32_t> priority, const TextValue& kind) {
    request.priority = priority.value_or(2);
    if (request.priority < 0 || request.priority > 4)
        refuse("invalid priority: " + std::to_string(request.priority), {},
               "Priorities are 0 to 4; higher goes first.");
    if (!kind || kind.view == "normal") return;
    if (kind.view != "warmup")
        refuse("invalid kind: \"" + std::string(kind.view) + "\"", {}, "Kinds are normal and warmup.");
    request.is_warmup = true;
}

std::size_t message_size_limit() {
    const char* text = call([] { return GetConfigOption("mailer.max_message_size", true, false); });
    const long long limit = text == nullptr ? 0 : atoll(text);
    return limit > 0 ? static_cast<std::size_t>(limit) : std::size_t{25} << 20;
}

Request read_request(FunctionCallInfo fcinfo, const RawValue& options, bool has_more_variables) {
    Arguments arguments(fcinfo, 1);
    Request request;
    request.subject = arguments.text();
    request.body_text = arguments.text();
    request.body_html = arguments.text();
    request.template_name = arguments.text();
    request.variables = arguments.raw();
    const TextValue mailbox = arguments.text();
    read_mailboxes(request, mailbox, arguments.texts());
    request.cc = read_addresses("cc", arguments.text());
    request.bcc = read_addresses("bcc", arguments.text());
    const TextValue reply_to = arguments.text();
    request.headers = arguments.raw();
    const RawValue attachments = arguments.raw();
    request.send_at = arguments.time();
    request.expires_at = arguments.time();
    const std::optional<std::int32_t> priority = arguments.integer();
    request.idempotency_key = arguments.text();
    request.external_id = arguments.text();
    request.thread_key = arguments.text();
    read_priority_and_kind(request, priority, arguments.text());
    if (const TextValue loader = arguments.text()) request.loader = resolve_late_bound("loader", loader, JSONBOID);
    if (const TextValue send_if = arguments.text()) request.send_if = resolve_late_bound("send_if", send_if, BOOLOID);

    const std::size_t limit = message_size_limit();
    check_object("variables", request.variables, core::most_variables);
    const bool is_template =
        request.template_name || request.variables || request.loader || has_more_variables;  // not literal
    check_headers(request.headers, is_template);
    request.reply_to = read_reply_to(reply_to, is_template);
    read_options(request, options);
    if (attachments) request.attachments = read_attachments(attachments.datum, limit);
    check_content(request, has_more_variables, limit);
    check_times(request);
    check_key("idempotency_key", request.idempotency_key);
    check_key("external_id", request.external_id);
    check_key("thread_key", request.thread_key);
    return request;
}

}  // namespace mailer::pg
