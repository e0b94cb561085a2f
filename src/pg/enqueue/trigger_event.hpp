// One firing of notify_trigger: what changed, as jsonb, and whom the user's function names for it.
#pragma once

#include "pg/enqueue/batch_store.hpp"

extern "C" {
#include "commands/trigger.h"
}

namespace mailer::pg {

// The arguments of CREATE TRIGGER … EXECUTE FUNCTION mailer.notify_trigger(…). Refuses a wrong number of them.
struct TriggerArguments {
    std::string template_name;
    std::string recipients_function;
    std::string gap;      // empty: none
    std::string label;    // Mustache; empty: none
    std::string mailbox;  // empty: the default pool
};
TriggerArguments read_trigger_arguments(const Trigger& trigger);

struct ChangedRow {
    RawValue new_row = {};  // jsonb
    RawValue old_row = {};
    std::string_view operation = {};
};

// Both need a current Spi and run as the current user, whose functions and casts they call.
ChangedRow read_changed_row(const TriggerData& trigger);
std::vector<BatchItem> call_recipients_function(const TriggerData& trigger, const std::string& name,
                                                const ChangedRow& row);

// {"new": …, "old": …}, what there is of it.
RawValue row_variables(const ChangedRow& row);

// The label template over the row: its columns, and new and old.
std::string render_label(const std::string& source, const ChangedRow& row);

// For whom a trigger queues: the tenant of the table's owner, who let the trigger be made; where the owner acts for the
// operators or for nobody, the tenant of who fired it, if that is one. Needs a current Spi and runs as the owner.
Actor sender_of_trigger(const TriggerData& trigger);

}  // namespace mailer::pg
