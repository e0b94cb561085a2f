// The queue's reading half: signals, the world, marks, picking and claiming; see queue.hpp.
#include "pg/bridge/clock.hpp"
#include "pg/engine/queue.hpp"
#include "pg/forecast/plan.hpp"
#include "pg/server/shared.hpp"

namespace mailer::pg {

using core::Time;
using worker::Candidate;

worker::Signals PgQueue::take_signals() {
    worker::Signals signals;
    Hints hints = take_hints();
    if (!hints.is_known) {
        signals.is_overflown = true;
        signals.generation = ++polls_;  // nobody tells that settings changed either
        return signals;
    }
    signals.is_overflown = hints.sweep_all;
    signals.generation = generation();
    for (const Hint& hint : hints.hints)
        signals.hints.push_back({hint.lane_id, from_pg(hint.due_at)});
    return signals;
}

void PgQueue::begin(Time now) {
    now_ = now;
    new_marks_.clear();
    transactions_.begin();
    if (arming_.epoch == 0) arming_ = read_arming(settings_);
}

void PgQueue::commit() {
    transactions_.commit();
    for (auto& [lane, marks] : new_marks_)
        marks_[lane] = marks;
    new_marks_.clear();
}

void PgQueue::abort() noexcept {
    new_marks_.clear();
    transactions_.abort();
}

namespace {

std::string gap_cut_text(Time was, std::optional<Time> now_is) {
    return "the next mail was planned for " + utc_text(was) + ", more than one gap ahead" +
           (now_is ? ": it is " + utc_text(*now_is) + " now" : "");
}

}  // namespace

// ── The world ────────────────────────────────────────────────────────────────────────────────────────────────────

std::vector<std::int64_t> PgQueue::load_world(core::Planner& planner, std::span<const std::int64_t> lane_ids,
                                              const worker::InFlight& in_flight, Time now) {
    static Statement failures(
        "SELECT mailbox_id, breaker_failures FROM mailer.mailbox_state WHERE breaker_failures > 0", {});
    arming_ = read_arming(settings_);
    forget_what_was_mended();
    std::erase_if(slow_lanes_,
                  [now_is = std::chrono::steady_clock::now()](const auto& lane) { return lane.second <= now_is; });
    accounts_.read();
    planner.set_system(read_system(settings_, arming_, prefetch_));
    std::vector<HeldGap> held;
    for (auto& mailbox : read_mailboxes(settings_, {prefetch_, &in_flight, &held}, now))
        planner.upsert_mailbox(mailbox);
    for (const HeldGap& gap : held) {
        const core::MailboxFacts* mailbox = planner.mailbox(gap.id);
        store_mailboxes(std::span(&mailbox, 1));
        log_event("gap_cut", {}, {}, gap.id, gap_cut_text(gap.was, mailbox->next_at));
    }
    failures_.clear();
    Rows rows = failures.run({});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        failures_[rows.bigint(i, "mailbox_id")] = static_cast<int>(rows.bigint(i, "breaker_failures"));

    std::vector<std::int64_t> all = running_campaign_lanes();
    all.insert(all.end(), lane_ids.begin(), lane_ids.end());
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    std::vector<std::int64_t> moved;
    add_lanes(planner, all, in_flight, now, moved);
    return moved;
}

std::vector<std::int64_t> PgQueue::load_lanes(core::Planner& planner, std::span<const std::int64_t> lane_ids,
                                              const worker::InFlight& in_flight, Time now) {
    std::vector<std::int64_t> moved;
    add_lanes(planner, lane_ids, in_flight, now, moved);
    return moved;
}

void PgQueue::add_lanes(core::Planner& planner, std::span<const std::int64_t> lane_ids,
                        const worker::InFlight& in_flight, Time now, std::vector<std::int64_t>& moved) {
    std::vector<HeldGap> held;
    for (auto& lane : read_lanes(lane_ids, {prefetch_, &in_flight, &held}, now)) {
        const bool is_placed = planner.upsert_lane(lane, now);
        const auto was = std::find_if(held.begin(), held.end(), [&](const HeldGap& gap) { return gap.id == lane.id; });
        if (!is_placed && was == held.end()) continue;
        moved.push_back(lane.id);
        const core::LaneFacts& placed = *planner.lane(lane.id);
        const auto slot = placed.kind == core::LaneKind::batch ? placed.next_at : placed.next_slot_at;
        std::optional<std::int64_t> campaign;
        if (placed.kind == core::LaneKind::campaign) campaign = placed.campaign_id;
        if (was != held.end()) {
            log_event("gap_cut", {}, campaign, {}, gap_cut_text(was->was, slot));
        } else if (lane.gap_from && slot) {
            log_event("slot_moved", {}, campaign, {}, "other settings: the next slot is now " + utc_text(*slot));
        }
    }
}

worker::Queue::Swept PgQueue::sweep() {
    static Statement refresh("SELECT mailer._refresh_principals()", {});
    marks_.clear();
    new_marks_.clear();
    refresh.run({});
    Swept swept;
    swept.lanes = earliest_by_lane(&swept.expiry);
    return swept;
}

// ── Marks ────────────────────────────────────────────────────────────────────────────────────────────────────────

void PgQueue::lower_mark(std::int64_t lane_id, Time due_at) {
    for (auto* marks : {&marks_, &new_marks_}) {
        auto it = marks->find(lane_id);
        if (it == marks->end()) continue;
        for (Mark& mark : it->second) {
            if (mark.due >= due_at) mark = {due_at - core::Duration(1), 0};
        }
    }
}

void PgQueue::passed(const Candidate& candidate) {
    auto [it, is_new] = new_marks_.try_emplace(candidate.lane_id);
    if (is_new) {
        auto known = marks_.find(candidate.lane_id);
        if (known != marks_.end()) it->second = known->second;
    }
    it->second[static_cast<std::size_t>(candidate.facts.priority)] = {candidate.facts.due_at, candidate.facts.id};
}

// ── Picking ──────────────────────────────────────────────────────────────────────────────────────────────────────

namespace {

// Scalar subqueries with a LIMIT, not EXISTS: an EXISTS may be planned as a hash of the whole table outcome.
#define CANDIDATE_COLUMNS \
    "q.message_id, q.lane_id, q.priority, q.due_at, q.expires_at, q.attempt_count, q.try_count, q.crash_count,"       \
    " m.campaign_id, m.batch_id, m.kind = 'w' AS is_warmup, cardinality(m.addresses) AS recipient_count,"             \
    " coalesce(q.age_from, greatest(m.created_at, m.send_at)) AS age_from,"                                           \
    " CASE WHEN cardinality(m.addresses) = 1 THEN (SELECT coalesce(s.reason, 'suppressed') FROM mailer.suppression s" \
    "      WHERE s.address_key = ANY (" MAILER_SUPPRESSED_KEYS("m.address_key") ") AND " MAILER_SUPPRESSION_APPLIES("$1") " LIMIT 1) END" \
    " AS suppressed_reason,"                                                                                          \
    " (SELECT true FROM mailer.outcome o WHERE o.message_id = q.message_id LIMIT 1) AS is_settled,"                   \
    " CASE WHEN q.try_count > 0 AND cardinality(m.addresses) > 1 THEN (SELECT count(*) FROM mailer.recipient r"       \
    "      WHERE r.message_id = q.message_id AND r.state = 'S') ELSE 0 END AS accepted_before,"                       \
    " CASE WHEN q.try_count > 0 AND cardinality(m.addresses) > 1 THEN (SELECT count(*) FROM mailer.recipient r"       \
    "      WHERE r.message_id = q.message_id AND r.state IN ('f', 'c')) ELSE 0 END AS refused_before,"                \
    " CASE WHEN m.step_id <> 0 THEN (SELECT t.place FROM mailer.campaign_step t WHERE t.step_id = m.step_id LIMIT 1)" \
    "      ELSE 1 END AS place,"                                                                                      \
    " CASE WHEN m.campaign_id IS NOT NULL THEN (SELECT coalesce(l.ended, CASE WHEN l.held_at IS NOT NULL THEN 'held' END)" \
    "      FROM mailer.lead l WHERE l.campaign_id = m.campaign_id AND l.address_key = m.address_key LIMIT 1) END AS ended," \
    " CASE WHEN m.campaign_id IS NOT NULL THEN (SELECT l.not_before FROM mailer.lead l"                               \
    "      WHERE l.campaign_id = m.campaign_id AND l.address_key = m.address_key LIMIT 1) END AS not_before,"         \
    " " MAILER_COOLED_UNTIL " AS cooled_until"

constexpr std::int64_t deleted_step = 1000;  // behind all that are left

Candidate candidate_at(const Rows& rows, std::uint64_t i) {
    Candidate c;
    c.facts.id = rows.bigint(i, "message_id");
    c.lane_id = rows.bigint(i, "lane_id");
    c.facts.priority = static_cast<int>(rows.bigint(i, "priority"));
    c.facts.due_at = *time_at(rows, i, "due_at");
    c.facts.expires_at = time_at(rows, i, "expires_at");
    c.attempt_count = static_cast<int>(rows.bigint(i, "attempt_count"));
    c.try_count = static_cast<int>(rows.bigint(i, "try_count"));
    c.facts.tries = c.try_count;
    c.crash_count = static_cast<int>(rows.bigint(i, "crash_count"));
    c.campaign_id = rows.maybe_bigint(i, "campaign_id");
    c.batch_id = rows.maybe_bigint(i, "batch_id");
    c.facts.is_warmup = rows.boolean(i, "is_warmup");
    c.recipient_count = static_cast<int>(rows.bigint(i, "recipient_count"));
    c.age_from = time_at(rows, i, "age_from").value_or(c.facts.due_at);
    if (auto reason = rows.maybe_text(i, "suppressed_reason")) {
        c.facts.is_suppressed = true;
        c.facts.suppressed_reason = *reason;
    }
    c.facts.is_already_mailed = rows.boolean(i, "is_settled");
    c.accepted_before = static_cast<int>(rows.bigint(i, "accepted_before"));
    c.refused_before = static_cast<int>(rows.bigint(i, "refused_before"));
    c.facts.step = static_cast<int>(rows.maybe_bigint(i, "place").value_or(deleted_step));
    if (auto ended = rows.maybe_text(i, "ended")) {
        c.facts.is_held = *ended == "held";
        c.facts.is_stopped = !c.facts.is_held;
        if (c.facts.is_stopped) c.facts.stopped_reason = *ended;
    }
    c.facts.not_before = time_at(rows, i, "not_before");
    c.facts.cooled_until = time_at(rows, i, "cooled_until");
    return c;
}

}  // namespace

// Of a lane and priority, from the mark on, what is due and adopted.
#define WAITING_ROWS                                                                                           \
    "state = 'p' AND lane_id = $2 AND priority = $3 AND (due_at, message_id) > ($4, $5) AND due_at <= $1 AND " \
    "(epoch = ANY ($6) OR epoch = ANY ($8) AND due_at > $9)"

namespace {

constexpr std::chrono::steady_clock::duration slow_look = std::chrono::milliseconds{20};
constexpr std::chrono::steady_clock::duration slow_row = std::chrono::microseconds{100};  // with its message
constexpr std::chrono::steady_clock::duration shortest_rest = std::chrono::seconds{10};

}  // namespace

std::optional<Candidate> read_candidate(std::int64_t message_id, Time now) {
    static Statement statement("SELECT " CANDIDATE_COLUMNS
                               "  FROM mailer.queue_entry q JOIN mailer.message m ON m.message_id = q.message_id"
                               " WHERE q.message_id = $2 AND q.state = 'p'",
                               {TIMESTAMPTZOID, INT8OID});
    Rows rows = statement.run({p_at(now), p_bigint(message_id)});
    return rows.empty() ? std::nullopt : std::optional(candidate_at(rows, 0));
}

// Rows that others hold locked are passed, each at a cost, and nobody else's mail is served meanwhile: a role that
// cancels a million of its mails in a transaction that stays open would have them passed at every look. A lane where a
// look took long is looked at no further than its first 2,000 rows for a while.
std::vector<Candidate> PgQueue::pick(std::int64_t lane_id, int limit, Time now) {
    static Statement whole("SELECT " CANDIDATE_COLUMNS "  FROM (SELECT * FROM mailer.queue_entry WHERE " WAITING_ROWS
                           "         ORDER BY lane_id, priority, due_at, message_id LIMIT $7 FOR UPDATE SKIP LOCKED) q"
                           "  JOIN mailer.message m ON m.message_id = q.message_id",
                           {TIMESTAMPTZOID, INT8OID, INT2OID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, INT8OID,
                            INT8ARRAYOID, TIMESTAMPTZOID});
    static Statement beginning(
        "SELECT " CANDIDATE_COLUMNS
        "  FROM (SELECT e.* FROM unnest(ARRAY(SELECT message_id FROM mailer.queue_entry WHERE " WAITING_ROWS
        "           ORDER BY lane_id, priority, due_at, message_id LIMIT 2000)) u(id)"
        "         CROSS JOIN LATERAL (SELECT * FROM mailer.queue_entry WHERE message_id = u.id AND state = 'p' FOR "
        "UPDATE SKIP LOCKED) e LIMIT $7) q"
        "  JOIN mailer.message m ON m.message_id = q.message_id",
        {TIMESTAMPTZOID, INT8OID, INT2OID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, INT8OID, INT8ARRAYOID,
         TIMESTAMPTZOID});
    const auto began = std::chrono::steady_clock::now();
    const auto slow = slow_lanes_.find(lane_id);
    const bool is_slow = slow != slow_lanes_.end() && began < slow->second;
    if (slow != slow_lanes_.end() && !is_slow) slow_lanes_.erase(slow);
    Statement& statement = is_slow ? beginning : whole;
    std::vector<Candidate> picked;
    auto in_hand = new_marks_.find(lane_id);
    auto known = in_hand != new_marks_.end() ? in_hand : marks_.find(lane_id);
    const bool has_marks = in_hand != new_marks_.end() || known != marks_.end();
    for (int priority = 4; priority >= 0 && static_cast<int>(picked.size()) < limit; --priority) {
        Mark mark = has_marks ? known->second[static_cast<std::size_t>(priority)] : Mark{};
        Param from = mark.due == Time::min() ? p_time(DT_NOBEGIN) : p_at(mark.due);
        Rows rows = statement.run(
            {p_at(now), p_bigint(lane_id), p_datum(INT2OID, Int16GetDatum(static_cast<int16>(priority))), from,
             p_bigint(mark.id), p_bigints(arming_.adopted), p_bigint(limit - static_cast<int>(picked.size())),
             p_bigints(arming_.held_epochs), p_at(arming_.held_until)});
        const auto first = picked.size();
        for (std::uint64_t i = 0; i < rows.count(); ++i)
            picked.push_back(candidate_at(rows, i));
        std::sort(picked.begin() + static_cast<std::ptrdiff_t>(first), picked.end(),
                  [](const Candidate& a, const Candidate& b) {
                      return std::pair(a.facts.due_at, a.facts.id) < std::pair(b.facts.due_at, b.facts.id);
                  });
    }
    const auto took = std::chrono::steady_clock::now() - began;
    const auto slow_at = slow_look + static_cast<int>(picked.size()) * slow_row;
    if (!is_slow && took > slow_at) slow_lanes_[lane_id] = began + took + std::max(shortest_rest, 99 * took);
    return picked;
}

std::optional<Time> PgQueue::next_due(std::int64_t lane_id, Time) {
    static Statement statement(
        R"sql(
            SELECT due_at
            FROM mailer.queue_entry
            WHERE state = 'p' AND lane_id = $1 AND priority = $2
                AND (due_at, message_id) > ($3, $4) AND (epoch = ANY ($5) OR epoch = ANY ($6)
                    AND due_at > $7)
            ORDER BY lane_id, priority, due_at, message_id LIMIT 1)sql",
        {INT8OID, INT2OID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID});
    std::optional<Time> earliest;
    auto in_hand = new_marks_.find(lane_id);
    auto known = in_hand != new_marks_.end() ? in_hand : marks_.find(lane_id);
    const bool has_marks = in_hand != new_marks_.end() || known != marks_.end();
    for (int priority = 4; priority >= 0; --priority) {
        Mark mark = has_marks ? known->second[static_cast<std::size_t>(priority)] : Mark{};
        Param from = mark.due == Time::min() ? p_time(DT_NOBEGIN) : p_at(mark.due);
        Rows rows = statement.run({p_bigint(lane_id), p_datum(INT2OID, Int16GetDatum(static_cast<int16>(priority))),
                                   from, p_bigint(mark.id), p_bigints(arming_.adopted), p_bigints(arming_.held_epochs),
                                   p_at(arming_.held_until)});
        if (rows.empty()) continue;
        auto due = time_at(rows, 0, 1);
        if (!earliest || *due < *earliest) earliest = due;
    }
    return earliest;
}

