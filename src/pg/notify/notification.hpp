// One call of notify(): what is asked, and what the tables say about it.
//
// Everything here needs a current Spi and runs as the owner. The walk is notify_user (notification.cpp): read the facts
// (notification_rules.cpp), have core/notification decide, write row and item, and see to the mail
// (notification_mail.cpp).
#pragma once

#include "core/notification.hpp"
#include "pg/bridge/arguments.hpp"

namespace mailer::pg {

struct Notification {
    std::int64_t tenant_id = 0;
    TextValue user = {};
    TextValue category = {};
    TextValue template_name = {};
    RawValue variables = {};  // jsonb
    TextValue actor = {};
    TextValue key = {};     // collapse_key
    bool is_alone = false;  // the second try after a deadlock: waits for nobody
};

// Gives the id of the inbox row; nothing when there is none.
std::optional<std::int64_t> notify_user(const Notification& notification);

// ── What the tables say ──────────────────────────────────────────────────────────────────────────────────────────

struct CategoryRules {
    TextValue name = {};
    bool is_required = false;
    std::optional<std::int32_t> rate_limit = {};
    Interval rate_period = {};
    Interval mail_delay = {};
    Interval collapse_window = {};
    std::int64_t lane_id = 1;
    TextValue digest_template = {};
    bool is_announced = true;

    bool is_delayed() const;  // mails only what is still unread after mail_delay
};

struct Contact {
    TextValue address = {};
    TextValue address_key = {};
    TextValue name = {};
    TextValue locale = {};
};

struct NotificationRules {
    CategoryRules category = {};
    Contact contact = {};
    core::NotificationFacts facts = {};
    TextValue template_name = {};  // in the user's language
    bool has_html = false;
};

// Makes the category on its first use. Refuses a template that doesn't exist.
NotificationRules read_rules(const Notification& notification);

// These read what the active snapshot shows (pg/table/reader.hpp).
std::optional<CategoryRules> find_category(const TextValue& name);
Contact find_contact(const TextValue& user);
bool template_exists(const TextValue& name);

// ── The mail ─────────────────────────────────────────────────────────────────────────────────────────────────────

// Which mail takes an item, and what is still to be done about it.
struct MailPlan {
    core::MailGroup group = core::MailGroup::none;
    TextValue group_name = {};                    // as in notification_item.mail_group; NULL: a mail of its own
    std::optional<std::int64_t> message_id = {};  // to be queued; none: the group's mail waits already
    std::int64_t due_at = 0;
};
MailPlan plan_mail(const TextValue& user, const NotificationRules& rules, const core::NotificationPlan& plan,
                   const TextValue& key);

struct NotificationMail {
    std::int64_t tenant_id = 0;
    MailPlan plan = {};
    std::string_view address = {};
    std::string_view address_key = {};
    std::string_view contact_name = {};
    TextValue template_name = {};  // NULL: the loader renders it
    bool has_html = false;
    RawValue variables = {};
    TextValue thread_key = {};
};

// The template of a mail: the item's, or for several things the category's digest_template where there is one.
TextValue template_of_mail(core::MailGroup group, const CategoryRules& category, const TextValue& own);
void queue_mail(const CategoryRules& category, const NotificationMail& mail);

// The mail for items that were on their way into one that has just closed. If none of them commits, it is cancelled
// when its time comes.
void queue_successor(std::int64_t message_id);

// A user's digest of a category, unless one gathers already. `has_html`: what it lists without a template of its own is
// also shown as HTML.
void queue_digest(const TextValue& user, const TextValue& category, bool has_html);

RawValue empty_object();  // {}; lives as long as the process

// The item as its template sees it: its variables and who did it, as a group of one (mailer._collapsed). With `name`
// and `category` below them when the latter is given.
RawValue variables_of_one(const RawValue& variables, const TextValue& actor, const TextValue& actor_id, std::int64_t at,
                          const TextValue& name = {}, const TextValue& category = {});

}  // namespace mailer::pg
