// The final dot when somebody else has to agree: it waits, the other connections go on, and nothing is lost meanwhile.
#include <gtest/gtest.h>

#include "smtp/transport_scene.hpp"

namespace mailer::smtp {
namespace {

TEST_F(TransportTest, DotWaitsUntilItMayLeaveAndTheServerIsNotBlamed) {
    journal.verdict = Observer::Dot::wait;
    transport.submit(delivery(1));
    ASSERT_TRUE(until([&] { return journal.asked[1] > 2; }));
    EXPECT_EQ(transport.dots_waiting(), 1);
    EXPECT_EQ(server.messages(), 0);
    now += 10min;  // longer than any timeout of the conversation
    ASSERT_TRUE(until([&] { return journal.asked[1] > 4; }));
    EXPECT_GE(journal.waited, 10min);
    EXPECT_TRUE(reports.empty());
    EXPECT_LE(*transport.next_timeout(now), 50ms);
    journal.verdict = Observer::Dot::go;
    ASSERT_TRUE(until_reports(1));
    EXPECT_TRUE(reports[0].final_reply && reports[0].final_reply->is_positive());
    EXPECT_EQ(transport.dots_waiting(), 0);
}

TEST_F(TransportTest, DotThatMayNotLeaveInTimeIsOursAndNothingHappened) {
    journal.verdict = Observer::Dot::wait;
    transport.submit(delivery(1));
    ASSERT_TRUE(until([&] { return journal.asked[1] > 0; }));
    journal.verdict = Observer::Dot::give_up;
    ASSERT_TRUE(until_reports(1));
    EXPECT_EQ(reports[0].ending, core::Ending::abandoned);
    EXPECT_FALSE(reports[0].dot_sent);
    EXPECT_EQ(server.messages(), 0);
    EXPECT_EQ(transport.dots_waiting(), 0);
}

TEST_F(TransportTest, DotThatIsTakenBackIsOursAndSaysSo) {
    journal.verdict = Observer::Dot::take_back;
    transport.submit(delivery(1));
    ASSERT_TRUE(until_reports(1));
    EXPECT_EQ(reports[0].ending, core::Ending::abandoned);
    EXPECT_FALSE(reports[0].dot_sent);
    EXPECT_EQ(reports[0].error_text, "it was taken back before its dot");
    EXPECT_EQ(server.messages(), 0);
}

TEST_F(TransportTest, NoDotThatWaitsLeavesAfterTheOrderToStop) {
    journal.verdict = Observer::Dot::wait;
    transport.submit(delivery(1));
    ASSERT_TRUE(until([&] { return journal.asked[1] > 0; }));
    transport.stop_new_dots(now);
    journal.verdict = Observer::Dot::go;
    ASSERT_TRUE(until_reports(1));
    EXPECT_FALSE(reports[0].dot_sent);
}

}  // namespace
}  // namespace mailer::smtp
