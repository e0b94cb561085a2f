// How the end of a message is written, and how an ended one is put back: the only statements that move a message
// between queue_entry and outcome.
//
// What the end is was decided by core/outcome/ending. Each function writes all that belongs to it in the current
// transaction: the queue's row, the outcome, the recipients, the counts. The engine calls write_endings() with its
// claims; statements (cancel, batch_cancel, campaign_cancel, mailer._end) call the others. They run as the extension's
// owner, under the caller's Spi, and touch no claimed row: what is on its way belongs to the engine.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/outcome/ending.hpp"
#include "pg/bridge/clock.hpp"
#include "worker/ports.hpp"

namespace mailer::pg {

// Writes the final ones of these settlements, each if its row has the settlement's token (none: is pending) still;
// returns the ids of those. `settled_by`: the role whose statement it was; nothing: the engine.
std::set<std::int64_t> write_endings(std::span<const worker::Settlement> settlements, core::Time now,
                                     const std::optional<std::string>& settled_by = std::nullopt);

// Ends those of these messages that are pending; with a cause that ends unconfirmed messages, those that are
// unconfirmed. `detail` is shown as the reply. Returns the ids of those that ended, in order.
std::vector<std::int64_t> end_messages(std::span<const std::int64_t> message_ids, core::Cause cause,
                                       const std::string& detail, const std::optional<std::string>& settled_by,
                                       core::Time now);

// Puts those of these messages that ended in this state back into the queue, due now, with fresh attempts and their
// tries counted on; a campaign's go before its new leads, and a completed campaign runs again for the reason `why`.
// Left out are bad addresses, purged content, messages of cancelled campaigns and of leads whose sequence has ended
// (who has replied gets no mail because an earlier one had failed). A request for another try vouches for the address:
// the suppression that a refusal of it made is lifted. Returns the ids of those put back.
std::vector<std::int64_t> put_back(std::span<const std::int64_t> message_ids, core::MessageState state,
                                   const std::string& why, core::Time now);

// Results of single recipients, of messages with several.
void store_recipients(std::span<const worker::Settlement> settlements, const std::set<std::int64_t>& written);

// The attempt's columns as arrays.
struct AttemptArrays {
    std::vector<std::optional<std::int64_t>> started, dot, finished, fingerprint;
    std::vector<std::optional<std::string>> stage, enhanced, reply, outcome;
    std::vector<std::optional<std::int32_t>> code;

    void add(const worker::Settlement& settlement);
};

// Parts of a settlement as columns; empty texts are NULL.
std::optional<std::int64_t> token_of(const worker::Settlement& settlement);
std::optional<std::int64_t> mailbox_of(const worker::Settlement& settlement);
std::optional<std::string> not_empty(const std::string& text);

}  // namespace mailer::pg
