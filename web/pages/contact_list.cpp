// /contacts: a user's address, preferences and inbox; who gets no mail, and why; forgetting a person.
//
// Found by user id or by address, each through its index; without either the lists go on page by page.
#include "pages/mail_frame.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

constexpr const char* contacts =
    R"sql(
        SELECT c.user_id, c.user_key, c.address, c.name, c.timezone, c.locale, c.created_at, c.tenant,
            position(chr(31) in c.user_key) = 0 AS is_operators
        FROM mailer.contact_list c
    )sql";
// Where it was not asked for anybody.
constexpr const char* all_contacts =
    "WHERE (:after::text IS NULL OR c.user_key > :after::text) ORDER BY c.user_key LIMIT :limit";

constexpr const char* suppressions =
    R"sql(
        SELECT s.address, s.scope, s.reason, s.expires_at, s.created_at, s.created_by, s.tenant,
            s.expires_at < now() AS is_over
        FROM mailer.suppression_list s
    )sql";

// By address, scope and tenant; the first condition is the one that reaches the index.
constexpr const char* all_suppressions =
    R"sql(
        SELECT s.address, s.scope, s.reason, s.expires_at, s.created_at, s.created_by, s.tenant,
            s.expires_at < now() AS is_over, concat_ws(E'\n', s.address_key, s.scope, COALESCE(s.tenant,
            '')) AS place
        FROM mailer.suppression_list s
        WHERE (:after::text IS NULL OR s.address_key >= split_part(:after::text, E'\n', 1) COLLATE "C")
            AND (:after::text IS NULL
                OR (s.address_key, s.scope, COALESCE(s.tenant, '')) > (split_part(:after::text, E'\n', 1),
            split_part(:after::text, E'\n', 2), split_part(:after::text, E'\n', 3)))
        ORDER BY s.address_key, s.scope, COALESCE(s.tenant, '') LIMIT :limit)sql";

// Of the domain, too: *@example.com keeps mail from all of it.
std::string domain_key(const std::string& address_key) { return "*" + address_key.substr(address_key.rfind('@')); }

core::Value with_addresses(const core::Value& found) {
    core::Value linked = core::Value::array();
    for (const core::Value& one : found.items()) {
        core::Value row = one;
        (void)row.set("link", text("/contacts?user=" + encode_percent(one.find("user_id")->scalar_text())));
        (void)linked.append(std::move(row));
    }
    return linked;
}

// One user's choices and inbox. The inbox is the operators' to read, and of their own users.
void show_user(Visit& visit, core::Value& page, const std::string& user) {
    core::Value preferences = visit.rows(
        R"sql(
            SELECT p.category, p.email_enabled, p.in_app_enabled, p.digest, p.updated_at, p.unsubscribed_at
            FROM mailer.preference_list p
            WHERE p.user_key = $1 ORDER BY p.category LIMIT 200)sql",
        {user});
    const bool has_preferences = !preferences.items().empty();
    core::Value details = object({{"user", text(user)},
                                  {"preferences", std::move(preferences)},
                                  {"has_preferences", core::Value::boolean(has_preferences)}});
    if (visit.may("inbox")) {
        core::Value inbox = visit.rows(
            R"sql(
                SELECT i.notification_id, i.category, i.title, left(i.body, 2000) AS body, i.actor_count,
                    i.created_at, i.read_at
                FROM mailer.inbox($1::text, false, 50) i)sql",
            {user});
        const bool has_inbox = !inbox.items().empty();
        (void)details.set("inbox", object({{"rows", std::move(inbox)}, {"has_rows", core::Value::boolean(has_inbox)}}));
    }
    (void)page.set("details", std::move(details));
}

