// The walk of one notification, and the rows it becomes; see notification.hpp. What makes it safe under concurrency is
// numbered in sql/62_notify.sql: N1 is open_notification's.
#include "pg/notify/notification.hpp"

#include "pg/bridge/jsonb_value.hpp"
#include "pg/enqueue/store.hpp"
#include "pg/table/reader.hpp"
#include "pg/table/writer.hpp"
#include "pg/tenancy/user_key.hpp"

extern "C" {
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
}

namespace mailer::pg {
namespace {

// ── What can't be taken ──────────────────────────────────────────────────────────────────────────────────────────

int characters_of(const TextValue& text) {
    return call([&] { return pg_mbstrlen_with_len(text.view.data(), static_cast<int>(text.view.size())); });
}

// Names go into tokens and log lines.
bool has_controls(const TextValue& text) {
    return std::any_of(text.view.begin(), text.view.end(),
                       [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

void check(const Notification& notification) {
    if (!notification.user) refuse_null("user_id");
    if (const int length = characters_of(notification.user); length < 1 || length > 200)
        refuse("user_id must have 1 to 200 characters", {}, "Pass the key by which the application knows the user.");
    if (has_controls(notification.user)) refuse("user_id must not contain control characters");
    if (notification.variables && inspect_jsonb(notification.variables.datum).shape != JsonbShape::object)
        refuse("variables must be a JSON object", {}, "Write '{\"post\": \"Hello\"}', or use jsonb_build_object().");
    if (notification.key && characters_of(notification.key) > 500)
        refuse("collapse_key must not be longer than 500 characters", {}, "Name what it is about, such as 'post 17'.");
}

// ── The inbox ────────────────────────────────────────────────────────────────────────────────────────────────────

// Ids only: a session that listens sees nothing of others' content.
void announce(const TextValue& user_of_tenant, std::int64_t notification_id) {
    const TextValue user = shown_user(user_of_tenant);
    call([&] {
        StringInfoData payload;
        initStringInfo(&payload);
        appendStringInfoString(&payload, "{\"user_id\" : ");
        escape_json(&payload, TextDatumGetCString(user.datum));
        appendStringInfo(&payload, ", \"notification_id\" : " INT64_FORMAT "}", notification_id);
        Async_Notify("mailer_inbox", payload.data);
        pfree(payload.data);
    });
}

std::int64_t insert_single(const TextValue& user, const TextValue& category, std::int64_t at) {
    static TableShape shape(shipped::notification, {"notification_id", "user_id", "category", "is_open", "created_at",
                                                    "collapse_key", "read_at", "read_count"});
    static Statement insert(
        R"sql(
            INSERT INTO mailer.notification (notification_id, user_id, category, is_open,
                created_at) OVERRIDING SYSTEM VALUE
            VALUES ($1, $2, $3, $4, $5))sql",
        {INT8OID, TEXTOID, TEXTOID, BOOLOID, TIMESTAMPTZOID});
    const std::int64_t id = next_value("notification_notification_id_seq");
    const std::array<Param, 5> values = {p_bigint(id), user.param(), category.param(), p_bool(false), p_time(at)};
    TableWriter writer(shape);
    if (writer.open()) {
        writer.insert(values);
        writer.finish();
    } else {
        insert.run(std::span<const Param>(values));
    }
    return id;
}

// The open row of the key, unless its period is over: then it is closed.
std::optional<std::int64_t> find_open(const TextValue& user, const CategoryRules& category, const TextValue& key,
                                      std::int64_t at) {
    static Statement find(
        R"sql(
            SELECT n.notification_id, n.created_at + $4 > $5 AS is_recent
            FROM mailer.notification n
            WHERE n.user_id OPERATOR(pg_catalog.=) $1
                AND n.category OPERATOR(pg_catalog.=) $2
                AND n.collapse_key OPERATOR(pg_catalog.=) $3 AND n.is_open)sql",
        {TEXTOID, TEXTOID, TEXTOID, INTERVALOID, TIMESTAMPTZOID});
    static Statement close(
        "UPDATE mailer.notification n SET is_open = false WHERE n.notification_id OPERATOR(pg_catalog.=) $1",
        {INT8OID});
    Interval period = category.rate_period;
    const Rows rows = find.run({user.param(), category.name.param(), key.param(),
                                p_datum(INTERVALOID, IntervalPGetDatum(&period)), p_time(at)});
    if (rows.empty()) return std::nullopt;
    const std::int64_t id = rows.bigint(0, "notification_id");
    if (rows.boolean(0, "is_recent")) return id;
    close.run({p_bigint(id)});
    return std::nullopt;
}

// Nothing: somebody else made the row, and has committed.
std::optional<std::int64_t> insert_keyed(const TextValue& user, const TextValue& category, const TextValue& key,
                                         std::int64_t at) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.notification (user_id, category, collapse_key, is_open, created_at)
            VALUES ($1, $2, $3, true, $4)
            ON CONFLICT (user_id, category, collapse_key)
            WHERE is_open DO NOTHING RETURNING notification_id)sql",
        {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID});
    const Rows rows = insert.run({user.param(), category.param(), key.param(), p_time(at)});
    if (rows.empty()) return std::nullopt;
    return rows.bigint(0, 1);
}

