// Which mail takes an item, and queueing it; see notification.hpp.
//
// What makes it safe under concurrency is numbered in sql/62_notify.sql: N2 is join_mail, N3 count_mail. Whatever
// meets other transactions is a statement, for ON CONFLICT and row locks are the executor's business.
#include "pg/bridge/identity.hpp"
#include "pg/enqueue/store.hpp"
#include "pg/notify/notification.hpp"
#include "pg/table/reader.hpp"
#include "pg/tenancy/user_key.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace mailer::pg {
namespace {

std::int64_t after(std::int64_t at, Interval span) {
    return call([&] {
        return DatumGetTimestampTz(
            DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(at), IntervalPGetDatum(&span)));
    });
}

Interval longer_of(Interval a, Interval b) {
    return call([&] {
        return *DatumGetIntervalP(DirectFunctionCall2(interval_larger, IntervalPGetDatum(&a), IntervalPGetDatum(&b)));
    });
}

void close_mail(std::int64_t message_id) {
    static Statement close("SELECT mailer._close_mail($1)", {INT8OID});
    close.run({p_bigint(message_id)});
}

// Whether a mail gathers for the group; from now on it can't close before this transaction ends (N2).
bool join_mail(const TextValue& user, const TextValue& category, const TextValue& group) {
    static Statement join(
        R"sql(
            SELECT n.message_id
            FROM mailer.notification_mail n
            WHERE n.user_id OPERATOR(pg_catalog.=) $1
                AND n.category OPERATOR(pg_catalog.=) $2
                AND n.mail_group OPERATOR(pg_catalog.=) $3 AND n.is_open
            FOR KEY SHARE)sql",
        {TEXTOID, TEXTOID, TEXTOID});
    static Statement waits("SELECT FROM mailer.queue_entry q WHERE q.message_id OPERATOR(pg_catalog.=) $1", {INT8OID});
    const Rows rows = join.run({user.param(), category.param(), group.param()});
    if (rows.empty()) return false;
    const std::int64_t message_id = rows.bigint(0, 1);
    if (!waits.run({p_bigint(message_id)}).empty()) return true;
    // Settled without having been looked at: somebody cancelled it, or the address is suppressed.
    close_mail(message_id);
    return false;
}

// Joins the group's mail (then nothing), or makes one and gives its id, which is still to be queued.
std::optional<std::int64_t> gather(const TextValue& user, const TextValue& category, const TextValue& group,
                                   bool is_unread_only) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.notification_mail (message_id, user_id, category, mail_group, is_open,
                unread_only, created_at)
            VALUES ($1, $2, $3, $4, true, $5, $6)
            ON CONFLICT (user_id, category, mail_group)
            WHERE is_open DO NOTHING)sql",
        {INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TIMESTAMPTZOID});
    for (;;) {
        if (join_mail(user, category, group)) return std::nullopt;
        const std::int64_t message_id = next_message_ids(1).front();
        const Rows made = insert.run({p_bigint(message_id), user.param(), category.param(), group.param(),
                                      p_bool(is_unread_only), p_time(transaction_now())});
        if (made.count() == 1) return message_id;
    }
}

// Nobody has seen the mail just made: the others wait for this transaction (N1), then come to the same end.
void forget_mail(std::int64_t message_id) {
    static Statement remove("DELETE FROM mailer.notification_mail n WHERE n.message_id OPERATOR(pg_catalog.=) $1",
                            {INT8OID});
    remove.run({p_bigint(message_id)});
}

// Counts one more mail (N3). Fits: nothing. Over the limit: when the mail of the rest goes.
// A period begins with its first mail. Was the last one over its limit, then the mail of the rest, sent at its end, is
// the first of the next. The operators are pg_catalog's, for every caller has pinned the search_path.
std::optional<std::int64_t> count_mail(const TextValue& user, const CategoryRules& category) {
    static Statement count(
        R"sql(
            INSERT INTO mailer.notification_pace AS p (user_id, category, period_at, mail_count)
            VALUES ($1, $2, $3, 1)
            ON CONFLICT (user_id, category) DO UPDATE SET (period_at,
                mail_count) = (SELECT CASE WHEN $3 < p.period_at + $5 THEN p.period_at WHEN p.mail_count > $4
                    AND $3 < p.period_at + 2 * $5 THEN p.period_at + $5 ELSE $3 END,
                CASE WHEN $3 < p.period_at + $5 THEN LEAST(p.mail_count, $4) + 1 WHEN p.mail_count > $4
                    AND $3 < p.period_at + 2 * $5 THEN 2 ELSE 1 END)
            RETURNING CASE WHEN p.mail_count > $4 THEN p.period_at + $5 END)sql",
        {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, INTERVALOID});
    Interval period = category.rate_period;
    const Rows rows = count.run({user.param(), category.name.param(), p_time(transaction_now()),
                                 p_int(*category.rate_limit), p_datum(INTERVALOID, IntervalPGetDatum(&period))});
    return rows.maybe_bigint(0, 1);
}

