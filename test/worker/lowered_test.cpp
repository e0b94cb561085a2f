// A server that takes fewer connections than its mailbox may have: what the courier found out is stored with the next
// transaction, goes into the gates, and is lifted when the table says so.
#include <gtest/gtest.h>

#include <stdexcept>

#include "worker/stubs.hpp"

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;

class OneMailbox : public StubQueue {
public:
    std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t>, const InFlight&,
                                         Time) override {
        if (is_deleted) return {};
        core::MailboxFacts mailbox = only_mailbox();
        mailbox.max_connections = 10;
        mailbox.lowered = table;
        planner.upsert_mailbox(mailbox);
        return {};
    }
    void store_lowered(const core::MailboxFacts& mailbox) override { written = mailbox.lowered; }
    void log_event(const std::string& kind, std::optional<std::int64_t>, std::optional<std::int64_t>,
                   std::optional<std::int64_t>, const std::string&) override {
        kinds.push_back(kind);
    }
    void commit() override {
        if (std::exchange(is_lost, false)) throw std::runtime_error("lost");
        if (written) table = std::exchange(written, std::nullopt);
    }
    void abort() noexcept override { written.reset(); }

    std::optional<core::LoweredConnections> table, written;
    std::vector<std::string> kinds;
    bool is_lost = false, is_deleted = false;
};

class Limited : public StubCourier {
public:
    std::map<std::int64_t, core::LoweredConnections> take_lowered() override { return std::exchange(news, {}); }
    void limit_connections(const std::map<std::int64_t, core::LoweredConnections>& lowered) override { told = lowered; }

    std::map<std::int64_t, core::LoweredConnections> news, told;
};

class Lowered : public testing::Test {
protected:
    void lower_to(int connections) {
        courier.news = {{1, core::lower(std::nullopt, 10, connections, "421 too many", start)}};
    }

    OneMailbox queue;
    StubRoom room;
    Limited courier;
    StubJournal journal;
    Pump pump{queue, room, courier, journal, 1};
};

TEST_F(Lowered, IsStoredAndGoesIntoTheGates) {
    pump.tick(start);
    EXPECT_EQ(pump.planner().mailbox(1)->connections(start), 10);
    lower_to(3);
    pump.tick(start);
    EXPECT_EQ(pump.planner().mailbox(1)->connections(start), 3);
    ASSERT_TRUE(queue.table);
    EXPECT_EQ(queue.table->connections, 3);
    EXPECT_EQ(queue.kinds, std::vector<std::string>{"connections_lowered"});
    lower_to(2);  // of the same lowering
    pump.tick(start);
    EXPECT_EQ(queue.table->connections, 2);
    EXPECT_EQ(queue.kinds.size(), 1U);
}

TEST_F(Lowered, IsStoredAgainWhenItsTransactionIsLost) {
    pump.tick(start);
    lower_to(3);
    queue.is_lost = true;
    EXPECT_THROW(pump.tick(start), std::runtime_error);
    EXPECT_FALSE(queue.table);
    pump.tick(start + 2s);
    ASSERT_TRUE(queue.table);
    EXPECT_EQ(queue.table->connections, 3);
    EXPECT_EQ(courier.told.at(1).connections, 3);  // not lifted meanwhile
}

TEST_F(Lowered, IsToldToTheCourierOfTheNextSenderAndLiftedWithTheTable) {
    queue.table = core::lower(std::nullopt, 10, 4, "421 too many", start);
    pump.tick(start);
    EXPECT_EQ(courier.told.at(1).connections, 4);
    queue.table.reset();
    queue.generation++;
    pump.tick(start);
    EXPECT_TRUE(courier.told.empty());
    EXPECT_EQ(pump.planner().mailbox(1)->connections(start), 10);
}

TEST_F(Lowered, IsForgottenWithItsMailbox) {
    queue.table = core::lower(std::nullopt, 10, 4, "421 too many", start);
    pump.tick(start);
    queue.is_deleted = true;
    queue.generation++;
    lower_to(3);  // one of its last connections
    pump.tick(start);
    EXPECT_TRUE(courier.told.empty());
}

}  // namespace
}  // namespace mailer::worker
