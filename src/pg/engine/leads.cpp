// See leads.hpp. When a step is due is core/pace/sequence's rule; here are the rows.
#include "pg/engine/leads.hpp"

#include <map>

#include "core/pace/sequence.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/engine/world.hpp"
#include "pg/enqueue/store.hpp"
#include "pg/server/wake.hpp"

namespace mailer::pg {

using core::Time;
using worker::Settlement;

namespace {

struct NextStep {
    std::int64_t previous_id;
    std::int64_t campaign_id;
    Time slot_at;
    std::int64_t lane_id;
    std::string domain;  // right side of its Message-ID: that of the mail before
    core::Step step;
};

// The leads that go on, locked, with the step that follows; those that have none are finished. A cancelled campaign's do
// neither, and none of the others can be cancelled before the step is queued and committed.
std::vector<NextStep> find_next_steps(std::span<const std::int64_t> message_ids, Time now) {
    static Statement find(
        R"sql(
        SELECT m.message_id, m.campaign_id, l.last_slot_at,
               mailer._campaign_lane(m.campaign_id, l.mailbox_id, l.timezone, true) AS lane_id,
               substring(m.internet_message_id FROM '@([^>]+)>?$') AS domain,
               t.step_id, t.place, greatest(0, least(extract(day FROM t.delay), 36525))::integer AS days,
               t.is_working_days, )sql" MAILER_SPAN_US("t.delay") R"sql( AS delay_us
        FROM mailer.lead l
        JOIN mailer.message m ON m.campaign_id = l.campaign_id AND m.address_key = l.address_key
        JOIN mailer.campaign c ON c.campaign_id = l.campaign_id AND c.state <> 'x'
        CROSS JOIN LATERAL (
            SELECT s.* FROM mailer.campaign_step s
            WHERE s.campaign_id = m.campaign_id AND s.place > CASE WHEN m.step_id = 0 THEN 1 ELSE
                (SELECT sent.place FROM mailer.campaign_step sent WHERE sent.step_id = m.step_id) END
            ORDER BY s.place LIMIT 1) t
        WHERE m.message_id = ANY ($1) AND l.ended IS NULL AND l.mailbox_id IS NOT NULL
        ORDER BY l.last_slot_at, m.message_id
        FOR UPDATE OF l FOR KEY SHARE OF c
        )sql",
        {INT8ARRAYOID});
    static Statement finish(
        R"sql(
        UPDATE mailer.lead l SET ended = 'finished', ended_at = $2
        FROM mailer.message m
        WHERE m.message_id = ANY ($1) AND l.campaign_id = m.campaign_id AND l.address_key = m.address_key
          AND l.ended IS NULL AND NOT m.message_id = ANY ($3)
          AND EXISTS (SELECT FROM mailer.campaign c WHERE c.campaign_id = l.campaign_id AND c.state <> 'x')
        )sql",
        {INT8ARRAYOID, TIMESTAMPTZOID, INT8ARRAYOID});
    std::vector<NextStep> next;
    std::vector<std::int64_t> going_on;
    const Rows rows = find.run({p_bigints(message_ids)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        NextStep n{.previous_id = rows.bigint(i, "message_id"),
                   .campaign_id = rows.bigint(i, "campaign_id"),
                   .slot_at = time_at(rows, i, "last_slot_at").value_or(now),
                   .lane_id = rows.bigint(i, "lane_id"),
                   .domain = rows.text(i, "domain"),
                   .step = {.id = rows.bigint(i, "step_id"),
                            .place = static_cast<int>(rows.bigint(i, "place")),
                            .days = static_cast<int>(rows.bigint(i, "days")),
                            .is_working_days = rows.boolean(i, "is_working_days")}};
        if (n.step.days == 0) n.step.delay = core::Duration(rows.bigint(i, "delay_us"));
        going_on.push_back(n.previous_id);
        next.push_back(std::move(n));
    }
    if (going_on.size() < message_ids.size()) finish.run({p_bigints(message_ids), p_at(now), p_bigints(going_on)});
    return next;
}

// The windows by which whole days are counted.
std::map<std::int64_t, core::Window> windows_of(const std::vector<NextStep>& steps, Time now) {
    static Statement mains("SELECT lane_id FROM mailer.campaign WHERE campaign_id = ANY ($1)", {INT8ARRAYOID});
    std::set<std::int64_t> campaigns;
    for (const NextStep& n : steps)
        campaigns.insert(n.campaign_id);
    const std::vector<std::int64_t> ids(campaigns.begin(), campaigns.end());
    const Rows rows = mains.run({p_bigints(ids)});
    std::vector<std::int64_t> lanes;
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        lanes.push_back(rows.bigint(i, 1));
    const worker::InFlight nothing;
    std::map<std::int64_t, core::Window> windows;
    for (core::LaneFacts& lane : read_lanes(lanes, {1, &nothing}, now))
        if (lane.pace_id == 0) windows[lane.campaign_id] = std::move(lane.window);
    return windows;
}

}  // namespace