std::int64_t digest_at(const TextValue& user, const TextValue& category) {
    static Statement ask("SELECT mailer._digest_at($1, $2)", {TEXTOID, TEXTOID});
    return ask.run({user.param(), category.param()}).bigint(0, 1);
}

std::int64_t due_of_group(core::MailGroup group, const TextValue& user, const CategoryRules& category) {
    const std::int64_t now = transaction_now();
    switch (group) {
        case core::MailGroup::none:
            break;
        case core::MailGroup::key:
            return after(now, longer_of(category.mail_delay, category.collapse_window));
        case core::MailGroup::rest:
            return after(now, category.rate_period);
        case core::MailGroup::digest:
            return digest_at(user, category.name);
    }
    return after(now, category.mail_delay);
}

void enter_group(MailPlan& mail, core::MailGroup group, const TextValue& key, const TextValue& user,
                 const CategoryRules& category) {
    mail.group = group;
    mail.group_name = text_value(core::mail_group_name(group, key.view));
    mail.message_id = gather(user, category.name, mail.group_name, core::is_unread_only(group, category.is_delayed()));
}

RawValue lasting_jsonb(const char* text) {
    return {false, call([&] {
                MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
                const Datum out = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
                MemoryContextSwitchTo(caller);
                return out;
            })};
}

RawValue automatic_headers() {
    static const RawValue headers = lasting_jsonb("{\"Auto-Submitted\": \"auto-generated\"}");
    return headers;
}

}  // namespace

MailPlan plan_mail(const TextValue& user, const NotificationRules& rules, const core::NotificationPlan& plan,
                   const TextValue& key) {
    const CategoryRules& category = rules.category;
    MailPlan mail;
    if (plan.group == core::MailGroup::none) {
        mail.message_id = next_message_ids(1).front();
    } else if (plan.makes_mail) {
        enter_group(mail, plan.group, key, user, category);
    } else {
        mail.group = plan.group;
        mail.group_name = text_value(core::mail_group_name(plan.group, key.view));
    }
    if (mail.message_id && plan.is_counted) {
        if (const auto rest_at = count_mail(user, category)) {
            if (mail.group != core::MailGroup::none) forget_mail(*mail.message_id);
            enter_group(mail, core::MailGroup::rest, key, user, category);
            mail.due_at = *rest_at;
            return mail;
        }
    }
    if (mail.message_id) mail.due_at = due_of_group(mail.group, user, category);
    return mail;
}

RawValue empty_object() {
    static const RawValue object = lasting_jsonb("{}");
    return object;
}

TextValue template_of_mail(core::MailGroup group, const CategoryRules& category, const TextValue& own) {
    if (group == core::MailGroup::none || group == core::MailGroup::key) return own;
    const FreshSnapshot now;
    return template_exists(category.digest_template) ? category.digest_template : TextValue{};
}

// Its principal is the extension's owner, for its own functions are what runs when the mail is sent.
void queue_mail(const CategoryRules& category, const NotificationMail& mail) {
    Request request;
    request.by.tenant_id = mail.tenant_id;
    request.by.principal_id = principal_of(GetUserId());
    request.now = transaction_now();
    request.due_at = std::max(mail.plan.due_at, request.now);
    if (request.due_at > request.now) request.send_at = request.due_at;
    request.template_name = mail.template_name;
    if (!mail.template_name) {
        request.subject = text_value("{{{subject}}}");
        request.body_text = text_value("{{{body_text}}}");
        if (mail.has_html) request.body_html = text_value("{{{body_html}}}");
    }
    request.variables = mail.variables;
    request.headers = automatic_headers();
    request.thread_key = mail.thread_key;
    if (!category.is_required) request.category = category.name;
    if (core::is_late_bound(mail.plan.group, category.is_delayed())) {
        request.loader = "mailer._notification_variables";
        request.send_if = "mailer._notification_is_wanted";
    }
    core::Envelope envelope;
    envelope.addresses.emplace_back(mail.address);
    envelope.roles = "t";
    envelope.key = mail.address_key;
    envelope.header_to = core::contact_mailbox(mail.address, mail.contact_name);
    store_message_as(*mail.plan.message_id, request, envelope, destination_of_lane(category.lane_id, mail.tenant_id));
}

