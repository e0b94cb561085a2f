// /messages: finds messages by address, id, external id, state and time, newest first.
//
// However many there are, a search reads no more than an index gives: address and external id have one, ids are the
// order of time, and what has none (a state) is looked for among a bounded number of messages at a time. Then the page
// says how far back it has looked, and leads on from there.
#include "pages/mail_frame.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

constexpr const char* most_to_look_at = "2000";

constexpr const char* columns =
    "s.message_id, s.state, s.reason, s.result, s.recipient, s.subject, s.mailbox, s.external_id, s.created_at, "
    "s.due_at, "
    "s.sent_at, s.campaign_id, s.attempts ";

// Parameters of all three: id, external id, state, first id, end of ids, how many to look at.
constexpr const char* conditions =
    "WHERE ($1::bigint IS NULL OR s.message_id = $1::bigint) AND ($2::text IS NULL OR s.external_id = $2) "
    "AND ($3::text IS NULL OR s.state = $3 OR s.result = $3) "
    "AND ($4::bigint IS NULL OR s.message_id >= $4::bigint) AND ($5::bigint IS NULL OR s.message_id < $5::bigint) "
    "AND (:after::bigint IS NULL OR s.message_id < :after::bigint) AND $6::integer > 0 ";

std::string by_address() {
    return std::string("SELECT ") + columns + "FROM mailer.sent_to($7, 1000) s " + conditions +
           "ORDER BY s.message_id DESC LIMIT :limit";
}

std::string by_key(const char* equality) {
    return std::string("WITH found AS MATERIALIZED (SELECT f.message_id FROM mailer.message_status f WHERE ") +
           equality + " LIMIT $6::integer) SELECT " + columns +
           "FROM found CROSS JOIN LATERAL (SELECT * FROM mailer.message_status m WHERE m.message_id = found.message_id "
           "OFFSET 0) s " +
           conditions + "ORDER BY s.message_id DESC LIMIT :limit";
}

// Id by id from the end: each is looked up by itself, so that no plan reads more. The ids come in their order, and the
// inner limit ends it as soon as the page is full.
std::string by_time() {
    return std::string("SELECT * FROM (SELECT ") + columns +
           "FROM generate_series(LEAST(:after::bigint, $5::bigint, mailer.message_since('infinity')) - 1, "
           "GREATEST($4::bigint, LEAST(:after::bigint, $5::bigint, mailer.message_since('infinity')) - $6::integer), "
           "-1) id "
           "CROSS JOIN LATERAL (SELECT * FROM mailer.message_status m WHERE m.message_id = id OFFSET 0) s "
           "WHERE ($3::text IS NULL OR s.state = $3 OR s.result = $3) AND $1::bigint IS NULL AND $2::text IS NULL "
           "LIMIT :limit) s ORDER BY s.message_id DESC";
}

// Where that stopped, when there is more. Parameters: first id, end of ids, how many to look at, :after.
constexpr const char* stopped_at =
    R"sql(
        SELECT d.bottom
        FROM (SELECT LEAST($4::bigint, $2::bigint,
            mailer.message_since('infinity')) - $3::integer AS bottom) d
        WHERE d.bottom > GREATEST($1::bigint, mailer.message_since('-infinity')))sql";

Parameter id_of(const Parameter& text) {
    if (!text) return std::nullopt;
    const bool is_number = text->find_first_not_of("0123456789") == std::string::npos && text->size() <= 18;
    if (!is_number) throw HttpError(400, "The id of a message is a number.");
    return text;
}

core::Value show(Visit& visit) {
    const Parameter address = visit.query("address"), external_id = visit.query("external_id"),
                    state = visit.query("state");
    const Parameter id = id_of(visit.query("id")), from = visit.query("from"), to = visit.query("to");
    (void)id_of(visit.query("after"));
    Parameter first, end;
    if (from) first = visit.value("SELECT mailer.message_since($1::timestamptz)", {from});
    if (to) end = visit.value("SELECT mailer.message_since($1::timestamptz)", {to});
    Parameters parameters{id, external_id, state, first, end, most_to_look_at};
    core::Value page;
    if (address) {
        parameters.push_back(address);
        page = visit.list(by_address(), parameters, "message_id");
    } else if (id) {
        page = visit.list(by_key("f.message_id = $1::bigint"), parameters, "message_id");
    } else if (external_id) {
        page = visit.list(by_key("f.external_id = $2"), parameters, "message_id");
    } else {
        page = visit.list(by_time(), parameters, "message_id");
        const std::string bottom =
            page.find("next") ? "" : visit.value(stopped_at, {first, end, most_to_look_at, visit.query("after")});
        if (!bottom.empty()) {
            std::string next = "?";
            for (const Field& f : visit.request.query.list())
                if (f.name != "after") next += encode_percent(f.name) + "=" + encode_percent(f.value) + "&";
            (void)page.set("further_back",
                           object({{"address", text(next + "after=" + bottom)}, {"bottom", text(bottom)}}));
        }
    }
    (void)page.set("asked", object({{"address", text(address.value_or(""))},
                                    {"id", text(id.value_or(""))},
                                    {"external_id", text(external_id.value_or(""))},
                                    {"from", text(from.value_or(""))},
                                    {"to", text(to.value_or(""))}}));
    (void)page.set("states", choices({"pending", "sending", "sent", "failed", "cancelled", "unconfirmed", "bounced",
                                      "replied", "complained", "unsubscribed"},
                                     state));
    (void)page.set("is_search", core::Value::boolean(address || id || external_id || state || from || to));
    (void)page.set("is_empty", core::Value::boolean(page.find("rows")->items().empty()));
    return page;
}

}  // namespace

static const Registered here{Page{
    .path = "/messages", .title = "Messages", .menu_place = 40, .template_name = "message_list.html", .show = show}};

}  // namespace mailer::web
