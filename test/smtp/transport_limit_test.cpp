// Servers that take fewer connections than a mailbox may have, and mailboxes that share a server or the sender's limit.
#include "smtp/transport_scene.hpp"

namespace mailer::smtp {
namespace {

class TransportLimitTest : public TransportTest {
protected:
    TransportLimitTest() { endpoint->max_connections = 10; }

    void submit(std::uint64_t count, std::int64_t mailbox = 1) {
        for (std::uint64_t i = 0; i < count; i++)
            ASSERT_TRUE(transport.submit(delivery(++last_token, mailbox)));
    }
    bool is_all_sent() const {
        return std::all_of(reports.begin(), reports.end(),
                           [](const core::Report& r) { return r.final_reply && r.final_reply->is_positive(); });
    }

    std::uint64_t last_token = 0;
};

TEST_F(TransportLimitTest, AServerThatTakesFewerConnectionsFailsNothing) {
    server.takes = 3;
    submit(60);
    ASSERT_TRUE(until_reports(60));
    EXPECT_TRUE(is_all_sent());
    EXPECT_EQ(server.messages(), 60);
    EXPECT_LE(server.turned_away, 7);
    const auto lowered = transport.take_lowered();
    ASSERT_EQ(lowered.size(), 1U);
    EXPECT_EQ(lowered.at(1).connections, 3);
    EXPECT_NE(lowered.at(1).reason.find("too many connections"), std::string::npos);
    EXPECT_TRUE(transport.take_lowered().empty());
}

TEST_F(TransportLimitTest, OneMoreIsTriedAfterAPauseThatGrows) {
    server.takes = 3;
    submit(60);
    ASSERT_TRUE(until_reports(60));
    const int at_first = server.turned_away;
    submit(30);
    ASSERT_TRUE(until_reports(90));
    EXPECT_EQ(server.turned_away, at_first);
    now += core::first_connection_pause;
    submit(30);
    ASSERT_TRUE(until_reports(120));
    EXPECT_EQ(server.turned_away, at_first + 1);
    now += core::first_connection_pause;
    submit(30);
    ASSERT_TRUE(until_reports(150));
    EXPECT_EQ(server.turned_away, at_first + 1);
    EXPECT_EQ(transport.take_lowered().at(1).pause, 2 * core::first_connection_pause);
    EXPECT_TRUE(is_all_sent());
}

TEST_F(TransportLimitTest, ItComesBackStepByStep) {
    server.takes = 3;
    endpoint->idle = 10min;
    server.holds = {"."};
    submit(30);
    ASSERT_TRUE(until([&] { return server.messages() == 3 && server.turned_away == 7; }));
    server.takes = 1000;
    now += core::first_connection_pause;
    ASSERT_TRUE(until([&] { return server.messages() == 4; }));
    EXPECT_EQ(server.open(), 4);
    now += core::connection_step;
    ASSERT_TRUE(until([&] { return server.messages() == 5; }));
    EXPECT_EQ(server.open(), 5);
    now += 5 * core::connection_step;
    ASSERT_TRUE(until([&] { return server.messages() == 10; }));
    EXPECT_EQ(server.turned_away, 7);
}

TEST_F(TransportLimitTest, TheCallerIsAskedToComeBackForTheNextOne) {
    server.takes = 1;
    server.holds = {"."};
    submit(5);
    ASSERT_TRUE(until([&] { return server.messages() == 1 && server.turned_away == 4; }));
    const auto wait = transport.next_timeout(now);
    ASSERT_TRUE(wait);
    EXPECT_LE(*wait, core::first_connection_pause);
    transport.limit_connections({});  // somebody lifted it
    server.takes = 1000;
    ASSERT_TRUE(until([&] { return server.messages() == 5; }));
}

// One connection is opening and one was turned away: the first would show by opening that the other was one too many.
class ATurnedAwayConnection : public TransportLimitTest {
protected:
    void SetUp() override {
        server.takes = 1;
        server.holds = {"EHLO", "HELO"};
        submit(2);
        ASSERT_TRUE(until([&] { return server.turned_away == 1 && transport.connections(1) == 1; }));
        server.takes = 1000;
    }
};

TEST_F(ATurnedAwayConnection, LowersNothingWhenTheOtherFailedToo) {
    const auto refuse = [&](std::string_view verb) {  // no more to do with the number of connections
        ASSERT_TRUE(until([&] { return server.peers[0].commands.back().starts_with(verb); }));
        Server::say(server.peers[0], "535 5.7.8 bad credentials\r\n");
    };
    refuse("EHLO");
    refuse("HELO");
    server.holds = {};
    ASSERT_TRUE(until_reports(2));
    EXPECT_EQ(reports[0].stage, Stage::ehlo);
    EXPECT_TRUE(reports[1].final_reply);
    EXPECT_TRUE(transport.take_lowered().empty());
}

TEST_F(ATurnedAwayConnection, LowersNothingWhenTheOtherWasGivenUp) {
    server.holds = {};
    endpoint = std::make_shared<Endpoint>(*endpoint);
    endpoint->password = "changed";
    submit(1);
    const auto taken_back =
        transport.let_go_of_outdated([&](std::int64_t, const Endpoint& made_for) { return made_for == *endpoint; });
    EXPECT_EQ(taken_back.size(), 2U);
    ASSERT_TRUE(until_reports(1));
    EXPECT_TRUE(reports[0].final_reply);
    EXPECT_TRUE(transport.take_lowered().empty());
}

TEST_F(TransportLimitTest, AServerThatTakesNobodyIsAFailureAndLowersNothing) {
    server.takes = 0;
    submit(5);
    ASSERT_TRUE(until_reports(1));
    EXPECT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].session_reply->code, 421);
    EXPECT_TRUE(transport.take_lowered().empty());
    EXPECT_EQ(transport.cancel_not_on_wire([](const Delivery&) { return true; }).size(), 4U);
}

