// A role that makes thousands of lanes and has the sender look at all of them again and again: it goes on with other work.
#include <gtest/gtest.h>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;

core::LaneFacts lane_with(std::int64_t id) {
    core::LaneFacts lane;
    lane.id = id;
    lane.kind = id == 1 ? core::LaneKind::stream : core::LaneKind::batch;
    lane.pool = {1};
    return lane;
}

// Lane 1 is a stream, the others are batches that are due tomorrow.
class ManyLanes : public StubQueue {
public:
    Signals take_signals() override {
        return {std::exchange(hints, {}), std::exchange(is_overflown, false), generation};
    }
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t> ids, const InFlight&,
                                         Time now) override {
        ++reloads;
        for (const std::int64_t id : ids)
            planner.upsert_lane(lane_with(id), now);
        return {};
    }
    std::vector<std::int64_t> load_lanes(core::Planner& planner, std::span<const std::int64_t> ids, const InFlight&,
                                         Time now) override {
        most_loaded = std::max(most_loaded, ids.size());
        for (const std::int64_t id : ids)
            planner.upsert_lane(lane_with(id), now);
        return {};
    }
    Swept sweep() override {
        ++sweeps;
        Swept swept;
        for (std::int64_t id = 1; id <= count; ++id)
            swept.lanes.push_back({id, start + 24h});
        return swept;
    }

    std::vector<Signals::Hint> hints;
    bool is_overflown = false;
    std::int64_t count = 10'000;
    int reloads = 0, sweeps = 0;
    std::size_t most_loaded = 0;
};

class Flood : public ::testing::Test {
protected:
    void learn_all() {
        for (; pump.planner().lane_ids().size() < 10'000; now += 1ms)
            pump.tick(now);
        queue.reloads = queue.sweeps = 0;
    }

    ManyLanes queue;
    StubRoom room;
    StubCourier courier;
    StubJournal journal;
    Pump pump{queue, room, courier, journal, 1};
    Time now = start;
};

TEST_F(Flood, LanesAreLearntAFewAtATime) {
    learn_all();
    EXPECT_LE(queue.most_loaded, 500U);
}

TEST_F(Flood, ChangesInARowAreReadOnceInAWhile) {
    learn_all();
    for (int i = 0; i < 1000; ++i, now += 1ms) {
        ++queue.generation;
        pump.tick(now);
    }
    EXPECT_GE(queue.reloads, 1);
    EXPECT_LE(queue.reloads, 3);
    const int before = queue.reloads;
    ASSERT_TRUE(pump.wake_at());
    EXPECT_LE(*pump.wake_at(), now + 1s);
    pump.tick(*pump.wake_at());
    EXPECT_EQ(queue.reloads, before + 1);  // the last change is read too
}

TEST_F(Flood, HintsThatDontFitHaveAllLanesLookedAtOnceInAWhileAndStreamsAtOnce) {
    learn_all();
    for (int i = 0; i < 1000; ++i, now += 1ms) {
        queue.is_overflown = true;
        pump.tick(now);
    }
    EXPECT_LE(queue.sweeps, 3);
    queue.is_overflown = true;
    pump.tick(now);
    EXPECT_LE(pump.planner().lane(1)->waiting_since, now);
    EXPECT_EQ(pump.planner().lane(2)->waiting_since, start + 24h);
}

TEST_F(Flood, SomebodySuppressedIsNoReasonToReadEverything) {
    learn_all();
    for (int i = 0; i < 100; ++i, now += 10ms) {
        queue.hints = {{recheck_lane, now}};
        pump.tick(now);
    }
    EXPECT_EQ(queue.reloads, 0);
    EXPECT_EQ(pump.planner().lane(recheck_lane), nullptr);
}

}  // namespace
}  // namespace mailer::worker
