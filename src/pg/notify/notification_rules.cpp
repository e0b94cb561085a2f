// What the tables say about one notification; see notification.hpp.
//
// Four rows by their keys, as of one moment; a category that isn't there yet is made, and all are read again.
#include "pg/enqueue/request.hpp"
#include "pg/notify/notification.hpp"
#include "pg/table/reader.hpp"
#include "pg/tenancy/principal.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace mailer::pg {
namespace {

void check_category(const TextValue& name) {
    static Statement check("SELECT mailer._check_category($1)", {TEXTOID});
    check.run({name.param()});
}

void make_category(const TextValue& name, std::int64_t now) {
    static Statement insert("INSERT INTO mailer.category (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                            {TEXTOID, TIMESTAMPTZOID});
    check_category(name);
    insert.run({name.param(), p_time(now)});
}

[[noreturn]] void refuse_template(const TextValue& name) {
    refuse("template \"" + std::string(name ? name.view : "NULL") + "\" does not exist", {},
           "Store it with mailer.template_set().", "42704");
}

struct Template {
    bool is_there = false;
    bool has_html = false;
    bool is_shared = false;
};

Template find_template(const TextValue& name) {
    static TableReader reader("template", {"name"}, {"body_html", "is_shared"});
    if (!name) return {};
    const auto row = reader.find({name});
    return row ? Template{true, !row->is_null(0), row->boolean(1)} : Template{};
}

// "NAME.pt-BR", else "NAME.pt", else NAME.
TextValue localized_template(const TextValue& name, std::string_view locale) {
    for (const std::string& suffix : core::locale_suffixes(locale)) {
        const TextValue candidate = text_value(std::string(name.view) + "." + suffix);
        if (find_template(candidate).is_there) return candidate;
    }
    return name;
}

void read_preference(const Notification& notification, core::NotificationFacts& facts) {
    static TableReader reader("preference", {"user_id", "category"}, {"in_app_enabled", "email_enabled", "digest"});
    const auto row = reader.find({notification.user, notification.category});
    if (!row) return;
    facts.wants_in_app = row->boolean(0);
    facts.wants_mail = row->boolean(1);
    facts.wants_digest = row->text(2).view != "immediate";
}

void read_template(const Notification& notification, NotificationRules& rules) {
    const Template own = find_template(notification.template_name);
    if (!own.is_there) refuse_template(notification.template_name);
    if (!own.is_shared && !is_template_granted(notification.tenant_id, notification.template_name.view))
        refuse_ungranted("template", notification.template_name.view);
    rules.has_html = own.has_html;
    rules.template_name = notification.template_name;
    if (rules.contact.locale)
        rules.template_name = localized_template(notification.template_name, rules.contact.locale.view);
}

// False: there is no such category.
bool read_rules_now(const Notification& notification, NotificationRules& rules) {
    const auto category = find_category(notification.category);
    if (!category) return false;
    rules.category = *category;
    rules.contact = find_contact(notification.user);
    read_template(notification, rules);
    core::NotificationFacts& facts = rules.facts;
    facts.is_required = rules.category.is_required;
    facts.is_rated = rules.category.rate_limit.has_value();
    facts.is_delayed = rules.category.is_delayed();
    facts.has_address = bool{rules.contact.address};
    facts.has_key = bool{notification.key};
    facts.is_alone = notification.is_alone;
    read_preference(notification, facts);
    return true;
}

}  // namespace

bool CategoryRules::is_delayed() const {
    Interval zero;
    memset(&zero, 0, sizeof zero);
    Interval delay = mail_delay;
    return call([&] {
               return DatumGetInt32(
                   DirectFunctionCall2(interval_cmp, IntervalPGetDatum(&delay), IntervalPGetDatum(&zero)));
           }) > 0;
}

std::optional<CategoryRules> find_category(const TextValue& name) {
    static TableReader reader("category", {"name"},
                              {"is_required", "rate_limit", "rate_period", "mail_delay", "collapse_window", "lane_id",
                               "digest_template", "is_announced"});
    if (!name) return std::nullopt;
    const auto row = reader.find({name});
    if (!row) return std::nullopt;
    CategoryRules category;
    category.name = name;
    category.is_required = row->boolean(0);
    if (!row->is_null(1)) category.rate_limit = row->integer(1);
    category.rate_period = row->interval(2);
    category.mail_delay = row->interval(3);
    category.collapse_window = row->interval(4);
    category.lane_id = row->bigint(5);
    category.digest_template = row->text(6);
    category.is_announced = row->boolean(7);
    return category;
}

Contact find_contact(const TextValue& user) {
    static TableReader reader("contact", {"user_id"}, {"address", "address_key", "name", "locale"});
    if (!user) return {};
    const auto row = reader.find({user});
    return row ? Contact{row->text(0), row->text(1), row->text(2), row->text(3)} : Contact{};
}

bool template_exists(const TextValue& name) { return find_template(name).is_there; }

NotificationRules read_rules(const Notification& notification) {
    NotificationRules rules;
    for (;;) {
        const FreshSnapshot now;
        if (read_rules_now(notification, rules)) return rules;
        make_category(notification.category, transaction_now());
    }
}

}  // namespace mailer::pg
