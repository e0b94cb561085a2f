// Whether the crash journal and the queue agree: what verify() asks. Changes nothing; runs beside a live sender.
//
// A claim's slot is opened before the claim commits and closed after its settle has committed, both within one turn of
// the sender. From that follows what can be said without stopping it:
//   - a row that two looks see claimed with one token, one before and one after the journal was read, was claimed all
//     that time: its slot must have been there
//   - a slot that was open before a look that doesn't see its claim, and still is after it, is a wrong one once the
//     sender has ended the turns in which it may have been just about to claim (before the look) or to close (after)
// Every look has a snapshot of its own, so this needs no luck; a sender that doesn't turn in time is given its slots.
#include <limits>
#include <map>

#include "pg/bridge/clock.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/result_set.hpp"
#include "pg/server/clone_guard.hpp"
#include "pg/server/journal_file.hpp"
#include "pg/server/shared.hpp"

extern "C" {
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/snapmgr.h"
}

namespace mailer::pg {

namespace {

constexpr core::Duration longest_turn = std::chrono::seconds(2);  // that is waited for

struct Claim {
    std::int64_t message_id;
    core::Time claimed_at;
};
using Claims = std::map<std::uint64_t, Claim>;  // by token

// What is claimed at this very moment, whatever snapshot the statement has. Claims under an epoch that nobody adopted
// came with a dump: no sender of this database made them.
Claims look(const std::vector<std::int64_t>& epochs) {
    static Statement statement(
        "SELECT token, message_id, claimed_at FROM mailer.queue_entry WHERE state = 's' AND epoch = ANY ($1)",
        {INT8ARRAYOID});
    call([] { PushActiveSnapshot(GetLatestSnapshot()); });
    Rows rows = statement.run({p_bigints(epochs)}, true);
    call([] { PopActiveSnapshot(); });
    Claims claims;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        claims[static_cast<std::uint64_t>(rows.bigint(i, "token"))] = {rows.bigint(i, "message_id"),
                                                                       *time_at(rows, i, "claimed_at")};
    return claims;
}

// True when the turn has ended in which the sender is now, if it is in one; false when it takes too long, or when there
// is no sender, or another one by then.
bool has_turned() {
    const SenderStatus before = sender_status();
    if (before.pid == 0) return false;
    const core::Time until = now() + longest_turn;
    while (now() < until) {
        const SenderStatus status = sender_status();
        if (status.pid != before.pid || status.start_count != before.start_count) return false;
        if (status.tick_count > before.tick_count) return true;
        post_hints(nullptr, 0, false);  // it may be asleep
        call([] {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        });
    }
    return false;
}

worker::JournalView view(const ArmingState& arming) {
    worker::JournalBinding binding = journal_binding(arming.epoch);
    binding.lsn = std::numeric_limits<std::uint64_t>::max();  // its sender may have noted a later commit meanwhile
    return worker::view_journal(journal_path(), binding);
}

void drop_claimed(std::set<std::uint64_t>& tokens, const Claims& claims) {
    std::erase_if(tokens, [&](std::uint64_t token) { return claims.contains(token); });
}

void journal_disagreements(FunctionCallInfo fcinfo) {
    ResultSet rows(fcinfo);
    AsOwner owner(fcinfo);
    Spi spi;
    if (call([] { return RecoveryInProgress(); })) return;  // the journal is the primary's
    const ArmingState arming = look_at_arming();
    const Claims before = look(arming.all_epochs());
    const worker::JournalView journal = view(arming);
    if (!journal.is_trusted)
        return;  // nobody has sent here since the machine started, or the next sender won't believe it
    const Claims after = look(arming.all_epochs());

    for (const auto& [token, claim] : before) {
        // What an earlier sender claimed, whose journal was lost, is unconfirmed as soon as the next one turns.
        if (!after.contains(token) || journal.tokens.contains(token) || claim.claimed_at < journal.made_at) continue;
        rows.bigint(static_cast<std::int64_t>(token));
        rows.text("message " + std::to_string(claim.message_id) + " has no slot").end_row();
    }
    std::set<std::uint64_t> unclaimed = journal.tokens;
    drop_claimed(unclaimed, before);
    drop_claimed(unclaimed, after);
    if (unclaimed.empty() || !has_turned()) return;
    drop_claimed(unclaimed, look(arming.all_epochs()));
    if (unclaimed.empty() || !has_turned()) return;
    const worker::JournalView later = view(arming);
    for (std::uint64_t token : unclaimed) {
        if (!later.is_trusted || !later.tokens.contains(token)) continue;
        rows.bigint(static_cast<std::int64_t>(token)).text("slot " + std::to_string(token) + " has no claim").end_row();
    }
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_journal_disagreements) {
    mailer::pg::entry([&] { mailer::pg::journal_disagreements(fcinfo); });
    return Datum{0};
}
