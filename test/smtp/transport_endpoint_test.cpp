// Which connection a mail goes over when its mailbox has got another server or login, and when a connection has grown
// stale.
#include "smtp/transport_scene.hpp"

namespace mailer::smtp {
namespace {

TEST_F(TransportTest, AChangedEndpointGetsItsOwnConnection) {
    transport.submit(delivery(1));
    ASSERT_TRUE(until_reports(1));
    auto changed = std::make_shared<Endpoint>(*endpoint);
    changed->helo_name = "other.example";
    Delivery second = delivery(2);
    second.endpoint = changed;
    transport.submit(second);
    ASSERT_TRUE(until_reports(2));
    EXPECT_EQ(server.peers.size(), 2U);
    EXPECT_EQ(server.most_open, 1);
    EXPECT_EQ(server.peers[1].commands[0], "EHLO other.example");
}

TEST_F(TransportTest, AnEqualEndpointSharesTheConnection) {
    transport.submit(delivery(1));
    ASSERT_TRUE(until_reports(1));
    Delivery second = delivery(2);
    second.endpoint = std::make_shared<Endpoint>(*endpoint);
    transport.submit(second);
    ASSERT_TRUE(until_reports(2));
    EXPECT_EQ(server.peers.size(), 1U);
}

TEST_F(TransportTest, WhatIsConnectingToAnOutdatedServerComesBackAndLeavesItsPlace) {
    Server silent;  // its turn never comes: connections are accepted by the kernel, and nobody greets
    auto old = std::make_shared<Endpoint>(*endpoint);
    old->port = silent.port;
    for (std::uint64_t i = 1; i <= 2; i++) {
        Delivery d = delivery(i);
        d.endpoint = old;
        transport.submit(d);
    }
    transport.submit(delivery(9, 2));  // of another mailbox, connecting as well
    transport.turn(now, reports);
    ASSERT_EQ(transport.connections(1), 1);
    const auto is_current = [&](std::int64_t, const Endpoint& e) { return e == *endpoint; };
    EXPECT_EQ(transport.let_go_of_outdated(is_current), (std::vector<std::uint64_t>{1, 2}));
    transport.submit(delivery(3));
    const core::Time before = now;
    ASSERT_TRUE(until_reports(2));
    EXPECT_EQ(journal.replies, (std::map<std::uint64_t, int>{{3, 1}, {9, 1}}));
    EXPECT_LT(now - before, endpoint->timeouts.connect);
    EXPECT_EQ(server.peers.size(), 2U);
}

TEST_F(TransportTest, LettingGoOfOutdatedConnectionsLeavesTheBusyMessageAlone) {
    server.holds = {"."};
    transport.submit(delivery(1));
    ASSERT_TRUE(until([&] { return server.messages() == 1; }));
    EXPECT_TRUE(transport.let_go_of_outdated(none_is_current).empty());
    server.turn();
    transport.turn(now, reports);
    EXPECT_EQ(server.open(), 1);
    server.holds = {};
    Server::say(server.peers[0], "250 ok\r\n");
    ASSERT_TRUE(until_reports(1));
    EXPECT_TRUE(reports[0].final_reply);
    ASSERT_TRUE(until([&] { return transport.connections() == 0; }));
    EXPECT_EQ(server.peers[0].commands.back(), "QUIT");
}

TEST_F(TransportTest, AStaleConnectionIsReplacedWithoutAWord) {
    endpoint->max_connections = 2;
    server.holds = {"."};
    transport.submit(delivery(1));
    transport.submit(delivery(2));
    ASSERT_TRUE(until([&] { return server.messages() == 2; }));
    for (Peer& peer : server.peers)
        Server::say(peer, "250 ok\r\n");
    ASSERT_TRUE(until_reports(2));
    server.holds = {};
    for (Peer& peer : server.peers)
        Server::drop(peer);
    transport.submit(delivery(3));  // before the transport has seen the closes
    ASSERT_TRUE(until_reports(3));
    EXPECT_EQ(reports[2].stage, Stage::done);
    EXPECT_FALSE(reports[2].connection_was_reused);
    EXPECT_EQ(journal.replies[3], 1);
}

TEST_F(TransportTest, AStaleConnectionToAnOutdatedServerIsNotReplaced) {
    transport.submit(delivery(1));
    ASSERT_TRUE(until_reports(1));
    server.holds = {"MAIL"};
    transport.submit(delivery(2));
    transport.turn(now, reports);  // it goes to the connection that is open
    EXPECT_TRUE(transport.let_go_of_outdated(none_is_current).empty());
    Server::drop(server.peers[0]);
    ASSERT_TRUE(until_reports(2));
    EXPECT_TRUE(core::is_stale_connection(reports[1]));  // the caller sends it again, to the new server
    EXPECT_EQ(server.peers.size(), 1U);
}

}  // namespace
}  // namespace mailer::smtp
