// Reading stored messages and composing them; see content.hpp.
#include "pg/engine/content.hpp"

#include "pg/bridge/clock.hpp"
#include "pg/bridge/jsonb_value.hpp"

extern "C" {
#include "access/xlog.h"
}

namespace mailer::pg {

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

namespace {

std::vector<core::HeaderField> headers_of(const core::Value& object) {
    std::vector<core::HeaderField> fields;
    for (const auto& member : object.members()) {
        if (member.value.kind() == core::Value::Kind::array) {
            for (const core::Value& item : member.value.items()) {
                fields.push_back({member.key, ""});
                item.append_text(fields.back().value);
            }
            continue;
        }
        fields.push_back({member.key, ""});
        member.value.append_text(fields.back().value);
    }
    return fields;
}

core::Value jsonb_at(const Rows& rows, std::uint64_t row, int column) {
    bool is_null = false;
    Datum d = rows.datum(row, column, &is_null);
    return is_null ? core::Value() : read_jsonb(d);
}

StoredMessage message_at(const Rows& rows, std::uint64_t i) {
    StoredMessage m;
    m.id = rows.bigint(i, 1);
    m.role = static_cast<Oid>(rows.bigint(i, 2));
    m.addresses = rows.texts(i, 3);
    m.roles = rows.text(i, 4);
    m.header_to = rows.text(i, 5);
    m.header_cc = rows.text(i, 6);
    m.reply_to = rows.text(i, 7);
    m.internet_message_id = rows.text(i, 8);
    m.subject = rows.text(i, 9);
    m.body_text = rows.text(i, 10);
    m.body_html = rows.text(i, 11);
    m.template_name = rows.text(i, 12);
    try {
        m.variables = jsonb_at(rows, i, 13);
        m.headers = headers_of(jsonb_at(rows, i, 14));
    } catch (const Refusal& refusal) {  // nested too deeply: this message's trouble alone
        m.fault = refusal.what();
    }
    m.attachments_of = rows.maybe_bigint(i, 15);
    m.date = time_at(rows, i, 16).value_or(core::Time{});
    m.loader = rows.text(i, 17);
    m.send_if = rows.text(i, 18);
    if (!m.loader.empty() || !m.send_if.empty()) m.variables.append_json(m.variables_text);
    m.is_purged = !rows.is_null(i, 19);
    m.is_auto_submitted = rows.boolean(i, 20);
    m.unsubscribe_token = rows.text(i, 23);
    if (auto root = rows.maybe_text(i, 21)) {
        const std::string& id = m.internet_message_id;
        const std::string domain = id.substr(id.find('@') == std::string::npos ? 0 : id.find('@'));
        m.references.push_back("<thread." + *root + domain);
        if (auto previous = rows.maybe_text(i, 22)) m.references.push_back(*previous);
        m.in_reply_to = m.references.back();
    }
    return m;
}

}  // namespace

std::vector<StoredAttachment> read_attachments(std::int64_t message_id) {
    static Statement statement(
        "SELECT filename, content_type, content_id, content FROM mailer.message_attachment WHERE message_id = $1 ORDER "
        "BY n",
        {INT8OID});
    std::vector<StoredAttachment> found;
    Rows rows = statement.run({p_bigint(message_id)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        found.push_back(
            {rows.text(i, 1), rows.text(i, 2), rows.text(i, 3), std::make_shared<const std::string>(rows.text(i, 4))});
    }
    return found;
}

std::vector<StoredMessage> read_messages(std::span<const std::int64_t> ids) {
    static Statement statement(
        "SELECT m.message_id, CASE WHEN m.loader IS NOT NULL OR m.send_if IS NOT NULL THEN (SELECT p.oid::bigint"
        "         FROM mailer.principal p WHERE p.id = m.principal_id AND p.system_identifier = $2) END, m.addresses, "
        "m.roles, m.header_to, m.header_cc, coalesce(m.reply_to, "
        "c.reply_to),"
        "       m.internet_message_id, m.subject, m.body_text, m.body_html, m.template, m.variables,"
        "       CASE WHEN c.headers IS NOT NULL AND c.headers <> '{}' THEN c.headers || coalesce(m.headers, '{}') ELSE "
        "m.headers END,"
        "       m.attachments_of, greatest(m.created_at, m.send_at), m.loader, m.send_if, m.purged_at,"
        "       m.batch_id IS NOT NULL OR m.category IS NOT NULL,"
        "       left(encode(sha256(convert_to(m.thread_key, 'UTF8')), 'hex'), 32),"
        "       CASE WHEN m.thread_key IS NOT NULL THEN (SELECT p.internet_message_id FROM mailer.message p"
        "         WHERE p.thread_key = m.thread_key AND p.address_key = m.address_key AND p.message_id < m.message_id"
        "         ORDER BY p.message_id DESC LIMIT 1) END,"
        "       CASE WHEN current_setting('mailer.unsubscribe_url', true) = '' THEN NULL"
        "            WHEN m.campaign_id IS NOT NULL THEN mailer._unsubscribe_token(m.address_key, coalesce('list:' || "
        "c.list, 'campaigns'))"
        "            WHEN m.category IS NOT NULL THEN mailer._unsubscribe_token(m.address_key, 'category:' || "
        "m.category) END"
        "  FROM unnest($1) AS i(id) JOIN mailer.message m ON m.message_id = i.id"
        "  LEFT JOIN mailer.campaign c ON c.campaign_id = m.campaign_id",
        {INT8ARRAYOID, INT8OID});
    std::vector<StoredMessage> messages;
    Rows rows = statement.run({p_bigints(ids), p_bigint(static_cast<std::int64_t>(GetSystemIdentifier()))});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        messages.push_back(message_at(rows, i));
    return messages;
}

void load_templates(TemplateCache& templates, const StoredMessage& message) {
    if (!message.template_name.empty()) {
        templates.load(message.template_name);
        return;
    }
    if (message.variables.members().empty() && message.loader.empty()) return;  // literal text
    for (const std::string* source : {&message.subject, &message.body_text, &message.body_html}) {
        const core::Result<core::Template> parsed = core::Template::parse(*source);
        if (parsed.ok()) templates.load_partials(*parsed);
    }
}

// ── Composing ────────────────────────────────────────────────────────────────────────────────────────────────────

namespace {

struct Rendered {
    std::string subject, text, html;
};

// A message without a template is literal, unless it brings variables: then its own texts are the template.
core::Result<Rendered> render_message(const StoredMessage& m, TemplateCache& templates, const core::Value& given,
                                      const std::string& unsubscribe_url) {
    const bool is_own_template = m.template_name.empty() && (!given.members().empty() || !m.loader.empty());
    if (m.template_name.empty() && !is_own_template) return Rendered{m.subject, m.body_text, m.body_html};
    core::Value variables = given.is_null() ? core::Value::object() : given;
    if (!unsubscribe_url.empty() && variables.kind() == core::Value::Kind::object &&
        variables.find("unsubscribe_url") == nullptr &&
        !variables.set("unsubscribe_url", core::Value::string(unsubscribe_url)))
        return core::Error{"54000", "variables are nested too deeply"};
    Rendered out;
    auto put = [&](std::string& to, const core::Template& source, bool is_html) -> core::Status {
        core::RenderOptions options;
        options.is_html = is_html;
        options.partials = &templates.partials(is_html);
        return core::render_to(to, source, variables, options);
    };
    if (is_own_template) {
        struct Part {
            const std::string& source;
            std::string& to;
            bool is_html;
        };
        for (const Part& part : {Part{m.subject, out.subject, false}, Part{m.body_text, out.text, false},
                                 Part{m.body_html, out.html, true}}) {
            auto parsed = core::Template::parse(part.source, "message");
            if (!parsed.ok()) return parsed.error();
            if (auto bad = put(part.to, *parsed, part.is_html)) return *bad;
        }
        return out;
    }
    std::string fault;
    const StoredTemplate* stored = templates.find(m.template_name, &fault);
    if (stored == nullptr) return core::Error{"22023", fault};
    if (stored->subject && m.subject.empty()) {
        if (auto bad = put(out.subject, *stored->subject, false)) return *bad;
    } else {
        out.subject = m.subject;
    }
    if (stored->text) {
        if (auto bad = put(out.text, *stored->text, false)) return *bad;
    }
    if (stored->html) {
        if (auto bad = put(out.html, *stored->html, true)) return *bad;
    }
    return out;
}

// The link of a mail that has a scope; empty while there is none, or mailer.unsubscribe_url isn't set.
std::string unsubscribe_url_of(const StoredMessage& m, const ContentOptions& options) {
    if (m.unsubscribe_token.empty() || options.unsubscribe_url.empty()) return {};
    constexpr std::string_view place = "{token}";
    std::string url = options.unsubscribe_url;
    const auto at = url.find(place);
    if (at == std::string::npos) return url + m.unsubscribe_token;
    return url.replace(at, place.size(), m.unsubscribe_token);
}

core::Status put_addresses(std::vector<core::Address>& to, const std::string& list) {
    if (list.empty()) return std::nullopt;
    auto parsed = core::parse_address_list(list);
    if (!parsed.ok()) return parsed.error();
    to = std::move(parsed).value();
    return std::nullopt;
}

}  // namespace

core::Result<core::Composed> compose_message(const StoredMessage& m, const Sender& sender, TemplateCache& templates,
                                             const core::Value* variables, const ContentOptions& options) {
    if (!m.fault.empty()) return core::Error{"22023", m.fault};
    if (m.is_purged) return core::Error{"55000", "the content of message " + std::to_string(m.id) + " was purged"};
    const std::string unsubscribe_url = unsubscribe_url_of(m, options);
    auto rendered = render_message(m, templates, variables ? *variables : m.variables, unsubscribe_url);
    if (!rendered.ok()) return rendered.error();
    core::Mail mail;
    auto from = core::parse_address(sender.address);
    if (!from.ok()) return from.error();
    mail.from = std::move(from).value();
    mail.from.name = sender.name;
    if (auto bad = put_addresses(mail.to, m.header_to)) return *bad;
    if (auto bad = put_addresses(mail.cc, m.header_cc)) return *bad;
    if (auto bad = put_addresses(mail.reply_to, m.reply_to)) return *bad;
    mail.subject = std::move(rendered->subject);
    mail.body_text = std::move(rendered->text);
    mail.body_html = std::move(rendered->html);
    for (const StoredAttachment& a : m.attachments) {
        mail.attachments.push_back({a.filename, a.content_type, a.content_id, *a.content, a.content});
    }
    mail.message_id_header = m.internet_message_id;
    mail.in_reply_to = m.in_reply_to;
    mail.references = m.references;
    mail.date = m.date;
    if (m.is_auto_submitted) mail.auto_submitted = "auto-generated";
    if (!unsubscribe_url.empty()) {
        mail.list_unsubscribe_url = unsubscribe_url;
        // RFC 8058, section 3.1: one click is for https alone; a plain link is still better than none.
        mail.list_unsubscribe_one_click = unsubscribe_url.starts_with("https://");
    }
    mail.headers = m.headers;
    core::ComposeOptions compose_options;
    compose_options.max_message_size = options.max_message_size;
    return core::compose(mail, compose_options);
}

}  // namespace mailer::pg
