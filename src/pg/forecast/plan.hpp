// The planner and the forecast as of now, read from the tables: what explain and campaign_forecast are made of.
//
// All functions require a transaction and an Spi as the extension's owner, change nothing, and throw PgError or
// Refusal.
#pragma once

#include "pg/engine/world.hpp"

namespace mailer::pg {

core::Time time_of_plan();  // mailer._now(): the transaction's time, or the simulation's

// A planner with all mailboxes, these lanes, and nothing pending in them; it knows whether anybody sends. `in_flight`
// is null or what was read of it already.
core::Planner read_planner(const ArmingState& arming, std::span<const std::int64_t> lane_ids, core::Time now,
                           const worker::InFlight* in_flight = nullptr);
void add_lanes(core::Planner& planner, std::span<const std::int64_t> lane_ids, core::Time now,
               const worker::InFlight* in_flight = nullptr);

std::int64_t lane_of_campaign(std::int64_t campaign_id);  // Refusal 42704 when there is none

// A pending message with what its gates look at; nothing when it isn't pending.
std::optional<worker::Candidate> read_candidate(std::int64_t message_id, core::Time now);

struct MessageForecast {
    std::optional<core::Time> slot_at;
    std::string words;
};
MessageForecast forecast_of(const worker::Candidate& candidate, core::Time now);

struct CampaignForecast {
    core::Planner planner;
    std::vector<core::ForecastRow> rows;
};
// `overrides` is the jsonb argument; see campaign_forecast in sql/36_explain.sql.
CampaignForecast forecast_campaign(std::int64_t campaign_id, Datum overrides, std::optional<std::int64_t> max_rows,
                                   core::Time now);

}  // namespace mailer::pg
