// The transport against a server in the same thread: limits, order, shutdown, time. The numbers cite transport.hpp.
// What single conversations do is played in test/fault; here it is about many, and about what leaves when.
#include "smtp/transport_scene.hpp"

namespace mailer::smtp {
namespace {

TEST_F(TransportTest, NeverOpensMoreConnectionsThanTheMailboxAllows) {  // 3
    endpoint->max_connections = 3;
    for (std::uint64_t i = 1; i <= 30; i++)
        ASSERT_TRUE(transport.submit(delivery(i)));
    EXPECT_EQ(transport.in_flight(1), 30);
    ASSERT_TRUE(until_reports(30));
    EXPECT_EQ(server.most_open, 3);
    EXPECT_EQ(server.messages(), 30);
    EXPECT_EQ(transport.in_flight(), 0);
}

TEST_F(TransportTest, AGoodbyeStillCountsAsAConnection) {  // 3
    endpoint->max_messages_per_connection = 1;
    for (std::uint64_t i = 1; i <= 5; i++)
        transport.submit(delivery(i));
    ASSERT_TRUE(until_reports(5));
    EXPECT_EQ(server.peers.size(), 5U);
    EXPECT_EQ(server.most_open, 1);
}

TEST_F(TransportTest, ALimitOverAllMailboxesClosesTheIdleOnes) {
    for (std::uint64_t i = 1; i <= 40; i++)
        transport.submit(delivery(i, static_cast<std::int64_t>(i)));
    ASSERT_TRUE(until_reports(40));
    EXPECT_LE(server.most_open, 20);
}

TEST_F(TransportTest, KeepsOrderInOneConnection) {
    for (std::uint64_t i = 1; i <= 4; i++)
        transport.submit(delivery(i));
    ASSERT_TRUE(until_reports(4));
    for (std::uint64_t i = 1; i <= 4; i++)
        EXPECT_EQ(reports[i - 1].token, i);
    EXPECT_EQ(server.peers.size(), 1U);
    EXPECT_FALSE(reports[0].connection_was_reused);
    EXPECT_TRUE(reports[3].connection_was_reused);
}

TEST_F(TransportTest, TheJournalKnowsOfADotBeforeTheServer) {  // 1
    journal.server = &server;
    for (std::uint64_t i = 1; i <= 3; i++)
        transport.submit(delivery(i));
    ASSERT_TRUE(until_reports(3));
    EXPECT_EQ(journal.messages_at_dot, (std::vector{0, 1, 2}));
}

TEST_F(TransportTest, TheJournalKnowsOfAReplyBeforeTheConnectionGoesOn) {  // 2
    for (std::uint64_t i = 1; i <= 2; i++)
        transport.submit(delivery(i));
    ASSERT_TRUE(until_reports(2));
    EXPECT_EQ(journal.log, (std::vector<std::string>{"body 1", "dot 1", "reply 1", "body 2", "dot 2", "reply 2"}));
}

TEST_F(TransportTest, ADotThatTheJournalRefusesIsNeverSent) {
    journal.grants = false;
    transport.submit(delivery(1));
    ASSERT_TRUE(until_reports(1));
    EXPECT_EQ(reports[0].ending, Ending::unrecorded);
    EXPECT_FALSE(reports[0].dot_sent);
    ASSERT_TRUE(until([&] { return server.open() == 0; }));
    EXPECT_EQ(server.messages(), 0);
}

TEST_F(TransportTest, WhatWaitsCanBeCalledBackAndWhatIsOnTheWireCannot) {
    server.holds = {"DATA"};
    for (std::uint64_t i = 1; i <= 5; i++)
        transport.submit(delivery(i));
    ASSERT_TRUE(until([&] {
        return !server.peers.empty() && !server.peers[0].commands.empty() && server.peers[0].commands.back() == "DATA";
    }));
    EXPECT_EQ(transport.cancel_not_on_wire([](const Delivery& d) { return d.token != 3; }),
              (std::vector<std::uint64_t>{2, 4, 5}));
    EXPECT_EQ(transport.in_flight(), 2);
    server.holds = {};
    Server::say(server.peers[0], "354 go\r\n");
    ASSERT_TRUE(until_reports(2));
    EXPECT_EQ(reports[0].token, 1U);
    EXPECT_EQ(reports[1].token, 3U);
}

TEST_F(TransportTest, CallingBackAllWhileConnectingLeavesAConnectionForTheNext) {
    server.holds = {"EHLO"};
    transport.submit(delivery(1));
    ASSERT_TRUE(until([&] { return !server.peers.empty() && !server.peers[0].commands.empty(); }));
    EXPECT_EQ(transport.cancel_not_on_wire([](const Delivery&) { return true; }).size(), 1U);
    server.holds = {};
    Server::say(server.peers[0], "250 test.example\r\n");
    transport.submit(delivery(2));
    ASSERT_TRUE(until_reports(1));
    EXPECT_EQ(reports[0].token, 2U);
    EXPECT_EQ(server.peers.size(), 1U);
}

TEST_F(TransportTest, StoppingLetsDotsInFlightFinishAndNothingElse) {
    endpoint->max_connections = 2;
    server.holds = {"."};
    transport.submit(delivery(1));
    ASSERT_TRUE(until([&] { return server.messages() == 1; }));
    EXPECT_EQ(transport.dots_in_flight(), 1);
    server.holds = {"DATA", "."};
    transport.submit(delivery(2));
    transport.submit(delivery(3));
    ASSERT_TRUE(until([&] { return server.peers.size() == 2 && server.peers[1].commands.size() > 3; }));
    transport.stop_new_dots(now);
    EXPECT_FALSE(transport.submit(delivery(4)));
    ASSERT_TRUE(until_reports(2));
    for (const core::Report& report : reports) {
        EXPECT_NE(report.token, 1U);
        EXPECT_EQ(report.ending, Ending::abandoned);
        EXPECT_FALSE(report.dot_sent);
    }
    Server::say(server.peers[0], "250 2.0.0 queued\r\n");
    ASSERT_TRUE(until_reports(3));
    EXPECT_EQ(reports[2].token, 1U);
    EXPECT_TRUE(reports[2].final_reply);
    ASSERT_TRUE(until([&] { return transport.connections() == 0; }));
    EXPECT_EQ(transport.next_timeout(now), std::nullopt);
}

TEST_F(TransportTest, AbandoningAllReportsDotsInFlightWithoutAReply) {
    server.holds = {"."};
    transport.submit(delivery(1));
    transport.submit(delivery(2));
    ASSERT_TRUE(until([&] { return server.messages() == 1; }));
    transport.abandon_all(now);
    EXPECT_EQ(transport.connections(), 0);
    transport.turn(now, reports);
    ASSERT_EQ(reports.size(), 2U);
    for (const core::Report& report : reports) {
        EXPECT_EQ(report.ending, Ending::abandoned);
        EXPECT_EQ(report.dot_sent, report.token == 1);
        EXPECT_FALSE(report.final_reply);
        EXPECT_EQ(journal.replies[report.token], 1);
    }
}

TEST_F(TransportTest, TimeIsTheCallersAndTimeOutsFollowIt) {
    server.holds = {"MAIL"};
    transport.submit(delivery(1));
    ASSERT_TRUE(until([&] { return !server.peers.empty() && server.peers[0].commands.size() > 1; }));
    const auto wait = transport.next_timeout(now);
    ASSERT_TRUE(wait);
    EXPECT_LE(*wait, endpoint->timeouts.mail);
    now += 4min;
    transport.turn(now, reports);
    EXPECT_TRUE(reports.empty());
    now += 1min;
    transport.turn(now, reports);
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].ending, Ending::timed_out);
    EXPECT_EQ(transport.connections(), 0);
}