std::vector<Candidate> PgQueue::pick_expired(int limit, Time now) {
    static Statement statement("SELECT " CANDIDATE_COLUMNS
                               "  FROM (SELECT * FROM mailer.queue_entry WHERE state = 'p' AND expires_at IS NOT NULL "
                               "AND expires_at <= $1 AND (epoch = ANY ($2) OR epoch = ANY ($4) AND due_at > $5)"
                               "         ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED) q"
                               "  JOIN mailer.message m ON m.message_id = q.message_id",
                               {TIMESTAMPTZOID, INT8ARRAYOID, INT8OID, INT8ARRAYOID, TIMESTAMPTZOID});
    std::vector<Candidate> expired;
    if (arming_.arming != Arming::armed) return expired;
    Rows rows = statement.run({p_at(now), p_bigints(arming_.adopted), p_bigint(limit), p_bigints(arming_.held_epochs),
                               p_at(arming_.held_until)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        expired.push_back(candidate_at(rows, i));
    return expired;
}

// ── Claiming ─────────────────────────────────────────────────────────────────────────────────────────────────────

void PgQueue::claim(std::span<const worker::Ticket> tickets, Time now) {
    static Statement statement(
        R"sql(
            UPDATE mailer.queue_entry q
            SET state = 's', token = t.token, mailbox_id = t.mailbox_id, claimed_at = $6,
                slot_at = t.slot_at, is_repeatable = nullif(t.is_repeatable, false),
                reserved_day = date '2000-01-01' + t.day, campaign_day = date '2000-01-01' + t.campaign_day
            FROM unnest($1, $2, $3, $4, $5, $7, $8) AS t(message_id, token, mailbox_id, day, campaign_day,
                slot_at, is_repeatable)
            WHERE q.message_id = t.message_id AND q.state = 'p')sql",
        {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZARRAYOID,
         BOOLARRAYOID});
    std::vector<bool> repeatable;
    std::vector<std::optional<std::int64_t>> slots;
    std::vector<std::int64_t> ids, tokens, mailboxes;
    std::vector<std::int32_t> days;
    std::vector<std::optional<std::int32_t>> campaign_days;
    for (const worker::Ticket& ticket : tickets) {
        ids.push_back(ticket.row.facts.id);
        repeatable.push_back(ticket.is_repeatable);
        tokens.push_back(static_cast<std::int64_t>(ticket.token));
        mailboxes.push_back(ticket.reservation.mailbox_id);
        days.push_back(day_to_pg(ticket.reservation.mailbox_day));
        const auto& day = ticket.reservation.campaign_day;
        campaign_days.push_back(day ? std::optional(day_to_pg(*day)) : std::nullopt);
        const auto& slot = ticket.reservation.slot_at;
        slots.push_back(slot ? std::optional(to_pg(*slot)) : std::nullopt);
    }
    Rows rows = statement.run({p_bigints(ids), p_bigints(tokens), p_bigints(mailboxes), p_ints(days),
                               p_ints(campaign_days), p_at(now), p_times(slots), p_bools(repeatable)});
    if (rows.count() != tickets.size()) throw Refusal({"XX000", "a claim changed fewer rows than were locked"});
}

bool PgQueue::is_repeatable(std::int64_t mailbox_id) const {
    const Account* account = accounts_.find(mailbox_id);
    return account != nullptr && account->is_forwarder();
}

std::vector<worker::Orphan> PgQueue::orphans() {
    static Statement statement(
        "SELECT " CANDIDATE_COLUMNS
        ", q.token, q.mailbox_id, q.reserved_day, q.campaign_day, q.claimed_at, q.slot_at,"
        " ARRAY(SELECT n::bigint FROM generate_series(1, cardinality(m.addresses)) AS n WHERE NOT EXISTS (SELECT FROM "
        "mailer.recipient r"
        "        WHERE r.message_id = q.message_id AND r.n = n AND r.state <> 'p')) AS unsettled,"
        " q.is_repeatable"
        "  FROM mailer.queue_entry q JOIN mailer.message m ON m.message_id = q.message_id WHERE q.state = 's'",
        {TIMESTAMPTZOID});
    std::vector<worker::Orphan> orphans;
    Rows rows = statement.run({p_at(now_)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        worker::Orphan orphan;
        orphan.row = candidate_at(rows, i);
        orphan.token = static_cast<std::uint64_t>(rows.bigint(i, "token"));
        core::Reservation& r = orphan.reservation;
        r.lane_id = orphan.row.lane_id;
        r.mailbox_id = rows.bigint(i, "mailbox_id");
        r.message_id = orphan.row.facts.id;
        r.mailbox_day = day_from_pg(rows.bigint(i, "reserved_day"));
        if (auto day = rows.maybe_bigint(i, "campaign_day")) r.campaign_day = day_from_pg(*day);
        r.at = *time_at(rows, i, "claimed_at");
        r.is_warmup = orphan.row.facts.is_warmup;
        r.is_new = r.campaign_day && orphan.row.facts.step == 1;
        r.slot_at = time_at(rows, i, "slot_at");
        orphan.is_repeatable = rows.boolean(i, "is_repeatable");
        for (std::int64_t n : rows.bigints(i, "unsettled"))
            orphan.unsettled.push_back(static_cast<int>(n));
        orphans.push_back(std::move(orphan));
    }
    return orphans;
}

}  // namespace mailer::pg