TEST_F(TransportLimitTest, ItMayBeSaidAtMailToo) {
    server.takes = 3;
    server.surplus_verb = "MAIL";
    submit(60);
    ASSERT_TRUE(until_reports(60));
    EXPECT_TRUE(is_all_sent());
    EXPECT_LE(server.turned_away, 7);
    EXPECT_EQ(transport.take_lowered().at(1).connections, 3);
}

TEST_F(TransportLimitTest, IdleConnectionsOfAnotherMailboxAtTheServerGiveWay) {
    server.takes = 2;
    submit(2, 1);
    ASSERT_TRUE(until_reports(2));
    EXPECT_EQ(transport.connections(1), 2);
    submit(1, 2);
    ASSERT_TRUE(until_reports(3));
    EXPECT_TRUE(is_all_sent());
    EXPECT_EQ(server.turned_away, 1);
}

TEST_F(TransportLimitTest, IdleConnectionsAtAnotherServerDoNot) {
    Server other;
    submit(2, 1);
    ASSERT_TRUE(until_reports(2));
    auto elsewhere = std::make_shared<Endpoint>(*endpoint);
    elsewhere->port = other.port;
    other.takes = 0;
    Delivery refused = delivery(100, 2);
    refused.endpoint = elsewhere;
    transport.submit(refused);
    ASSERT_TRUE(until([&] {
        other.turn();
        return reports.size() == 3;
    }));
    EXPECT_EQ(reports[2].session_reply->code, 421);
    EXPECT_EQ(transport.connections(1), 2);
}

TEST_F(TransportLimitTest, IdleConnectionsMakeRoomUnderTheSendersLimit) {
    endpoint->max_connections = 20;
    endpoint->idle = 10min;
    server.holds = {"."};
    submit(18, 1);  // the last two are kept for other servers
    ASSERT_TRUE(until([&] { return server.messages() == 18; }));
    for (Peer& peer : server.peers)
        Server::say(peer, "250 2.0.0 ok\r\n");
    server.holds = {};
    ASSERT_TRUE(until_reports(18));
    EXPECT_EQ(transport.connections(1), 18);
    submit(1, 2);
    ASSERT_TRUE(until_reports(19));
    EXPECT_EQ(reports[18].mailbox_id, 2);
    EXPECT_EQ(transport.connections(1), 17);
}

TEST_F(TransportLimitTest, ABusyMailboxLeavesAConnectionToOneThatHasNone) {
    endpoint->max_connections = 20;
    submit(2000, 1);
    ASSERT_TRUE(until_reports(20));
    submit(1, 2);
    ASSERT_TRUE(until([&] { return transport.in_flight(2) == 0; }));
    EXPECT_LT(reports.size(), 1000U);
    EXPECT_LE(server.most_open, 20);
    ASSERT_TRUE(until_reports(2001));
    EXPECT_TRUE(is_all_sent());
}

TEST_F(TransportLimitTest, TheLastConnectionsAreKeptForOtherServers) {
    server.holds = {"EHLO"};
    endpoint->max_connections = 100;
    submit(100, 1);
    submit(10, 2);
    ASSERT_TRUE(until([&] { return server.peers.size() >= 18; }));
    EXPECT_EQ(transport.connections(), 18);  // of 20
    Server other;
    auto there = std::make_shared<Endpoint>(*endpoint);
    there->port = other.port;
    for (std::uint64_t i = 1; i <= 5; i++) {
        Delivery one = delivery(1000 + i, 3);
        one.endpoint = there;
        ASSERT_TRUE(transport.submit(one));
    }
    ASSERT_TRUE(until([&] {
        other.turn();
        return reports.size() >= 5;
    }));
    EXPECT_TRUE(is_all_sent());
    EXPECT_EQ(other.messages(), 5);
}

}  // namespace
}  // namespace mailer::smtp
