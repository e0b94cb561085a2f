// Random scenes: the decision and its explanation are one walk, and a gate that opens at a time is shut until then.
#include <gtest/gtest.h>

#include <random>

#include "core/pace/gate.hpp"
#include "core/pace/slot.hpp"
#include "core/scene.hpp"

namespace mailer::core {
namespace {

using namespace test;

class RandomScene {
public:
    explicit RandomScene(unsigned seed) : random_(seed) {}

    Scene make() {
        Scene scene;
        scene.now = kMondayMorning + seconds{below(14 * 86400)};
        scene.system.max_connections = below(4);
        scene.system.in_flight = below(3);
        if (one_in(12)) scene.system.pause_reason = "x";
        LaneFacts& lane = scene.lane;
        if (one_in(5)) lane = batch_with(7, {}, seconds{below(3)});
        lane.in_flight = below(2);
        if (one_in(3)) lane.next_at = around(scene.now);
        if (one_in(8)) lane.state = LaneState::paused;
        if (one_in(4)) lane.starts_at = around(scene.now);
        lane.window.start_minute = below(1440);
        lane.window.end_minute = below(1440);
        lane.window.weekdays = static_cast<Weekdays>(below(128));
        if (one_in(2)) lane.max_per_day = below(3);
        for (int i = below(3); i > 0; --i)
            lane.use.take(lane.window.day_of(scene.now), false);
        lane.next_slot_at = around(scene.now);
        lane.waiting_since = around(scene.now);
        scene.mailboxes.clear();
        for (int i = below(4); i > 0; --i)
            scene.mailboxes.push_back(mailbox(i, scene.now));
        return scene;
    }

private:
    int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
    bool one_in(int n) { return below(n) == 0; }
    Time around(Time now) { return now + seconds{below(600) - 500}; }

    MailboxFacts mailbox(int id, Time now) {
        MailboxFacts m = mailbox_named(id, std::string(1, static_cast<char>('a' + id)));
        m.is_enabled = !one_in(5);
        if (one_in(4)) m.breaker_open_until = around(now);
        if (one_in(2)) m.daily_limit = {.ceiling = 2, .ramp_start = below(3), .ramp_step = below(2)};
        for (int i = below(3); i > 0; --i)
            m.use.take(m.zone.date(now), one_in(2));
        m.gap = seconds{below(2)};
        if (one_in(3)) m.next_at = around(now);
        m.in_flight = below(2);
        m.max_connections = 1 + below(2);
        return m;
    }

    std::mt19937 random_;
};

// Invariants G1 and G2, over scenes nobody thought of.
TEST(Gate, DecisionAndExplanationAgreeAndShutGatesStayShutUntilTheyOpen) {
    RandomScene random{20260105};
    int went = 0;
    for (int i = 0; i < 20'000; ++i) {
        Scene scene = random.make();
        const Decision decision = scene.decide();
        std::vector<GateLine> lines = scene.explain();
        lines.resize(lines.size() - 4);  // without the message's own
        const GateLine* blocking = nullptr;
        for (const GateLine& line : lines) {
            if (!blocking && !line.is_open && line.mailbox.empty()) blocking = &line;
            if (line.opens_at) {
                ASSERT_FALSE(line.is_open);
                ASSERT_GT(*line.opens_at, scene.now) << line.detail;
            }
        }
        ASSERT_EQ(decision.go, blocking == nullptr);
        went += decision.go;
        if (decision.go) continue;
        ASSERT_EQ(gate_name(decision.first_shut), gate_name(blocking->gate));
        if (!decision.opens_at) continue;
        const Duration wait = *decision.opens_at - scene.now;
        for (const Duration later : {wait / 3, wait / 2, wait - Duration{1}}) {
            Scene at = scene;
            at.now += later;
            ASSERT_FALSE(at.decide().go) << blocking->detail << " " << later.count();
        }
    }
    EXPECT_GT(went, 200);
}

}  // namespace
}  // namespace mailer::core