void queue_next_steps(std::span<const std::int64_t> message_ids, Time now) {
    static Statement insert(
        R"sql(
        WITH n AS (
            SELECT x.previous_id, x.message_id, x.step_id, x.due_at, x.lane_id, x.internet_message_id, l.held_at, l.priority,
                   COALESCE(l.variables, p.variables) AS variables, p AS previous, v.variant,
                   COALESCE(v.template, t.template) AS template, t.subject
            FROM unnest($2, $3, $4, $5, $6, $7) AS x(previous_id, message_id, step_id, due_at, lane_id, internet_message_id)
            JOIN mailer.message p ON p.message_id = x.previous_id
            JOIN mailer.lead l ON l.campaign_id = p.campaign_id AND l.address_key = p.address_key
            JOIN mailer.campaign_step t ON t.step_id = x.step_id
            LEFT JOIN LATERAL mailer._draw_variant(p.campaign_id, x.step_id, p.address_key, l.variant) v ON true
        ), made AS (
            INSERT INTO mailer.message (message_id, created_at, tenant_id, principal_id, lane_id, campaign_id, step_id, variant,
                kind, addresses, roles, address_key, header_to, header_cc, reply_to, internet_message_id, subject, template,
                variables, headers, external_id)
            SELECT n.message_id, $1, (n.previous).tenant_id, (n.previous).principal_id, n.lane_id, (n.previous).campaign_id,
                   n.step_id, n.variant, (n.previous).kind, (n.previous).addresses, (n.previous).roles,
                   (n.previous).address_key, (n.previous).header_to, (n.previous).header_cc, (n.previous).reply_to,
                   n.internet_message_id, n.subject, n.template, n.variables, (n.previous).headers,
                   (n.previous).external_id
            FROM n ORDER BY n.message_id
            RETURNING message_id, campaign_id, address_key
        ), queued AS (
            INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, epoch)
            SELECT n.message_id, n.lane_id, COALESCE(n.priority, 2), CASE WHEN n.held_at IS NULL THEN n.due_at ELSE $8 END,
                   a.epoch
            FROM n CROSS JOIN mailer.arming a ORDER BY n.message_id
        ), held AS (
            UPDATE mailer.lead l SET held_due_at = n.due_at FROM n
            WHERE n.held_at IS NOT NULL AND l.campaign_id = (n.previous).campaign_id
              AND l.address_key = (n.previous).address_key
        )
        -- The lead was counted as sent and waits again; the database has one message more that waits.
        INSERT INTO mailer.tally_delta (campaign_id, queued, sent)
        SELECT m.campaign_id, count(*), -count(*) FROM made m GROUP BY m.campaign_id
        UNION ALL
        SELECT NULL, 0, count(*) FROM made HAVING count(*) > 0
        )sql",
        {TIMESTAMPTZOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, TEXTARRAYOID,
         TIMESTAMPTZOID});
    if (message_ids.empty()) return;
    const std::vector<NextStep> steps = find_next_steps(message_ids, now);
    if (steps.empty()) return;
    const std::map<std::int64_t, core::Window> windows = windows_of(steps, now);
    MailIds drawn(steps.size());
    std::vector<std::int64_t> previous, ids, step_ids, due, lanes;
    std::vector<std::string> internet_ids;
    for (const NextStep& n : steps) {
        const auto window = windows.find(n.campaign_id);
        const Time due_at =
            core::step_due(window == windows.end() ? core::Window{} : window->second, n.slot_at, n.step);
        const auto [id, random] = drawn.next();
        previous.push_back(n.previous_id);
        ids.push_back(id);
        step_ids.push_back(n.step.id);
        due.push_back(to_pg(due_at));
        lanes.push_back(n.lane_id);
        internet_ids.push_back(make_message_id(id, random, n.domain));
        mark_wake(n.lane_id, to_pg(due_at));
    }
    insert.run({p_at(now), p_bigints(previous), p_bigints(ids), p_bigints(step_ids), p_times(due), p_bigints(lanes),
                p_texts(std::span<const std::string>(internet_ids)), p_at(core::kHeldUntil)});
}

