// /log: who did what, and what became of messages. Newest first.
//
// One feed over all outcomes and changes, which has an index by id alone: what a person asks for is looked for among a
// bounded number of entries at a time, and the page says how far back it has looked.
#include "pages/mail_frame.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

constexpr const char* most_to_look_at = "2000";

// Parameters: kind, role, mailbox, campaign, what to show, how many to look at.
constexpr const char* entries =
    R"sql(
        SELECT e.id, e.at, e.kind, e.message_id, e.batch_id, e.campaign_id, e.mailbox, e.by_role,
            CASE WHEN length(e.detail::text) > 4000 THEN left(e.detail::text,
            4000) || ' …' ELSE NULLIF(e.detail::text, '{}') END AS detail
        FROM (SELECT * FROM mailer.event_log l WHERE l.id < COALESCE(:after::bigint, 9223372036854775807)
            ORDER BY l.id DESC LIMIT $6::integer) e
        WHERE ($1::text IS NULL OR e.kind = $1) AND ($2::text IS NULL OR e.by_role = $2)
            AND ($3::text IS NULL OR e.mailbox = $3) AND ($4::bigint IS NULL OR e.campaign_id = $4::bigint)
            AND ($5::text = 'everything' OR ($5::text = 'people' AND e.by_role <> 'mailer')
                OR ($5::text = 'changes' AND e.kind NOT IN ('sent', 'failed', 'cancelled', 'unconfirmed')))
        ORDER BY e.id DESC LIMIT :limit)sql";

Parameter number_of(const Parameter& text) {
    if (text && (text->size() > 18 || text->find_first_not_of("0123456789") != std::string::npos))
        throw HttpError(400, "That is not a number.");
    return text;
}

core::Value show(Visit& visit) {
    const Parameter kind = visit.query("kind"), role = visit.query("role"), mailbox = visit.query("mailbox");
    const Parameter campaign = number_of(visit.query("campaign")), after = number_of(visit.query("after"));
    Parameter what = visit.query("show");
    if (!what) what = "changes";
    if (what != "changes" && what != "people" && what != "everything") throw HttpError(400, "There is no such choice.");
    core::Value page = visit.list(entries, {kind, role, mailbox, campaign, what, most_to_look_at}, "id");
    if (!page.find("next")) {
        const core::Value last = visit.rows(
            R"sql(
                SELECT l.id, l.at
                FROM mailer.event_log l
                WHERE l.id < COALESCE($1::bigint, 9223372036854775807)
                ORDER BY l.id DESC OFFSET $2::integer - 1 LIMIT 1)sql",
            {after, most_to_look_at});
        if (!last.items().empty()) {
            std::string next = "?";
            for (const Field& f : visit.request.query.list())
                if (f.name != "after") next += encode_percent(f.name) + "=" + encode_percent(f.value) + "&";
            next += "after=" + std::string(last.items().front().find("id")->scalar_text());
            (void)page.set("further_back",
                           object({{"address", text(next)}, {"since", *last.items().front().find("at")}}));
        }
    }
    (void)page.set("asked", object({{"kind", text(kind.value_or(""))},
                                    {"role_name", text(role.value_or(""))},
                                    {"mailbox", text(mailbox.value_or(""))},
                                    {"campaign", text(campaign.value_or(""))}}));
    (void)page.set("shows", choices({"changes", "people", "everything"}, what));
    (void)page.set("is_empty", core::Value::boolean(page.find("rows")->items().empty()));
    return page;
}

}  // namespace

static const Registered here{
    Page{.path = "/log", .title = "Log", .menu_place = 80, .template_name = "log.html", .show = show}};

}  // namespace mailer::web
