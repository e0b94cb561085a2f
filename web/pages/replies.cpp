// What came back: the page that salespeople have open all day. Guesses that wait for a person come first.
//
// Each kind is read by its index and the newest of all are merged, so that a million deliveries or bounces don't stand
// between a reader and the last reply. The rows are compared by kind and id together: with the kind alone PostgreSQL
// reads all of the log by id where a kind has none.
#include "pages/lead_links.hpp"

namespace mailer::web {

namespace {

// What a person reads about; delays and deliveries are on the message's page.
const char* const every_kind = "{reply,bounce,auto_reply,unsubscribe,complaint}";

const std::string columns =
    "f.id, f.at, f.kind, f.address, f.words, f.mailbox, f.message_id, f.campaign_id, f.address_key, f.code, "
    "f.is_guess, replace(f.judged, '_', ' ') AS judged, "
    "f.judged_by, CASE f.kind WHEN 'reply' THEN 'answered' WHEN 'auto_reply' THEN 'was away' WHEN 'unsubscribe' THEN "
    "'asked to be left "
    "alone' WHEN 'complaint' THEN 'reported it as spam' ELSE CASE WHEN f.is_hard THEN 'bounced' ELSE 'bounced for now' "
    "END END AS "
    "what, f.is_guess AND f.judged IS NULL AS is_open, CASE f.evidence WHEN 'address' THEN 'The mail names none of "
    "ours. Its address, mailbox "
    "and time fit this one alone.' WHEN 'lead' THEN 'The mail is in no thread of ours, but it comes from the address "
    "of a lead.' "
    "ELSE 'The words read like a wish to get no more mail.' END AS why";

// Of the rows f: the campaign's name and where the lead stands.
const std::string with_lead =
    R"sql(
        SELECT f.*, s.campaign, s.state AS lead_state, s.label
        FROM f
        LEFT JOIN LATERAL (SELECT l.campaign, l.state, l.label FROM mailer.lead_status l
            WHERE l.campaign_id = f.campaign_id AND l.address_key = f.address_key) s ON true
    )sql";

core::Value kinds(const std::string& wanted) {
    constexpr struct {
        const char *kind, *name;
    } all[] = {{"", "All"},
               {"reply", "Answered"},
               {"bounce", "Bounced"},
               {"auto_reply", "Away"},
               {"unsubscribe", "Left alone"},
               {"complaint", "Spam"}};
    core::Value made = core::Value::array();
    bool is_known = false;
    for (const auto& [kind, name] : all) {
        is_known = is_known || wanted == kind;
        (void)made.append(
            object({{"kind", text(kind)}, {"name", text(name)}, {"is_here", core::Value::boolean(wanted == kind)}}));
    }
    if (!is_known) throw HttpError(400, "There is no such kind of reply.");
    return made;
}

core::Value show(Visit& visit) {
    const std::string kind = visit.request.query.get("kind");
    core::Value tabs = kinds(kind);
    core::Value list = visit.list(
        "WITH f AS MATERIALIZED (SELECT f.* FROM unnest($1::text[]) k(kind) CROSS JOIN LATERAL (SELECT " + columns +
            " FROM mailer.feedback_log f WHERE (f.kind, f.id) >= (k.kind, 0) AND (f.kind, f.id) < (k.kind, "
            "coalesce(:after::bigint, 9223372036854775807)) ORDER BY f.kind DESC, f.id DESC LIMIT :limit) f "
            "ORDER BY f.id DESC LIMIT :limit)" +
            with_lead + "ORDER BY f.id DESC",
        {kind.empty() ? every_kind : "{" + kind + "}"}, "id");
    core::Value guesses =
        visit.rows("WITH f AS MATERIALIZED (SELECT " + columns +
                       " FROM mailer.feedback_log f WHERE f.is_guess AND f.judged IS NULL AND f.kind = "
                       "ANY ($1::text[]) ORDER BY f.id LIMIT 20)" +
                       with_lead + "ORDER BY f.id",
                   {every_kind});
    (void)list.set("rows", with_lead_links(*list.find("rows")));
    guesses = with_lead_links(guesses);
    const bool has_rows = !list.find("rows")->items().empty(), has_guesses = !guesses.items().empty();
    return object({{"kinds", std::move(tabs)},
                   {"list", std::move(list)},
                   {"is_left_alone", core::Value::boolean(kind == "unsubscribe")},
                   {"has_rows", core::Value::boolean(has_rows)},
                   {"guesses", std::move(guesses)},
                   {"has_guesses", core::Value::boolean(has_guesses)}});
}

Parameter feedback_id(Visit& visit) {
    Parameter id = visit.form("id");
    if (!id || id->size() > 18 || id->find_first_not_of("0123456789") != std::string::npos)
        throw HttpError(400, "The form doesn't say which reply is meant.");
    return id;
}

std::string confirm(Visit& visit) {
    visit.rows("SELECT mailer.feedback_confirm($1)", {feedback_id(visit)});
    return "Confirmed.";
}

std::string take_back(Visit& visit) {
    visit.rows("SELECT mailer.feedback_take_back($1)", {feedback_id(visit)});
    return "Taken back: the sequences that it had ended go on.";
}

}  // namespace

static const Registered here{Page{
    .path = "/replies",
    .title = "Replies",
    .menu_place = 20,
    .template_name = "replies.html",
    .show = show,
    .actions = {{.name = "confirm", .needs = "feedback_confirm", .run = confirm},
                {.name = "take_back", .needs = "feedback_take_back", .run = take_back}},
}};

}  // namespace mailer::web
