// Where this database's crash journal lies, and what it must be bound to to be believed (worker/journal.hpp).
#pragma once

#include "worker/journal.hpp"

namespace mailer::pg {

std::string journal_path();
// For a journal that is made or read now, under this epoch of arming. Requires that recovery is over; throws PgError.
worker::JournalBinding journal_binding(std::int64_t epoch);
std::uint64_t flushed_lsn();
std::vector<worker::Ancestor> timeline_ancestors(std::uint32_t timeline);  // newest first. Throws PgError.

}  // namespace mailer::pg
