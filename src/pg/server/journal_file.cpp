// The journal's place and binding; see journal_file.hpp.
#include "pg/server/journal_file.hpp"

#include "pg/bridge/clock.hpp"
#include "pg/server/clone_guard.hpp"

extern "C" {
#include "access/timeline.h"
#include "access/xlog.h"
#include "nodes/pg_list.h"
}

namespace mailer::pg {

// Beside pgstat's files: base backups skip that folder, so no copy of the database carries a journal.
std::string journal_path() { return "pg_stat_tmp/mailer." + std::to_string(MyDatabaseId) + ".journal"; }

std::uint64_t flushed_lsn() {
#if PG_VERSION_NUM >= 150000
    return call([] { return GetFlushRecPtr(nullptr); });
#else
    return call([] { return GetFlushRecPtr(); });
#endif
}

std::vector<worker::Ancestor> timeline_ancestors(std::uint32_t timeline) {
    List* const history = call([=] { return readTimeLineHistory(timeline); });
    std::vector<worker::Ancestor> ancestors;
    for (int i = 1; i < list_length(history); ++i) {  // the first is the timeline itself
        const auto* entry = static_cast<const TimeLineHistoryEntry*>(list_nth(history, i));
        ancestors.push_back({entry->tli, entry->end});
    }
    return ancestors;
}

worker::JournalBinding journal_binding(std::int64_t epoch) {
    worker::JournalBinding binding;
    binding.boot_id = worker::read_boot_id();
    binding.system_identifier = static_cast<std::int64_t>(call([] { return GetSystemIdentifier(); }));
    binding.epoch = epoch;
    binding.database = MyDatabaseId;
    binding.timeline = call([] { return current_timeline(); });
    binding.ancestors = timeline_ancestors(binding.timeline);
    binding.lsn = flushed_lsn();
    binding.at = now();
    return binding;
}

}  // namespace mailer::pg
