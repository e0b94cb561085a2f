// Reading the plan; see plan.hpp. Which lanes take part in a forecast is decided here, what may go by core/gate alone.
#include "pg/plan.hpp"

#include <set>

#include "pg/clock.hpp"
#include "pg/zone.hpp"

namespace mailer::pg {

namespace {

constexpr std::int64_t most_rows = 1'000'000;     // of the lane that is asked about
constexpr std::int64_t most_of_others = 200'000;  // of each lane that shares its mailboxes
constexpr core::Duration longest_usual_transit = std::chrono::minutes(1);
constexpr std::int64_t message_depth = 2'000;  // how deep in a lane explain(message) looks for a slot

Settings settings_of_session() { return settings(); }

std::vector<std::int64_t> lanes_with_pending() {
    std::vector<std::int64_t> ids;
    for (const auto& hint : earliest_by_lane(nullptr))
        ids.push_back(hint.lane_id);
    return ids;
}

core::LaneQueue read_queue(std::int64_t lane_id, std::int64_t limit) {
    static Statement statement(
        "SELECT message_id, due_at, expires_at, priority FROM mailer.queue_entry WHERE state = 'p' AND lane_id = $1 "
        "AND priority = $2 AND " MAILER_IS_ADOPTED " ORDER BY lane_id, priority, due_at, message_id LIMIT $3",
        {INT8OID, INT2OID, INT8OID});
    core::LaneQueue queue;
    queue.lane_id = lane_id;
    for (int priority = 4; priority >= 0; --priority) {
        const auto left = limit - static_cast<std::int64_t>(queue.waiting.size());
        if (left <= 0) break;
        Rows rows = statement.run(
            {p_bigint(lane_id), p_datum(INT2OID, Int16GetDatum(static_cast<int16>(priority))), p_bigint(left)}, true);
        for (std::uint64_t i = 0; i < rows.count(); ++i) {
            core::MessageFacts facts;
            facts.id = rows.bigint(i, 1);
            facts.due_at = *time_at(rows, i, 2);
            facts.expires_at = time_at(rows, i, 3);
            facts.priority = static_cast<int>(rows.bigint(i, 4));
            queue.waiting.push_back(facts);
        }
    }
    return queue;
}

// Suppressed leads take no slot: the claim cancels them. Asked only when anybody is suppressed at all.
void mark_suppressed(core::LaneQueue& queue, core::Time now) {
    static Statement any("SELECT 1 FROM mailer.suppression LIMIT 1", {});
    static Statement statement(
        "SELECT m.message_id FROM mailer.suppression s JOIN mailer.message m ON m.address_key = s.address_key AND "
        "m.lane_id = $1"
        " WHERE " MAILER_SUPPRESSION_APPLIES("$2"),
        {INT8OID, TIMESTAMPTZOID});
    if (any.run({}, true).empty()) return;
    Rows rows = statement.run({p_bigint(queue.lane_id), p_at(now)}, true);
    std::set<std::int64_t> suppressed;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        suppressed.insert(rows.bigint(i, 1));
    for (auto& facts : queue.waiting)
        facts.is_suppressed = suppressed.contains(facts.id);
}

// How long a mail takes from its claim to the final reply, as the last ones did: mailbox gaps run from that reply, so
// it is part of the plan. The median, so that one slow server doesn't count.
core::Duration usual_transit() {
    static Statement statement(
        "SELECT (coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)), "
        "0) * 1000000)::bigint"
        "  FROM (SELECT started_at, finished_at, outcome FROM mailer.attempt ORDER BY message_id DESC LIMIT 100) a "
        "WHERE outcome = 'sent'",
        {});
    Rows rows = statement.run({}, true);
    return std::clamp(core::Duration(rows.bigint(0, 1)), core::Duration(0), longest_usual_transit);
}

bool share(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
    return std::any_of(a.begin(), a.end(),
                       [&](std::int64_t id) { return std::find(b.begin(), b.end(), id) != b.end(); });
}

void apply(core::LaneFacts& lane, Datum overrides) {
    static Statement statement(
        "SELECT (extract(epoch FROM n.window_start) / 60)::integer, (extract(epoch FROM n.window_end) / 60)::integer,"
        "       CASE WHEN $2 ? 'allowed_days' THEN mailer._weekdays(mailer._text_array($2, 'allowed_days')) ELSE "
        "n.allowed_days END,"
        "       (extract(epoch FROM n.gap) * 1000000)::bigint, (n.jitter * 1000000)::integer, n.max_per_day,"
        "       mailer._zone_or_default(n.timezone), n.starts_at,"
        "       CASE WHEN $2 ? 'mailboxes' THEN mailer._pool(mailer._text_array($2, 'mailboxes')) END, $2 ? 'mailboxes'"
        "  FROM mailer.campaign c CROSS JOIN LATERAL jsonb_populate_record(c, $2 - 'mailboxes' - 'allowed_days') n"
        " WHERE c.campaign_id = $1",
        {INT8OID, JSONBOID});
    Rows rows = statement.run({p_bigint(lane.campaign_id), p_datum(JSONBOID, overrides)});
    if (rows.empty()) return;
    const std::int64_t before = plan_key(lane);
    lane.window.start_minute = static_cast<int>(rows.bigint(0, 1));
    lane.window.end_minute = static_cast<int>(rows.bigint(0, 2));
    lane.window.weekdays = static_cast<core::Weekdays>(rows.bigint(0, 3));
    lane.gap = core::Duration(rows.bigint(0, 4));
    lane.jitter_ppm = static_cast<int>(rows.bigint(0, 5));
    auto cap = rows.maybe_bigint(0, 6);
    lane.max_per_day = cap ? std::optional(static_cast<int>(*cap)) : std::nullopt;
    lane.window.zone = zone(rows.text(0, 7));
    lane.starts_at = time_at(rows, 0, 8);
    if (rows.boolean(0, 10)) lane.pool = rows.is_null(0, 9) ? default_pool() : rows.bigints(0, 9);
    std::sort(lane.pool.begin(), lane.pool.end());
    if (plan_key(lane) != before) lane.next_slot_at.reset();  // placed anew, as the engine would
    const bool is_sane = lane.gap >= core::Duration::zero() && lane.jitter_ppm >= 0 && lane.jitter_ppm < 1000000 &&
                         (!lane.max_per_day || *lane.max_per_day > 0);
    if (!is_sane) {
        throw Refusal({"22023", "the overrides are out of range",
                       "gap must not be negative, jitter at least 0 and below 1, max_per_day positive.", ""});
    }
}

void check_overrides(Datum overrides) {
    static Statement statement(
        "SELECT k FROM jsonb_object_keys(CASE WHEN jsonb_typeof($1) = 'object' THEN $1 ELSE '{\"(no object)\": 1}' "
        "END) k"
        " WHERE k NOT IN ('window_start', 'window_end', 'allowed_days', 'gap', 'jitter', 'max_per_day', 'timezone', "
        "'starts_at', 'mailboxes')"
        " ORDER BY k LIMIT 1",
        {JSONBOID});
    Rows rows = statement.run({p_datum(JSONBOID, overrides)}, true);
    if (rows.empty()) return;
    throw Refusal({"22023", "a forecast can't be asked with another \"" + rows.text(0, 1) + "\"", "",
                   "overrides is a JSON object with keys of: window_start, window_end, allowed_days, gap, jitter, "
                   "max_per_day, timezone, starts_at, "
                   "mailboxes."});
}

// Lanes that have a mailbox in common with the one asked about, and those that have one in common with them, and so on:
// which mailbox a lane gets depends on all of them.
void add_competitors(std::vector<core::LaneFacts> lanes, const core::LaneFacts& asked, core::Time now,
                     core::Planner& planner, std::vector<core::LaneQueue>& queues) {
    std::vector<std::int64_t> contested = asked.pool;
    for (bool is_growing = true; is_growing;) {
        is_growing = false;
        for (core::LaneFacts& lane : lanes) {
            if (lane.id == asked.id || lane.state != core::LaneState::running || !share(lane.pool, contested)) continue;
            contested.insert(contested.end(), lane.pool.begin(), lane.pool.end());
            planner.upsert_lane(lane, now);
            queues.push_back(read_queue(lane.id, most_of_others));
            mark_suppressed(queues.back(), now);
            lane.pool.clear();  // it is in
            is_growing = true;
        }
    }
}

// Without claims ahead: a mail is foretold for when a connection is there to take it.
core::Planner read_competition(core::LaneFacts& asked, core::Time now, std::vector<core::LaneQueue>& queues) {
    const Settings settings = settings_of_session();
    core::Planner planner;
    planner.set_system(read_system(settings, look_at_arming(), 1));
    for (const auto& mailbox : read_mailboxes(settings, {}, now))
        planner.upsert_mailbox(mailbox);
    planner.upsert_lane(asked, now);
    add_competitors(read_lanes(lanes_with_pending(), {}, now), asked, now, planner, queues);
    return planner;
}

}  // namespace

core::Time time_of_plan() {
    static Statement statement("SELECT mailer._now()", {});
    Rows rows = statement.run({}, true);
    return *time_at(rows, 0, 1);
}

core::Planner read_planner(std::span<const std::int64_t> lane_ids, core::Time now) {
    const Settings settings = settings_of_session();
    core::Planner planner;
    planner.set_system(read_system(settings, look_at_arming(), claims_ahead));
    for (const auto& mailbox : read_mailboxes(settings, {claims_ahead, nullptr}, now))
        planner.upsert_mailbox(mailbox);
    for (core::LaneFacts& lane : read_lanes(lane_ids, {}, now)) {
        // Only a campaign has a zone of its own; of the other lanes the texts speak in the one that campaigns have by
        // default.
        if (lane.kind != core::LaneKind::campaign) lane.window.zone = zone(settings.timezone);
        planner.upsert_lane(lane, now);
    }
    return planner;
}

std::int64_t lane_of_campaign(std::int64_t campaign_id) {
    static Statement statement("SELECT lane_id FROM mailer.campaign WHERE campaign_id = $1", {INT8OID});
    Rows rows = statement.run({p_bigint(campaign_id)}, true);
    if (rows.empty()) {
        throw Refusal({"42704", "campaign " + std::to_string(campaign_id) + " does not exist", "",
                       "mailer.campaign_progress lists the campaigns."});
    }
    return rows.bigint(0, 1);
}

// The slot of one message: the plan up to its place, when that isn't too deep in the lane.
MessageForecast forecast_of(const worker::Candidate& candidate, core::Time now) {
    const std::int64_t lanes[] = {candidate.lane_id};
    std::vector<core::LaneFacts> facts = read_lanes(lanes, {}, now);
    if (facts.empty()) return {std::nullopt, "its lane is gone"};
    std::vector<core::LaneQueue> queues;
    core::Planner planner = read_competition(facts.front(), now, queues);
    core::LaneQueue own = read_queue(candidate.lane_id, message_depth);
    mark_suppressed(own, now);
    const bool is_near =
        std::any_of(own.waiting.begin(), own.waiting.end(), [&](const auto& m) { return m.id == candidate.facts.id; });
    queues.push_back(std::move(own));
    core::ForecastOptions options;
    options.only_lane = candidate.lane_id;
    options.transit = usual_transit();
    std::optional<core::Time> last;
    for (const auto& row : core::forecast(std::move(planner), std::move(queues), now, options)) {
        if (row.message_id == candidate.facts.id) return {row.slot_at, "goes then, if nothing disturbs the plan"};
        last = row.slot_at;
    }
    if (!is_near && last)
        return {std::nullopt, "not within the next " + std::to_string(message_depth) + " mails of its lane"};
    return {std::nullopt, "no slot as things are: see the shut gates"};
}

CampaignForecast forecast_campaign(std::int64_t campaign_id, Datum overrides, std::optional<std::int64_t> max_rows,
                                   core::Time now) {
    const std::int64_t lanes[] = {lane_of_campaign(campaign_id)};
    check_overrides(overrides);
    std::vector<core::LaneFacts> facts = read_lanes(lanes, {}, now);
    core::LaneFacts& lane = facts.at(0);
    apply(lane, overrides);
    if (lane.state == core::LaneState::completed || lane.state == core::LaneState::cancelled) return {};
    lane.state = core::LaneState::running;
    std::vector<core::LaneQueue> queues;
    CampaignForecast result{read_competition(lane, now, queues), {}};
    core::LaneQueue own = read_queue(lane.id, most_rows);
    mark_suppressed(own, now);
    queues.push_back(std::move(own));
    core::ForecastOptions options;
    options.only_lane = lane.id;
    options.transit = usual_transit();
    if (max_rows) options.max_rows = static_cast<std::size_t>(std::max<std::int64_t>(0, *max_rows));
    result.rows = core::forecast(result.planner, std::move(queues), now, options);
    return result;
}

}  // namespace mailer::pg