// ── The successor ────────────────────────────────────────────────────────────────────────────────────────────────

namespace {

struct ClosedMail {
    std::int64_t tenant_id = 0;
    TextValue user = {}, category = {}, group_name = {};
    bool is_unread_only = false;
    Contact contact = {};  // whom it went to
    TextValue template_name = {};
    bool has_html = false;
    TextValue thread_key = {};
};

TextValue text_at(const Rows& rows, Rows::Column column) {
    bool is_null = false;
    const Datum value = rows.datum(0, column, &is_null);
    return is_null ? TextValue{} : detoasted_text(value);
}

std::optional<ClosedMail> find_closed(std::int64_t message_id) {
    static Statement find(
        R"sql(
            SELECT n.user_id, n.category, n.mail_group, n.unread_only, m.addresses[1] AS address, m.address_key,
                m.template, m.body_html IS NOT NULL AS has_html, m.thread_key, m.tenant_id
            FROM mailer.notification_mail n
            JOIN mailer.message m ON m.message_id OPERATOR(pg_catalog.=) n.message_id
            WHERE n.message_id OPERATOR(pg_catalog.=) $1)sql",
        {INT8OID});
    const Rows rows = find.run({p_bigint(message_id)});
    if (rows.empty()) return std::nullopt;
    ClosedMail mail;
    mail.user = text_at(rows, "user_id");
    mail.category = text_at(rows, "category");
    mail.group_name = text_at(rows, "mail_group");
    mail.is_unread_only = rows.boolean(0, "unread_only");
    mail.contact.address = text_at(rows, "address");
    mail.contact.address_key = text_at(rows, "address_key");
    mail.template_name = text_at(rows, "template");
    mail.has_html = rows.boolean(0, "has_html");
    mail.thread_key = text_at(rows, "thread_key");
    mail.tenant_id = rows.bigint(0, "tenant_id");
    return mail;
}

}  // namespace

void queue_successor(std::int64_t message_id) {
    const auto closed = find_closed(message_id);
    if (!closed) return;
    NotificationMail mail;
    mail.tenant_id = closed->tenant_id;
    std::optional<CategoryRules> category;
    Contact contact;
    {
        const FreshSnapshot now;
        category = find_category(closed->category);
        contact = find_contact(closed->user);
    }
    if (!category) return;
    if (!contact.address) contact = closed->contact;
    mail.plan.group = core::mail_group_of(closed->group_name.view);
    mail.plan.group_name = closed->group_name;
    mail.plan.message_id = gather(closed->user, closed->category, closed->group_name, closed->is_unread_only);
    if (!mail.plan.message_id) return;
    mail.plan.due_at = due_of_group(mail.plan.group, closed->user, *category);
    mail.address = contact.address.view;
    mail.address_key = contact.address_key.view;
    mail.contact_name = contact.name.view;
    mail.template_name = closed->template_name;
    mail.has_html = closed->has_html;
    mail.variables = empty_object();
    mail.thread_key = closed->thread_key;
    queue_mail(*category, mail);
}

void queue_digest(const TextValue& user, const TextValue& category_name, bool has_html) {
    std::optional<CategoryRules> category;
    Contact contact;
    {
        const FreshSnapshot now;
        category = find_category(category_name);
        contact = find_contact(user);
    }
    if (!category || !contact.address) return;
    NotificationMail mail;
    mail.tenant_id = tenant_of_user(user);
    enter_group(mail.plan, core::MailGroup::digest, {}, user, *category);
    if (!mail.plan.message_id) return;
    mail.plan.due_at = due_of_group(mail.plan.group, user, *category);
    mail.address = contact.address.view;
    mail.address_key = contact.address_key.view;
    mail.contact_name = contact.name.view;
    mail.template_name = template_of_mail(mail.plan.group, *category, {});
    mail.has_html = has_html;
    mail.variables = empty_object();
    queue_mail(*category, mail);
}

}  // namespace mailer::pg
