// Reading stored messages; see content.hpp. What they become is content_compose.cpp's.
#include "pg/engine/content.hpp"

#include "core/octets.hpp"
#include "pg/bridge/arguments.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/enqueue/attachments.hpp"

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

core::Value jsonb_at(const Rows& rows, std::uint64_t row, Rows::Column column) {
    bool is_null = false;
    Datum d = rows.datum(row, column, &is_null);
    return is_null ? core::Value() : read_jsonb(d);
}

StoredMessage message_at(const Rows& rows, std::uint64_t i) {
    StoredMessage m;
    m.id = rows.bigint(i, "message_id");
    m.tenant_id = rows.bigint(i, "tenant_id");
    if (!rows.is_null(i, "caller")) {
        const std::vector<std::int64_t> caller = rows.bigints(i, "caller");
        m.caller = {static_cast<Oid>(caller[0]), caller[1] != 0, static_cast<Oid>(caller[2])};
    }
    m.addresses = rows.texts(i, "addresses");
    m.roles = rows.text(i, "roles");
    m.header_to = rows.text(i, "header_to");
    m.header_cc = rows.text(i, "header_cc");
    m.reply_to = rows.text(i, "reply_to");
    m.internet_message_id = rows.text(i, "internet_message_id");
    m.subject = rows.text(i, "subject");
    m.body_text = rows.text(i, "body_text");
    m.body_html = rows.text(i, "body_html");
    m.template_name = rows.text(i, "template");
    try {
        m.variables = jsonb_at(rows, i, "variables");
        m.headers = headers_of(jsonb_at(rows, i, "headers"));
        m.options = jsonb_at(rows, i, "options");
        m.loaded_variables = jsonb_at(rows, i, "loaded_variables");
    } catch (const Refusal& refusal) {  // nested too deeply: this message's trouble alone
        m.fault = refusal.what();
    }
    m.attachments_of = rows.maybe_bigint(i, "attachments_of");
    m.date = time_at(rows, i, "dated_at").value_or(core::Time{});
    m.loader = rows.text(i, "loader");
    m.send_if = rows.text(i, "send_if");
    if (!m.loader.empty() || !m.send_if.empty()) m.variables.append_json(m.variables_text);
    m.is_purged = !rows.is_null(i, "purged_at");
    m.is_partial = rows.boolean(i, "is_partial");
    m.is_auto_submitted = rows.boolean(i, "is_auto_submitted");
    m.unsubscribe_token = rows.text(i, "unsubscribe_token");
    m.is_raw = rows.boolean(i, "is_raw");
    m.has_own_attachments = rows.boolean(i, "has_own_attachments");
    m.is_of_campaign = rows.boolean(i, "is_of_campaign");
    m.is_later_step = rows.boolean(i, "is_later_step");
    m.thread_subject = rows.text(i, "thread_subject");
    if (!rows.is_null(i, "thread_ids")) m.thread_ids = rows.texts(i, "thread_ids");
    if (auto root = rows.maybe_text(i, "thread_hash")) {
        const std::string& id = m.internet_message_id;
        const std::string domain = id.substr(id.find('@') == std::string::npos ? 0 : id.find('@'));
        m.references.push_back("<thread." + *root + domain);
        if (auto previous = rows.maybe_text(i, "previous_message_id")) m.references.push_back(*previous);
        m.in_reply_to = m.references.back();
    }
    return m;
}

}  // namespace

std::vector<StoredAttachment> read_attachments(std::int64_t message_id, AttachmentsFor whom) {
    static Statement statement(
        R"sql(
            SELECT filename, content_type, content_id, content, is_alternative
            FROM mailer.message_attachment
            WHERE message_id = $1 AND (n < $2) = $3 ORDER BY n)sql",
        {INT8OID, INT4OID, BOOLOID});
    std::vector<StoredAttachment> found;
    Rows rows = statement.run({p_bigint(message_id), p_int(first_own_attachment), p_bool(whom == AttachmentsFor::all)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        found.push_back({rows.text(i, "filename"), rows.text(i, "content_type"), rows.text(i, "content_id"),
                         std::make_shared<const std::string>(rows.text(i, "content")),
                         rows.boolean(i, "is_alternative")});
    }
    return found;
}

// Whether a background worker may connect as the role.
#if PG_VERSION_NUM >= 170000
#define MAILER_MAY_LOG_IN "true"
#else
#define MAILER_MAY_LOG_IN "r.rolcanlogin"
#endif

