// Settings and counters as facts for the gates; see world.hpp. Reads only; decides nothing.
#include "pg/engine/world.hpp"

#include "core/octets.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/bridge/zone.hpp"
#include "pg/engine/fence.hpp"

namespace mailer::pg {

namespace {

constexpr int days_kept = 15;  // core::Usage keeps a fortnight

Param days_from(core::Time now) {
    auto day = std::chrono::floor<std::chrono::days>(now).time_since_epoch().count() - days_kept;
    return p_int(static_cast<std::int32_t>(day - pg_epoch_offset_days));
}

// Claims under an epoch that nobody adopted came with a dump or a copy: no sender of this database holds them.
#define CLAIMED " FROM mailer.queue_entry WHERE state = 's' AND " MAILER_IS_ADOPTED " GROUP BY 1"

std::map<std::int64_t, int> claimed_by(bool is_by_lane) {
    static Statement by_lane("SELECT lane_id AS id, count(*)" CLAIMED, {});
    static Statement by_mailbox("SELECT mailbox_id AS id, count(*)" CLAIMED, {});
    std::map<std::int64_t, int> counts;
    Rows rows = (is_by_lane ? by_lane : by_mailbox).run({});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        counts[rows.bigint(i, "id")] = static_cast<int>(rows.bigint(i, "count"));
    return counts;
}

// What the engine stores after a statement has begun is later than the statement's `now`, and right.
template <class Facts>
void hold(Facts& facts, const WorldOptions& options, core::Time now) {
    const auto was = core::hold_gap(facts, std::max(now, pg::now()));
    if (was && options.held != nullptr) options.held->push_back({facts.id, *was});
}

int count_of(const std::map<std::int64_t, int>& counts, std::int64_t id) {
    auto it = counts.find(id);
    return it == counts.end() ? 0 : it->second;
}

std::optional<int> maybe_int(const Rows& rows, std::uint64_t row, Rows::Column column) {
    auto v = rows.maybe_bigint(row, column);
    return v ? std::optional<int>(static_cast<int>(*v)) : std::nullopt;
}

core::LaneState state_of(char letter) {
    switch (letter) {
        case 'd':
            return core::LaneState::draft;
        case 'p':
            return core::LaneState::paused;
        case 'c':
            return core::LaneState::completed;
        case 'x':
            return core::LaneState::cancelled;
        default:
            return core::LaneState::running;
    }
}

core::MailboxFacts mailbox_of(const Rows& rows, std::uint64_t i, const Settings& settings, int prefetch) {
    core::MailboxFacts m;
    m.id = rows.bigint(i, "mailbox_id");
    m.name = rows.text(i, "name");
    if (auto reason = rows.maybe_text(i, "pause_reason")) {
        m.is_enabled = false;
        m.pause_reason = *reason;
    }
    const std::string host = rows.text(i, "host");
    const int port = static_cast<int>(rows.bigint(i, "port"));
    const bool is_forwarder = host.empty();
    if (!is_forwarder) m.server_key = std::hash<std::string>{}(core::lowered(host) + ":" + std::to_string(port));
    if (m.is_enabled && !is_forwarder && !is_host_allowed(settings, host, port)) {
        m.is_enabled = false;
        m.pause_reason = "host " + host + ":" + std::to_string(port) + " is not in mailer.allowed_hosts";
    }
    if (m.is_enabled && rows.boolean(i, "is_denied_files")) {
        m.is_enabled = false;
        m.pause_reason = "the role that named its password_file or ca_file may not read the server's files";
    }
    m.daily_limit.ceiling = maybe_int(rows, i, "daily_limit");
    m.daily_limit.ramp_start = maybe_int(rows, i, "ramp_start");
    m.daily_limit.ramp_step = static_cast<int>(rows.bigint(i, "ramp_step"));
    if (auto from = rows.maybe_bigint(i, "ramp_from")) m.use.counted_from = day_from_pg(*from);
    m.gap = core::Duration(rows.bigint(i, "gap_us"));
    m.max_connections = static_cast<int>(rows.bigint(i, "max_connections"));
    if (auto rate = rows.maybe_text(i, "rate")) {
        if (auto parsed = core::parse_rate(*rate)) {
            m.rate = *parsed;
        } else {  // past the table's constraint: sent without a limit, its mails might cost it the account
            m.is_enabled = false;
            m.pause_reason = parsed.error().message;
        }
    }
    // Claimed ahead, mails would leave when a connection is free, not when their gap or rate lets them.
    if (m.max_connections > 1 && m.gap == core::Duration::zero() && !m.rate) m.claims_per_connection = prefetch;
    try {
        m.zone = zone(rows.text(i, "timezone"));
    } catch (const Refusal& unknown) {  // a time zone that a server upgrade dropped: this mailbox's trouble alone
        m.is_enabled = false;
        m.pause_reason = unknown.what();
    }
    m.next_at = time_at(rows, i, "next_at");
    m.last_used_at = time_at(rows, i, "last_used_at");
    m.breaker_open_until = time_at(rows, i, "breaker_until");
    m.breaker_reason = rows.text(i, "breaker_reason");
    m.shield_reason = rows.text(i, "shut_reason");
    if (auto connections = maybe_int(rows, i, "connections")) {
        m.lowered = {
            .connections = *connections,
            .since = *time_at(rows, i, "connections_since"),
            .next_at = *time_at(rows, i, "connections_next_at"),
            .pause = std::min(core::Duration(rows.bigint(i, "connections_pause_us")), core::longest_connection_pause),
            .reason = rows.text(i, "connections_reason")};
    }
    return m;
}

// A mailbox that logs in with OAuth2 rests while it has no token. The keeper of tokens has the world read again when
// one comes; this is longer than that ever takes (token_keeper.hpp).
void hold_without_token(core::MailboxFacts& m, core::Time now) {
    const core::Time until = now + token_hold;
    if (m.breaker_open_until && *m.breaker_open_until >= until) return;
    if (!m.breaker_open_until || *m.breaker_open_until <= now) m.breaker_reason = "login: OAuth2: it has no token yet";
    m.breaker_open_until = until;
}

// What a campaign's lanes share; only its main lane carries it.
void read_pace(core::LaneFacts& lane, const Rows& rows, std::uint64_t i) {
    lane.next_slot_at = time_at(rows, i, "next_at");
    lane.gap_from = time_at(rows, i, "gap_from");
    lane.next_ordinal = std::max<std::int64_t>(1, rows.bigint(i, "next_ordinal"));
    lane.state = state_of(rows.letter(i, "state"));
    lane.state_reason = rows.text(i, "state_reason");
    lane.starts_at = time_at(rows, i, "starts_at");
    lane.gap = core::Duration(rows.bigint(i, "gap_us"));
    lane.jitter_ppm = static_cast<int>(rows.bigint(i, "jitter_ppm"));
    lane.max_per_day = maybe_int(rows, i, "max_per_day");
    lane.ends_at = time_at(rows, i, "ends_at");
    lane.max_new_per_day = maybe_int(rows, i, "max_new_per_day");
    lane.prefers_new = rows.boolean(i, "prefers_new");
    lane.shield_reason = rows.text(i, "shut_reason");
    if (auto silence = rows.maybe_bigint(i, "max_silence_us")) lane.max_silence = core::Duration(*silence);
}

// On the campaign's clock, or on that of the leads in the lane.
void read_window(core::LaneFacts& lane, const Rows& rows, std::uint64_t i) {
    lane.window = {static_cast<int>(rows.bigint(i, "start_minute")),
                   static_cast<int>(rows.bigint(i, "end_minute")),
                   static_cast<core::Weekdays>(rows.bigint(i, "allowed_days")),
                   {},
                   {}};
    for (const std::int64_t day : rows.bigints(i, "skip_days"))
        lane.window.skip_dates.push_back(day_from_pg(day));
    lane.window.zone = zone(rows.text(i, "timezone"));
}

core::LaneFacts lane_of(const Rows& rows, std::uint64_t i, std::map<std::int64_t, std::vector<std::int64_t>>& defaults,
                        core::Time now) {
    core::LaneFacts lane;
    lane.id = rows.bigint(i, "lane_id");
    lane.kind = rows.letter(i, "kind") == 'c'   ? core::LaneKind::campaign
                : rows.letter(i, "kind") == 'b' ? core::LaneKind::batch
                                                : core::LaneKind::stream;
    lane.tenant_id = rows.bigint(i, "tenant_id");
    if (rows.is_null(i, "pool")) {
        const auto [known, is_new] = defaults.try_emplace(lane.tenant_id);
        if (is_new) known->second = default_pool(lane.tenant_id);
        lane.pool = known->second;
    } else {
        lane.pool = rows.bigints(i, "pool");
    }
    std::sort(lane.pool.begin(), lane.pool.end());
    lane.gap = core::Duration(rows.bigint(i, "lane_gap_us"));
    if (lane.kind == core::LaneKind::batch) {
        lane.next_at = time_at(rows, i, "next_at");
        lane.name = rows.text(i, "batch_name");
    }
    if (lane.kind != core::LaneKind::campaign) return lane;
    lane.campaign_id = rows.bigint(i, "campaign_id");
    lane.name = rows.text(i, "name");
    lane.has_own_zone = rows.boolean(i, "has_own_zone");
    const std::int64_t main_lane = rows.bigint(i, "main_lane_id");
    if (main_lane != lane.id) {
        lane.pace_id = main_lane;
        lane.is_follow_up = rows.boolean(i, "is_follow_up");
        lane.name = rows.text(i, "listener_name");
        lane.heard_at = time_at(rows, i, "heard_at");
        lane.listen_error = rows.text(i, "listen_error");
    } else {
        read_pace(lane, rows, i);
    }
    try {
        read_window(lane, rows, i);
    } catch (const Refusal& unknown) {
        lane.state = core::LaneState::paused;
        lane.state_reason = unknown.what();
    }
    // Other settings place the coming slot again. One that has passed stays, so that it is counted as missed.
    const auto key = rows.maybe_bigint(i, "plan_key");
    if (lane.pace_id == 0 && key && *key != plan_key(lane) && lane.next_slot_at > now) lane.next_slot_at.reset();
    return lane;
}

}  // namespace

std::int64_t plan_key(const core::LaneFacts& lane) {
    std::uint64_t h = 1469598103934665603ULL;  // FNV-1a over the numbers and the zone's name
    auto add = [&h](std::uint64_t v) {
        for (int i = 0; i < 8; ++i)
            h = (h ^ ((v >> (8 * i)) & 0xff)) * 1099511628211ULL;
    };
    add(static_cast<std::uint64_t>(lane.window.start_minute));
    add(static_cast<std::uint64_t>(lane.window.end_minute));
    add(lane.window.weekdays);
    add(static_cast<std::uint64_t>(lane.gap.count()));
    add(static_cast<std::uint64_t>(lane.jitter_ppm));
    add(static_cast<std::uint64_t>(lane.max_per_day.value_or(-1)));
    add(lane.starts_at ? static_cast<std::uint64_t>(core::to_unix_us(*lane.starts_at)) : 0);
    for (const core::Date day : lane.window.skip_dates)
        add(static_cast<std::uint64_t>(day.time_since_epoch().count()));
    for (char c : lane.window.zone.name())
        add(static_cast<unsigned char>(c));
    return static_cast<std::int64_t>(h);
}

core::SystemFacts read_system(const Settings& settings, const ArmingState& arming, int prefetch) {
    static Statement control("SELECT pause_reason FROM mailer.control", {});
    core::SystemFacts facts;
    facts.is_enabled = settings.enabled;
    facts.is_armed = arming.arming == Arming::armed;
    facts.held_reason = arming.why;
    Rows rows = control.run({});
    if (!rows.empty()) facts.pause_reason = rows.text(0, 1);
    facts.standbys = read_standby_fence(settings, now());  // not the plan's time, which may be another
    facts.lease = lease_of_sender(settings.sender_lease, now());
    facts.max_connections = settings.max_connections;
    facts.claims_per_connection = prefetch;
    return facts;
}

std::vector<std::int64_t> default_pool(std::int64_t tenant_id) {
    static Statement statement(
        R"sql(
            SELECT m.mailbox_id, m.connection IS NOT NULL AS is_forwarder
            FROM mailer.mailbox m
            WHERE m.is_default AND (m.is_shared OR $1 = 1 OR EXISTS ( SELECT FROM mailer.mailbox_grant g
                    WHERE g.mailbox_id = m.mailbox_id AND g.tenant_id = $1))
            ORDER BY 1)sql",
        {INT8OID});
    std::vector<std::int64_t> ids;
    Rows rows = statement.run({p_bigint(tenant_id)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        if (rows.boolean(i, "is_forwarder")) return {rows.bigint(i, "mailbox_id")};  // see read_lanes
        ids.push_back(rows.bigint(i, "mailbox_id"));
    }
    return ids;
}

std::vector<core::MailboxFacts> read_mailboxes(const Settings& settings, const WorldOptions& options, core::Time now) {
    static Statement mailboxes(
        "SELECT m.mailbox_id, m.name, m.pause_reason, m.daily_limit, m.ramp_start, m.ramp_step, m.ramp_from,"
        "       " MAILER_SPAN_US("m.gap") " AS gap_us, m.max_connections, m.timezone,"
        "       s.next_at, s.last_used_at, s.breaker_until,"
        "       CASE WHEN m.connection IS NULL THEN m.host END AS host, m.port, s.breaker_reason,"
        "       num_nonnulls(m.password_file, m.ca_file, m.client_cert_file, m.client_key_file) > 0"
        "         AND NOT mailer._may_read_files(m.files_by) AS is_denied_files,"
        "       a.mailbox_id IS NOT NULL AND t.app_id IS NULL AS is_without_token, h.shut_reason,"
        "       CASE WHEN m.ramp_start IS NOT NULL THEN (SELECT count(*) FROM mailer.mailbox_day d"
        "         WHERE d.mailbox_id = m.mailbox_id"
        "         AND d.day >= m.ramp_from AND d.day < date '2000-01-01' + $1 AND d.used > 0) END AS earlier_days,"
        "       s.connections, s.connections_since, s.connections_next_at, " MAILER_SPAN_US(
            "s.connections_pause") " AS connections_pause_us,"
        "       s.connections_reason, m.rate"
        "  FROM mailer.mailbox m LEFT JOIN mailer.mailbox_state s ON s.mailbox_id = m.mailbox_id"
        "  LEFT JOIN mailer.shield h ON h.scope = 'm' AND h.id = m.mailbox_id AND m.shield IS NOT NULL"
        "  LEFT JOIN mailer.oauth_account a ON a.mailbox_id = m.mailbox_id"
        "  LEFT JOIN mailer.oauth_app p ON p.app_id = a.app_id"
        "  LEFT JOIN mailer.oauth_token t ON t.app_id = a.app_id AND t.expires_at > pg_catalog.clock_timestamp()"
        "   AND t.mailbox_id = CASE p.grant_type WHEN 'client_credentials' THEN 0 ELSE a.mailbox_id END"
        " ORDER BY m.mailbox_id",
        {INT4OID});
    static Statement days(
        "SELECT mailbox_id, day, used, warmup FROM mailer.mailbox_day WHERE day >= date '2000-01-01' + $1", {INT4OID});
    std::map<std::int64_t, std::vector<core::DayUse>> use;
    Rows used = days.run({days_from(now)});
    for (std::uint64_t i = 0; i < used.count(); ++i) {
        use[used.bigint(i, "mailbox_id")].push_back({day_from_pg(used.bigint(i, "day")),
                                                     static_cast<int>(used.bigint(i, "used")),
                                                     static_cast<int>(used.bigint(i, "warmup"))});
    }
    std::map<std::int64_t, int> in_flight = options.in_flight ? options.in_flight->mailboxes : claimed_by(false);
    std::vector<core::MailboxFacts> facts;
    Rows rows = mailboxes.run({days_from(now)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        facts.push_back(mailbox_of(rows, i, settings, options.prefetch));
        if (rows.boolean(i, "is_without_token") && settings.delivery == Delivery::smtp)
            hold_without_token(facts.back(), now);
        facts.back().use.days = std::move(use[facts.back().id]);
        facts.back().use.earlier_days = static_cast<int>(rows.bigint(i, "earlier_days"));
        facts.back().in_flight = count_of(in_flight, facts.back().id);
        hold(facts.back(), options, now);
        core::place_rate(facts.back(), std::max(now, pg::now()));
    }
    return facts;
}

std::vector<core::LaneFacts> read_lanes(std::span<const std::int64_t> lane_ids, const WorldOptions& options,
                                        core::Time now) {
    static Statement lanes(
        // A forwarder serves its pool alone, the first one: what it has handed over, and whose answer was lost, must not be
        // sent by another mailbox.
        "SELECT l.lane_id, l.kind, CASE WHEN l.pool IS NOT NULL THEN coalesce("
        "         (SELECT ARRAY[f.mailbox_id] FROM mailer.mailbox f WHERE f.connection IS NOT NULL AND f.mailbox_id = ANY "
        "(l.pool)"
        "          ORDER BY f.mailbox_id LIMIT 1), l.pool) END AS pool, " MAILER_SPAN_US("l.gap") " AS lane_gap_us,"
        "       s.next_at, s.gap_from, s.next_ordinal,"
        "       c.campaign_id, c.name, c.state, c.state_reason, c.starts_at,"
        "       (extract(epoch FROM c.window_start) / 60)::integer AS start_minute,"
        "       (extract(epoch FROM c.window_end) / 60)::integer AS end_minute,"
        "       c.allowed_days, " MAILER_SPAN_US("c.gap") " AS gap_us,"
        "       (greatest(0, least(c.jitter, 0.9)) * 1000000)::integer AS jitter_ppm, c.max_per_day,"
        "       coalesce(l.timezone, c.timezone) AS timezone, coalesce(b.label, 'batch ' || b.batch_id) AS batch_name,"
        "       s.plan_key, c.lane_id AS main_lane_id, l.is_follow_up, c.ends_at, c.max_new_per_day,"
        "       c.prefer = 'new' AS prefers_new, " MAILER_SPAN_US("c.max_silence") " AS max_silence_us,"
        "       ARRAY(SELECT DISTINCT (d - date '2000-01-01')::bigint FROM unnest(c.skip_dates) d WHERE isfinite(d) ORDER BY 1)"
        "         AS skip_days,"
        "       coalesce(m.name, c.name) AS listener_name, h.heard_at, h.error AS listen_error, d.shut_reason, l.tenant_id,"
        "       l.timezone IS NOT NULL AS has_own_zone"
        "  FROM mailer.lane l LEFT JOIN mailer.lane_state s ON s.lane_id = l.lane_id"
        "  LEFT JOIN mailer.campaign c ON c.campaign_id = l.campaign_id"
        "  LEFT JOIN mailer.shield d ON d.scope = 'c' AND d.id = c.campaign_id AND c.shield IS NOT NULL"
        "  LEFT JOIN mailer.batch_entry b ON b.batch_id = l.batch_id"
        "  LEFT JOIN mailer.mailbox m ON m.mailbox_id = l.mailbox_id"
        "  LEFT JOIN LATERAL mailer._heard(l.mailbox_id) h ON l.is_follow_up"
        // A lane that shares a pace comes with the main lane, which carries it.
        " WHERE l.lane_id = ANY ($1) OR l.lane_id IN (SELECT k.lane_id FROM mailer.lane o"
        "     JOIN mailer.campaign k ON k.campaign_id = o.campaign_id WHERE o.lane_id = ANY ($1))",
        {INT8ARRAYOID});
    static Statement days(
        R"sql(
            SELECT campaign_id, day, used, new_used
            FROM mailer.campaign_day
            WHERE campaign_id = ANY ($1) AND day >= date '2000-01-01' + $2)sql",
        {INT8ARRAYOID, INT4OID});
    std::map<std::int64_t, std::vector<std::int64_t>> defaults;  // pools by tenant
    std::map<std::int64_t, int> in_flight = options.in_flight ? options.in_flight->lanes : claimed_by(true);
    std::vector<core::LaneFacts> facts;
    std::vector<std::int64_t> campaigns;
    Rows rows = lanes.run({p_bigints(lane_ids)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        facts.push_back(lane_of(rows, i, defaults, now));
        facts.back().in_flight = count_of(in_flight, facts.back().id);
        hold(facts.back(), options, now);
        if (facts.back().kind == core::LaneKind::campaign) campaigns.push_back(facts.back().campaign_id);
    }
    if (campaigns.empty()) return facts;
    std::map<std::int64_t, std::vector<core::DayUse>> use, new_use;
    Rows used = days.run({p_bigints(campaigns), days_from(now)});
    for (std::uint64_t i = 0; i < used.count(); ++i) {
        const core::Date day = day_from_pg(used.bigint(i, "day"));
        use[used.bigint(i, "campaign_id")].push_back({day, static_cast<int>(used.bigint(i, "used")), 0});
        new_use[used.bigint(i, "campaign_id")].push_back({day, static_cast<int>(used.bigint(i, "new_used")), 0});
    }
    for (auto& lane : facts) {
        if (lane.kind != core::LaneKind::campaign || lane.pace_id != 0) continue;
        lane.use.days = std::move(use[lane.campaign_id]);
        lane.new_use.days = std::move(new_use[lane.campaign_id]);
    }
    return facts;
}

std::vector<worker::Signals::Hint> earliest_by_lane(std::optional<core::Time>* expiry) {
    static Statement statement(
        R"sql(
            WITH RECURSIVE lanes AS ( (SELECT lane_id, priority, due_at FROM mailer.queue_entry
                    WHERE state = 'p' ORDER BY lane_id, priority, due_at LIMIT 1) UNION ALL
                SELECT n.lane_id, n.priority, n.due_at FROM lanes l CROSS JOIN LATERAL (
                    SELECT q.lane_id, q.priority, q.due_at FROM mailer.queue_entry q WHERE q.state = 'p'
                        AND (q.lane_id, q.priority) > (l.lane_id, l.priority)
                    ORDER BY q.lane_id, q.priority, q.due_at LIMIT 1) n)
            SELECT lane_id, min(due_at) AS due_at, least((SELECT min(expires_at) FROM mailer.queue_entry
                    WHERE state = 'p' AND expires_at IS NOT NULL), (SELECT min(c.ends_at)
                    FROM mailer.campaign c WHERE c.state IN ('r', 'p') AND c.ends_at IS NOT NULL
                        AND EXISTS (SELECT FROM mailer.lane l
                        JOIN mailer.queue_entry q ON q.lane_id = l.lane_id AND q.state = 'p'
                        WHERE l.campaign_id = c.campaign_id))) AS expires_at
            FROM lanes
            GROUP BY lane_id)sql",
        {});
    std::vector<worker::Signals::Hint> lanes;
    Rows rows = statement.run({});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        lanes.push_back({rows.bigint(i, "lane_id"), *time_at(rows, i, "due_at")});
        if (expiry != nullptr) *expiry = time_at(rows, i, "expires_at");
    }
    return lanes;
}

worker::InFlight read_in_flight() { return {claimed_by(true), claimed_by(false)}; }

std::vector<std::int64_t> running_campaign_lanes() {
    static Statement statement("SELECT lane_id FROM mailer.campaign WHERE state = 'r'", {});
    std::vector<std::int64_t> ids;
    Rows rows = statement.run({});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        ids.push_back(rows.bigint(i, 1));
    return ids;
}

}  // namespace mailer::pg