void advance_leads(std::span<const Settlement> settlements, const std::set<std::int64_t>& written, Time now) {
    static Statement sent(
        R"sql(
        UPDATE mailer.lead l
        SET last_sent_at = $1, last_slot_at = COALESCE(s.slot_at, $1), mailbox_id = COALESCE(s.mailbox_id, l.mailbox_id),
            subject = COALESCE(s.subject, l.subject),
            thread_message_id = CASE WHEN s.subject IS NULL AND m.step_id <> 0 THEN l.thread_message_id
                                     ELSE m.message_id END
        FROM unnest($2, $3, $4, $5) AS s(message_id, slot_at, mailbox_id, subject)
        JOIN mailer.message m ON m.message_id = s.message_id
        WHERE l.campaign_id = m.campaign_id AND l.address_key = m.address_key
        )sql",
        {TIMESTAMPTZOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, TEXTARRAYOID});
    constexpr char is_sent = core::letter(core::MessageState::sent);
    constexpr char is_unconfirmed = core::letter(core::MessageState::unconfirmed);
    std::vector<std::int64_t> ids, sent_ids;
    std::vector<std::optional<std::int64_t>> slots, mailboxes;
    std::vector<std::optional<std::string>> subjects;
    for (const Settlement& s : settlements) {
        const bool may_have_arrived = s.is_final && (s.state == is_sent || s.state == is_unconfirmed);
        if (!s.row.campaign_id || !may_have_arrived || !written.contains(s.row.facts.id)) continue;
        if (s.state == is_sent) sent_ids.push_back(s.row.facts.id);
        const auto& slot = s.reservation ? s.reservation->slot_at : std::nullopt;
        ids.push_back(s.row.facts.id);
        slots.push_back(slot ? std::optional(to_pg(*slot)) : std::nullopt);
        mailboxes.push_back(s.reservation ? std::optional(s.reservation->mailbox_id) : std::nullopt);
        subjects.push_back(s.thread_subject.empty() ? std::nullopt : std::optional(s.thread_subject));
    }
    if (ids.empty()) return;
    sent.run({p_at(now), p_bigints(ids), p_times(slots), p_bigints(mailboxes), p_texts(subjects)});
    queue_next_steps(sent_ids, now);
}

std::set<std::int64_t> of_ended_leads(std::span<const std::int64_t> message_ids) {
    static Statement find(
        R"sql(
        SELECT m.message_id, l.ended IS NOT NULL AS has_ended FROM mailer.message m
        JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
        WHERE m.message_id = ANY ($1)
        ORDER BY l.campaign_id, l.address_key FOR NO KEY UPDATE OF l
        )sql",
        {INT8ARRAYOID});
    std::set<std::int64_t> ended;
    const Rows rows = find.run({p_bigints(message_ids)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        if (rows.boolean(i, "has_ended")) ended.insert(rows.bigint(i, "message_id"));
    return ended;
}

std::set<std::int64_t> stopped_among(std::span<const std::int64_t> message_ids) {
    static Statement find(
        R"sql(
        SELECT m.message_id FROM mailer.message m
        JOIN mailer.lead l ON l.campaign_id = m.campaign_id AND l.address_key = m.address_key
        WHERE m.message_id = ANY ($1) AND (l.ended IS NOT NULL OR l.held_at IS NOT NULL)
        )sql",
        {INT8ARRAYOID});
    std::set<std::int64_t> stopped;
    if (message_ids.empty()) return stopped;
    const Rows rows = find.run({p_bigints(message_ids)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        stopped.insert(rows.bigint(i, 1));
    return stopped;
}

}  // namespace mailer::pg