// The row for an item: the open one of its key, else a new one, which is announced to listeners at commit.
std::int64_t open_notification(const TextValue& user, const CategoryRules& category, const TextValue& key,
                               std::int64_t at) {
    std::optional<std::int64_t> made;
    if (!key) made = insert_single(user, category.name, at);
    while (!made) {
        if (const auto known = find_open(user, category, key, at)) return *known;
        made = insert_keyed(user, category.name, key, at);
    }
    if (category.is_announced) announce(user, *made);
    return *made;
}

// ── The item ─────────────────────────────────────────────────────────────────────────────────────────────────────

void insert_item(const std::optional<std::int64_t>& inbox_id, const Notification& notification,
                 const TextValue& template_name, const MailPlan& mail, std::int64_t at) {
    static TableShape shape(shipped::notification_item,
                            {"item_id", "notification_id", "user_id", "category", "template", "variables", "actor_id",
                             "collapse_key", "created_at", "mail_group", "message_id"});
    static Statement insert(
        R"sql(
            INSERT INTO mailer.notification_item (item_id, notification_id, user_id, category, template,
                variables, actor_id, collapse_key, created_at, mail_group, message_id) OVERRIDING SYSTEM VALUE
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11))sql",
        {INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, INT8OID});
    const bool is_own = mail.group == core::MailGroup::none;
    const std::array<Param, 11> values = {p_bigint(next_value("notification_item_item_id_seq")),
                                          p_bigint(inbox_id),
                                          notification.user.param(),
                                          notification.category.param(),
                                          template_name.param(),
                                          p_jsonb(notification.variables),
                                          notification.actor.param(),
                                          notification.key.param(),
                                          p_time(at),
                                          mail.group_name.param(),
                                          p_bigint(is_own ? mail.message_id : std::nullopt)};
    TableWriter writer(shape);
    if (!writer.open()) {
        insert.run(std::span<const Param>(values));
        return;
    }
    writer.insert(values);
    writer.finish();
}

// ── Its mail ─────────────────────────────────────────────────────────────────────────────────────────────────────

// A mail of one's own that is looked at again when it is sent.
void insert_waiting_mail(std::int64_t message_id, const Notification& notification, std::int64_t at) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.notification_mail (message_id, user_id, category, is_open, unread_only,
                created_at)
            VALUES ($1, $2, $3, false, true, $4))sql",
        {INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID});
    insert.run({p_bigint(message_id), notification.user.param(), notification.category.param(), p_time(at)});
}

// As people read it: the variable actor, else the contact's name, else the id (mailer._actor_name).
TextValue actor_name(const Notification& notification) {
    if (const auto named = find_member(notification.variables.datum, "actor"); named && *named)
        return text_value(**named);
    const FreshSnapshot now;
    if (const TextValue name = find_contact(notification.actor).name) return name;
    return shown_user(notification.actor);
}

void see_to_mail(const Notification& notification, const NotificationRules& rules, const MailPlan& plan,
                 std::int64_t at) {
    NotificationMail mail;
    mail.tenant_id = notification.tenant_id;
    mail.plan = plan;
    mail.address = rules.contact.address.view;
    mail.address_key = rules.contact.address_key.view;
    mail.contact_name = rules.contact.name.view;
    mail.template_name = template_of_mail(plan.group, rules.category, rules.template_name);
    mail.has_html = rules.has_html;
    mail.thread_key = notification.key;
    if (const auto thread = find_member(notification.variables.datum, "thread_key"); thread && *thread)
        mail.thread_key = text_value(**thread);
    if (core::is_late_bound(plan.group, rules.facts.is_delayed)) {
        if (plan.group == core::MailGroup::none) insert_waiting_mail(*plan.message_id, notification, at);
        mail.variables = empty_object();
    } else {
        mail.variables =
            variables_of_one(notification.variables, actor_name(notification), shown_user(notification.actor), at,
                             rules.contact.name, notification.category);
    }
    queue_mail(rules.category, mail);
}

}  // namespace

std::optional<std::int64_t> notify_user(const Notification& asked) {
    if (asked.actor && asked.user && asked.actor.view == asked.user.view) return std::nullopt;
    check(asked);
    Notification notification = asked;
    notification.user = user_key(asked.tenant_id, asked.user);
    notification.actor = user_key(asked.tenant_id, asked.actor);
    if (notification.key.view.empty()) notification.key = {};
    if (!notification.variables) notification.variables = empty_object();
    const NotificationRules rules = read_rules(notification);
    const core::NotificationPlan plan = core::plan_notification(rules.facts);
    if (plan.is_silent()) return std::nullopt;

    const std::int64_t at = transaction_now();
    std::optional<std::int64_t> inbox_id;
    if (plan.is_in_app)
        inbox_id = open_notification(notification.user, rules.category,
                                     plan.is_collapsed ? notification.key : TextValue{}, at);
    MailPlan mail;
    if (plan.is_mailed) mail = plan_mail(notification.user, rules, plan, notification.key);
    insert_item(inbox_id, notification, rules.template_name, mail, at);
    if (mail.message_id) see_to_mail(notification, rules, mail, at);
    return inbox_id;
}

}  // namespace mailer::pg
