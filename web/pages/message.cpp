// /messages/ID: one message, what became of it and why, what it says; cancel, retry, resolve.
#include "core/feedback/message_reader.hpp"
#include "pages/mail_frame.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

constexpr const char* most_source = "1048576";  // octets that are looked at; the rest is in the file
constexpr std::size_t most_shown = 65536;

std::string source_of(Visit& visit, const Parameter& most) {
    return octets_of_hex(visit.value(R"sql(
            SELECT encode(CASE WHEN $2::integer IS NULL THEN s ELSE substr(s, 1, $2::integer) END, 'hex')
            FROM mailer.message_source($1::bigint) s)sql",
                                     {visit.id(), most}));
}

core::Value text_within_limit(const std::string& octets) {
    std::size_t end = std::min(octets.size(), most_shown);
    while (end > 0 && end < octets.size() && (static_cast<unsigned char>(octets[end]) & 0xc0) == 0x80)
        --end;
    return object({{"text", text(octets.substr(0, end))}, {"is_cut", core::Value::boolean(end < octets.size())}});
}

// What it says, for those who may read it. Where it can't be shown, why.
core::Value said(Visit& visit) {
    try {
        const std::string source = source_of(visit, most_source);
        const core::feedback::Mail mail = core::feedback::read_mail(source);
        core::Value files = core::Value::array();
        std::string plain;
        bool has_html = false;
        for (const auto& part : mail.parts) {
            if (part.is_attachment) {
                std::string name = core::feedback::parameter(part.fields.value("content-disposition"), "filename");
                (void)files.append(
                    object({{"name", text(name.empty() ? "without a name" : name)}, {"type", text(part.type)}}));
            } else if (part.type == "text/plain") {
                plain += part.text;
            } else if (part.type == "text/html") {
                has_html = true;
            }
        }
        const bool has_files = !files.items().empty();
        return object({{"plain", plain.empty() ? core::Value() : text_within_limit(plain)},
                       {"has_html", core::Value::boolean(has_html)},
                       {"files", std::move(files)},
                       {"has_files", core::Value::boolean(has_files)},
                       {"source", text_within_limit(source)}});
    } catch (const SqlError& error) {
        if (error.sqlstate == "57014") throw;
        return object({{"problem", text(error.what())}, {"detail", text(error.detail)}, {"hint", text(error.hint)}});
    }
}

core::Value show(Visit& visit) {
    const std::string id = visit.id();
    core::Value message = visit.row(
        R"sql(
            SELECT message_id, state, reason, result, recipient, subject, mailbox, campaign_id, batch_id,
                external_id, due_at, attempts, created_at, sent_at, reply_code, reply_text, enhanced_code,
                settled_at, settled_by, expires_at, priority, template, kind, queued_by, idempotency_key,
                thread_key, category, internet_message_id, purged_at, tenant, bounced_at, replied_at,
                complained_at, confirmed_by
            FROM mailer.message_status
            WHERE message_id = $1::bigint)sql",
        {id});
    const std::string state(message.find("state")->scalar_text());
    const bool was_tried = message.find("attempts")->is_truthy();
    core::Value recipients = visit.rows(
        R"sql(
            SELECT address, role, state, reply_code, enhanced_code, reply_text
            FROM mailer.recipient_status
            WHERE message_id = $1::bigint LIMIT 100)sql",
        {id});
    core::Value attempts = visit.rows(
        R"sql(
            SELECT attempt, mailbox, started_at, finished_at, stage, code, enhanced_code, reply, outcome
            FROM mailer.attempt_log
            WHERE message_id = $1::bigint ORDER BY attempt DESC LIMIT 100)sql",
        {id});
    core::Value feedback = visit.rows(
        R"sql(
            SELECT at, kind, is_hard, address, code, enhanced_code, words, source, is_guess, evidence
            FROM mailer.feedback_log
            WHERE message_id = $1::bigint ORDER BY id DESC LIMIT 100)sql",
        {id});
    const bool has_attempts = !attempts.items().empty(), has_feedback = !feedback.items().empty();
    core::Value gates = core::Value::array();
    if (state == "pending" || state == "sending")
        gates = visit.rows("SELECT gate, is_open, limit_value, used, opens_at, detail FROM mailer.explain($1::bigint)",
                           {id});
    const bool has_gates = !gates.items().empty();
    core::Value page = object({
        {"message", std::move(message)},
        {"recipients", std::move(recipients)},
        {"attempts", std::move(attempts)},
        {"has_attempts", core::Value::boolean(has_attempts)},
        {"feedback", std::move(feedback)},
        {"has_feedback", core::Value::boolean(has_feedback)},
        {"gates", std::move(gates)},
        {"has_gates", core::Value::boolean(has_gates)},
        {"can_cancel", core::Value::boolean(state == "pending")},
        {"can_retry", core::Value::boolean(state == "failed" || (state == "pending" && was_tried))},
        {"can_resolve", core::Value::boolean(state == "unconfirmed")},
    });
    if (visit.may("message_source")) (void)page.set("said", said(visit));
    return page;
}

std::string cancel(Visit& visit) {
    return visit.value("SELECT mailer.cancel($1::bigint)", {visit.id()}) == "true"
               ? "Cancelled."
               : "Nothing was cancelled: it doesn't wait any more.";
}

std::string retry(Visit& visit) {
    return visit.value("SELECT mailer.retry($1::bigint)", {visit.id()}) == "true"
               ? "It is queued again."
               : "Nothing was queued: it can't be tried again.";
}

std::string resolve(Visit& visit) {
    const Parameter outcome = visit.form("outcome");
    visit.rows("SELECT mailer.resolve($1::bigint, $2)", {visit.id(), outcome});
    return outcome == "sent" ? "Taken as sent." : "It is queued again.";
}

Response html(Visit& visit) {
    const std::string source = source_of(visit, most_source);
    const core::feedback::Mail mail = core::feedback::read_mail(source);
    for (const auto& part : mail.parts)
        if (part.type == "text/html" && !part.is_attachment) return mail_frame(part.text);
    throw HttpError(404, "This message has no HTML.");
}

Response source_file(Visit& visit) {
    Response file{.type = "application/octet-stream", .body = source_of(visit, std::nullopt)};
    file.set("Content-Disposition", "attachment; filename=\"message-" + visit.id() + ".eml\"");
    return file;
}

}  // namespace

static const Registered here{Page{
    .path = "/messages/{id}",
    .title = "Message",
    .template_name = "message.html",
    .show = show,
    .actions = {{.name = "cancel", .needs = "cancel", .run = cancel},
                {.name = "retry", .needs = "retry", .run = retry},
                {.name = "resolve", .needs = "resolve", .run = resolve}},
}};
static const Registered html_frame{
    Page{.path = "/messages/{id}/html", .title = "Message", .template_name = "", .show = nullptr, .respond = html}};
static const Registered source{Page{
    .path = "/messages/{id}/source", .title = "Message", .template_name = "", .show = nullptr, .respond = source_file}};

}  // namespace mailer::web