TEST_F(TransportTest, ConnectingTimesOutByTheCallersTimeToo) {
    server.holds = {"EHLO"};
    transport.submit(delivery(1));
    ASSERT_TRUE(until([&] { return !server.peers.empty() && !server.peers[0].commands.empty(); }));
    now += endpoint->timeouts.session;
    transport.turn(now, reports);
    ASSERT_TRUE(until([&] { return !reports.empty(); }));  // there is no other address to try
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].ending, Ending::timed_out);
    EXPECT_EQ(reports[0].stage, Stage::ehlo);
    ASSERT_TRUE(until([&] { return server.open() == 0; }));
}

TEST_F(TransportTest, IdleConnectionsCloseInTime) {
    transport.submit(delivery(1));
    ASSERT_TRUE(until_reports(1));
    EXPECT_EQ(transport.connections(1), 1);
    const auto wait = transport.next_timeout(now);
    ASSERT_TRUE(wait);
    EXPECT_LE(*wait, endpoint->idle);
    now += endpoint->idle;
    ASSERT_TRUE(until([&] { return transport.connections() == 0; }));
    EXPECT_EQ(server.peers[0].commands.back(), "QUIT");
    EXPECT_EQ(transport.next_timeout(now), std::nullopt);
}

TEST_F(TransportTest, AFailingServerIsTriedOnceATurnSoThatTheRestCanBeCalledBack) {
    endpoint->port = 1;
    for (std::uint64_t i = 1; i <= 3; i++)
        transport.submit(delivery(i));
    ASSERT_TRUE(until_reports(1));
    EXPECT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].stage, Stage::connect);
    EXPECT_EQ(transport.cancel_not_on_wire([](const Delivery&) { return true; }).size(), 2U);
    EXPECT_EQ(transport.in_flight(), 0);
}

TEST_F(TransportTest, BodiesAreSharedNotCopied) {  // 4
    body = std::make_shared<const std::string>(std::string(4'000'000, 'x') + "\r\n");
    endpoint->max_connections = 10;
    for (std::uint64_t i = 1; i <= 10; i++)
        transport.submit(delivery(i));
    EXPECT_EQ(body.use_count(), 11);
    ASSERT_TRUE(until_reports(10));
    EXPECT_EQ(body.use_count(), 1);
    EXPECT_EQ(server.messages(), 10);
}

TEST_F(TransportTest, OneSilentServerDoesNotHoldUpTheOthers) {
    Server silent;
    auto other = std::make_shared<Endpoint>(*endpoint);
    other->port = silent.port;
    silent.holds = {"."};
    Delivery stuck = delivery(100, 2);
    stuck.endpoint = other;
    transport.submit(stuck);
    ASSERT_TRUE(until([&] {
        silent.turn();
        return silent.messages() == 1;
    }));
    for (std::uint64_t i = 1; i <= 10; i++)
        transport.submit(delivery(i));
    ASSERT_TRUE(until_reports(10));
    EXPECT_EQ(transport.in_flight(2), 1);
}

TEST_F(TransportTest, NothingInHandMeansNoTimer) {
    EXPECT_EQ(transport.next_timeout(now), std::nullopt);
    transport.turn(now, reports);
    EXPECT_TRUE(reports.empty());
}

}  // namespace
}  // namespace mailer::smtp
