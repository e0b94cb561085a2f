// mailer.community_trigger: tells users of likes, comments, replies, bookmarks and joins, and never fails the
// statement.
//
// The walk: read the row and find whom it concerns, as the user who changed it; notify each of them, as the owner.
// Users are notified in the order of their ids, so that two transactions that notify the same users don't deadlock;
// where they still do (several statements), the second try takes no lock that others may hold.
#include "pg/bridge/identity.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/enqueue/harmless_trigger.hpp"
#include "pg/enqueue/trigger_event.hpp"
#include "pg/notify/notification.hpp"

namespace mailer::pg {
namespace {

constexpr const char* usage =
    "EXECUTE FUNCTION mailer.community_trigger('category', 'template', 'users to notify: a column or a function' [, "
    "'actor "
    "column' [, 'collapse key']])";

struct CommunityArguments {
    std::string category;
    std::string template_name;
    std::string told;      // a column, or a function
    std::string actor;     // a column; empty: nobody's doing
    std::string collapse;  // Mustache; empty: none
};

CommunityArguments read_arguments(const Trigger& trigger) {
    if (trigger.tgnargs < 3 || trigger.tgnargs > 5)
        refuse("community_trigger takes 3 to 5 arguments", "The trigger has " + std::to_string(trigger.tgnargs) + ".",
               usage);
    std::string arguments[5];
    for (int i = 0; i < trigger.tgnargs; ++i)
        arguments[i] = trigger.tgargs[i];
    return {arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]};
}

std::optional<std::string> column(Datum row, const std::string& name) {
    auto value = find_member(row, name);
    if (!value)
        refuse("the table has no column \"" + name + "\"", {}, "Name the column that holds the acting user's id.",
               "42703");
    return std::move(*value);
}

struct Told {
    std::string user;
    RawValue variables;
};

std::vector<Told> find_told(const TriggerData& trigger, const std::string& name, const ChangedRow& changed,
                            const RawValue& row) {
    std::vector<Told> told;
    if (const auto value = find_member(row.datum, name)) {
        if (const auto& user = *value) told.push_back({*user, row});
        return told;
    }
    for (const BatchItem& item : call_recipients_function(trigger, name, changed)) {
        if (item.recipient.empty()) continue;  // NULL: nobody
        told.push_back({std::string(item.recipient), item.variables ? item.variables : row});
    }
    std::stable_sort(told.begin(), told.end(), [](const Told& a, const Told& b) { return a.user < b.user; });
    return told;
}

void notify(FunctionCallInfo fcinfo, const TriggerData& trigger, bool is_alone) {
    const CommunityArguments arguments = read_arguments(*trigger.tg_trigger);
    Spi spi;
    const ChangedRow changed = read_changed_row(trigger);
    const RawValue& row = changed.new_row ? changed.new_row : changed.old_row;
    const std::vector<Told> told = find_told(trigger, arguments.told, changed, row);
    if (told.empty()) return;
    Notification notification;
    notification.category = text_value(arguments.category);
    notification.template_name = text_value(arguments.template_name);
    notification.is_alone = is_alone;
    if (!arguments.actor.empty()) {
        if (const auto actor = column(row.datum, arguments.actor)) notification.actor = text_value(*actor);
    }
    if (!arguments.collapse.empty()) notification.key = text_value(render_label(arguments.collapse, changed));

    AsOwner owner(fcinfo);
    notification.tenant_id = sender_of_trigger(trigger).tenant_id;
    for (const Told& one : told) {
        notification.user = text_value(one.user);
        notification.variables = one.variables;
        notify_user(notification);
    }
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_community_trigger) {
    using namespace mailer::pg;
    return entry([&] {
        return run_harmless(
            fcinfo, "mailer.community_trigger", usage, [&](const TriggerData& t) { notify(fcinfo, t, false); },
            [&](const TriggerData& t) { notify(fcinfo, t, true); });
    });
}
