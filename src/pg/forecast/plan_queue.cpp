// See plan_queue.hpp. Both statements read the index of what is ready, from its front.
#include "pg/forecast/plan_queue.hpp"

#include <unordered_map>
#include <unordered_set>

#include "pg/bridge/clock.hpp"
#include "pg/engine/world.hpp"

namespace mailer::pg {
namespace {

Param p_small(int v) { return p_datum(INT2OID, Int16GetDatum(static_cast<int16>(v))); }

std::vector<std::int64_t> ids_of(const core::LaneQueue& queue) {
    std::vector<std::int64_t> ids;
    ids.reserve(queue.waiting.size());
    for (const core::MessageFacts& facts : queue.waiting)
        ids.push_back(facts.id);
    return ids;
}

// A campaign's leads are found by their addresses, which it has an index for; of other lanes those that were read.
Rows suppressed_of(const PlannedLane& lane, const core::LaneQueue& queue, core::Time now) {
    // By the address, or by its domain: few domains are suppressed, so what has none costs one look.
#define MAILER_OF_DOMAIN                                                                                           \
    "right(m.address_key, strpos(reverse(m.address_key), '@')) = substr(s.address_key, 2) AND s.address_key LIKE " \
    "'*@%'"
    static Statement of_campaign(
        "SELECT m.message_id FROM mailer.suppression s JOIN mailer.message m ON m.address_key = s.address_key"
        " AND m.campaign_id = $1 WHERE " MAILER_SUPPRESSION_APPLIES(
            "$2") " UNION ALL SELECT m.message_id FROM mailer.suppression s JOIN mailer.message m ON m.campaign_id = $1 AND " MAILER_OF_DOMAIN
                  " WHERE " MAILER_SUPPRESSION_APPLIES("$2"),
        {INT8OID, TIMESTAMPTZOID});
    static Statement of_others(
        "SELECT m.message_id FROM mailer.message m JOIN mailer.suppression s ON m.address_key = s.address_key"
        " WHERE m.message_id = ANY ($1) AND " MAILER_SUPPRESSION_APPLIES(
            "$2") " UNION ALL SELECT m.message_id FROM mailer.message m JOIN mailer.suppression s ON " MAILER_OF_DOMAIN
                  " WHERE m.message_id = ANY ($1) AND " MAILER_SUPPRESSION_APPLIES("$2"),
        {INT8ARRAYOID, TIMESTAMPTZOID});
    if (lane.campaign_id) return of_campaign.run({p_bigint(*lane.campaign_id), p_at(now)}, true);
    const std::vector<std::int64_t> ids = ids_of(queue);
    return of_others.run({p_bigints(std::span<const std::int64_t>(ids)), p_at(now)}, true);
}

void mark_suppressed(const PlannedLane& lane, core::LaneQueue& queue, core::Time now) {
    static Statement any("SELECT 1 FROM mailer.suppression LIMIT 1", {});
    if (queue.waiting.empty() || any.run({}, true).empty()) return;
    const Rows rows = suppressed_of(lane, queue, now);
    std::unordered_set<std::int64_t> suppressed;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        suppressed.insert(rows.bigint(i, 1));
    for (core::MessageFacts& facts : queue.waiting)
        facts.is_suppressed = suppressed.contains(facts.id);
}

void tell_cooldowns(core::LaneQueue& queue) {
    static Statement statement(
        "SELECT m.message_id, hashtextextended(m.address_key, 0) AS recipient, " MAILER_COOLED_UNTIL
        " AS cooled_until"
        " FROM mailer.message m WHERE m.message_id = ANY ($1)",
        {INT8ARRAYOID});
    struct Told {
        std::uint64_t recipient;
        std::optional<core::Time> cooled_until;
    };
    const std::vector<std::int64_t> ids = ids_of(queue);
    const Rows rows = statement.run({p_bigints(std::span<const std::int64_t>(ids))}, true);
    std::unordered_map<std::int64_t, Told> told;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        told.emplace(rows.bigint(i, "message_id"),
                     Told{static_cast<std::uint64_t>(rows.bigint(i, "recipient")), time_at(rows, i, "cooled_until")});
    for (core::MessageFacts& facts : queue.waiting) {
        const auto of = told.find(facts.id);
        if (of == told.end()) continue;
        facts.recipient = of->second.recipient;
        facts.cooled_until = of->second.cooled_until;
    }
}

void tell_steps(core::LaneQueue& queue) {
    static Statement statement(
        R"sql(
            SELECT m.message_id, t.place
            FROM mailer.message m
            JOIN mailer.campaign_step t ON t.step_id = m.step_id
            WHERE m.message_id = ANY ($1))sql",
        {INT8ARRAYOID});
    const std::vector<std::int64_t> ids = ids_of(queue);
    if (ids.empty()) return;
    const Rows rows = statement.run({p_bigints(std::span<const std::int64_t>(ids))}, true);
    std::unordered_map<std::int64_t, int> places;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        places.emplace(rows.bigint(i, "message_id"), static_cast<int>(rows.bigint(i, "place")));
    for (core::MessageFacts& facts : queue.waiting) {
        const auto place = places.find(facts.id);
        if (place != places.end()) facts.step = place->second;
    }
}

}  // namespace

core::LaneQueue read_queue(const PlannedLane& lane, std::int64_t depth, core::Time now) {
    static Statement statement(
        "SELECT message_id, due_at, expires_at FROM mailer.queue_entry WHERE state = 'p' AND lane_id = $1 "
        "AND priority = $2 AND due_at < $4 AND " MAILER_IS_ADOPTED
        " ORDER BY lane_id, priority, due_at, message_id LIMIT $3",
        {INT8OID, INT2OID, INT8OID, TIMESTAMPTZOID});
    core::LaneQueue queue;
    queue.lane_id = lane.id;
    for (int priority = 4; priority >= 0; --priority) {
        const Rows rows =
            statement.run({p_bigint(lane.id), p_small(priority), p_bigint(depth), p_at(core::kHeldUntil)}, true);
        for (std::uint64_t i = 0; i < rows.count(); ++i) {
            core::MessageFacts facts;
            facts.id = rows.bigint(i, "message_id");
            facts.due_at = *time_at(rows, i, "due_at");
            facts.expires_at = time_at(rows, i, "expires_at");
            facts.priority = priority;
            queue.waiting.push_back(facts);
        }
        if (static_cast<std::int64_t>(rows.count()) == depth) queue.ends.push_back(queue.waiting.back().id);
    }
    mark_suppressed(lane, queue, now);
    if (lane.is_follow_up) tell_steps(queue);
    if (lane.has_cooldowns) tell_cooldowns(queue);
    return queue;
}

std::int64_t count_before(std::int64_t lane_id, const core::MessageFacts& message, std::int64_t most) {
    static Statement statement(
        R"sql(
            SELECT count(*)
            FROM (SELECT FROM mailer.queue_entry WHERE state = 'p' AND lane_id = $1 AND priority = $2
                    AND (due_at, message_id) < ($3, $4) LIMIT $5) x)sql",
        {INT8OID, INT2OID, TIMESTAMPTZOID, INT8OID, INT8OID});
    return statement
        .run({p_bigint(lane_id), p_small(message.priority), p_at(message.due_at), p_bigint(message.id), p_bigint(most)},
             true)
        .bigint(0, 1);
}

}  // namespace mailer::pg
