// The transport against a server in the same thread: limits, order, shutdown, time. The numbers cite transport.hpp.
// What single conversations do is played in test/fault; here it is about many, and about what leaves when.
#include "smtp/transport.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "core/verdict.hpp"

namespace mailer::smtp {
namespace {

using core::Ending;
using core::Stage;
using namespace std::chrono_literals;

// One accepted connection. It greets and answers by itself, except to what the test holds back.
struct Peer {
    int fd = -1;
    std::string in;
    bool is_in_body = false;
    std::vector<std::string> commands;
    int messages = 0;
};

// A small SMTP server, driven by the test's own loop. `holds` names what it doesn't answer: "EHLO", "DATA", "." …
class Server {
public:
    Server() {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(listen(listener_, 64), 0);
        socklen_t length = sizeof address;
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
        port = ntohs(address.sin_port);
    }
    ~Server() {
        for (Peer& peer : peers)
            drop(peer);
        close(listener_);
    }

    void turn() {
        for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
            peers.push_back({fd, {}, false, {}, 0});
            say(peers.back(), "220 test.example ESMTP\r\n");
            most_open = std::max(most_open, open());
        }
        for (Peer& peer : peers)
            read(peer);
    }

    int open() const {
        return static_cast<int>(std::count_if(peers.begin(), peers.end(), [](const Peer& p) { return p.fd >= 0; }));
    }
    int messages() const {
        int sum = 0;
        for (const Peer& peer : peers)
            sum += peer.messages;
        return sum;
    }
    static void say(const Peer& peer, std::string_view text) { (void)!write(peer.fd, text.data(), text.size()); }
    static void drop(Peer& peer) {
        if (peer.fd >= 0) close(std::exchange(peer.fd, -1));
    }

    int port = 0;
    std::vector<std::string> holds;
    std::vector<Peer> peers;
    int most_open = 0;

private:
    void read(Peer& peer) {
        char buffer[65536];
        for (ssize_t count; peer.fd >= 0 && (count = recv(peer.fd, buffer, sizeof buffer, 0)) != -1;) {
            if (count == 0) return drop(peer);
            peer.in.append(buffer, static_cast<std::size_t>(count));
            while (step(peer)) {
            }
        }
    }

    // Takes one command or message; false when there is none yet.
    bool step(Peer& peer) {
        const std::string_view end = peer.is_in_body ? "\r\n.\r\n" : "\r\n";
        const std::size_t at = peer.in.find(end);
        if (at == std::string::npos || peer.fd < 0) return false;
        const std::string line = peer.in.substr(0, at);
        peer.in.erase(0, at + end.size());
        std::string verb = peer.is_in_body ? "." : line.substr(0, 4);
        if (peer.is_in_body) peer.messages++;
        peer.commands.push_back(peer.is_in_body ? "." : line);
        peer.is_in_body = verb == "DATA";
        if (std::find(holds.begin(), holds.end(), verb) != holds.end()) return true;
        if (verb == "EHLO")
            say(peer, "250-test.example\r\n250 PIPELINING\r\n");
        else if (verb == "DATA")
            say(peer, "354 go\r\n");
        else if (verb == "QUIT") {
            say(peer, "221 bye\r\n");
            drop(peer);
        } else
            say(peer, "250 2.0.0 ok\r\n");
        return true;
    }

    int listener_ = -1;
};

class Journal : public Observer {
public:
    void on_body(std::uint64_t token) noexcept override { log.push_back("body " + std::to_string(token)); }
    bool on_dot(std::uint64_t token, const core::Report& so_far, core::Time) noexcept override {
        recipients_at_dot.push_back(so_far.recipients);
        log.push_back("dot " + std::to_string(token));
        if (server != nullptr) {  // 1: nothing that holds the dot may have arrived
            server->turn();
            messages_at_dot.push_back(server->messages());
        }
        return grants;
    }
    void on_reply(std::uint64_t token, const core::Report& report) noexcept override {
        log.push_back("reply " + std::to_string(token));
        replies[token]++;
        last = report;
    }

    std::vector<std::string> log;
    std::map<std::uint64_t, int> replies;
    std::vector<int> messages_at_dot;
    std::vector<std::vector<core::RecipientResult>> recipients_at_dot;
    core::Report last;
    Server* server = nullptr;
    bool grants = true;
};

class TransportTest : public testing::Test {
protected:
    TransportTest() {
        signal(SIGPIPE, SIG_IGN);
        curl_global_init(CURL_GLOBAL_ALL);
        endpoint->host = "127.0.0.1";
        endpoint->port = server.port;
        endpoint->tls = Tls::none;
        endpoint->helo_name = "client.example";
    }

    Delivery delivery(std::uint64_t token, std::int64_t mailbox = 1) {
        return {token, mailbox, endpoint, "s@x.example", {"r@y.example"}, body, false, false};
    }

    // Turns everything until the condition holds. Time is the test's own, and stands still unless moved.
    template <class Condition>
    bool until(Condition condition) {
        for (int i = 0; i < 20'000; i++) {
            server.turn();
            transport.turn(now, reports);
            if (condition()) return true;
            pollfd fd{transport.poll_fd(), POLLIN, 0};
            ::poll(&fd, 1, 1);
            if (i % 10 == 0) now += 1ms;  // libcurl's own timers
        }
        return false;
    }
    bool until_reports(std::size_t count) {
        return until([&] { return reports.size() >= count; });
    }

    Server server;
    Journal journal;
    Transport transport{journal, 20};
    std::shared_ptr<Endpoint> endpoint = std::make_shared<Endpoint>();
    static bool none_is_current(std::int64_t, const Endpoint&) { return false; }
    std::shared_ptr<const std::string> body = std::make_shared<const std::string>("Subject: x\r\n\r\nhello\r\n");
    std::vector<core::Report> reports;
    core::Time now = core::from_unix_us(1'800'000'000'000'000);
};

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
    EXPECT_TRUE(core::is_stale_connection(reports[1]));  // whoever asked sends it anew, to the server of now
    EXPECT_EQ(server.peers.size(), 1U);
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
