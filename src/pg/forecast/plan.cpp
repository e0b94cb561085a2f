// Reading the plan; see plan.hpp. Which lanes take part in a forecast is decided here, what may go by core/pace/gate
// alone.
#include "pg/forecast/plan.hpp"

#include <algorithm>
#include <set>

#include "pg/bridge/clock.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/bridge/zone.hpp"
#include "pg/forecast/plan_queue.hpp"
#include "pg/forecast/plan_sequence.hpp"

namespace mailer::pg {

namespace {

constexpr std::int64_t most_rows = 1'000'000;     // of the lane that is asked about, and of each priority
constexpr std::int64_t most_of_others = 200'000;  // the same of each lane that shares its mailboxes
constexpr core::Duration longest_usual_transit = std::chrono::minutes(1);
constexpr std::int64_t message_depth = 2'000;  // how deep in a lane explain(message) looks for a slot
constexpr std::int64_t first_depth = 100;      // is enough for most questions; then ten times as deep

Settings settings_of_session() { return settings(); }

std::vector<std::int64_t> lanes_with_pending() {
    std::vector<std::int64_t> ids;
    for (const auto& hint : earliest_by_lane(nullptr))
        ids.push_back(hint.lane_id);
    return ids;
}

// How long a mail takes from its claim to the final reply, as the last ones did: mailbox gaps run from that reply, so
// it is part of the plan. The median, so that one slow server doesn't count.
core::Duration usual_transit() {
    static Statement statement(
        R"sql(
            SELECT (coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at -
                started_at)), 0) * 1000000)::bigint
            FROM (SELECT started_at, finished_at, outcome FROM mailer.attempt ORDER BY message_id DESC
                LIMIT 100) a
            WHERE outcome = 'sent')sql",
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
        "SELECT (extract(epoch FROM n.window_start) / 60)::integer AS start_minute,"
        "       (extract(epoch FROM n.window_end) / 60)::integer AS end_minute,"
        "       CASE WHEN $2 ? 'allowed_days' THEN mailer._weekdays(mailer._text_array($2, 'allowed_days'))"
        "            ELSE n.allowed_days END AS allowed_days,"
        "       " MAILER_SPAN_US("mailer._check_span('gap', n.gap)") " AS gap_us,"
        "       (mailer._check_jitter(n.jitter) * 1000000)::integer AS jitter_ppm, n.max_per_day,"
        "       mailer._zone_or_default(n.timezone) AS timezone, mailer._check_time('starts_at', n.starts_at) AS starts_at,"
        "       CASE WHEN $2 ? 'mailboxes' THEN mailer._pool(mailer._text_array($2, 'mailboxes')) END AS pool,"
        "       $2 ? 'mailboxes' AS has_pool, n.ends_at, n.max_new_per_day, n.prefer = 'new' AS prefers_new"
        "  FROM mailer.campaign c CROSS JOIN LATERAL mailer._campaign_with(c, $2) n"
        " WHERE c.campaign_id = $1",
        {INT8OID, JSONBOID});
    if (inspect_jsonb(overrides).is_empty) return;
    Rows rows = statement.run({p_bigint(lane.campaign_id), p_datum(JSONBOID, overrides)});
    if (rows.empty()) return;
    const std::int64_t before = plan_key(lane);
    lane.window.start_minute = static_cast<int>(rows.bigint(0, "start_minute"));
    lane.window.end_minute = static_cast<int>(rows.bigint(0, "end_minute"));
    lane.window.weekdays = static_cast<core::Weekdays>(rows.bigint(0, "allowed_days"));
    lane.gap = core::Duration(rows.bigint(0, "gap_us"));
    lane.jitter_ppm = static_cast<int>(rows.bigint(0, "jitter_ppm"));
    auto cap = rows.maybe_bigint(0, "max_per_day");
    lane.max_per_day = cap ? std::optional(static_cast<int>(*cap)) : std::nullopt;
    lane.window.zone = zone(rows.text(0, "timezone"));
    lane.starts_at = time_at(rows, 0, "starts_at");
    if (rows.boolean(0, "has_pool"))
        lane.pool = rows.is_null(0, "pool") ? default_pool(lane.tenant_id) : rows.bigints(0, "pool");
    lane.ends_at = time_at(rows, 0, "ends_at");
    auto new_cap = rows.maybe_bigint(0, "max_new_per_day");
    lane.max_new_per_day = new_cap ? std::optional(static_cast<int>(*new_cap)) : std::nullopt;
    lane.prefers_new = rows.boolean(0, "prefers_new");
    std::sort(lane.pool.begin(), lane.pool.end());
    if (plan_key(lane) != before) lane.next_slot_at.reset();  // placed again, as the engine would
    if (lane.max_per_day && *lane.max_per_day < 1) throw Refusal({"22023", "max_per_day must be at least 1"});
}