// Texts up to this size are read with the claim. Sizes of texts are known without reading them; of jsonb only what it
// takes compressed, which may be a ninetieth.
#define MAILER_LARGE_TEXTS "65536"
#define MAILER_LARGE_JSONB "4096"

std::vector<StoredMessage> read_messages(std::span<const std::int64_t> ids, Texts texts) {
    static Statement statement(
        "SELECT m.message_id, CASE WHEN coalesce(m.loader, m.send_if) IS NOT NULL THEN"
        "         (SELECT ARRAY[r.oid::bigint, (" MAILER_MAY_LOG_IN
        " AND pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT'))::integer::bigint,"
        "            coalesce((SELECT o.oid::bigint FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_roles o ON o.oid "
        "= e.extowner"
        "              WHERE e.extname = 'mailer' AND o.rolcanlogin), 0)]"
        "          FROM mailer.principal p JOIN pg_catalog.pg_roles r ON r.oid = p.oid, pg_catalog.pg_database d"
        "          WHERE p.id = m.principal_id AND p.system_identifier = $2 AND d.datname = current_database()) END"
        "         AS caller,"
        "       m.addresses, m.roles, m.header_to, m.header_cc, coalesce(m.reply_to, c.reply_to) AS reply_to,"
        "       m.internet_message_id, CASE WHEN s.is_small THEN m.subject END AS subject,"
        "       CASE WHEN s.is_small THEN m.body_text END AS body_text,"
        "       CASE WHEN s.is_small THEN m.body_html END AS body_html, m.template,"
        "       CASE WHEN s.is_small THEN m.variables END AS variables,"
        "       CASE WHEN c.headers IS NOT NULL AND c.headers <> '{}' THEN c.headers"
        "           || coalesce(CASE WHEN s.is_small THEN m.headers END, '{}')"
        "         ELSE CASE WHEN s.is_small THEN m.headers END END AS headers,"
        "       m.attachments_of, greatest(m.created_at, m.send_at) AS dated_at, m.loader, m.send_if, m.purged_at,"
        "       m.batch_id IS NOT NULL OR m.category IS NOT NULL AS is_auto_submitted,"
        "       left(encode(sha256(convert_to(m.thread_key, 'UTF8')), 'hex'), 32) AS thread_hash,"
        "       CASE WHEN m.thread_key IS NOT NULL THEN (SELECT p.internet_message_id FROM mailer.message p"
        "         WHERE p.thread_key = m.thread_key AND p.address_key = m.address_key AND p.tenant_id = m.tenant_id"
        "           AND p.message_id < m.message_id"
        "         ORDER BY p.message_id DESC LIMIT 1) END AS previous_message_id,"
        "       CASE WHEN current_setting('mailer.unsubscribe_url', true) = '' THEN NULL"
        "            WHEN c.campaign_id IS NOT NULL THEN mailer._unsubscribe_token(m.tenant_id, m.address_key,"
        "              coalesce('list:' || c.list, 'campaigns'))"
        "            WHEN m.category IS NOT NULL THEN mailer._unsubscribe_token(m.tenant_id, m.address_key,"
        "              'category:' || m.category) END AS unsubscribe_token, m.options,"
        "       CASE WHEN s.is_small THEN m.loaded_variables END AS loaded_variables, m.is_raw,"
        "       CASE WHEN m.attachments_of IS NOT NULL THEN (SELECT true FROM mailer.message_attachment a"
        "         WHERE a.message_id = m.message_id AND a.n > 1000 LIMIT 1) END AS has_own_attachments,"
        "       m.campaign_id IS NOT NULL AS is_of_campaign, m.step_id <> 0 AS is_later_step,"
        "       l.subject AS thread_subject,"
        "       CASE WHEN m.step_id <> 0 THEN ARRAY(SELECT i.id FROM mailer.message t"
        "         JOIN mailer.outcome o ON o.message_id = t.message_id AND o.state = 'S'"
        "         CROSS JOIN LATERAL (SELECT t.internet_message_id AS id, 0 AS n UNION ALL"  // and what recipients see
        "           SELECT '<' || p.provider_id || '>', 1 FROM mailer.provider_message p"
        "           WHERE p.message_id = t.message_id AND p.provider_id ~ '^[!-;=?-~]+@[!-;=?-~]+$'"
        "             AND p.learned_at <= coalesce((SELECT a.started_at FROM mailer.attempt a"
        "               WHERE a.message_id = m.message_id AND a.attempt = 1), 'infinity')) i"
        "         WHERE t.campaign_id = m.campaign_id AND t.address_key = m.address_key"
        "           AND t.message_id >= l.thread_message_id AND t.message_id < m.message_id"
        "         ORDER BY t.message_id, i.n, i.id) END AS thread_ids, m.tenant_id, NOT s.is_small AS is_partial"
        "  FROM unnest($1) AS i(id) JOIN mailer.message m ON m.message_id = i.id"
        "  CROSS JOIN LATERAL (SELECT $3 OR"
        "    coalesce(octet_length(m.subject), 0) + coalesce(octet_length(m.body_text), 0)"
        "      + coalesce(octet_length(m.body_html), 0) <= " MAILER_LARGE_TEXTS
        "    AND coalesce(pg_column_size(m.variables), 0) + coalesce(pg_column_size(m.loaded_variables), 0)"
        "      + coalesce(pg_column_size(m.headers), 0) <= " MAILER_LARGE_JSONB
        " AS is_small) s"
        "  LEFT JOIN mailer.campaign c ON c.campaign_id = coalesce(m.campaign_id, (m.options ->> 'test_of')::bigint)"
        "  LEFT JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key",
        {INT8ARRAYOID, INT8OID, BOOLOID});
    std::vector<StoredMessage> messages;
    Rows rows = statement.run(
        {p_bigints(ids), p_bigint(static_cast<std::int64_t>(GetSystemIdentifier())), p_bool(texts == Texts::all)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        messages.push_back(message_at(rows, i));
    return messages;
}

Sender stored_sender(std::int64_t message_id) {
    static Statement find(
        R"sql(
            SELECT b.from_address, b.from_name, b.allowed_from, b.signature_text, b.signature_html
            FROM mailer.message m
            LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
            LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
            LEFT JOIN mailer.lane l ON l.lane_id = m.lane_id
            JOIN mailer.mailbox b ON CASE WHEN coalesce(o.mailbox_id,
                q.mailbox_id) IS NOT NULL THEN b.mailbox_id = coalesce(o.mailbox_id,
                q.mailbox_id) WHEN l.pool IS NOT NULL THEN b.mailbox_id = ANY (l.pool) ELSE b.is_default END
            WHERE m.message_id = $1 ORDER BY b.mailbox_id LIMIT 1)sql",
        {INT8OID});
    const Rows rows = find.run({p_bigint(message_id)});
    if (rows.empty())
        refuse("message " + std::to_string(message_id) + " has no mailbox to be sent from", {},
               "Make one with mailer.mailbox_create().", "55000");
    Sender sender{rows.text(0, "from_address"),
                  rows.text(0, "from_name"),
                  {},
                  rows.text(0, "signature_text"),
                  rows.text(0, "signature_html")};
    if (!rows.is_null(0, "allowed_from")) sender.allowed_from = rows.texts(0, "allowed_from");
    return sender;
}

void leave_out_texts(StoredMessage& message) {
    for (std::string* text : {&message.subject, &message.body_text, &message.body_html, &message.variables_text})
        *text = std::string();
    message.variables = {};
    message.loaded_variables = {};
    message.headers = {};
    message.is_partial = true;
}

void load_templates(TemplateCache& templates, const StoredMessage& message) {
    if (!message.template_name.empty()) {
        templates.load(message.template_name);
        const core::Result<core::Template> subject = core::Template::parse(message.subject);
        if (subject.ok()) templates.load_partials(*subject);
        return;
    }
    if (message.variables.members().empty() && message.loader.empty()) return;  // literal text
    for (const std::string* source : {&message.subject, &message.body_text, &message.body_html}) {
        const core::Result<core::Template> parsed = core::Template::parse(*source);
        if (parsed.ok()) templates.load_partials(*parsed);
    }
}

std::string forward_key(const StoredMessage& m) {
    char random[17];
    snprintf(random, sizeof random, "%016llx",
             static_cast<unsigned long long>(core::fingerprint_of(m.internet_message_id)));
    return "forward/" + std::to_string(GetSystemIdentifier()) + "/" + std::to_string(MyDatabaseId) + "/" +
           std::to_string(m.id) + "/" + random;
}

}  // namespace mailer::pg