core::Value show(Visit& visit) {
    const Parameter user = visit.query("user"), address = visit.query("address");
    core::Value page = core::Value::object();
    core::Value found, stopped;
    if (address) {
        // As suppress() takes it: an address, or all of a domain.
        const std::size_t at = address->find('@');
        const bool is_domain = at == 0 || (at == 1 && address->front() == '*');
        const Parameter key = address_key_of(is_domain ? "x" + address->substr(at) : *address);
        if (!key) throw HttpError(400, "That is no mail address.");
        found = visit.rows(std::string(contacts) + "WHERE c.address_key = $1 ORDER BY c.user_key LIMIT 100",
                           {is_domain ? domain_key(*key) : *key});
        stopped = visit.rows(
            std::string(suppressions) + "WHERE s.address_key IN ($1, $2) ORDER BY s.address_key, s.scope LIMIT 100",
            {is_domain ? domain_key(*key) : *key, domain_key(*key)});
    } else if (user) {
        found = visit.rows(std::string(contacts) + "WHERE c.user_key = $1", {user});
        const Parameter key = found.items().empty()
                                  ? std::nullopt
                                  : address_key_of(Parameter(found.items().front().find("address")->scalar_text()));
        stopped = key ? visit.rows(std::string(suppressions) +
                                       "WHERE s.address_key IN ($1, $2) ORDER BY s.address_key, s.scope LIMIT 100",
                                   {key, domain_key(*key)})
                      : core::Value::array();
        show_user(visit, page, *user);
    } else {
        const bool is_of_suppressions = visit.query("list") == "suppressions";
        core::Value listed = is_of_suppressions ? visit.list(all_suppressions, {}, "place")
                                                : visit.list(std::string(contacts) + all_contacts, {}, "user_key");
        if (const core::Value* next = listed.find("next")) (void)page.set("next", *next);
        (is_of_suppressions ? stopped : found) = *listed.find("rows");
        (void)page.set("is_contacts", core::Value::boolean(!is_of_suppressions));
    }
    const bool is_one = user || address;
    if (is_one) (void)page.set("is_contacts", core::Value::boolean(true));
    const bool has_found = !found.items().empty(), has_stopped = !stopped.items().empty();
    (void)page.set("has_contacts", core::Value::boolean(has_found));
    (void)page.set("contacts", with_addresses(found));
    (void)page.set("is_suppressions", core::Value::boolean(is_one || visit.query("list") == "suppressions"));
    (void)page.set("has_suppressions", core::Value::boolean(has_stopped));
    (void)page.set("suppressions", std::move(stopped));
    (void)page.set("asked", object({{"user", text(user.value_or(""))}, {"address", text(address.value_or(""))}}));
    return page;
}

std::string suppress(Visit& visit) {
    const Parameter address = visit.form("address"), scope = visit.form("scope");
    visit.rows("SELECT mailer.suppress($1, $2, $3::timestamptz, COALESCE($4, 'all'))",
               {address, visit.form("reason"), visit.form("expires_at"), scope});
    return address.value_or("") + " gets no mail from now on (" + scope.value_or("all") + ").";
}

std::string unsuppress(Visit& visit) {
    const Parameter address = visit.form("address"), scope = visit.form("scope");
    return visit.value("SELECT mailer.unsuppress($1, COALESCE($2, 'all'))", {address, scope}) == "true"
               ? address.value_or("") + " may get mail again (" + scope.value_or("all") + ")."
               : "There was no such suppression.";
}

// What can't be undone is asked for twice: the address has to be typed.
std::string forget(Visit& visit) {
    const Parameter address = visit.form("address");
    if (!address || address != visit.form("again"))
        throw HttpError(400, "Type the address a second time, exactly as above: this can't be undone.");
    const core::Value done = visit.row(
        R"sql(
            SELECT f #>> '{erased,contacts}' AS contacts, f #>> '{erased,contents}' AS contents,
                f #>> '{erased,cancelled}' AS cancelled, f #>> '{kept,ledger}' AS ledger,
                f #>> '{kept,suppressions}' AS suppressions
            FROM mailer.forget($1) f)sql",
        {address});
    const auto count = [&](const char* name) { return std::string(done.find(name)->scalar_text()); };
    return "Erased: " + count("contacts") + " contacts, the content of " + count("contents") + " mails; " +
           count("cancelled") + " waiting mails cancelled. Kept: " + count("ledger") + " lines of the ledger, " +
           count("suppressions") + " suppressions.";
}

}  // namespace

static const Registered here{Page{
    .path = "/contacts",
    .title = "Contacts",
    .menu_place = 70,
    .template_name = "contact_list.html",
    .show = show,
    .actions = {{.name = "suppress", .needs = "suppress", .run = suppress},
                {.name = "unsuppress", .needs = "unsuppress", .run = unsuppress},
                {.name = "forget", .needs = "forget", .run = forget}},
}};

}  // namespace mailer::web