void check_overrides(Datum overrides) {
    static Statement statement(
        R"sql(
            SELECT k
            FROM jsonb_object_keys(CASE WHEN jsonb_typeof($1) = 'object' THEN $1 ELSE '{"(no object)": 1}'
                END) k
            WHERE k NOT IN ('window_start', 'window_end', 'allowed_days', 'gap', 'jitter', 'max_per_day',
                'timezone', 'starts_at', 'mailboxes', 'reply_rate', 'ends_at', 'max_new_per_day', 'prefer')
            ORDER BY k LIMIT 1)sql",
        {JSONBOID});
    Rows rows = statement.run({p_datum(JSONBOID, overrides)}, true);
    if (rows.empty()) return;
    throw Refusal({"22023", "a forecast can't be asked with another \"" + rows.text(0, 1) + "\"", "",
                   "overrides is a JSON object with keys of: window_start, window_end, allowed_days, gap, jitter, "
                   "max_per_day, timezone, starts_at, "
                   "mailboxes, reply_rate, ends_at, max_new_per_day, prefer."});
}

PlannedLane planned(const core::LaneFacts& lane) {
    if (lane.kind == core::LaneKind::campaign) return {lane.id, lane.campaign_id, lane.is_follow_up};
    return {lane.id};
}

// Whose mails take part in a plan.
struct Competition {
    core::Planner planner;
    PlannedLane asked;
    std::vector<PlannedLane> others = {};
    std::vector<core::SequencePlan> sequences = {};
    std::map<std::int64_t, core::Duration> cooldowns = {};
};

// In virtual time the caller drives the sender.
core::SenderFence read_sender(const Settings& settings) {
    static Statement statement(
        R"sql(
            SELECT w.is_ready,
                CASE WHEN w.next_start_at > pg_catalog.clock_timestamp() THEN w.next_start_at END AS opens_at,
                CASE WHEN w.is_running THEN '' ELSE 'the sender is ' END || w.worker || COALESCE('. ' ||
                w.hint, '') AS words
            FROM mailer.worker_status w)sql",
        {});
    const Rows rows = statement.run({});
    core::SenderFence sender{
        .is_set = true, .is_open = rows.boolean(0, "is_ready") || virtual_now(), .words = rows.text(0, "words")};
    if (!sender.is_open) sender.opens_at = time_at(rows, 0, "opens_at");
    if (settings.enabled || !sender.is_open) return sender;
    return {.is_set = true,
            .is_open = false,
            .words = "the sender sends nothing: mailer.enabled is off. Set it on and reload."};
}

// The campaigns whose mail another one with a cooldown waits for.
class Coolers {
public:
    explicit Coolers(const std::map<std::int64_t, core::Duration>& cooldowns) : cooldowns_(cooldowns) {}

