// The later steps of the campaigns in a plan.
#pragma once

#include "core/pace/forecast.hpp"
#include "pg/bridge/spi.hpp"

namespace mailer::pg {

// Of each campaign whose main lane the planner holds and which has later steps: those, and its mails on their way,
// whose leads' next steps aren't queued yet. Requires an Spi as the extension's owner.
std::vector<core::SequencePlan> read_sequences(const core::Planner& planner);

// overrides' reply_rate (0 to 1) in millionths, 0 where it has none; refuses what is no rate with 22023.
std::int64_t reply_rate_of(Datum overrides);

}  // namespace mailer::pg
