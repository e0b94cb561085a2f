// A year of random campaigns, mailboxes, failures, restarts, outages and pauses, held against the rules restated here.
#include <gtest/gtest.h>

#include <set>

#include "core/simulation.hpp"

namespace mailer::core {
namespace {

using namespace test;

struct World {
    Planner planner;
    std::vector<LaneQueue> queues;
};

const Time kNewYear = utc("2026-01-01 00:00");

MailboxFacts random_mailbox(Random& random, std::int64_t id, bool has_gaps) {
    MailboxFacts mailbox = mailbox_named(id, "m" + std::to_string(id));
    mailbox.zone = random.of<Zone>({warsaw(), new_york(), kathmandu(), lord_howe(), havana()});
    if (!random.one_in(3)) mailbox.daily_limit.ceiling = random.between(1, 40);
    if (random.one_in(3)) {
        mailbox.daily_limit.ramp_start = random.between(1, 5);
        mailbox.daily_limit.ramp_step = random.between(1, 4);
        mailbox.use.counted_from = day("2026-01-01") + std::chrono::days{random.below(20)};
    }
    if (has_gaps && random.one_in(2)) mailbox.gap = seconds{random.between(1, 1800)};
    if (random.one_in(3)) mailbox.max_connections = random.between(1, 3);
    return mailbox;
}

LaneFacts random_campaign(Random& random, std::int64_t id) {
    LaneFacts lane = campaign_with(id, {});
    const int start = random.below(1440);
    lane.window = {start, random.one_in(6) ? start : random.below(1440), static_cast<Weekdays>(random.between(1, 127)),
                   random.of<Zone>({warsaw(), new_york(), kathmandu(), lord_howe(), havana()})};
    lane.gap = random.one_in(10) ? Duration{0} : Duration{seconds{random.between(20, 7200)}};
    lane.jitter_ppm = random.of<int>({0, 200'000, 500'000, 1'000'000});
    if (random.one_in(2)) lane.max_per_day = random.between(1, 30);
    if (random.one_in(4)) lane.starts_at = kNewYear + hours{random.below(24 * 60)};
    lane.next_slot_at.reset();
    lane.waiting_since.reset();
    return lane;
}

World random_world(Random& random, bool has_unstored_turns, bool has_gaps = true) {
    World world;
    const int mailboxes = random.between(1, 4);
    for (int id = 1; id <= mailboxes; ++id)
        world.planner.upsert_mailbox(random_mailbox(random, id, has_gaps));
    const int lanes = random.between(1, 5);
    for (int id = 11; id < 11 + lanes; ++id) {
        LaneFacts lane = random_campaign(random, id);
        if (has_gaps && random.one_in(4)) lane = batch_with(id, {}, seconds{random.between(1, 3600)});
        if (has_unstored_turns && random.one_in(5)) lane = stream_with(id, {});
        if (!has_unstored_turns && lane.gap == Duration{0}) lane.gap = minutes{3};
        for (int m = 1; m <= mailboxes; ++m) {
            if (random.one_in(2) || m == id % mailboxes + 1) lane.pool.push_back(m);
        }
        lane.waiting_since.reset();
        world.planner.upsert_lane(lane, kNewYear);
        LaneQueue queue{id, leads(1000 * id, static_cast<std::size_t>(random.between(1, 200)), kNewYear)};
        for (MessageFacts& message : queue.waiting) {
            message.is_warmup = random.one_in(10);
            message.priority = random.one_in(8) ? random.below(5) : 2;
            if (random.one_in(3)) message.due_at += hours{random.below(24 * 200)};
            if (random.one_in(20)) message.expires_at = message.due_at + hours{random.below(24 * 30)};
        }
        world.queues.push_back(std::move(queue));
    }
    return world;
}

// ── The rules, restated ──────────────────────────────────────────────────────────────────────────────────────────

// The day a moment belongs to, none outside the window: minutes and weekdays of the wall clock, nothing else.
std::optional<Date> day_of_window(const Window& w, Time t) {
    const LocalTime local = w.zone.local(t);
    const Date date = std::chrono::floor<std::chrono::days>(local);
    const auto minute = std::chrono::floor<minutes>(local - LocalTime{date}).count();
    const bool is_tail = w.end_minute < w.start_minute && minute < w.end_minute;
    const bool is_head = minute >= w.start_minute && (minute < w.end_minute || w.end_minute < w.start_minute);
    if (w.start_minute != w.end_minute && !is_tail && !is_head) return std::nullopt;
    const Date owner = is_tail ? date - std::chrono::days{1} : date;
    const bool is_allowed = w.weekdays >> (std::chrono::weekday{owner}.iso_encoding() - 1) & 1;
    return is_allowed ? std::optional{owner} : std::nullopt;
}

void expect_windows_and_caps(const std::vector<Sent>& log) {
    std::map<std::pair<std::int64_t, Date>, int> of_campaign, of_mailbox;
    std::map<std::int64_t, std::vector<const Sent*>> landed;
    for (const Sent& sent : log) {
        const Time at = sent.taken.at;
        const Date mailbox_day = std::chrono::floor<std::chrono::days>(sent.mailbox.zone.local(at));
        if (sent.is_counted) of_mailbox[{sent.mailbox.id, mailbox_day}] += 1;
        if (const auto limit = sent.mailbox.daily_limit.on(mailbox_day, sent.mailbox.use)) {
            const int used = of_mailbox[{sent.mailbox.id, mailbox_day}];
            ASSERT_LE(used, *limit) << sent.mailbox.name << " " << text_of(at);
        }
        if (sent.lane.kind != LaneKind::campaign) continue;
        const auto campaign_day = day_of_window(sent.lane.window, at);
        ASSERT_TRUE(campaign_day) << "outside the window: " << sent.lane.id << " " << text_of(at);
        if (sent.is_counted) of_campaign[{sent.lane.id, *campaign_day}] += 1;
        if (sent.lane.max_per_day) {
            const int used = of_campaign[{sent.lane.id, *campaign_day}];
            ASSERT_LE(used, *sent.lane.max_per_day) << sent.lane.id << " " << text_of(at);
        }
        ASSERT_GE(at, sent.lane.starts_at.value_or(at));
    }
}

void expect_gaps(const std::vector<Sent>& log) {
    std::map<std::int64_t, Time> claimed, batch_reply, mailbox_reply;
    std::vector<const Sent*> flying;
    for (const Sent& sent : log) {
        const Time at = sent.taken.at;
        std::erase_if(flying, [at](const Sent* s) { return s->replied_at <= at; });
        // Replies that came before this claim, in the order of the log: gaps run from the latest.
        for (const Sent& before : log) {
            if (&before == &sent) break;
            if (!before.has_reply || before.replied_at > at || before.replied_at + hours{3} < at) continue;
            mailbox_reply[before.mailbox.id] = std::max(mailbox_reply[before.mailbox.id], before.replied_at);
            batch_reply[before.lane.id] = std::max(batch_reply[before.lane.id], before.replied_at);
        }
        const auto on_mailbox = std::count_if(flying.begin(), flying.end(),
                                              [&](const Sent* s) { return s->mailbox.id == sent.mailbox.id; });
        const auto on_lane =
            std::count_if(flying.begin(), flying.end(), [&](const Sent* s) { return s->lane.id == sent.lane.id; });
        ASSERT_LT(on_mailbox, sent.mailbox.gap > Duration{0} ? 1 : sent.mailbox.max_connections) << text_of(at);
        if (mailbox_reply.count(sent.mailbox.id) != 0) {
            ASSERT_GE(at, mailbox_reply[sent.mailbox.id] + sent.mailbox.gap);
        }
        if (sent.lane.kind == LaneKind::batch) {
            ASSERT_EQ(on_lane, 0);
            ASSERT_TRUE(batch_reply.count(sent.lane.id) == 0 || at >= batch_reply[sent.lane.id] + sent.lane.gap);
        }
        if (sent.lane.kind == LaneKind::campaign && claimed.count(sent.lane.id) != 0) {
            const auto least = Duration{static_cast<std::int64_t>(static_cast<double>(sent.lane.gap.count()) *
                                                                  (1 - sent.lane.jitter_ppm / 1e6))};
            const Duration tolerance = std::min<Duration>(seconds{1}, sent.lane.gap / 4);
            ASSERT_GE(at - claimed[sent.lane.id], least - tolerance - Duration{1})
                << sent.lane.id << " " << text_of(at);
        }
        claimed[sent.lane.id] = at;
        flying.push_back(&sent);
    }
}

void expect_each_message_once(const std::vector<Sent>& log) {
    std::set<std::int64_t> counted;
    for (const Sent& sent : log) {
        ASSERT_TRUE(!sent.is_counted || counted.insert(sent.taken.message_id).second) << sent.taken.message_id;
    }
}

// Invariant P1, the long way: the planner offers a lane exactly when some lane may go by the gates themselves.
void expect_offer_matches_gates(Simulation& simulation) {
    bool may_go = false;
    for (const std::int64_t id : simulation.planner.lane_ids()) {
        const auto since = simulation.planner.lane(id)->waiting_since;
        may_go = may_go || (since && *since <= simulation.now && simulation.planner.decide(id, simulation.now).go);
    }
    ASSERT_EQ(simulation.planner.next(simulation.now).has_value(), may_go) << text_of(simulation.now);
}

// ── Disturbances ─────────────────────────────────────────────────────────────────────────────────────────────────

void disturb(Simulation& simulation, Random& random) {
    const auto lane_id = random.of(simulation.planner.lane_ids());
    LaneFacts lane = *simulation.planner.lane(lane_id);
    MailboxFacts mailbox = *simulation.planner.mailbox(random.of(simulation.planner.mailbox_ids()));
    switch (random.below(7)) {
        case 0:
            simulation.now += hours{random.below(24 * 5)};
            return;  // an outage
        case 1:
            lane.state = lane.state == LaneState::paused ? LaneState::running : LaneState::paused;
            break;
        case 2:  // takes effect on the next slot; one that is late already keeps the gap it was drawn with
            if (lane.kind != LaneKind::campaign || lane.next_slot_at <= simulation.now) return;
            lane.gap = seconds{random.between(20, 7200)};
            break;
        case 3:
            lane.window.start_minute = random.below(1440);
            break;
        case 4:
            lane.max_per_day = lane.max_per_day.value_or(5) + 3;
            break;
        case 5:
            mailbox.is_enabled = !mailbox.is_enabled;
            break;
        default:
            mailbox.breaker_open_until = simulation.now + minutes{random.below(600)};
    }
    if (lane.gap != simulation.planner.lane(lane_id)->gap || random.one_in(4)) {
        if (lane.next_slot_at && *lane.next_slot_at > simulation.now) lane.next_slot_at.reset();
    }
    simulation.planner.upsert_mailbox(mailbox);
    simulation.planner.upsert_lane(lane, simulation.now);
}

TEST(PlannerYear, RulesHoldWhateverHappens) {
    std::size_t sent = 0;
    for (unsigned seed = 1; seed <= 150; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Random random{seed};
        World world = random_world(random, true);
        Simulation simulation{std::move(world.planner), world.queues, kNewYear, seed};
        simulation.max_latency = std::chrono::milliseconds{random.of<int>({0, 50, 5000})};
        simulation.transit = std::chrono::milliseconds{random.of<int>({0, 300, 40'000})};
        simulation.failure_one_in = random.of<int>({0, 5});
        simulation.restart_one_in = random.of<int>({0, 20});
        while (simulation.now < kNewYear + hours{24 * 365} && simulation.waiting() > 0) {
            for (int i = random.below(60); i > 0 && simulation.step(simulation.now + hours{24 * 3}); --i) {
                expect_offer_matches_gates(simulation);
            }
            simulation.now += minutes{random.below(120)};
            expect_offer_matches_gates(simulation);
            if (random.one_in(2)) disturb(simulation, random);
            if (HasFatalFailure()) return;
        }
        expect_windows_and_caps(simulation.log);
        expect_gaps(simulation.log);
        expect_each_message_once(simulation.log);
        if (HasFatalFailure()) return;
        sent += simulation.log.size();
    }
    EXPECT_GT(sent, 20'000U);
}

// ── The forecast comes true ──────────────────────────────────────────────────────────────────────────────────────

TEST(PlannerYear, ForecastComesTrueToTheMicrosecondAlsoAcrossRestarts) {
    for (unsigned seed = 1; seed <= 150; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Random random{seed};
        World world = random_world(random, false);
        const Duration transit = std::chrono::milliseconds{random.of<int>({0, 300, 40'000})};
        const Time end = kNewYear + hours{24 * 365};
        const auto rows = forecast(world.planner, world.queues, kNewYear, {.until = end, .transit = transit}).rows;
        Simulation simulation{std::move(world.planner), world.queues, kNewYear, seed};
        simulation.transit = transit;
        simulation.restart_one_in = 10;
        simulation.run(end);
        ASSERT_EQ(rows.size(), simulation.log.size());
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const Reservation& taken = simulation.log[i].taken;
            ASSERT_EQ(rows[i].message_id, taken.message_id) << i;
            ASSERT_EQ(rows[i].mailbox_id, taken.mailbox_id) << i;
            ASSERT_EQ(text_of(rows[i].slot_at), text_of(taken.at)) << i;
            ASSERT_EQ(rows[i].ordinal, taken.ordinal) << i;
        }
    }
}

// Claims that come up to 50 ms after their time don't add up: the plan counts from slots. (A gap that runs from replies
// would; it is left out here.)
TEST(PlannerYear, ForecastComesTrueToTheSecondWithAWorkerThatIsLate) {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Random random{seed};
        World world = random_world(random, false, false);
        const Time end = kNewYear + hours{24 * 365};
        std::map<std::int64_t, std::vector<Time>> planned, seen;
        for (const auto& row : forecast(world.planner, world.queues, kNewYear, {.until = end}).rows) {
            planned[row.lane_id].push_back(row.slot_at);
        }
        Simulation simulation{std::move(world.planner), world.queues, kNewYear, seed};
        simulation.max_latency = std::chrono::milliseconds{50};
        simulation.run(end);
        for (const Sent& sent : simulation.log)
            seen[sent.lane.id].push_back(sent.taken.at);
        for (const auto& [lane, times] : planned) {
            ASSERT_EQ(times.size(), seen[lane].size());
            for (std::size_t i = 0; i < times.size(); ++i) {
                ASSERT_LT(std::chrono::abs(times[i] - seen[lane][i]), seconds{1})
                    << lane << " " << i << " " << text_of(times[i]);
            }
        }
    }
}

TEST(PlannerYear, AfterAnOutageSendingGoesOnAtTheNormalGapAndCountsWhatWasMissed) {
    Planner planner;
    planner.upsert_mailbox(mailbox_named(1, "a"));
    planner.upsert_lane(campaign_with(7, {1}), kMondayMorning);
    Simulation simulation{std::move(planner), {{7, leads(1, 1000, kMondayMorning)}}, kMondayMorning, 1};
    simulation.run(kMondayMorning + minutes{30});
    const std::size_t before = simulation.log.size();
    simulation.now = kMondayMorning + hours{3};
    simulation.run(kMondayMorning + hours{4});
    ASSERT_EQ(before, 21U);
    ASSERT_EQ(simulation.log.size(), before + 41);  // an hour's worth: not one more for the time lost
    ASSERT_TRUE(simulation.log[before].taken.missed);
    EXPECT_EQ(simulation.log[before].taken.missed->count, 99);
    for (std::size_t i = before + 1; i < simulation.log.size(); ++i) {
        EXPECT_EQ(simulation.log[i].taken.at - simulation.log[i - 1].taken.at, seconds{90});
        EXPECT_FALSE(simulation.log[i].taken.missed);
    }
}

}  // namespace
}  // namespace mailer::core