    void add_those_of(const core::LaneFacts& lane) {
        if (lane.kind != core::LaneKind::campaign || !cooldowns_.contains(lane.campaign_id)) return;
        if (!asked_.insert(lane.campaign_id).second) return;
        for (const std::int64_t campaign : campaigns_with_leads_of(lane.campaign_id))
            coolers_.insert(campaign);
    }
    bool contain(const core::LaneFacts& lane) const {
        return lane.kind == core::LaneKind::campaign && coolers_.contains(lane.campaign_id);
    }

private:
    const std::map<std::int64_t, core::Duration>& cooldowns_;
    std::set<std::int64_t> asked_, coolers_;
};

// Lanes that have a mailbox in common with the one asked about, and those that have one in common with them, and so on:
// which mailbox a lane gets depends on all of them. Likewise campaigns for whose mail one of these cools down.
void add_competitors(std::vector<core::LaneFacts> lanes, const core::LaneFacts& asked, core::Time now,
                     Competition& competition) {
    std::vector<std::int64_t> contested = asked.pool;
    Coolers coolers(competition.cooldowns);
    coolers.add_those_of(asked);
    for (core::LaneFacts& lane : lanes) {  // the asked campaign's own lanes, whatever mailboxes they have
        if (lane.pace_id != asked.id) continue;
        contested.insert(contested.end(), lane.pool.begin(), lane.pool.end());
        competition.planner.upsert_lane(lane, now);
        competition.others.push_back(planned(lane));
        lane.state = core::LaneState::completed;  // it is in
    }
    auto is_in = [&](const core::LaneFacts& lane) { return share(lane.pool, contested) || coolers.contain(lane); };
    for (bool is_growing = true; is_growing;) {
        is_growing = false;
        for (core::LaneFacts& lane : lanes) {
            if (lane.id == asked.id || lane.state != core::LaneState::running || !is_in(lane)) continue;
            coolers.add_those_of(lane);
            contested.insert(contested.end(), lane.pool.begin(), lane.pool.end());
            competition.planner.upsert_lane(lane, now);
            competition.others.push_back(planned(lane));
            lane.state = core::LaneState::completed;  // it is in
            is_growing = true;
        }
    }
}

// Without claims ahead: a mail is foretold for when a connection is there to take it.
Competition read_competition(const core::LaneFacts& asked, core::Time now) {
    const Settings settings = settings_of_session();
    Competition competition{{}, planned(asked)};
    competition.planner.set_system(read_system(settings, look_at_arming(), 1));
    for (const auto& mailbox : read_mailboxes(settings, {}, now))
        competition.planner.upsert_mailbox(mailbox);
    competition.planner.upsert_lane(asked, now);
    competition.cooldowns = read_cooldowns();
    add_competitors(read_lanes(lanes_with_pending(), {}, now), asked, now, competition);
    competition.sequences = read_sequences(competition.planner);
    for (const core::LaneFacts& lane : read_lanes(follow_up_lanes_of(competition.sequences), {}, now))
        if (competition.planner.lane(lane.id) == nullptr) competition.planner.upsert_lane(lane, now);
    const bool has_cooldowns = !competition.cooldowns.empty();
    competition.asked.has_cooldowns = has_cooldowns && competition.asked.campaign_id;
    for (PlannedLane& lane : competition.others)
        lane.has_cooldowns = has_cooldowns && lane.campaign_id;
    return competition;
}

// The plan as far as the first `depth` messages of each lane and priority tell it. From the full depth on it goes past
// the end of a lane that is deeper still.
core::Forecast forecast_to(const Competition& competition, std::int64_t depth, core::Time now,
                           const core::ForecastOptions& options) {
    std::vector<core::LaneQueue> queues;
    for (const PlannedLane& lane : competition.others) {
        queues.push_back(read_queue(lane, std::min(depth, most_of_others), now));
        if (depth >= most_of_others) queues.back().ends.clear();
    }
    queues.push_back(read_queue(competition.asked, depth, now));
    if (depth >= most_rows) queues.back().ends.clear();
    return core::forecast(competition.planner, std::move(queues), now, options);
}

}  // namespace

