// The journal's place and binding; see journal_file.hpp.
#include "pg/server/journal_file.hpp"

#include "pg/bridge/clock.hpp"
#include "pg/server/clone_guard.hpp"

extern "C" {
#include "access/xlog.h"
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

worker::JournalBinding journal_binding(std::int64_t epoch) {
    worker::JournalBinding binding;
    binding.boot_id = worker::read_boot_id();
    binding.system_identifier = call([] { return current_binding(); }).system_identifier;
    binding.epoch = epoch;
    binding.database = MyDatabaseId;
    binding.timeline = call([] { return current_timeline(); });
    binding.lsn = flushed_lsn();
    binding.at = now();
    return binding;
}

}  // namespace mailer::pg
