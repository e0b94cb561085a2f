// What becomes of leads when their mails end: the next step is queued, or the sequence is finished.
//
// Part of the transaction that writes the mail's end, in the engine and in the statements that resolve or restore. The
// lead's row is locked first and says whether its sequence goes on, so a reply that was recorded before this is heeded,
// and one that comes later finds the step that this has queued.
// All functions require an Spi as the extension's owner.
#pragma once

#include <set>

#include "worker/ports.hpp"

namespace mailer::pg {

// Of those that were written as sent: stores what the next step needs to know (slot, mailbox, the thread's subject),
// and queues it.
void advance_leads(std::span<const worker::Settlement> settlements, const std::set<std::int64_t>& written,
                   core::Time now);

// Queues the step behind each of these sent messages for the leads whose sequence goes on; where there is none, the
// sequence is finished.
void queue_next_steps(std::span<const std::int64_t> message_ids, core::Time now);

// Of these messages those whose lead's sequence has ended. No lead of the others ends until the transaction does.
std::set<std::int64_t> of_ended_leads(std::span<const std::int64_t> message_ids);

// Of these claimed messages those whose lead's sequence has ended or is held since.
std::set<std::int64_t> stopped_among(std::span<const std::int64_t> message_ids);

}  // namespace mailer::pg