core::Time time_of_plan() { return from_pg(transaction_now()); }

core::Planner read_planner(const ArmingState& arming, std::span<const std::int64_t> lane_ids, core::Time now,
                           const worker::InFlight* in_flight) {
    const Settings settings = settings_of_session();
    core::Planner planner;
    core::SystemFacts system = read_system(settings, arming, claims_ahead);
    system.sender = read_sender(settings);
    planner.set_system(system);
    for (const auto& mailbox : read_mailboxes(settings, {claims_ahead, in_flight}, now))
        planner.upsert_mailbox(mailbox);
    add_lanes(planner, lane_ids, now, in_flight);
    return planner;
}

void add_lanes(core::Planner& planner, std::span<const std::int64_t> lane_ids, core::Time now,
               const worker::InFlight* in_flight) {
    if (lane_ids.empty()) return;
    const Settings settings = settings_of_session();
    for (core::LaneFacts& lane : read_lanes(lane_ids, {1, in_flight}, now)) {
        // Only a campaign has a zone of its own; of the other lanes the texts speak in the one that campaigns have by
        // default.
        if (lane.kind != core::LaneKind::campaign) lane.window.zone = zone(settings.timezone);
        planner.upsert_lane(lane, now);
    }
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
    const std::string too_deep = "not within the next " + std::to_string(message_depth) + " mails of its lane";
    const std::int64_t before = count_before(candidate.lane_id, candidate.facts, message_depth);
    if (before == message_depth) return {std::nullopt, too_deep};
    const std::int64_t lanes[] = {candidate.lane_id};
    // With the main lane whose pace it shares, if it does; that is the one the plan is asked for.
    const std::vector<core::LaneFacts> facts = read_lanes(lanes, {}, now);
    if (facts.empty()) return {std::nullopt, "its lane is gone"};
    const auto main = std::find_if(facts.begin(), facts.end(), [](const core::LaneFacts& l) { return l.pace_id == 0; });
    if (main == facts.end()) return {std::nullopt, "its campaign is gone"};
    const Competition competition = read_competition(*main, now);
    core::ForecastOptions options;
    options.only_lane = main->id;
    options.transit = usual_transit();
    options.cooldowns = competition.cooldowns;
    for (std::int64_t depth = std::max(first_depth, before + 1);; depth = std::min(10 * depth, message_depth)) {
        const core::Forecast plan = forecast_to(competition, depth, now, options);
        for (const core::ForecastRow& row : plan.rows) {
            if (row.message_id == candidate.facts.id) return {row.slot_at, "goes then, if nothing disturbs the plan"};
        }
        if (!plan.has_run_out) return {std::nullopt, "no slot as things are: see the shut gates"};
        if (depth >= message_depth) return {std::nullopt, too_deep + " and those that share its mailboxes"};
    }
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
    const Competition competition = read_competition(lane, now);
    core::ForecastOptions options;
    options.only_lane = lane.id;
    options.transit = usual_transit();
    options.sequences = competition.sequences;
    options.cooldowns = competition.cooldowns;
    for (core::SequencePlan& sequence : options.sequences)
        if (sequence.main_lane_id == lane.id) sequence.reply_rate_ppm = reply_rate_of(overrides);
    if (max_rows) options.max_rows = static_cast<std::size_t>(std::max<std::int64_t>(0, *max_rows));
    CampaignForecast result{competition.planner, {}};
    const std::int64_t first = max_rows ? first_depth + std::max<std::int64_t>(0, *max_rows) : most_rows;
    for (std::int64_t depth = first;; depth *= 10) {
        core::Forecast plan = forecast_to(competition, depth, now, options);
        result.rows = std::move(plan.rows);
        if (!plan.has_run_out || result.rows.size() >= options.max_rows) break;
    }
    return result;
}

}  // namespace mailer::pg
