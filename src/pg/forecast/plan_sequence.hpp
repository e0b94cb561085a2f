// The later steps of the campaigns in a plan.
#pragma once

#include <map>

#include "core/pace/forecast.hpp"
#include "pg/bridge/spi.hpp"

namespace mailer::pg {

// Of each campaign whose main lane the planner holds and which has later steps: those, and its mails on their way,
// whose leads' next steps aren't queued yet. Requires an Spi as the extension's owner.
std::vector<core::SequencePlan> read_sequences(const core::Planner& planner);

// The cooldowns of campaigns that run and have one, by campaign.
std::map<std::int64_t, core::Duration> read_cooldowns();

// Campaigns with a lead whose sequence isn't over at an address that this campaign has, too.
std::vector<std::int64_t> campaigns_with_leads_of(std::int64_t campaign_id);

// The lanes in which follow-ups of these campaigns wait or have waited: the sender puts the next ones there again, and
// lanes that are ready at one time go by their ids.
std::vector<std::int64_t> follow_up_lanes_of(const std::vector<core::SequencePlan>& sequences);

// overrides' reply_rate (0 to 1) in millionths, 0 where it has none; refuses what is no rate with 22023.
std::int64_t reply_rate_of(Datum overrides);

}  // namespace mailer::pg
