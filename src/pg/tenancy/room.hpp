// How many more messages a tenant may queue: max_pending of mailer.tenant, where one is set.
//
// Nobody waits for anybody, and the limit holds between sessions. What is committed is counted in the tables, seldom: a
// count gives a number of places, and queueing takes from them until they are used up. What open transactions have
// taken is kept besides, and comes back when they, or a savepoint of theirs, are rolled back. Places of mails that were
// sent since come back with the next count.
//
// Shared memory holds an account for each tenant that has a limit. Without preloading every session has accounts of its
// own, and sees others' mails when they commit. What PREPARE TRANSACTION holds isn't seen before COMMIT PREPARED.
//
// Invariant: (R1) committed pending mails + places taken by open transactions + places left <= max_pending, whenever an
// account has been counted; a transaction that commits stays counted by what it took until the next count.
#pragma once

#include "pg/tenancy/principal.hpp"

namespace mailer::pg {

// Takes places for mails that are about to be queued; refuses with 53400 when there are too few. Needs a current Spi
// and runs as the owner.
void take_room(const Actor& by, std::int64_t count);
// Places that take_room() gave in this statement and nothing was queued for.
void give_back_room(const Actor& by, std::int64_t count) noexcept;

void register_room();        // from _PG_init, in every process
void request_room_memory();  // from _PG_init while preloading

}  // namespace mailer::pg
