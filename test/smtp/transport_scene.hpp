// A small mail server in the test's own thread, a journal that takes notes, and a transport between them.
#pragma once

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

#include "core/outcome/verdict.hpp"

namespace mailer::smtp {
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
    bool is_surplus = false;  // the server takes no more than it has
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
            peers.push_back({fd, {}, false, {}, 0, open() >= takes});
            if (peers.back().is_surplus && surplus_verb.empty()) {
                turn_away(peers.back());
                continue;
            }
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
    int takes = 1000;          // connections at once; others are turned away with 421 …
    std::string surplus_verb;  // … instead of the greeting, or at this command
    int turned_away = 0;
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

    void turn_away(Peer& peer) {
        turned_away++;
        say(peer, "421 4.7.0 test.example Error: too many connections\r\n");
        drop(peer);
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
        if (peer.is_surplus && verb == surplus_verb)
            turn_away(peer);
        else if (verb == "EHLO")
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
    Dot may_dot(std::uint64_t token, core::Time waiting_since, core::Time now) noexcept override {
        asked[token]++;
        waited = now - waiting_since;
        return verdict;
    }
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
    std::map<std::uint64_t, int> asked;
    core::Duration waited{};
    Dot verdict = Dot::go;
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

}  // namespace mailer::smtp
