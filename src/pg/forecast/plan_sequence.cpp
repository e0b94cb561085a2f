// See plan_sequence.hpp.
#include "pg/forecast/plan_sequence.hpp"

#include <map>

#include "pg/bridge/clock.hpp"

namespace mailer::pg {

std::vector<core::SequencePlan> read_sequences(const core::Planner& planner) {
    static Statement steps(
        R"sql(
        SELECT s.campaign_id, s.step_id, s.place, greatest(0, least(extract(day FROM s.delay), 36525))::integer AS days,
               s.is_working_days, )sql" MAILER_SPAN_US("s.delay") R"sql( AS delay_us
        FROM mailer.campaign_step s WHERE s.campaign_id = ANY ($1) ORDER BY s.campaign_id, s.place
        )sql",
        {INT8ARRAYOID});
    static Statement on_their_way(
        R"sql(
        SELECT l.campaign_id, q.message_id, q.mailbox_id, COALESCE(t.place, 1) AS place,
            COALESCE(q.slot_at, q.claimed_at) AS slot_at, hashtextextended(m.address_key, 0) AS recipient, q.lane_id
        FROM mailer.lane l
        JOIN mailer.queue_entry q ON q.lane_id = l.lane_id AND q.state = 's'
        JOIN mailer.message m ON m.message_id = q.message_id
        LEFT JOIN mailer.campaign_step t ON t.step_id = m.step_id
        WHERE l.campaign_id = ANY ($1) ORDER BY q.slot_at, q.message_id
        )sql",
        {INT8ARRAYOID});
    std::map<std::int64_t, std::int64_t> mains;
    for (const std::int64_t id : planner.lane_ids()) {
        const core::LaneFacts* lane = planner.lane(id);
        if (lane->kind == core::LaneKind::campaign && lane->pace_id == 0) mains[lane->campaign_id] = id;
    }
    std::vector<std::int64_t> campaigns;
    for (const auto& [campaign, lane] : mains)
        campaigns.push_back(campaign);
    std::map<std::int64_t, core::SequencePlan> plans;
    if (campaigns.empty()) return {};
    const Rows rows = steps.run({p_bigints(campaigns)}, true);
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        core::SequencePlan& plan = plans[rows.bigint(i, "campaign_id")];
        plan.main_lane_id = mains.at(rows.bigint(i, "campaign_id"));
        core::Step step{.id = rows.bigint(i, "step_id"),
                        .place = static_cast<int>(rows.bigint(i, "place")),
                        .days = static_cast<int>(rows.bigint(i, "days")),
                        .is_working_days = rows.boolean(i, "is_working_days")};
        if (step.days == 0) step.delay = core::Duration(rows.bigint(i, "delay_us"));
        plan.steps.push_back(step);
    }
    if (plans.empty()) return {};
    const Rows flying = on_their_way.run({p_bigints(campaigns)}, true);
    for (std::uint64_t i = 0; i < flying.count(); ++i) {
        const auto plan = plans.find(flying.bigint(i, "campaign_id"));
        if (plan == plans.end()) continue;
        plan->second.in_flight.push_back({.message_id = flying.bigint(i, "message_id"),
                                          .lane_id = flying.bigint(i, "lane_id"),
                                          .mailbox_id = flying.bigint(i, "mailbox_id"),
                                          .step = static_cast<int>(flying.bigint(i, "place")),
                                          .slot_at = *time_at(flying, i, "slot_at"),
                                          .recipient = static_cast<std::uint64_t>(flying.bigint(i, "recipient"))});
    }
    std::vector<core::SequencePlan> result;
    for (auto& [campaign, plan] : plans)
        result.push_back(std::move(plan));
    return result;
}

std::map<std::int64_t, core::Duration> read_cooldowns() {
    static Statement statement(
        "SELECT campaign_id, " MAILER_SPAN_US(
            "cooldown") " AS cooldown_us FROM mailer.campaign WHERE cooldown IS NOT NULL AND state NOT IN ('c', 'x')",
        {});
    const Rows rows = statement.run({}, true);
    std::map<std::int64_t, core::Duration> cooldowns;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        cooldowns[rows.bigint(i, "campaign_id")] = core::Duration(rows.bigint(i, "cooldown_us"));
    return cooldowns;
}

std::vector<std::int64_t> campaigns_with_leads_of(std::int64_t campaign_id) {
    static Statement statement(
        R"sql(
            SELECT DISTINCT o.campaign_id
            FROM mailer.lead l
            JOIN mailer.lead o ON o.address_key = l.address_key AND o.campaign_id <> l.campaign_id
            WHERE l.campaign_id = $1 AND l.ended IS NULL AND o.ended IS NULL)sql",
        {INT8OID});
    const Rows rows = statement.run({p_bigint(campaign_id)}, true);
    std::vector<std::int64_t> campaigns;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        campaigns.push_back(rows.bigint(i, 1));
    return campaigns;
}

std::vector<std::int64_t> follow_up_lanes_of(const std::vector<core::SequencePlan>& sequences) {
    static Statement statement(
        R"sql(
            SELECT l.lane_id
            FROM mailer.campaign c
            JOIN mailer.lane l ON l.campaign_id = c.campaign_id AND l.is_follow_up
            WHERE c.lane_id = ANY ($1))sql",
        {INT8ARRAYOID});
    std::vector<std::int64_t> lanes;
    for (const core::SequencePlan& sequence : sequences)
        lanes.push_back(sequence.main_lane_id);
    if (lanes.empty()) return lanes;
    const Rows rows = statement.run({p_bigints(lanes)}, true);
    lanes.clear();
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        lanes.push_back(rows.bigint(i, 1));
    return lanes;
}

std::int64_t reply_rate_of(Datum overrides) {
    static Statement statement(
        R"sql(
            SELECT CASE WHEN NOT $1 ? 'reply_rate' THEN 0 WHEN jsonb_typeof($1 -> 'reply_rate') = 'number'
                AND ($1 ->> 'reply_rate')::numeric BETWEEN 0 AND 1 THEN round(($1 ->> 'reply_rate')::numeric
                * 1000000)::bigint ELSE -1 END)sql",
        {JSONBOID});
    const Rows rows = statement.run({p_datum(JSONBOID, overrides)}, true);
    if (rows.bigint(0, 1) < 0)
        throw Refusal({"22023", "reply_rate is a number from 0 to 1", "",
                       "0.1 takes one lead in ten to reply before its next step."});
    return rows.bigint(0, 1);
}

}  // namespace mailer::pg
