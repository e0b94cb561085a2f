// Listens to the mailboxes of one database: their IMAP connections, what they bring, and how far it was read.
//
//  1. What a batch brought and the cursor behind it commit in one transaction: a crash anywhere reads it again, or goes
//  on behind it.
//  2. No transaction is open while a server is waited for.
//  3. The sender waits for nothing of it: another process, other locks, other breakers.
//
// The same in the background worker and in CALL mailer.listen. It waits in one place, and leaves as an engine does
// (engine.hpp).
#pragma once

#include <optional>

#include "pg/engine/engine.hpp"

namespace mailer::pg {

struct ListenLimits {
    bool is_one_look = false;  // returns when all folders have been read
    std::optional<core::Duration> max_time;
};

// Returns when asked to leave, at its limits, or (in a worker) when there is nothing to listen to any more.
void run_listener(EngineContext& context, const ListenLimits& limits);

}  // namespace mailer::pg
