// mailer.community_trigger: tells users of likes, comments, replies, bookmarks and joins, and never fails the
// statement.
//
// The walk: read the row and find whom it concerns, as the user who changed it; notify each of them, as the owner.
// Users are told in the order of their ids, so that two transactions that tell the same users don't wait for each other
// in a circle; where they still do (several statements), the second try takes no lock that others may hold.
#include "core/value.hpp"
#include "pg/harmless_trigger.hpp"
#include "pg/identity.hpp"
#include "pg/jsonb_value.hpp"
#include "pg/trigger_event.hpp"

namespace mailer::pg {
namespace {

constexpr const char* usage =
    "EXECUTE FUNCTION mailer.community_trigger('category', 'template', 'who is told: a column or a function' [, 'actor "
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

std::optional<std::string> text_of(const core::Value& value) {
    if (value.is_null()) return std::nullopt;
    std::string text;
    value.append_text(text);
    return text;
}

std::optional<std::string> column(const core::Value& row, const std::string& name) {
    const core::Value* value = row.find(name);
    if (value == nullptr)
        refuse("the table has no column \"" + name + "\"", {}, "Name the column that holds the acting user's id.",
               "42703");
    return text_of(*value);
}

struct Told {
    std::string user;
    RawValue variables;
};

std::vector<Told> find_told(const TriggerData& trigger, const std::string& name, const ChangedRow& changed,
                            const core::Value& row, const RawValue& row_jsonb) {
    std::vector<Told> told;
    if (const core::Value* value = row.find(name)) {
        if (const auto user = text_of(*value)) told.push_back({*user, row_jsonb});
        return told;
    }
    for (const BatchItem& item : call_recipients_function(trigger, name, changed))
        told.push_back({std::string(item.recipient), item.variables ? item.variables : row_jsonb});
    std::stable_sort(told.begin(), told.end(), [](const Told& a, const Told& b) { return a.user < b.user; });
    return told;
}

void notify(FunctionCallInfo fcinfo, const TriggerData& trigger, bool is_alone) {
    static Statement call_notify("SELECT mailer._notify($1, $2, $3, $4, $5, $6, $7)",
                                 {TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID, BOOLOID});
    const CommunityArguments arguments = read_arguments(*trigger.tg_trigger);
    Spi spi;
    const ChangedRow changed = read_changed_row(trigger);
    const RawValue& row_jsonb = changed.new_row ? changed.new_row : changed.old_row;
    const core::Value row = read_jsonb(row_jsonb.datum);
    const std::vector<Told> told = find_told(trigger, arguments.told, changed, row, row_jsonb);
    if (told.empty()) return;
    std::optional<std::string> actor, key;
    if (!arguments.actor.empty()) actor = column(row, arguments.actor);
    if (!arguments.collapse.empty()) key = render_label(arguments.collapse, changed);

    AsOwner owner(fcinfo);
    for (const Told& one : told) {
        call_notify.run({p_text(one.user), p_text(arguments.category), p_text(arguments.template_name),
                         p_datum(JSONBOID, one.variables.datum, one.variables.is_null), p_text(actor), p_text(key),
                         p_bool(is_alone)});
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
